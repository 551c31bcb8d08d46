"""Compressed logs, unpacked into a file that has no name."""

import errno
import os
import warnings

from ..builder import Builder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Decompressor(Protocol):
        """What the decompressors of all packages have in common, or are given here."""

        @property
        def eof(self) -> bool:
            """Whether the end of the compressed stream was met."""

        @property
        def needs_input(self) -> bool:
            """Whether there is no more output without more input."""

        @property
        def unused_data(self) -> bytes:
            """What follows that end."""

        def decompress(self, data: bytes, max_length: int) -> bytes:
            """Unpack some more, as far as the limit allows: a few bytes may stand for gigabytes."""


_CHUNK = 1 << 20
_BZ2 = b"BZh"
_ZSTD = b"\x28\xb5\x2f\xfd"


def is_packed(fd: int) -> bool:
    """Whether the file is compressed; no log begins with these bytes."""
    return os.pread(fd, 4, 0).startswith((_BZ2, _ZSTD))


def unpack(fd: int, name: "str | bytes") -> "Any":
    """Unpack a file into one without a name, which is returned open.

    A stream that ends too early is unpacked as far as it goes, with a warning.

    Raises:
        ImportError: nothing is installed that knows zstd.
        OSError: the data is damaged, or there is no room.
    """
    import tempfile

    make = _bz2() if os.pread(fd, 3, 0) == _BZ2 else _zstd()
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is the caller's
    try:
        with Builder(file) as unpacked:
            is_whole = _copy(fd, make, unpacked)
            size = unpacked.size
    except BaseException as error:
        file.close()
        if _is_damage(error):
            raise OSError(errno.EIO, f"cannot unpack it: {error}", name) from error
        raise
    if not is_whole:
        warnings.warn(
            f"{os.fsdecode(name)}: the compressed data ends too early: {size} bytes of the log "
            "could be unpacked",
            RuntimeWarning,
            stacklevel=3,
        )
    return file


def _is_damage(error: BaseException) -> bool:
    """Whether the error says that the data is damaged: each decompressor has its own class."""
    own = type(error).__name__ in ("ZstdError", "ValueError")
    return own or (isinstance(error, OSError) and error.errno is None)


def _copy(fd: int, make: "Callable[[], Decompressor]", unpacked: Builder) -> bool:
    """Unpack all streams of a file; return whether the last one has its end."""
    decompressor = make()
    offset, data, is_whole = 0, b"", True
    while True:
        if decompressor.eof:  # several streams, one after the other
            data = decompressor.unused_data
            decompressor, is_whole = make(), True
        if not data and decompressor.needs_input:
            data = os.pread(fd, _CHUNK, offset)
            offset += len(data)
            if not data:
                return is_whole
        is_whole = False
        unpacked.write(decompressor.decompress(data, _CHUNK))
        data = b""


def _bz2() -> "Callable[[], Decompressor]":
    import bz2

    return bz2.BZ2Decompressor


def _zstd() -> "Callable[[], Decompressor]":
    """Return what makes a zstd decompressor; of the standard library, if that has one."""
    try:
        from compression import zstd
    except ImportError:
        pass
    else:
        make: Callable[[], Decompressor] = zstd.ZstdDecompressor
        return make
    try:
        import zstandard
    except ImportError as error:
        raise ImportError(
            "logs in .zst need zstandard: pip install zstandard", name="zstandard"
        ) from error
    return lambda: _InPieces(zstandard.ZstdDecompressor().decompressobj())


class _InPieces:
    """A decompressor that knows no limit, and so gets little input at a time.

    A block of zstd has 4 bytes or more, and unpacks to 128 KiB or less.
    """

    _PIECE = 1 << 10

    def __init__(self, decompressor: "Any") -> None:
        self._decompressor = decompressor
        self._left = memoryview(b"")

    @property
    def eof(self) -> bool:
        return bool(self._decompressor.eof)

    @property
    def needs_input(self) -> bool:
        return not self._left

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decompressor.unused_data) + bytes(self._left)

    def decompress(self, data: bytes, _max_length: int) -> bytes:
        if data:
            self._left = memoryview(data)
        piece, self._left = self._left[: self._PIECE], self._left[self._PIECE :]
        unpacked: bytes = self._decompressor.decompress(piece)
        return unpacked
