"""The read side: a finished message, memory-mapped."""

import os

from . import _core, _pycapnp
from ._closing import Closing
from ._content import invalid, look_into, naming
from ._lazy import t
from ._output import is_descriptor
from .columns.reading import Reading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from .columns.memory import ReadMemory
    from .columns.schema import Plan
    from .usage import Outside

    T = TypeVar("T")
    Looked = tuple[t.ContentName, tuple[memoryview, ...], tuple[int, int]]


class Message(Reading, Closing):
    """A finished message that is read in place. `open_message` returns it.

    Nothing is read before you use it, and nothing is copied. pycapnp's readers keep the
    memory alive, so they stay valid after `close`. The memory is freed with the last of
    them.

    If a program cuts the file while you read it, your process dies of SIGBUS, as with
    every mapped file. A builder of this package puts a new file in the place of a finished
    message and does not cut it, unless the file cannot be replaced (see `Builder`).
    """

    def __init__(
        self,
        name: "t.ContentName",
        schema: "t.Any",
        segments: "tuple[memoryview, ...]",
        nesting_limit: int,
    ) -> None:
        self._name = name
        # Absolute, since the working directory may change before `pickle` asks for it.
        self._path = os.path.abspath(name) if isinstance(name, (str, bytes)) else None
        self._schema = schema
        self._segments: tuple[memoryview, ...] | None = segments
        self._nesting_limit = nesting_limit
        self._root: t.Any = None
        self._naming = naming(name)
        self._outside = (0, 0)  # bytes of the table, and behind the message

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
        """The segments as read-only memory. Empty segments at the end are left out."""
        return self._open_segments()

    def _open_segments(self) -> "tuple[memoryview, ...]":
        segments = self._segments
        if segments is None:
            raise ValueError("I/O operation on closed message")
        return segments

    # ---- for `Reading` ----

    def _look(self, read: "t.Callable[..., T]", /, *args: "t.Any") -> "T":
        with self._naming:
            return self._read(read, *args)

    def _plan(self) -> "Plan":
        from .columns.schema import plan_of

        return plan_of(self._schema)

    def _memory(self) -> "ReadMemory":
        from .columns.memory import ReadMemory

        return ReadMemory(self._open_segments())

    def _extents(self) -> "tuple[tuple[memoryview, ...], Outside]":
        from .usage import Outside

        return self._open_segments(), Outside(*self._outside)

    @property
    def name(self) -> "t.ContentName":
        """The file as it was given. None if the message is in a buffer."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._segments is None

    def close(self) -> None:
        """Let go of the file. Readers and arrays that are still alive stay valid."""
        self._root = None
        self._segments = None

    def __enter__(self) -> "t.Self":
        self._open_segments()
        return self

    def __reduce__(self) -> "str | tuple[t.Any, ...]":
        """Pickle the path and the schema's file; the message is opened again from them."""
        path = self._path
        if path is None or is_descriptor(os.fsdecode(path)):
            raise TypeError(
                f"cannot pickle a message that was not opened by a path: {self!r}; "
                "send the descriptor by socket.send_fds(), or the bytes"
            )
        return _open_pickled, (path, _pycapnp.Importable(self._schema), self._nesting_limit)

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


def _open_pickled(path: "str | bytes", schema: "_pycapnp.Importable", limit: int) -> Message:
    return open_message(path, schema.load(), nesting_limit=limit)


def open_message(
    path: "t.Content",
    schema: "t.Any",
    *,
    nesting_limit: int = 64,
    require_seals: bool = False,
) -> Message:
    """Open a message for reading. Its root is a struct of type `schema`.

    The file is mapped, however large it is, and pycapnp's limit on how much of a message may
    be read is lifted. No descriptor stays open. Each pointer is checked when it is followed.
    `verify` checks all pointers at once; call it first if the message is from a stranger.

    Args:
        path: a path, a file descriptor, an object with ``fileno()``, or a buffer such as
            bytes, a memoryview or an mmap. A file is read from its start, wherever its
            position is. bytes are always content, never a path.
        schema: a struct of a schema that pycapnp has loaded.
        nesting_limit: how deep structs and lists may nest. To print a message, or to make a
            dict of it, takes a few hundred bytes of stack for each level.
        require_seals: take only a file that no process can change or cut any more, which is what
            `MessageBuilder.seal` returns. Then no other process can make this one die of
            SIGBUS, or change what was checked.

    Raises:
        InvalidMessage: the message is unfinished, or the bytes are several messages or no
            message, or the seals are missing. `reason` says which.
        OSError: the file cannot be opened or mapped.
        TypeError: `schema` is no struct of a loaded schema.
        ImportError: pycapnp is not installed.

    >>> with MessageBuilder("alice.bin") as b:
    ...     alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
    ...     print(m.root.name)
    Alice
    """
    _pycapnp.require_struct(schema)
    if require_seals:
        name, segments, outside = look_into(path, _map_sealed, _refuse_unsealed)
    else:
        name, segments, outside = look_into(path, _map_segments, _slice_segments)
    message = Message(name, schema, segments, nesting_limit)
    message._outside = outside
    return message


def _map_segments(fd: int, name: "t.ContentName") -> "Looked":
    length = os.fstat(fd).st_size
    head = os.pread(fd, _core.HEAD_BYTES, 0)
    if len(head) < min(length, _core.HEAD_BYTES):
        length = len(head)  # it was cut just now
    places, end = _core.framing(head, length, name)
    memory = memoryview(_core.ReadMap(fd, length, name))
    _require_single(memory[end:], name)
    segments = tuple(memory[start : start + size] for start, size in places)
    return name, segments, (places[0][0], length - end)


def _map_sealed(fd: int, name: "t.ContentName") -> "Looked":
    from ._memory_file import require_seals

    require_seals(fd, name)
    return _map_segments(fd, name)


def _refuse_unsealed(memory: memoryview, name: "t.ContentName") -> "t.NoReturn":
    raise invalid("a buffer has no seals: give the descriptor of a sealed file", name)


def _slice_segments(memory: memoryview, name: "t.ContentName") -> "Looked":
    places, end = _core.framing(memory, len(memory), name)
    _require_single(memory[end:], name)
    if not _core.is_aligned(memory):
        memory = memoryview(bytes(memory))
    segments = tuple(memory[start : start + size] for start, size in places)
    return name, segments, (places[0][0], len(memory) - end)


def _require_single(rest: memoryview, name: "t.ContentName") -> None:
    """Refuse a message that another one follows. Other bytes may follow."""
    try:
        _core.framing(rest, len(rest), name)
    except _core.InvalidMessage:
        return
    raise invalid(
        "several messages follow each other here: open_log() reads all of them, "
        "as pycapnp's read_multiple does",
        name,
    )
