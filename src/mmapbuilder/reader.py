"""The read side: a finished message, memory-mapped."""

import os

from . import _core, _pycapnp
from ._content import invalid, look_into, naming

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import _types as t
    from .arrays import Space
    from .columns.memory import ReadMemory
    from .columns.schema import Plan
else:
    from ._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")


class Message:
    """A finished message, read in place; what `open_message` returns.

    Nothing is read before it is used, and nothing is copied. pycapnp's readers keep
    the memory alive, so they stay valid after `close`; the memory goes with the last
    of them.

    As with any mapped file, someone who cuts the file while it is being read makes
    the process die of SIGBUS. Builders of this package never do that to a finished
    message unless they replace it without `atomic`.
    """

    def __init__(
        self,
        name: "t.ContentName",
        schema: "t.Any",
        segments: "tuple[memoryview, ...]",
        nesting_limit: int,
    ) -> None:
        self._name = name
        self._schema = schema
        self._segments: tuple[memoryview, ...] | None = segments
        self._nesting_limit = nesting_limit
        self._root: t.Any = None
        self._dtypes: dict[t.Any, t.Any] = {}
        self._naming = naming(name)

    @property
    def root(self) -> "t.Any":
        """Return pycapnp's reader of the root struct.

        Raises:
            ValueError: the message is closed.
        """
        segments = self._open_segments()
        if self._root is None:
            self._root = _pycapnp.reader_over(self._schema, segments, self._nesting_limit)
        return self._root

    @property
    def segments(self) -> "tuple[memoryview, ...]":
        """The segments as read-only memory, without empty ones at the end."""
        return self._open_segments()

    def _open_segments(self) -> "tuple[memoryview, ...]":
        segments = self._segments
        if segments is None:
            raise ValueError("I/O operation on closed message")
        return segments

    def array(self, *path: "str | t.SupportsIndex") -> "t.Any":
        """Return the list at `path` as a read-only NumPy array, in place.

        As `MessageBuilder.array`; a list that is not set is empty, and structs have the
        fields that the message holds, be it of an older or a newer schema. The array
        keeps the memory alive, also after `close`.

        >>> with MessageBuilder("people.bin") as b:
        ...     b.init_root(addressbook_capnp.AddressBook).init("people", 2)[1].id = 7
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     ids = m.array("people")["id"]
        >>> ids.tolist()
        [0, 7]
        """
        from . import arrays

        with self._naming:
            return arrays.array(self._space(), path)

    def column(self, *path: "str | t.SupportsIndex", names: bool = False) -> "t.Any":
        """Return values as readers see them, as a NumPy array with a memory of its own.

        The path ends with a list, or goes on from a list of structs to one field of all
        of them: ``m.column("people", "name")``. Unlike `array` it gives Bool, Text (str)
        and Data (bytes) as well, and fields with defaults. Enums and tags of unions are
        numbers, or with `names` their names. Where a field is not there, or not the
        active member of its union, the default stands. Lists, structs and groups are
        Python's lists and dicts, or None where they are not there.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(m.column("people", "name"))
        ['Ada' 'Charles']

        Raises: as `MessageBuilder.array`.
        """
        from . import arrays
        from .columns import values

        with self._naming:
            plan, memory = self._plan(), self._memory()
            found = values.column(plan, memory, path)
            if found is None:
                found = arrays.column(self._space(), path)
            return values.with_names(plan, memory, path, found) if names else found

    def table(
        self,
        *path: "str | t.SupportsIndex",
        columns: "list[str] | None" = None,
        depth: int = 1,
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
        ======================  =====================================================

        Pointers of any type and capabilities are left out, and a struct within itself
        below `depth` levels; a warning names what was. `columns` chooses some.

        Numbers that lie side by side are borrowed from the file, without a copy: lists of
        numbers, and structs that are one number. All else is copied. Of a message that is
        not `trusted`, no more than a few times its words is read.

        >>> with MessageBuilder("people.bin") as b:
        ...     book = b.init_root(addressbook_capnp.AddressBook)
        ...     b.fill("people", id=[7, 8], name=["Ada", "Charles"])
        >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
        ...     print(m.table("people", columns=["id", "name"]).to_pylist())
        [{'id': 7, 'name': 'Ada'}, {'id': 8, 'name': 'Charles'}]

        Raises: as `MessageBuilder.array`, but for ImportError.
        """
        from .columns import table

        with self._naming:
            return table.table(self._plan(), self._memory(), path, columns, depth, trusted)

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
        from .columns import rows

        with self._naming:
            return rows.to_dict(self._plan(), self._memory(), trusted)

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
        from .columns import rows

        with self._naming:
            return rows.rows(self._plan(), self._memory(), path, as_, start, stop, trusted)

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
        from .columns import rows

        return rows.iter_rows(self._plan(), self._memory(), path, as_, chunk, trusted)

    def _plan(self) -> "Plan":
        from .columns.schema import plan_of

        return plan_of(self._schema)

    def _memory(self) -> "ReadMemory":
        from .columns.memory import ReadMemory

        return ReadMemory(self._open_segments())

    def _space(self) -> "Space":
        """Describe the memory of the message to `arrays`."""
        from . import arrays

        schema = getattr(self._schema, "schema", self._schema)
        return arrays.Space(self._open_segments(), schema, False, self._dtypes)

    @property
    def name(self) -> "t.ContentName":
        """The file as it was given; None for a message in a buffer."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._segments is None

    def close(self) -> None:
        """Let go of the file. Readers that are still alive stay valid."""
        self._root = None
        self._segments = None

    def __enter__(self) -> "t.Self":
        self._open_segments()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "t.TracebackType | None",  # noqa: PYI036  # it is that of types
    ) -> None:
        self.close()

    def __reduce__(self) -> "str | tuple[t.Any, ...]":
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._name!r} {state}>"

    def _repr_html_(self) -> str:
        from ._html import describe, in_bytes

        segments = self._segments
        rows = [
            ("file", self._name),
            ("state", "open" if segments is not None else "closed"),
            ("size", None if segments is None else in_bytes(sum(map(len, segments)))),
            ("segments", None if segments is None else len(segments)),
            ("root", getattr(self._schema, "schema", self._schema).node.displayName),
        ]
        return describe(type(self).__name__, rows)


