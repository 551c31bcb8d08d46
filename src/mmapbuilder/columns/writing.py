"""Whole columns and rows into a message that is being built: methods of its builder."""

from .reading import Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .. import _types as t
    from .memory import GrowingMemory
    from .schema import Plan
else:
    from .._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")


class Writing(Reading):
    """The methods that read and write the content of a message.

    A subclass says by `_memory` where there is room.
    """

    __slots__ = ()

    def _memory(self) -> "GrowingMemory":
        raise NotImplementedError

    def _make_root(self) -> "t.Any":
        """Return pycapnp's builder of the root, which is made if there is none."""
        raise NotImplementedError

    def fill(self, /, *path: "t.Any", **columns: "t.Any") -> None:
        """Write whole columns into the list at `path`, made to their length if not set.

        Columns of a list of structs are given by name, or as a table after the path: a
        mapping, a structured array, an Arrow table, a pandas or polars data frame.
        Names in groups are dotted. Values of other lists follow the path.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        ...     b.fill("people", 0, "phones", number=["555-1815"], type=["home"])
        ...     print(book.people[1].name, book.people[0].phones[0].type)
        Charles home

        Numbers are checked: one that does not fit raises. Enums take names or numbers;
        Text and Data take str, bytes, and None for a null pointer. All columns are
        checked before the first is written. A member of a union becomes active in all
        rows; of several that are given the one that has a value, or that a column
        ``@which`` names.

        Text and Data that are written anew leave the room of the old ones unused.

        Raises:
            OverflowError: a number does not fit its field.
            TypeError: values of another kind, or a field that no column can hold.
            ValueError: lengths differ, or an enum has no such name.
            KeyError, IndexError, InvalidMessage, ImportError: as for `array`.
            OSError: the file has no room.
        """
        from .fill import fill

        self._look(fill, path, columns)

    def fill_rows(
        self,
        *path: "t.Any",
        fields: "t.Sequence[str] | None" = None,
        length: int | None = None,
        extra: str = "error",
        missing: str = "default",
    ) -> int:
        """Write rows into the list at a path, made to their number if it is not set.

        The path is followed by the rows: ``fill_rows("people", rows)``. Each is a mapping,
        a tuple or list of the values of all fields in the order of the schema, or an object
        with fields as attributes, such as a dataclass, an attrs class, a msgspec Struct or
        a named tuple. Structs and lists in them are given likewise, to any depth.

        Enums take names or numbers; Text and Data take str, bytes and other buffers, Data
        a ``uuid.UUID``; lists of numbers take arrays. None is a null pointer. Of a union
        the member that is not None becomes the active one; a Void member is named with
        None. A number that is None stands for null in a union with a Void member, and for
        the default elsewhere.

        All rows are converted before anything is written: either all are in the message or
        none is. Rows of a list that is set replace its elements; the room of what these
        had stays unused.

        Args:
            path: field names and list indexes, and then the rows: a sequence or any
                other iterable. What a generator yields is kept in memory in the format of
                the message until it ends.
            fields: the fields that tuples have, in their order.
            length: how many rows there must be.
            extra: what is done with keys and attributes that are no field: ``"error"`` or
                ``"ignore"``.
            missing: a field that a row has not, and a number that is None, gets its
                ``"default"``, or is an ``"error"``.

        Returns the number of rows.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill_rows(
        ...         "people", [{"id": 7, "name": "Ada", "phones": [{"number": "555-1815"}]}]
        ...     )
        ...     print(book.people[0].phones[0].number)
        1
        555-1815

        Raises:
            OverflowError, TypeError, ValueError: a value does not fit; the text names the
                row and the field.
            KeyError, IndexError, InvalidMessage: as for `array`.
            CapacityError, OSError: the rows take more than 4 GiB, or the file has no room.
        """
        if not path:
            raise TypeError("fill_rows() needs rows")
        from .rows import fill_rows

        return self._look(fill_rows, path[:-1], path[-1], fields, length, extra, missing)

    def set_root(
        self, value: "t.Any", /, *, extra: str = "error", missing: str = "default"
    ) -> "t.Any":
        """Make the root of a mapping or an object, and return pycapnp's builder of it.

        The schema is that of `init_root` or `schema`. Values are as for `fill_rows`. A
        root that is there is replaced.

        >>> with MessageBuilder("people.bin") as b:
        ...     b.schema = addressbook_capnp.AddressBook
        ...     book = b.set_root({"people": [{"name": "Ada"}, {"name": "Charles"}]})
        ...     print(book.people[1].name)
        Charles

        Raises: as `fill_rows`.
        """
        return self._look(set_root, self._make_root, value, extra, missing)


def set_root(
    plan: "Plan",
    memory: "GrowingMemory",
    make_root: "t.Callable[[], t.Any]",
    value: "t.Any",
    extra: str,
    missing: str,
) -> "t.Any":
    """Convert the root, then make it and put it there."""
    from .rows import set_root

    put = set_root(plan, memory, value, extra, missing)
    root = make_root()
    put()
    return root
