"""What holds a message: a path, a descriptor, a file object or a buffer."""

import io
import os

from . import _core
from ._lazy import t
from ._output import descriptor_of, open_regular, require_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Result = TypeVar("Result")

_PATH_MAX = 4096
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "zip",
}
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f"))


def look_into(
    content: "t.Content",
    in_file: "t.Callable[[int, t.ContentName], Result]",
    in_memory: "t.Callable[[memoryview, t.ContentName], Result]",
) -> "Result":
    """Call the one of two functions that suits `content`, with a descriptor or its bytes.

    Raises:
        InvalidMessage: as the function raised it, with what the content is instead, where that can
            be seen.
        TypeError: `content` is of a type that cannot hold a message.
    """
    memory = _buffer_of(content)
    if memory is not None:
        try:
            with explaining(memory[: _core.HEAD_BYTES], len(memory), None):
                return in_memory(memory, None)
        except _core.InvalidMessage:
            if isinstance(content, bytes) and _looks_like_a_path(content):
                raise invalid(
                    f"bytes are content here, never a path, and {content!r} is no message: "
                    "give the path as str, as os.fsdecode() makes it",
                    None,
                ) from None
            raise
    fd, name, ours = _descriptor_of(content)
    try:
        status = os.fstat(fd)
        require_regular(status, fd if name is None else name)
        length = status.st_size
        head = os.pread(fd, _core.HEAD_BYTES, 0) if length else b""
        with explaining(head, length, name):
            return in_file(fd, name)
    finally:
        if ours:
            os.close(fd)


def _buffer_of(content: "t.Content") -> "memoryview | None":
    """Return the bytes of `content`; None if it is no buffer."""
    if isinstance(content, bytes):
        return memoryview(content)
    if isinstance(content, (str, int, os.PathLike)):
        return None
    if isinstance(content, io.BytesIO):
        # It shares these bytes without a copy until it is written to. With a view of its buffer,
        # the collector could not close it when it collects both together.
        return memoryview(content.getvalue())
    if hasattr(content, "fileno"):
        try:
            content.fileno()
        except io.UnsupportedOperation:
            pass
        else:
            return None
    getbuffer = getattr(content, "getbuffer", None)  # that of a builder is as long as its content
    try:
        memory = memoryview(content) if getbuffer is None else getbuffer()  # type: ignore[arg-type]
    except TypeError:
        return None
    try:
        return memory.toreadonly().cast("B")
    except TypeError:  # its bytes do not lie side by side, or have a type that Python lacks
        return memoryview(memory.tobytes())


def _looks_like_a_path(content: bytes) -> bool:
    if not content or len(content) > _PATH_MAX or any(byte < 32 for byte in content):
        return False
    return b"/" in content or os.path.lexists(content)


def _descriptor_of(content: "t.Content") -> "tuple[int, t.ContentName, bool]":
    """Return a descriptor, the name for errors, and whether the descriptor is to be closed."""
    if isinstance(content, int) and not isinstance(content, bool):
        if content < 0:
            raise ValueError("negative file descriptor")
        return content, content, False
    if isinstance(content, (str, os.PathLike)):
        path = os.fspath(content)
        return open_regular(path, os.O_RDONLY), path, True
    if not hasattr(content, "fileno"):
        raise TypeError(
            "content must be a path, a file descriptor, an object with fileno() or a buffer, "
            f"not {type(content).__name__}"
        )
    try:
        fd = descriptor_of(content)
    except io.UnsupportedOperation as error:
        text = f"{error}; give its bytes, as its read() returns them"
        raise io.UnsupportedOperation(text) from None
    name = getattr(content, "name", fd)
    return fd, name if isinstance(name, (str, bytes)) else fd, False


class explaining:  # noqa: N801
    """A context in which InvalidMessage says what the content is instead, where that can be seen.

    `head` are the first bytes of the content, of which there are `length`.
    """

    def __init__(self, head: "bytes | memoryview", length: int, name: "t.ContentName") -> None:
        self._head, self._length, self._name = head, length, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, _core.InvalidMessage) and error.segment is None:
            what = _what_else(bytes(self._head), self._length)
            if what is not None:
                raise invalid(what, self._name) from None


def invalid(reason: str, name: "t.ContentName") -> _core.InvalidMessage:
    """Return an InvalidMessage about the start of a file."""
    error = _core.InvalidMessage(reason if name is None else f"{reason}: {name!r}")
    error.reason = reason
    error.word = 0
    error.filename = name
    return error


class naming:  # noqa: N801
    """A context in which InvalidMessage gets the name of the file, if it has none."""

    def __init__(self, name: "t.ContentName") -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        name = self._name
        if isinstance(error, _core.InvalidMessage) and error.filename is None and name is not None:
            error.filename = name
            error.args = (f"{error}: {name!r}",)


def _what_else(head: bytes, length: int) -> str | None:
    """Say what bytes are if they are no message, where that can be seen."""
    for magic, kind in _COMPRESSED.items():
        if head.startswith(magic):
            return f"this is no message but compressed data ({kind}), to be unpacked first"
    if _looks_packed(head, length):
        return (
            "this looks like a packed message: unpack it with `capnp convert packed:binary`, "
            "or read it with pycapnp's read_packed"
        )
    if head and _is_text(head):
        return (
            "this is text and no message: `capnp convert text:binary` or `json:binary` "
            "makes one of it, given the schema"
        )
    return None


def _looks_packed(head: bytes, length: int) -> bool:
    """Whether the first word, unpacked, is the start of a table for more than this content."""
    if len(head) < 3 or head[0] == 0 or head[0] & 0b00001110:
        return False
    present = [bit for bit in range(8) if head[0] >> bit & 1]
    word = bytearray(8)
    for bit, value in zip(present, head[1:], strict=False):
        word[bit] = value
    entries = int.from_bytes(word[:4], "little") + 1
    words = int.from_bytes(word[4:], "little")
    fits = words * 8 >= length * 7 // 8 or entries > 1
    return entries <= _core.MAX_SEGMENTS and 0 < words <= _core.MAX_SEGMENT_WORDS and fits


def _is_text(head: bytes) -> bool:
    if len(head.translate(None, _CONTROL)) < len(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # cut off within a character
    return True