def open_message(content: "t.Content", schema: "t.Any", *, nesting_limit: int = 64) -> Message:
    """Open a message whose root is a `schema` for reading.

    A file is mapped, whatever its size, and pycapnp's limit on how much of a message may be
    read is lifted. No descriptor stays open. Pointers are checked as they are followed; for
    messages from strangers, `verify` checks them all first.

    Args:
        content: a path, a file descriptor, an object with fileno() (wherever it stands, the
            file is read from its start), or a buffer: bytes, a memoryview, an mmap.
            bytes without a zero byte are taken for a path.
        schema: a struct of a schema that pycapnp has loaded.
        nesting_limit: how deep structs and lists may nest. Printing a message, or turning it
            into a dict, takes a few hundred bytes of stack for each level.

    Raises:
        InvalidMessage: it is unfinished, several messages, or none; `reason` says which.
        OSError: the file cannot be opened or mapped.
        TypeError: `schema` is no struct of a loaded schema.
        ImportError: pycapnp is not installed.

    >>> with MessageBuilder("alice.bin") as b:
    ...     alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
    ...     print(m.root.name)
    Alice
    """
    _pycapnp.load()
    if not hasattr(schema, "from_segments"):
        raise TypeError(
            "schema must be a struct of a schema that pycapnp has loaded, "
            f"as addressbook_capnp.AddressBook is, not {schema!r}"
        )
    name, segments = look_into(content, _map_segments, _slice_segments)
    return Message(name, schema, segments, nesting_limit)


def _map_segments(fd: int, name: "t.ContentName") -> "tuple[t.ContentName, tuple[memoryview, ...]]":
    length = os.fstat(fd).st_size
    head = os.pread(fd, _core.HEAD_BYTES, 0)
    if len(head) < min(length, _core.HEAD_BYTES):
        length = len(head)  # it was cut just now
    places, end = _core.framing(head, length, name)
    memory = memoryview(_core.ReadMap(fd, length, name))
    _require_single(memory[end:], name)
    return name, tuple(memory[start : start + size] for start, size in places)


def _slice_segments(
    memory: memoryview, name: "t.ContentName"
) -> "tuple[t.ContentName, tuple[memoryview, ...]]":
    places, end = _core.framing(memory, len(memory), name)
    _require_single(memory[end:], name)
    if not _core.is_aligned(memory):
        memory = memoryview(bytes(memory))
    return name, tuple(memory[start : start + size] for start, size in places)


def _require_single(rest: memoryview, name: "t.ContentName") -> None:
    """Refuse a message that another one follows; other bytes are no matter."""
    try:
        _core.framing(rest, len(rest), name)
    except _core.InvalidMessage:
        return
    raise invalid(
        "several messages follow each other here: open_log() reads all of them, "
        "as pycapnp's read_multiple does",
        name,
    )
