"""The read side: a finished message, memory-mapped."""

import os

from . import _core, _pycapnp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from .check import Path


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
        name: "str | bytes",
        schema: "Any",
        segments: "tuple[memoryview, ...]",
        nesting_limit: int,
    ) -> None:
        self._name = name
        self._schema = schema
        self._segments: tuple[memoryview, ...] | None = segments
        self._nesting_limit = nesting_limit
        self._root: Any = None

    @property
    def root(self) -> "Any":
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

    @property
    def name(self) -> "str | bytes":
        """The file as it was given."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._segments is None

    def close(self) -> None:
        """Let go of the file. Readers that are still alive stay valid."""
        self._root = None
        self._segments = None

    def __enter__(self) -> "Self":
        self._open_segments()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        self.close()

    def __reduce__(self) -> "str | tuple[Any, ...]":
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self._name!r} {state}>"


def open_message(path: "Path", schema: "Any", *, nesting_limit: int = 4096) -> Message:
    """Open the message in `path`, whose root is a `schema`, for reading.

    The file is mapped, whatever its size, and pycapnp's limit on how much of a
    message may be read is lifted. Pointers are checked as they are followed; for
    files from strangers, `verify` checks them all first.

    Args:
        path: str, bytes or os.PathLike.
        schema: a struct of a schema that pycapnp has loaded.
        nesting_limit: how deep structs and lists may nest.

    Raises:
        InvalidMessage: the file is unfinished or no message.
        OSError: it cannot be opened or mapped.
        ImportError: pycapnp is not installed.

    >>> with MessageBuilder("alice.bin") as b:
    ...     alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
    ...     print(m.root.name)
    Alice
    """
    import mmap

    _pycapnp.load()
    name = os.fspath(path)
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        length = os.fstat(fd).st_size
        head = os.pread(fd, _core.HEAD_BYTES, 0)
        if len(head) < min(length, _core.HEAD_BYTES):
            length = len(head)  # it was cut just now
        places = _core.framing(head, length)
        mapped = memoryview(mmap.mmap(fd, length, access=mmap.ACCESS_READ))
    finally:
        os.close(fd)
    segments = tuple(mapped[start : start + size] for start, size in places)
    return Message(name, schema, segments, nesting_limit)
