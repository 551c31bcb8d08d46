"""Bytes into a growing file."""

import io

from . import _core
from ._output import Endings, Output
from ._stats import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn, Self

    from typing_extensions import Buffer

    from ._output import FileLike
    from ._output.endings import End

GIB = 1 << 30
MIB = 1 << 20


class Builder(_core.Map, Endings):
    r"""A file that grows as it is written, through memory or through calls.

    `capacity` bytes of address space are mapped over the file, which starts empty
    (or with its content, in mode ``"r+"``). Whatever is stored there, from any
    thread and by any library that takes a buffer, extends the file; there is no
    second copy. On close the file is cut to what was used.

    >>> with Builder("numbers.bin") as b:
    ...     b[0:5] = b"hello"
    ...     b[6:11] = b"world"
    >>> open("numbers.bin", "rb").read()
    b'hello\x00world'

    Args:
        file: a path (str, bytes, os.PathLike), a file descriptor, or an object with
            ``fileno()``; descriptors are duplicated and stay the caller's. A regular
            file, also on tmpfs, or a memfd, open for reading and writing.
        mode: ``"w"`` puts a new file in the place of an old one, which stays whole for
            those who have it open or mapped (where it cannot be replaced it is emptied:
            a descriptor, hard links, a directory that may not be written); ``"x"``
            refuses an existing file, ``"r+"`` keeps the content and goes on (the cursor
            starts at 0, as with `open`).
        capacity: the most bytes that the file can get. Address space costs nothing.
        max_growth: the most bytes by which the file grows in one step.
        size_hint: how many bytes the file may well have in the end, where that is
            known: advice, never a limit. From 512 KiB on the file grows by as much at
            once, up to `max_growth`, and in huge pages where there are any.
        prefault: let a thread prepare memory ahead of the writer: faster where a
            second processor is idle. The file grows in steps of 32 MiB from the start,
            so this is for large ones.
        writeback: start writing to the device behind the writer, so that a later
            ``flush(durable=True)`` or durable close has less to wait for.
        atomic: write a temporary file beside the target, which takes its place at
            close, complete, or never. Needs a path.
        durable: close returns when the content is on the device.

    Raises:
        BlockingIOError: another builder is at work on the file; the text names it.
        OSError: the file cannot be opened, mapped or grown. ENOMEM or EFBIG say that
            the capacity is more than the address space or a limit of the process
            allows, and which.
        TypeError, ValueError: an argument is wrong.

    The buffer is writable, one-dimensional, of format ``B``, and `capacity` bytes
    long: ``memoryview(b)``, ``numpy.frombuffer(b)``, ``struct.pack_into(..., b)``. A
    store that finds the disk full cannot raise: it goes to memory instead, and the
    next call or `close` raises OSError. `reserve` makes sure beforehand.

    Dropped without being closed, a builder keeps its content and warns
    (ResourceWarning). In a forked child it can be filled, but only the process that
    opened it finishes the file.
    """

    _mode: str | None = None  # as long as it is not open

    def __init__(
        self,
        file: "FileLike",
        mode: str = "w",
        *,
        capacity: int = 64 * GIB,
        max_growth: int = 64 * MIB,
        size_hint: int = 0,
        prefault: bool = False,
        writeback: bool = False,
        atomic: bool = False,
        durable: bool = False,
    ) -> None:
        if self._mode is not None:
            raise RuntimeError("the builder has been opened before")
        output = Output.open(file, mode, atomic=atomic, holder=self)
        try:
            super().__init__(
                output,
                capacity,
                max_growth=max_growth,
                size_hint=size_hint,
                prefault=prefault,
                writeback=writeback,
                declared=output.size,
            )
            self._durable = durable
            self._mode = mode
            self._output = output
        except BaseException:
            self._finish(force=True, cut=False)
            output.roll_back()
            raise

    @property
    def mode(self) -> str | None:
        """The mode that the builder was opened with."""
        return self._mode

    @property
    def stats(self) -> Stats:
        """Counters of this builder; after close, as they were then."""
        return Stats(*self._stats())

    def read(self, size: int = -1) -> "NoReturn":
        """Raise io.UnsupportedOperation: what was stored is read through a view.

        It is there for those who know a file by it, like `numpy.savez`.
        """
        self.readable()  # raises if the builder is closed or poisoned
        raise io.UnsupportedOperation("read: a builder is read through memoryview()")

    def writelines(self, lines: "Iterable[Buffer]") -> None:
        """Write one after the other; no line ends are added."""
        for line in lines:
            self.write(line)

    def close(self, size: int | None = None) -> None:
        r"""Cut the file to `size` bytes (by default to what is used) and close it.

        Closing again does nothing. After an error (OSError) everything is released
        as well; the file is kept, but the target of an atomic builder is untouched.

        Raises:
            BufferError: views of the builder are alive; nothing has changed.
            OSError: what poisoned the map, or a failure of the last steps.
            ValueError: `size` is negative or, as CapacityError, too large.

        >>> b = Builder("padded.bin")
        >>> b.write(b"abc")
        3
        >>> b.close(size=8)
        >>> open("padded.bin", "rb").read()
        b'abc\x00\x00\x00\x00\x00'
        """
        self._commit(size)

    def _end_content(self, end: "End", size: int | None = None) -> Exception | None:
        return self._finish(size, force=end != "finish", cut=end != "drop")

    def discard(self) -> None:
        """Give the file up and close, whether or not views are alive.

        A file made by its path is removed, one that was given as a descriptor is
        emptied. The target of an atomic builder is untouched. In mode ``"r+"`` the
        file is kept, with what was written so far.

        >>> b = Builder("scratch.bin")
        >>> b.write(b"never mind")
        10
        >>> b.discard()
        >>> import os
        >>> os.path.exists("scratch.bin")
        False
        """
        super().discard()

    def __enter__(self) -> "Self":
        self.tell()  # raises if the builder is closed or poisoned
        return self

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{type(self).__name__} {self.name!r} mode={self._mode!r} {state}>"
