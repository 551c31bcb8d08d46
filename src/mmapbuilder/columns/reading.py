"""What a message holds, as arrays, columns, tables and rows: methods of all that has one."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from .. import _types as t
    from ..usage import Outside
    from .memory import MessageMemory
    from .schema import Plan

    T = TypeVar("T")
else:
    from .._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")


class Reading:
    """The methods that read the content of a message.

    A subclass has the memory of a message and the plan of its schema, and decides by `_look`
    who may use them when.
    """

    __slots__ = ()

    def _plan(self) -> "Plan":
        """Return the plan of the schema of the root."""
        raise NotImplementedError

    def _memory(self) -> "MessageMemory":
        """Return the memory of the message as it is now."""
        raise NotImplementedError

    def _look(self, read: "t.Callable[..., T]", /, *args: "t.Any") -> "T":
        """Call `_read` with these arguments, when it is this call's turn."""
        raise NotImplementedError

    def _read(self, read: "t.Callable[..., T]", /, *args: "t.Any") -> "T":
        return read(self._plan(), self._memory(), *args)

    def array(self, *path: "str | t.SupportsIndex") -> "t.Any":
        """Return the list at `path` as a NumPy array that is the memory of the message.

        `path` goes from the root by field names and list indexes, through groups and
        unions. There is no copy: what is stored into the array is in the message. Where a
        message is only read, the array is read-only.

        ==================  ========================================================
        at the path         the array
        ==================  ========================================================
        numbers, enums      one-dimensional, of that dtype (an enum's is uint16)
        structs             structured: numbers and enums under their names, groups
                            nested, ``@which`` for the tag of a union. The members of
                            a union overlap. Fields with a default are left out.
        Data                uint8
        Text                uint8, read-only, without the zero at its end
        ==================  ========================================================

        Structs have the fields that the message holds, be it of an older or a newer schema.
        A list that is not set is empty where a message is read, and an error where it is
        built.

        The array keeps the memory alive, and stays valid as a message grows. After `close`
        of a builder it is part of the private snapshot.

        >>> with MessageBuilder("people.bin") as b:
        ...     people = b.init_root(addressbook_capnp.AddressBook).init("people", 1000)
        ...     b.array("people")["id"] = np.arange(1000)
        ...     print(people[7].id)
        7
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     ids = m.array("people")["id"]
        >>> ids[:3].tolist()
        [0, 1, 2]

        Raises:
            KeyError: no such field, not set yet, or not the active member of its union
                (a ValueError as well).
            IndexError: a list is shorter.
            TypeError: what is there cannot be a view; the text says what can be done.
            InvalidMessage: the bytes are no valid message.
            ImportError: NumPy is not installed.
        """
        from .views import array

        return self._look(array, path)

    def column(self, *path: "str | t.SupportsIndex", names: bool = False) -> "t.Any":
        """Return values as readers see them, as a NumPy array with a memory of its own.

        The path ends with a list, or goes on from a list of structs to one field of all
        of them: ``m.column("people", "name")``. Unlike `array` it gives Bool, Text (str)
        and Data (bytes) as well, and fields with defaults. Enums and tags of unions are
        numbers, or with `names` their names; annotated numbers are datetime64, timedelta64,
        or Python's objects. Where a field is not there, or not the
        active member of its union, the default stands. Lists, structs and groups are
        Python's lists and dicts, or None where they are not there.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(m.column("people", "name"))
        ['Ada' 'Charles']

        Raises: as `array`.
        """
        from .values import column

        return self._look(column, path, names)

    def table(
        self,
        *path: "str | t.SupportsIndex",
        columns: "list[str] | None" = None,
        depth: int = 1,
        unions: str = "members",
        views: bool = False,
        start: int = 0,
        stop: int | None = None,
        trusted: bool = False,
    ) -> "t.Table":
        """Return the list at `path` as a table of Apache Arrow.

        The table offers ``__arrow_c_stream__``, so that polars, duckdb, pandas and pyarrow
        take it; none of them is needed to make it. Where pyarrow is installed, it has the
        methods of a ``pyarrow.Table`` as well.

        ======================  =====================================================
        Cap'n Proto             the column
        ======================  =====================================================
        numbers, Bool           the same
        enum                    dictionary of names; unnamed numbers are ``@7``
        Text, Data              large_string, large_binary; a null pointer is null, or
                                the default if there is one
        List(T)                 large_list, nested to any depth; a null pointer is null
        struct                  struct; a null pointer is null
        group                   dotted columns, below the top a struct
        union                   members that are null unless active, and ``@which``
        union of T and a Void   T, null where the Void member is active: for a group
                                that has nothing else
        Void                    null
        annotated numbers       timestamps, dates, times, durations, decimals: see
                                ``mmapbuilder.schema_path``
        ======================  =====================================================

        With ``unions="dense"`` a union is one column, a dense union of Arrow: under the name
        of its group, or as ``@which`` where it has none.

        With ``views=True`` Text and Data are views (string_view, binary_view) of the mapped
        file, and lists of numbers large_list_view, without a copy. The table keeps the file
        mapped. This is for messages that are finished.

        Pointers of any type and capabilities are left out, and a struct within itself
        below `depth` levels; a warning names what was. `columns` chooses some; `start` and
        `stop` choose rows, as in slices.

        Of a message that is read, numbers that lie side by side are borrowed from the file,
        without a copy: lists of numbers, and structs that are one number. All else is
        copied. Of a message that is not `trusted`, no more than a few times its words is
        read.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(m.table("people", columns=["id", "name"]).to_pylist())
        [{'id': 7, 'name': 'Ada'}, {'id': 8, 'name': 'Charles'}]

        Raises: as `array`, but for ImportError.
        """
        from .table import table

        return self._look(table, path, columns, depth, unions, views, start, stop, trusted)

    # ---- rows ----

    def to_dict(self, *, trusted: bool = False) -> "dict[str, t.Any]":
        """Return the whole message as a dict, as pycapnp's ``root.to_dict()`` does.

        Structs and groups become dicts, lists become lists, enums their names; Text is
        str, Data is bytes, Void is None. A pointer that is not set has no key, unless it
        is the active member of a union, which is the only one with a key. An enum's
        number without a name is ``@7``, where pycapnp fails. Pointers of any type and
        capabilities are left out, with a warning if there are any.

        A hostile message can point at one object many times. Of more than four times its
        words nothing is made, unless it is `trusted`.

        >>> with MessageBuilder("alice.bin") as b:
        ...     alice = b.init_root(addressbook_capnp.Person, name="Alice", id=7)
        >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
        ...     print(m.to_dict()["name"])
        Alice

        Raises:
            InvalidMessage: the bytes are no valid message; nested more than 1000 deep.
            ValueError: the message is closed.
        """
        from .rows import to_dict

        return self._look(to_dict, trusted)

    def rows(
        self,
        *path: "str | t.SupportsIndex",
        as_: "t.Any" = dict,
        start: int = 0,
        stop: int | None = None,
        trusted: bool = False,
    ) -> "list[t.Any]":
        """Return the list at `path`, or its elements from `start` to `stop`, as rows.

        Args:
            path: field names and list indexes from the root.
            as_: ``dict``: as in `to_dict`. ``tuple``: a value for each field, in the order
                of the schema; None for what is not set and for members of a union that
                are not active, the default for Text and Data that have one; structs in
                them are tuples, too. A class: it is called with such values as keywords
                (those that it names, if it is a dataclass, an attrs class, a msgspec
                Struct or a named tuple); structs in them are dicts.
            start: the first element, as in slices.
            stop: the element after the last, as in slices.
            trusted: as in `to_dict`.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print([row["name"] for row in m.rows("people", start=-1)])
        ['Charles']

        Raises:
            KeyError, IndexError: the path leads nowhere.
            TypeError: it leads to no list.
            InvalidMessage, ValueError: as `to_dict`.
        """
        from .rows import rows

        return self._look(rows, path, as_, start, stop, trusted)

    def iter_rows(
        self,
        *path: "str | t.SupportsIndex",
        as_: "t.Any" = dict,
        chunk: int = 65536,
        trusted: bool = False,
    ) -> "t.Iterator[t.Any]":
        """Return an iterator over the list at `path`, of which `chunk` rows are made at a time.

        As `rows` otherwise. The iterator keeps the memory alive, also after `close`.
        """
        from .rows import iter_rows

        return self._look(iter_rows, path, as_, chunk, trusted)

    # ---- bytes ----

    def usage(self, *, progress: "t.Callable[[int], object] | None" = None) -> "t.Usage":
        """Return what takes how many bytes of the message, by the path of fields.

        A sequence of rows with the attributes ``path``, ``count``, and in bytes ``data``,
        ``pointers``, ``text``, ``padding``, ``far``, ``unreachable`` and ``table``, whose sum
        is ``bytes``. All rows together are the size of the file, or, of a message that is
        being built, what it has so far. Fields of a struct within itself are counted at
        their outermost path.

        `progress` is called now and then with the bytes that were dealt with.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     usage = m.usage()
        >>> for row in usage:
        ...     if row.text:
        ...         print(row.path, row.count, row.text, row.padding, row.bytes)
        people[].name 2 10 6 32
        >>> sum(row.bytes for row in usage) == len(open("people.bin", "rb").read())
        True

        Raises:
            InvalidMessage: the bytes are no valid message, or none of this schema.
            ValueError: the message is closed.
        """
        return self._look(usage, self, progress)

    def _extents(self) -> "tuple[tuple[memoryview, ...], Outside]":
        """Return the segments as far as they are used, and what else takes bytes."""
        raise NotImplementedError


def usage(
    plan: "Plan",
    memory: "MessageMemory",
    message: Reading,
    progress: "t.Callable[[int], object] | None",
) -> "t.Usage":
    """Return what takes how many bytes."""
    from ..usage import of_segments

    return of_segments(plan.native, *message._extents(), progress)
