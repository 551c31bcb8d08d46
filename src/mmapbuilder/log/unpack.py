"""Compressed logs, unpacked into a file that has no name."""

import errno
import os

from ..builder import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Decompressor(Protocol):
        """What the decompressors of all packages have in common."""

        @property
        def eof(self) -> bool:
            """Whether the end of the compressed stream was met."""

        @property
        def unused_data(self) -> bytes:
            """What follows that end."""

        def decompress(self, data: bytes) -> bytes:
            """Unpack some more."""


_CHUNK = 1 << 20
_BZ2 = b"BZh"
_ZSTD = b"\x28\xb5\x2f\xfd"


def is_packed(fd: int) -> bool:
    """Whether the file is compressed; no log begins with these bytes."""
    return os.pread(fd, 4, 0).startswith((_BZ2, _ZSTD))


def unpack(fd: int, name: "str | bytes") -> "Any":
    """Unpack a file into one without a name, which is returned open.

    A stream that ends too early is unpacked as far as it goes.

    Raises:
        ImportError: nothing is installed that knows zstd.
        OSError: the data is damaged, or there is no room.
    """
    import tempfile

    make = _bz2() if os.pread(fd, 3, 0) == _BZ2 else _zstd()
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is the caller's
    try:
        with Builder(file) as unpacked:
            _copy(fd, make, unpacked)
    except BaseException as error:
        file.close()
        if _is_damage(error):
            raise OSError(errno.EIO, f"cannot unpack it: {error}", name) from error
        raise
    return file


def _is_damage(error: BaseException) -> bool:
    """Whether the error says that the data is damaged: each decompressor has its own class."""
    own = type(error).__name__ in ("ZstdError", "ValueError")
    return own or (isinstance(error, OSError) and error.errno is None)


def _copy(fd: int, make: "Callable[[], Decompressor]", unpacked: Builder) -> None:
    decompressor = make()
    offset, rest = 0, b""
    while True:
        data = rest or os.pread(fd, _CHUNK, offset)
        offset += 0 if rest else len(data)
        if not data:
            return
        if decompressor.eof:  # several streams, one after the other
            decompressor = make()
        unpacked.write(decompressor.decompress(data))
        rest = decompressor.unused_data if decompressor.eof else b""


def _bz2() -> "Callable[[], Decompressor]":
    import bz2

    return bz2.BZ2Decompressor


def _zstd() -> "Any":
    """Return what makes a zstd decompressor; of the standard library, if that has one."""
    try:
        from compression import zstd
    except ImportError:
        pass
    else:
        return zstd.ZstdDecompressor
    try:
        import zstandard
    except ImportError as error:
        raise ImportError(
            "logs in .zst need zstandard: pip install zstandard", name="zstandard"
        ) from error
    return zstandard.ZstdDecompressor().decompressobj
