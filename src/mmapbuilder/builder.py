"""Bytes into a growing file."""

from ._binary_file import BinaryFile
from ._lazy import t
from ._output import Endings, Output
from ._stats import Stats

GIB = 1 << 30
MIB = 1 << 20

# The modes of files that are open for reading and writing. Libraries look for the "b".
_FILE_MODES = {"w": "wb+", "x": "xb+", "r+": "rb+"}


class Builder(BinaryFile, Endings):
    r"""A file that grows as it is written, through memory or through calls.

    `capacity` bytes of address space are mapped over the file. The file starts empty, or
    with its old content in mode ``"r+"``. Every store into this memory extends the file:
    any thread may store, and so may any library that takes a buffer. There is no second
    copy. When the builder is closed, the file is cut to what was used.

    >>> with Builder("numbers.bin") as b:
    ...     b[0:5] = b"hello"
    ...     b[6:11] = b"world"
    >>> with open("numbers.bin", "rb") as file:
    ...     file.read()
    b'hello\x00world'

    Args:
        file: a path (str, bytes, os.PathLike), a file descriptor, or an object with
            ``fileno()``. It must be a regular file, which may be on tmpfs, or a memfd. A
            descriptor must be open for reading and writing; the builder uses a duplicate
            of it, and the caller still has to close it. A file object is flushed first.
        mode: ``"w"`` puts a new file in the place of an old one. Programs that have the
            old file open or mapped keep it whole. Some files cannot be replaced, and are
            emptied instead: one that is given by a descriptor, one with hard links, one
            in a directory that may not be written. ``"x"`` refuses an existing file.
            ``"r+"`` keeps the content; the cursor starts at 0, as with `open`.
        capacity: the most bytes that the file can get. Address space costs nothing.
        max_growth: the most bytes by which the file grows in one step.
        size_hint: the number of bytes that the file will probably have in the end. This
            is advice and no limit. If it is 512 KiB or more, the first step is as large,
            up to `max_growth`, and huge pages are used where the system has them.
        prefault: let a thread prepare memory ahead of the stores. This is faster if a
            second processor is idle. It is for large files, since the file grows in steps
            of 32 MiB from the start.
        writeback: let the kernel start writing to the device while the builder is still
            in use, so that ``flush(durable=True)`` or a durable `close` waits for less.
        atomic: write into a temporary file in the same directory. When it is complete,
            `close` gives it the name of the target. `file` must be a path.
        durable: let `close` return only when the content is on the device.

    Raises:
        BlockingIOError: another builder is at work on the file; the text names it.
        OSError: the file cannot be opened, mapped or grown. With ENOMEM or EFBIG the
            capacity is larger than the address space, or than a limit of the process,
            which the text names.
        TypeError, ValueError: an argument is wrong.

    A builder is a buffer that can be written: it has one dimension, the format ``B``, and
    `capacity` bytes. So ``memoryview(b)``, ``numpy.frombuffer(b)`` and
    ``struct.pack_into(..., b)`` work. If a store finds the disk full, it cannot raise: it
    goes to memory instead, and the next call or `close` raises OSError. `reserve` takes
    the disk space beforehand.

    If a builder is dropped without `close`, it warns (ResourceWarning), and the content is
    kept. A forked child can fill a builder, but only the process that opened it finishes
    the file.
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
        """The mode, spelled as for a binary file: ``"wb+"``, ``"xb+"`` or ``"rb+"``."""
        return _FILE_MODES[self._mode or "w"]

    @property
    def stats(self) -> Stats:
        """Counters of this builder. After `close` they stay as they were then."""
        return Stats(*self._stats())

    def zeros(self, shape: "t.Shape", dtype: "t.DTypeLike" = float) -> "t.Array":
        """Return an array of zeros whose memory is the next part of the file.

        `shape` and `dtype` are those of `numpy.zeros`. The array starts at the cursor, or
        behind it at the next multiple of the alignment of `dtype`. All of it belongs to
        the content, also if it ends in zeros. This needs NumPy.

        Raises:
            CapacityError: there is no room for it.
            OSError: the disk is full (ENOSPC), or an earlier store failed.
            TypeError: `shape` is none, or `dtype` holds objects, which are references and not
                bytes.

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
            try:
                sizes = tuple(map(operator.index, shape))  # type: ignore[arg-type]
            except TypeError:
                text = f"a shape is a whole number or a tuple of them, not {shape!r}"
                raise TypeError(text) from None
        if any(size < 0 for size in sizes):
            raise ValueError("negative dimensions are not allowed")
        view = self._allocate_zeros(math.prod(sizes) * kind.itemsize, kind.alignment)
        # frombuffer holds on to the buffer as long as the array lives, ndarray does not.
        return np.frombuffer(view, kind).reshape(sizes + kind.shape)

    def close(self, size: int | None = None) -> None:
        r"""Cut the file to `size` bytes, or to what was used, and close it.

        Closing again does nothing. Views and arrays may still be alive: they become a
        private snapshot of the content, and stores into them no longer reach the file.
        After an error (OSError) the builder is closed as well. The file is kept then, but
        an atomic builder leaves its target as it was.

        Raises:
            OSError: an earlier store failed, or one of the last steps did.
            ValueError: `size` is negative, or larger than the capacity (CapacityError).

        >>> b = Builder("padded.bin")
        >>> b.write(b"abc")
        3
        >>> b.close(size=8)
        >>> with open("padded.bin", "rb") as file:
        ...     file.read()
        b'abc\x00\x00\x00\x00\x00'
        """
        self._commit(size)

    def _end_content(self, end: "t.End", size: int | None = None) -> Exception | None:
        return self._finish(size, cut=end != "drop")

    def discard(self) -> None:
        """Give the file up, and close the builder. Views may still be alive.

        If the file was given by its path, it is removed; if it was given as a descriptor,
        it is emptied. An atomic builder leaves its target as it was. In mode ``"r+"`` the
        file is kept, with all that was written so far.

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
        from ._html import describe, in_bytes

        size = self._shown_size()
        rows = [
            ("file", self.name),
            ("mode", self._mode),
            ("state", "closed" if self.closed else "open"),
            ("size", size if isinstance(size, str) else in_bytes(size)),
            ("capacity", in_bytes(self.capacity)),
        ]
        return describe(type(self).__name__, rows)

    def _shown_size(self) -> "int | str":
        try:
            return self.size
        except OSError as error:
            return f"unknown ({error.strerror})"
