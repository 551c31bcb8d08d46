"""Fill a new file from its start to its end, a ready block of 1 MiB at a time."""

import mmap
import os
from typing import Any

import numpy as np
import pyarrow

from benchmarks.clock import MIB, Clock
from mmapbuilder import Builder

BLOCK = bytes(range(256)) * (MIB // 256)
ARRAY = np.frombuffer(BLOCK, "u1")


def _through_builder(path: str, size: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    b = Builder(path, **options)
    view = memoryview(b)
    for at in range(0, size, MIB):
        view[at : at + MIB] = BLOCK
    clock.mark("stored")
    taken = os.fstat(b.descriptor).st_blocks * 512
    clock.mark("closing")
    view.release()
    b.close()
    clock.mark("closed")
    stats = b.stats
    return clock.marks | {
        "growths": stats.growths,
        "faults": stats.faults,
        "prefaulted": stats.prefaulted,
        "beyond": taken - size,
    }


def builder(path: str, size: int) -> dict[str, float]:
    return _through_builder(path, size)


def builder_prefault(path: str, size: int) -> dict[str, float]:
    return _through_builder(path, size, prefault=True)


def builder_writeback(path: str, size: int) -> dict[str, float]:
    return _through_builder(path, size, writeback=True)


def builder_durable(path: str, size: int) -> dict[str, float]:
    return _through_builder(path, size, durable=True)


def builder_durable_writeback(path: str, size: int) -> dict[str, float]:
    return _through_builder(path, size, durable=True, writeback=True)


def builder_write(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    with Builder(path) as b:
        for _ in range(0, size, MIB):
            b.write(BLOCK)
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks


def _through_mmap(path: str, size: int, *advice: int) -> dict[str, float]:
    clock = Clock()
    with open(path, "w+b") as f:
        f.truncate(size)
        with mmap.mmap(f.fileno(), size) as m:
            for one in advice:
                m.madvise(one)
            for at in range(0, size, MIB):
                m[at : at + MIB] = BLOCK
            clock.mark("stored")
    clock.mark("closed")
    return clock.marks


def mmap_sized(path: str, size: int) -> dict[str, float]:
    return _through_mmap(path, size)


def mmap_huge(path: str, size: int) -> dict[str, float]:
    return _through_mmap(path, size, mmap.MADV_HUGEPAGE)


def numpy_memmap(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    a = np.memmap(path, "u1", "w+", shape=(size,))
    for at in range(0, size, MIB):
        a[at : at + MIB] = ARRAY
    clock.mark("stored")
    del a
    clock.mark("closed")
    return clock.marks


def numpy_open_memmap(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    a = np.lib.format.open_memmap(path, "w+", "u1", (size,))
    for at in range(0, size, MIB):
        a[at : at + MIB] = ARRAY
    clock.mark("stored")
    del a
    clock.mark("closed")
    return clock.marks


def pyarrow_memory_map(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    with pyarrow.create_memory_map(path, size) as m:
        for _ in range(0, size, MIB):
            m.write(BLOCK)
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks


def pyarrow_os_file(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    with pyarrow.OSFile(path, "wb") as f:
        for _ in range(0, size, MIB):
            f.write(BLOCK)
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks


def _through_write(path: str, size: int, sync: bool) -> dict[str, float]:
    clock = Clock()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    for _ in range(0, size, MIB):
        os.write(fd, BLOCK)
    clock.mark("stored")
    if sync:
        os.fsync(fd)
    os.close(fd)
    clock.mark("closed")
    return clock.marks


def os_write(path: str, size: int) -> dict[str, float]:
    return _through_write(path, size, sync=False)


def os_write_fsync(path: str, size: int) -> dict[str, float]:
    return _through_write(path, size, sync=True)
