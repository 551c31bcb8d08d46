"""Arrays whose length is not known beforehand, as files of NumPy's own format."""

from ._closing import Closing
from ._lazy import t
from .builder import GIB, MIB, Builder

_MAGIC = b"\x93NUMPY"
# A version that no reader knows: numpy.load refuses it, and names it.
_UNFINISHED = _MAGIC + b"\xff\xffunfinished: the NpyBuilder of this file has not been closed\n"
_ALIGN = 64  # of the data in the file, as NumPy has it
_BATCH_BYTES = 1 << 18


class NpyFile(Builder):
    """The file of an `NpyBuilder`. It begins with bytes that `numpy.load` refuses."""

    def __init__(self, first: bytes, file: "t.FileLike", mode: "t.NewFileMode", **how: "t.Any"):
        self._first = first
        super().__init__(file, mode, **how)


class NpyBuilder(Closing):
    """A ``.npy`` file that grows row by row, in place. It may be larger than memory.

    `append` takes one row or an array of rows, and `extend` takes an iterable of rows. `array`
    is all rows so far. `close` writes the header, when the number of rows is known. Until then
    `numpy.load` refuses the file, since its format version is (255, 255).

    >>> with NpyBuilder("points.npy", "f4", shape=(-1, 3)) as points:
    ...     points.append([[1, 2, 3], [4, 5, 6]])
    ...     points.extend([n, n, n] for n in range(1000))
    ...     points.array[0, 0] = 10
    >>> import numpy
    >>> numpy.load("points.npy", mmap_mode="r").shape
    (1002, 3)

    Args:
        file: as for `Builder`.
        dtype: the dtype of the elements. It may be structured, but must not hold objects.
        shape: the shape of the whole array. Its first number is -1, and stands for the rows.
        mode: ``"w"`` replaces the file, ``"x"`` refuses an existing one.
        order: ``"C"``. Rows can be appended in no other order.
        capacity, max_growth, size_hint, atomic, durable: as for `Builder`.

    Raises:
        TypeError: `dtype` holds objects.
        ValueError: another argument is wrong.
        OSError: as for `Builder`.

    Several threads and forked processes may append at the same time: the rows of one call
    stay side by side. If the body of a ``with`` raises, the file is left unfinished, and an
    atomic builder leaves its target as it was.
    """

    def __init__(
        self,
        file: "t.FileLike",
        dtype: "t.DTypeLike" = float,
        shape: "tuple[int, ...] | list[int]" = (-1,),
        mode: "t.NewFileMode" = "w",
        *,
        order: str = "C",
        capacity: int = 64 * GIB,
        max_growth: int = 64 * MIB,
        size_hint: int = 0,
        atomic: bool = False,
        durable: bool = False,
    ) -> None:
        import numpy as np

        if mode not in ("w", "x"):
            raise ValueError(f"mode must be 'w' or 'x', not {mode!r}")
        if order != "C":
            raise ValueError(
                f"order must be 'C', not {order!r}: in Fortran order the columns lie side by "
                "side, and there is no room for another row"
            )
        kind = np.dtype(dtype)
        if kind.hasobject:
            raise TypeError(f"a file holds bytes, not references to objects: dtype {kind}")
        self._dtype, inner = kind.base, kind.shape
        self._row = _row_shape(shape) + inner
        self._row_bytes = int(np.prod(self._row, dtype=object)) * self._dtype.itemsize
        if self._row_bytes == 0:
            raise ValueError(f"a row of shape {self._row} and dtype {kind} has no bytes")
        self._start = len(self._header(capacity // self._row_bytes, 0))
        self._durable = durable
        self._builder = NpyFile(
            _UNFINISHED.ljust(self._start, b" "),
            file,
            mode,
            capacity=capacity,
            max_growth=max_growth,
            size_hint=size_hint,
            atomic=atomic,
            durable=durable,
        )

    def _header(self, rows: int, least: int) -> bytes:
        """Return the header of an array of `rows` rows, `least` bytes long or longer."""
        from numpy.lib import format as npy

        shape = (rows, *self._row)
        about = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False, "shape": shape}
        text = repr(about)
        version, encoding = (3, "utf-8") if not text.isascii() else (1, "latin-1")
        encoded = text.encode(encoding)
        if version == 1 and len(encoded) + 2 * _ALIGN > 0xFFFF:
            version = 2
        size_bytes = 2 if version == 1 else 4
        before = len(_MAGIC) + 2 + size_bytes
        length = max(before + len(encoded) + 1, len(_UNFINISHED), least)
        length += -length % _ALIGN
        size = (length - before).to_bytes(size_bytes, "little")
        padded = encoded.ljust(length - before - 1) + b"\n"
        return _MAGIC + bytes((version, 0)) + size + padded

    # ---- filling ----

    def append(self, rows: "t.ArrayLike") -> None:
        """Append one row, or all rows of an array of shape ``(n, ...)``.

        Values are converted to the dtype of the file by NumPy's rule ``same_kind``: float64
        becomes float32, but no float becomes an int.

        Raises:
            CapacityError: there is no room for the rows. None of them was appended.
            OSError: the disk is full. None of them was appended.
            TypeError: the values cannot be converted, or some of them are masked.
            ValueError: the rows have another shape, or the builder is closed.
        """
        import numpy as np

        if np.ma.is_masked(rows):
            raise TypeError("the file has no room for a mask: fill the masked values first")
        given = rows if isinstance(rows, np.ndarray) else np.asarray(rows, self._dtype)
        if given.shape != self._row and given.shape[1:] != self._row:
            raise ValueError(f"rows have shape {self._row}, not {given.shape}")
        if given.ndim == 0 and self._row:
            raise ValueError(f"rows have shape {self._row}, not {given.shape}")
        array = np.ascontiguousarray(given.astype(self._dtype, casting="same_kind", copy=False))
        self._builder.writable()
        if array.size > 0:
            self._builder.write(array.reshape(-1).view(np.uint8).data)

    def extend(self, rows: "t.Iterable[t.ArrayLike]") -> None:
        """Append the rows that an iterable gives, some thousand at a time.

        Raises: as `append`. The rows before the batch with the error are in the file then.
        """
        import itertools

        import numpy as np

        if isinstance(rows, np.ndarray):
            self.append(rows)
            return
        each = iter(rows)
        most = max(1, _BATCH_BYTES // self._row_bytes)
        while batch := list(itertools.islice(each, most)):
            masked = any(isinstance(row, np.ma.MaskedArray) for row in batch)
            array = (np.ma.array if masked else np.asarray)(batch, self._dtype)
            if array.size * self._dtype.itemsize != len(batch) * self._row_bytes:
                raise ValueError(f"rows have shape {self._row}, not {array.shape[1:]}")
            self.append(array.reshape(len(batch), *self._row))

    # ---- looking ----

    @property
    def array(self) -> "t.Array":
        """All rows so far, as an array whose memory is the file.

        An array that you have keeps its length when more rows are appended: ask for it again.
        After `close` it stays valid memory, but stores into it no longer reach the file.
        """
        import numpy as np

        rows = len(self)
        end = self._start + rows * self._row_bytes
        flat = np.frombuffer(self._builder[self._start : end], self._dtype)
        return flat.reshape(rows, *self._row)

    def __len__(self) -> int:
        """Return the number of rows so far."""
        return (self._builder.tell() - self._start) // self._row_bytes

    def __bool__(self) -> bool:
        return True

    @property
    def dtype(self) -> "t.DType":
        """The dtype of the elements."""
        return self._dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape so far."""
        return (len(self), *self._row)

    @property
    def name(self) -> "str | bytes | int":
        """The file as it was given."""
        name: str | bytes | int = self._builder.name
        return name

    @property
    def closed(self) -> bool:
        """Whether `close` or `discard` was called."""
        return self._builder.closed

    # ---- ends ----

    def flush(self, durable: bool = False) -> None:
        """Push the rows to the file. With `durable` wait for the device, too."""
        self._builder.flush(durable)

    def close(self) -> None:
        """Write the header and close the file. Closing again does nothing.

        Raises:
            OSError: an earlier store failed, or one of the last steps did. The file stays
                unfinished then, and an atomic builder leaves its target as it was.
        """
        builder = self._builder
        if not builder.closed and builder._is_owner():
            try:
                self._write_header()
            except MemoryError:
                raise  # there may be some the next time
            except Exception as error:
                builder._leave(error)
                raise
        builder.close()

    def _write_header(self) -> None:
        builder = self._builder
        rows = len(self)
        builder.flush(durable=self._durable)  # before the header says that they are there
        builder.truncate(self._start + rows * self._row_bytes)
        builder[: self._start] = self._header(rows, self._start)

    def discard(self) -> None:
        """Give the file up, and close the builder, as `Builder.discard` does."""
        self._builder.discard()

    def __enter__(self) -> "t.Self":
        self._builder.writable()  # raises if it is closed
        return self

    def _leave(self, error: BaseException | None) -> None:
        self._builder._leave(error)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self)} rows"
        shape = ", ".join(map(str, (-1, *self._row)))
        return f"<NpyBuilder {self.name!r} {self._dtype} ({shape}) {state}>"

    def _repr_html_(self) -> str:
        from ._html import describe, in_bytes

        closed = self.closed
        rows = [
            ("file", self.name),
            ("state", "closed" if closed else "unfinished"),
            ("rows", None if closed else f"{len(self):,}"),
            ("dtype", self._dtype),
            ("shape of a row", self._row),
            ("size", in_bytes(self._builder.size)),
        ]
        return describe(type(self).__name__, rows)


def _row_shape(shape: "tuple[int, ...] | list[int]") -> tuple[int, ...]:
    import operator

    sizes = tuple(map(operator.index, shape))
    if not sizes or sizes[0] != -1:
        raise ValueError(f"the first number of the shape must be -1, for the rows, not {shape!r}")
    if any(size < 0 for size in sizes[1:]):
        raise ValueError(f"only the first dimension can grow, not those of {shape!r}")
    return sizes[1:]
