"""Where `convert` reads rows from: a *source* has a number of rows, and gives some at a time.

It gives them as tables of Arrow, or as Python's values for JSON. Each part has a few megabytes,
so files of any size are converted in little memory.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

from ..columns.arrow import load
from . import formats, kinds
from .ends import USAGE, WRONG, Failure
from .inputs import Input
from .rows import LogRows, Rows, chosen, rows_of

_AT_A_TIME = 4 << 20  # bytes, about
_MOST_ROWS = 1 << 16


class Source(Protocol):
    """What has rows."""

    rows: int

    def tables(self) -> Iterator[Any]:
        """Give all rows as tables of pyarrow."""

    def values(self) -> Iterator[list[Any]]:
        """Give all rows as lists of Python's values."""


def arrow() -> Any:
    """Import pyarrow.

    Raises:
        ImportError: it is not installed.
    """
    return load("convert")


def rows_at_a_time(rows: int, size: int) -> int:
    """Return how many rows are taken at a time from a file of that size."""
    each = max(1, size // max(1, rows))
    # Lists of bits are read from whole bytes on.
    return max(8, min(_MOST_ROWS, _AT_A_TIME // each) // 8 * 8)


@contextlib.contextmanager
def source_of(
    file: Input, kind: str, schema: Any, path: "str | None", columns: "list[str] | None"
) -> Iterator[Source]:
    """Open a file to read rows from it."""
    if kind in formats.CAPNP:
        with rows_of(file, schema, path) as rows:
            yield _CapnpSource(rows, os.path.getsize(file.path), columns)
    elif kind == formats.PARQUET:
        yield _ParquetSource(file, columns)
    elif kind == formats.ARROW:
        yield _ArrowSource(file, columns)
    elif kind == formats.JSONL:
        yield _JsonSource(file, columns)
    else:
        yield _NpySource(file, columns)


class _CapnpSource:
    def __init__(self, rows: Rows, size: int, columns: "list[str] | None") -> None:
        self._rows, self._columns = rows, columns
        self.rows = len(rows)
        self._step = rows_at_a_time(self.rows, size)

    def tables(self) -> Iterator[Any]:
        pa = arrow()
        # What is left out is told once, not for each part.
        for start in range(0, max(1, self.rows), self._step):
            stop = min(start + self._step, self.rows)
            with warnings.catch_warnings():
                if start:
                    warnings.simplefilter("ignore")
                yield pa.table(self._table(start, stop))

    def _table(self, start: int, stop: int) -> Any:
        rows = self._rows
        if isinstance(rows, LogRows):
            return rows.log[start:stop].table(self._columns)
        return rows.message.table(*rows.path, columns=self._columns, start=start, stop=stop)

    def values(self) -> Iterator[list[Any]]:
        for start in range(0, self.rows, self._step):
            part = self._rows.part(start, min(start + self._step, self.rows))
            yield chosen(part, self._columns)


class _Tables:
    """A source that has tables."""

    _columns: "list[str] | None"

    def tables(self) -> Iterator[Any]:
        raise NotImplementedError

    def values(self) -> Iterator[list[Any]]:
        for table in self.tables():
            yield table.to_pylist()


class _ParquetSource(_Tables):
    def __init__(self, file: Input, columns: "list[str] | None") -> None:
        arrow()
        from pyarrow.parquet import ParquetFile

        self._columns = columns
        self._file = _opened(
            file, lambda: ParquetFile(file.path, memory_map=True, pre_buffer=False)
        )
        self.rows = int(self._file.metadata.num_rows)
        self._step = rows_at_a_time(
            self.rows,
            sum(
                self._file.metadata.row_group(number).total_byte_size
                for number in range(self._file.metadata.num_row_groups)
            ),
        )

    def tables(self) -> Iterator[Any]:
        pa = arrow()
        for batch in self._file.iter_batches(
            batch_size=self._step, columns=self._columns, use_threads=False
        ):
            yield pa.Table.from_batches([batch])


class _ArrowSource(_Tables):
    """A file of Arrow's IPC format, or a stream of it."""

    def __init__(self, file: Input, columns: "list[str] | None") -> None:
        self._columns, self._file = columns, file
        self.rows = sum(batch.num_rows for batch in self._batches())
        self._step = rows_at_a_time(self.rows, os.path.getsize(file.path))

    def _batches(self) -> Iterator[Any]:
        pa = arrow()
        with pa.memory_map(self._file.path) as mapped:
            is_file = mapped.read(6) == b"ARROW1"
            mapped.seek(0)
            if is_file:
                reader = _opened(self._file, lambda: pa.ipc.open_file(mapped))
                for number in range(reader.num_record_batches):
                    yield reader.get_batch(number)
            else:
                yield from _opened(self._file, lambda: pa.ipc.open_stream(mapped))

    def tables(self) -> Iterator[Any]:
        pa = arrow()
        for batch in self._batches():
            table = pa.Table.from_batches([batch])
            if self._columns is not None:
                table = table.select(self._columns)
            for start in range(0, table.num_rows, self._step):
                yield table.slice(start, self._step)


class _JsonSource:
    """One JSON value a line."""

    def __init__(self, file: Input, columns: "list[str] | None") -> None:
        self._file, self._columns = file, columns
        with open(file.path, "rb") as lines:
            self.rows = sum(not line.isspace() for line in lines)
        self._step = rows_at_a_time(self.rows, 4 * os.path.getsize(file.path))

    def tables(self) -> Iterator[Any]:
        pa = arrow()
        for part in self.values():
            yield pa.Table.from_pylist(part)

    def values(self) -> Iterator[list[Any]]:
        part: list[Any] = []
        with open(self._file.path, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.isspace():
                    continue
                part.append(self._value(number, line))
                if len(part) == self._step:
                    yield part
                    part = []
        if part:
            yield part

    def _value(self, number: int, line: bytes) -> Any:
        try:
            value = json.loads(line)
        except ValueError as error:
            raise Failure(f"{self._file.shown}: line {number} is no JSON: {error}") from error
        if self._columns is None:
            return value
        if not isinstance(value, dict):
            raise Failure(f"{self._file.shown}: line {number} has no fields to choose")
        return {name: value[name] for name in self._columns if name in value}


class _NpySource(_Tables):
    """Arrays of one dimension: structs, or numbers."""

    def __init__(self, file: Input, columns: "list[str] | None") -> None:
        from numpy import load

        self._file, self._columns = file, columns
        self._array = _opened(file, lambda: load(file.path, mmap_mode="r", allow_pickle=False))
        if self._array.ndim != 1:
            raise Failure(
                f"{file.shown}: an array of {self._array.ndim} dimensions; rows have one", WRONG
            )
        self.rows = len(self._array)
        self._step = rows_at_a_time(self.rows, self._array.nbytes)

    def tables(self) -> Iterator[Any]:
        pa = arrow()
        names = self._array.dtype.names
        for start in range(0, self.rows, self._step):
            part = self._array[start : start + self._step]
            if names is None:
                name = (self._columns or ["value"])[0]
                yield pa.table({name: _plain(part)})
            else:
                wanted = names if self._columns is None else self._columns
                missing = [name for name in wanted if name not in names]
                if missing:
                    raise Failure(f"{self._file.shown}: no field {missing[0]!r}", USAGE)
                yield pa.table({name: _plain(part[name]) for name in wanted})


def _plain(values: Any) -> Any:
    """Return numbers side by side, in the machine's order."""
    import numpy as np

    return np.ascontiguousarray(values).astype(values.dtype.newbyteorder("="), copy=False)


def _opened(file: Input, make: Any) -> Any:
    """Open a file with a library, whose errors do not name it."""
    if os.path.getsize(file.path) == 0:
        raise Failure(f"{file.shown}: {kinds.EMPTY}: there is nothing in it")
    try:
        return make()
    except OSError:
        raise
    except Exception as error:
        raise Failure(f"{file.shown}: {error}", WRONG) from error
