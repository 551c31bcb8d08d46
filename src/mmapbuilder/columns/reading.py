"""Methods that give what a message holds, as arrays, columns, tables and rows."""

from .._lazy import t

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from ..usage import Outside
    from .memory import MessageMemory
    from .schema import Plan

    T = TypeVar("T")


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

        `path` is made of field names and list indexes, and starts at the root. It may lead
        through groups and unions. There is no copy: a store into the array changes the
        message. If the message is only read, the array is read-only.

        ==================  ========================================================
        at the path         the array
        ==================  ========================================================
        numbers, enums      one dimension, of that dtype (an enum's is uint16)
        structs             structured: numbers and enums under their names, groups
                            nested, ``@which`` for the tag of a union. The members of
                            a union overlap. Fields with a default are left out.
        Data                uint8
        Text                uint8, read-only, without the zero at its end
        ==================  ========================================================

        If the message was made with an older schema, the array lacks the fields that the
        message lacks. A list that is not set gives an empty array if the message is read,
        and an error if it is being built.

        The array keeps the memory alive, and stays valid while the message grows. When a
        builder is closed, the array becomes part of the private snapshot.

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
            PathError: there is no such field, or it is not set yet, or it is not the active
                member of its union. (A PathError is a KeyError and a ValueError.)
            IndexError: a list has fewer elements than the index says.
            TypeError: the value has no view. The text says what you can do instead.
            InvalidMessage: the bytes are no valid message.
            ImportError: NumPy is not installed.
        """
        from .views import array

        return self._look(array, path)

    def column(self, *path: "str | t.SupportsIndex", names: bool = False) -> "t.Any":
        """Return values as readers see them: a copy, as a NumPy array.

        The path ends with a list, or with a list of structs and one field of theirs:
        ``m.column("people", "name")``. Unlike `array`, this also gives Bool, Text (as str),
        Data (as bytes) and fields with defaults. Enums and tags of unions are numbers, or
        with ``names=True`` their names. Numbers with an annotation become datetime64,
        timedelta64 or Python's objects. If a field is not there, or is not the active
        member of its union, its default takes the place. Lists become Python's lists,
        structs and groups become dicts; those that are not there are None.

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

        polars, duckdb, pandas and pyarrow take the table, since it has the method
        ``__arrow_c_stream__``. None of them is needed to make it. If pyarrow is installed,
        the table has the methods of a ``pyarrow.Table`` as well.

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

        A table has no column for pointers of any type and for capabilities, and none for a
        struct within itself below `depth` levels. A warning names what was left out.

        Numbers that lie side by side are borrowed from the file of a finished message,
        without a copy: those of lists of numbers, and of structs that are one number.
        Everything else is copied.

        Args:
            path: field names and list indexes, from the root to the list.
            columns: the columns to take; by default all.
            depth: how often a struct may contain itself in the table.
            unions: ``"members"`` gives columns as above. ``"dense"`` gives one column for a
                union, which is a dense union of Arrow; it has the name of the group, or
                ``@which`` if the union is in no group.
            views: give Text and Data as views of the mapped file (string_view, binary_view)
                and lists of numbers as large_list_view, without a copy. The table keeps the
                file mapped. The message must be finished.
            start: the first row, as in slices.
            stop: the row after the last, as in slices.
            trusted: read as much as the pointers say. A hostile message can point at one
                object many times; if it is not trusted, no more than a few times its words
                are read.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(m.table("people", columns=["id", "name"]).to_pylist())
        [{'id': 7, 'name': 'Ada'}, {'id': 8, 'name': 'Charles'}]

        Raises: as `array`, except for ImportError.
        """
        from .table import table

        return self._look(table, path, columns, depth, unions, views, start, stop, trusted)

    # ---- rows ----

    def to_dict(self, *, trusted: bool = False) -> "dict[str, t.Any]":
        """Return the whole message as a dict, as pycapnp's ``root.to_dict()`` does.

        Structs and groups become dicts, lists become lists, and enums become their names.
        Text is str, Data is bytes, Void is None. A pointer that is not set has no key. Of a
        union only the active member has a key, also if it is such a pointer. A number of an
        enum that has no name is ``@7``; pycapnp fails there. Pointers of any type and
        capabilities are left out, and a warning says so.

        A hostile message can point at one object many times. If the message is not
        `trusted`, this raises when more than four times its words would be read.

        >>> with MessageBuilder("alice.bin") as b:
        ...     alice = b.init_root(addressbook_capnp.Person, name="Alice", id=7)
        >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
        ...     print(m.to_dict()["name"])
        Alice

        Raises:
            InvalidMessage: the bytes are no valid message, or nest more than 1000 deep.
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
            as_: what a row is. ``dict``: as in `to_dict`. ``tuple``: one value for each
                field, in the order of the schema. A value is None if the field is not set
                or is not the active member of its union; Text and Data may have a default
                instead. Structs in such a row are tuples, too. A class: it is called with
                these values as keywords, and structs in them are dicts. A dataclass, an
                attrs class, a msgspec Struct or a named tuple gets the fields that it has;
                another class or function gets those that it has parameters for.
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
            TypeError: the path leads to something that is no list.
            InvalidMessage, ValueError: as for `to_dict`.
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
        """Return an iterator over the rows of the list at `path`.

        It makes `chunk` rows at a time, so it needs less memory than `rows`. The other
        arguments and the errors are those of `rows`. The iterator keeps the memory alive,
        also after `close`.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=range(1000))
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(sum(row["id"] for row in m.iter_rows("people", chunk=100)))
        499500
        """
        from .rows import iter_rows

        return self._look(iter_rows, path, as_, chunk, trusted)

    # ---- bytes ----

    def usage(self, *, progress: "t.Callable[[int], object] | None" = None) -> "t.Usage":
        """Return what takes how many bytes of the message, by the path of fields.

        The result is a `Usage`, a sequence of rows. Each row has a ``path``, a ``count`` of
        values, and the numbers of bytes ``data``, ``pointers``, ``text``, ``padding``,
        ``far``, ``unreachable`` and ``table``. Their sum is ``bytes``. The sum of all rows is
        the size of the file; for a message that is being built, it is the size so far. If a
        struct contains itself, its fields are counted at their outermost path.

        `progress` is called now and then with the number of bytes that were counted.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     usage = m.usage()
        >>> for row in usage:
        ...     if row.text:
        ...         print(row.path, row.count, row.text, row.padding, row.bytes)
        people[].name 2 10 6 32
        >>> import os
        >>> sum(row.bytes for row in usage) == os.path.getsize("people.bin")
        True

        Raises:
            InvalidMessage: the bytes are no valid message, or not one of this schema.
            ValueError: the message is closed.
        """
        return self._look(usage, self, progress)

    def _extents(self) -> "tuple[tuple[memoryview, ...], Outside]":
        """Return the used part of each segment, and what else of the file takes bytes."""
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
