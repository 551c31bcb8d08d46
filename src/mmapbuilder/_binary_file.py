"""The methods of a binary file that others can do: they only read, write and seek."""

import io

from . import _core
from ._lazy import t

_PIECE = 1 << 20


class BinaryFile(_core.Map):
    """A growing file with all methods of a binary file, and some of `io.BytesIO` and `mmap`."""

    __slots__ = ()

    # ---- reading ----

    def readinto1(self, buffer: "t.Buffer", /) -> int:
        """Read as `readinto` does."""
        return self.readinto(buffer)

    def read1(self, size: int = -1, /) -> bytes:
        """Read as `read` does."""
        return self.read(size)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Read all lines that follow. Stop early when they have `hint` bytes together."""
        lines, read = [], 0
        for line in self:
            lines.append(line)
            read += len(line)
            if hint is not None and 0 < hint <= read:
                break
        return lines

    def __iter__(self) -> "t.Iterator[bytes]":
        self.readable()
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    # ---- writing ----

    def writelines(self, lines: "t.Iterable[t.Buffer]", /) -> None:
        """Write the lines one after the other. No line ends are added."""
        self.writable()
        for line in lines:
            self.write(line)

    # ---- the content as a whole ----

    def getbuffer(self) -> memoryview:
        """Return a view of the content so far, as `io.BytesIO` does."""
        return self[:]

    def find(self, sub: "t.Buffer | int", start: int = 0, end: int | None = None, /) -> int:
        """Return the first place of `sub` in the content, or -1, as `bytes.find` does."""
        sub, start, end = self._searched(sub, start, end)
        while end - start >= len(sub):
            stop = min(end, start + _PIECE + len(sub))
            with self[start:stop] as view:
                found = bytes(view).find(sub)
            if found >= 0:
                return start + found
            start = stop - len(sub) + 1
        return -1

    def rfind(self, sub: "t.Buffer | int", start: int = 0, end: int | None = None, /) -> int:
        """Return the last place of `sub` in the content, or -1, as `bytes.rfind` does."""
        sub, start, end = self._searched(sub, start, end)
        while end - start >= len(sub):
            first = max(start, end - _PIECE - len(sub))
            with self[first:end] as view:
                found = bytes(view).rfind(sub)
            if found >= 0:
                return first + found
            end = first + len(sub) - 1
        return -1

    def _searched(
        self, sub: "t.Buffer | int", start: int, end: int | None
    ) -> tuple[bytes, int, int]:
        start, end, _ = slice(start, end).indices(self.size)
        # bytes(5) would be five zeros, and not the byte 5.
        return bytes([sub]) if isinstance(sub, int) else bytes(memoryview(sub)), start, end

    def __contains__(self, sub: "t.Buffer | int") -> bool:
        return self.find(sub) >= 0

    # ---- what it is not ----

    def isatty(self) -> bool:
        """Return False."""
        return not self.writable()

    def detach(self) -> "t.NoReturn":
        """Raise io.UnsupportedOperation: there is no raw stream below a builder."""
        raise io.UnsupportedOperation("detach: there is no raw stream below a builder")

    def fileno(self) -> "t.NoReturn":
        """Raise io.UnsupportedOperation, as `io.BytesIO` does.

        If a library found a descriptor here, it would write through it, and the builder
        would not know of these bytes. Without one it calls `write`. Use `descriptor` to
        look at the file.
        """
        self.writable()
        raise io.UnsupportedOperation(
            "fileno: call write() to write; the property `descriptor` is for looking at the file"
        )


# For those who ask whether something is a binary file by its class.
io.BufferedIOBase.register(BinaryFile)
