"""Bytes into a growing file."""

from ._binary_file import BinaryFile
from ._output import Endings, Output
from ._stats import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import _types as t
else:
    from ._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")

GIB = 1 << 30
MIB = 1 << 20

# As that of a file which was opened so for reading and writing: known for binary by its "b".
_FILE_MODES = {"w": "wb+", "x": "xb+", "r+": "rb+"}


class Builder(BinaryFile, Endings):
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

    _mode: "t.Mode | None" = None  # as long as it is not open
    _first: bytes = b""  # what a new file begins with, from the moment that it has its name

    def __init__(
        self,
        file: "t.FileLike",
        mode: "t.Mode" = "w",
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
                content=True,
                first=self._first,
            )
            self._durable = durable
            self._mode = mode
            self._output = output
        except BaseException:
            self._finish(cut=False)
            output.roll_back()
            raise

    @property
    def mode(self) -> str:
        """The mode as that of a binary file: ``"wb+"``, ``"xb+"`` or ``"rb+"``."""
        return _FILE_MODES[self._mode or "w"]

    @property
    def stats(self) -> Stats:
        """Counters of this builder; after close, as they were then."""
        return Stats(*self._stats())

    def zeros(self, shape: "t.Shape", dtype: "t.DTypeLike" = float) -> "t.Array":
        """Allocate an array of zeros at the cursor: its memory is the file.

        Shape and dtype are as in `numpy.zeros`; the array starts at the next multiple of
        the alignment of `dtype`, and counts, zeros at its end included. Needs NumPy.

        Raises:
            CapacityError: there is no room for it.
            OSError: the disk is full (ENOSPC), or what poisoned the map.
            TypeError: `dtype` holds objects, which are references and not bytes.

        >>> with Builder("squares.bin") as b:
        ...     b.zeros(5, "i8")[:] = [0, 1, 4, 9, 0]
        >>> import numpy
        >>> numpy.fromfile("squares.bin", "i8")
        array([0, 1, 4, 9, 0])
        """
        import math
        import operator

        import numpy as np

        kind = np.empty(0, dtype).dtype if np.dtype(dtype).itemsize == 0 else np.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"a file holds bytes, not references to objects: dtype {kind}")
        try:
            sizes: tuple[int, ...] = (operator.index(shape),)  # type: ignore[arg-type]
        except TypeError:
            sizes = tuple(map(operator.index, shape))  # type: ignore[arg-type]
        if any(size < 0 for size in sizes):
            raise ValueError("negative dimensions are not allowed")
        view = self._allocate_zeros(math.prod(sizes) * kind.itemsize, kind.alignment)
        # frombuffer holds on to the buffer as long as the array lives, ndarray does not.
        return np.frombuffer(view, kind).reshape(sizes + kind.shape)

    def close(self, size: int | None = None) -> None:
        r"""Cut the file to `size` bytes (by default to what is used) and close it.

        Closing again does nothing. Views and arrays that are alive do not hinder it: they
        stay valid memory, as a private snapshot of the content, so that what is stored in
        them afterwards does not reach the file. After an error (OSError) everything is
        released as well; the file is kept, but the target of an atomic builder is untouched.

        Raises:
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

    def _end_content(self, end: "t.End", size: int | None = None) -> Exception | None:
        return self._finish(size, cut=end != "drop")

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

    def __enter__(self) -> "t.Self":
        self.tell()  # raises if the builder is closed or poisoned
        return self

    def __repr__(self) -> str:
        if self._output is None:
            return f"<{type(self).__name__} that could not be opened>"
        state = "closed" if self.closed else "open"
        return (
            f"<{type(self).__name__} {self.name!r} mode={self._mode!r} {state} "
            f"size={self._shown_size()} capacity={self.capacity}>"
        )

    def _repr_html_(self) -> str:
        """Return the same as a table, for notebooks."""
        import html

        rows = {
            "file": html.escape(str(self.name)),
            "mode": self._mode,
            "state": "closed" if self.closed else "open",
            "size": f"{self._shown_size()} bytes",
            "capacity": f"{self.capacity} bytes",
        }
        cells = "".join(f"<tr><th>{key}</th><td>{value}</td></tr>" for key, value in rows.items())
        return f"<table><caption>{type(self).__name__}</caption>{cells}</table>"

    def _shown_size(self) -> "int | str":
        try:
            return self.size
        except OSError as error:
            return f"unknown ({error.strerror})"
