"""Whole columns and rows into a message that is being built: methods of its builder."""

from .._lazy import t
from .reading import Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import GrowingMemory
    from .schema import Plan


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
        """Write whole columns into the list at `path`. A list that is not set is made.

        The columns of a list of structs are keywords, or they are one table after the path:
        a mapping, a structured array, an Arrow table, a data frame of pandas or polars. A
        field in a group has a dotted name. If the elements of the list are no structs, their
        values stand after the path: ``b.fill("numbers", [1, 2, 3])``.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        ...     b.fill("people", 0, "phones", number=["555-1815"], type=["home"])
        ...     print(book.people[1].name, book.people[0].phones[0].type)
        Charles home

        A number that does not fit its field raises. An enum takes names or numbers. Text and
        Data take str and bytes; None makes a null pointer. All columns are checked before
        the first is written. If a column is a member of a union, that member becomes the
        active one in all rows. If several members of one union are given, the active one of
        a row is the one that has a value there, or the one that the column ``@which`` names.

        If Text and Data are written again, the room of the old ones stays in the file.

        Raises:
            OverflowError: a number does not fit its field.
            TypeError: values are of another kind, or a column cannot hold the field.
            ValueError: columns differ in length, or an enum has no such name.
            KeyError, IndexError, InvalidMessage, ImportError: as for `array`.
            OSError: the file has no room.
        """
        from .fill import fill

        self._look(fill, path, columns)

    def fill_rows(
        self,
        *path: "t.Any",
        rows: "t.Any" = None,
        fields: "t.Sequence[str] | None" = None,
        length: int | None = None,
        extra: str = "error",
        missing: str = "default",
    ) -> int:
        """Write rows into the list at a path, and return their number.

        The rows stand after the path: ``b.fill_rows("people", rows)``. If the list is not
        set, it is made. A row is a mapping, or a tuple or list with a value for each field
        in the order of the schema, or an object whose attributes are the fields: a
        dataclass, an attrs class, a msgspec Struct, a named tuple and others. Structs and
        lists in a row are given in the same ways, to any depth.

        An enum takes a name or a number. Text and Data take str, bytes and other buffers,
        and Data takes a ``uuid.UUID``. Lists of numbers take arrays. None makes a null
        pointer. The member of a union that is not None becomes the active one. To make a
        Void member active, give it as None. A number that is None becomes the default. In a
        union of a number and a Void it makes the Void the active member.

        All rows are converted before anything is written, so the message gets either all
        rows or none. If the list is set, the rows replace its elements. What the old
        elements pointed to stays in the file, unused.

        Args:
            path: field names and list indexes, and then the rows: a sequence or any
                other iterable. The rows that a generator yields are kept, in the format of
                the message, until it ends: up to 128 MiB in memory, and more of them in a
                file without a name beside the message.
            rows: the rows, if they do not stand after the path.
            fields: the names of the fields that the tuples have, in their order.
            length: how many rows there must be.
            extra: what happens if a row has a key or an attribute that is no field:
                ``"error"`` or ``"ignore"``.
            missing: what happens if a row lacks a field, or a number is None:
                ``"default"`` or ``"error"``.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill_rows(
        ...         "people", [{"id": 7, "name": "Ada", "phones": [{"number": "555-1815"}]}]
        ...     )
        ...     print(book.people[0].phones[0].number)
        1
        555-1815

        Raises:
            OverflowError, TypeError, ValueError: a value does not fit. The text names the
                row and the field.
            KeyError, IndexError, InvalidMessage: as for `array`.
            CapacityError, OSError: the file has no room, or a single row or the list itself
                takes more than 4 GiB.
        """
        if rows is None:
            if not path:
                raise TypeError("fill_rows() needs rows")
            *path, rows = path  # type: ignore[assignment]
        from .rows import fill_rows

        return self._look(fill_rows, tuple(path), rows, fields, length, extra, missing)

    def set_root(
        self, value: "t.Any", /, *, extra: str = "error", missing: str = "default"
    ) -> "t.Any":
        """Make the root of a mapping or an object, and return pycapnp's builder of it.

        The schema is the one that `init_root` was given, or that you have set as `schema`.
        The values are given as for `fill_rows`. If there is a root, it is replaced.

        >>> with MessageBuilder("people.bin") as b:
        ...     b.schema = addressbook_capnp.AddressBook
        ...     book = b.set_root({"people": [{"name": "Ada"}, {"name": "Charles"}]})
        ...     print(book.people[1].name)
        Charles

        Raises: as for `fill_rows`.
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
