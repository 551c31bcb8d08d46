"""Many small files: `size` of them, each opened, given 4 KiB and closed."""

import os
from collections.abc import Callable

from benchmarks.clock import Clock
from mmapbuilder import Builder

DATA = bytes(range(256)) * 16


def _each(path: str, size: int, make: Callable[[str], None]) -> dict[str, float]:
    os.mkdir(path)
    make(f"{path}/first")  # whatever is done only once
    clock = Clock()
    for i in range(size):
        make(f"{path}/{i}")
    clock.mark("closed")
    return clock.marks


def builder_view(path: str, size: int) -> dict[str, float]:
    def make(name: str) -> None:
        with Builder(name) as b, memoryview(b) as view:
            view[: len(DATA)] = DATA

    return _each(path, size, make)


def builder_slice(path: str, size: int) -> dict[str, float]:
    def make(name: str) -> None:
        with Builder(name) as b:
            b[: len(DATA)] = DATA

    return _each(path, size, make)


def builder_write(path: str, size: int) -> dict[str, float]:
    def make(name: str) -> None:
        with Builder(name) as b:
            b.write(DATA)

    return _each(path, size, make)


def open_write_close(path: str, size: int) -> dict[str, float]:
    def make(name: str) -> None:
        with open(name, "wb") as f:
            f.write(DATA)

    return _each(path, size, make)
