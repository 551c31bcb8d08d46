"""Compute a column of float64 and keep it in a file."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.clock import MIB, Clock
from mmapbuilder import Builder

STEP = MIB // 8
RAMP = np.arange(STEP, dtype="f8")


def _compute(column: Any) -> None:
    """Fill a column, as a program does that has more than one value to say."""
    for at in range(0, len(column), STEP):
        np.multiply(RAMP, float(at + 1), out=column[at : at + STEP])


def _in_place(path: str, size: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    b = Builder(path, **options)
    column = np.frombuffer(b, "f8", size // 8)
    _compute(column)
    clock.mark("stored")
    del column
    b.close()
    clock.mark("closed")
    return clock.marks


def builder(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size)


def builder_prefault(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size, prefault=True)


def _in_memory(path: str, size: int, keep: Callable[[Any], None]) -> dict[str, float]:
    clock = Clock()
    column = np.empty(size // 8)
    _compute(column)
    clock.mark("stored")
    keep(column)
    clock.mark("closed")
    return clock.marks


def memory_tofile(path: str, size: int) -> dict[str, float]:
    return _in_memory(path, size, lambda column: column.tofile(path))


def memory_save(path: str, size: int) -> dict[str, float]:
    def keep(column: Any) -> None:
        with open(path, "wb") as f:
            np.save(f, column)

    return _in_memory(path, size, keep)


def memory_write(path: str, size: int) -> dict[str, float]:
    def keep(column: Any) -> None:
        with open(path, "wb", buffering=0) as f:
            view = memoryview(column).cast("B")
            while view:
                view = view[f.write(view) :]

    return _in_memory(path, size, keep)


def numpy_memmap(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    column = np.memmap(path, "f8", "w+", shape=(size // 8,))
    _compute(column)
    clock.mark("stored")
    del column
    clock.mark("closed")
    return clock.marks


def numpy_open_memmap(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    column = np.lib.format.open_memmap(path, "w+", "f8", (size // 8,))
    _compute(column)
    clock.mark("stored")
    del column
    clock.mark("closed")
    return clock.marks
