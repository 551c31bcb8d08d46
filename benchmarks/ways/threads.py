"""`size` bytes of one map filled by several threads, each its own part."""

import mmap
import threading
from typing import Any

import numpy as np

from benchmarks.clock import MIB, Clock
from benchmarks.ways.fill import ARRAY
from mmapbuilder import Builder


def _fill(array: Any, count: int) -> None:
    # NumPy lets go of the GIL while it copies.
    part = len(array) // count

    def work(start: int) -> None:
        for at in range(start, start + part, MIB):
            np.copyto(array[at : at + MIB], ARRAY)

    threads = [threading.Thread(target=work, args=(i * part,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def builder(path: str, size: int, count: int) -> dict[str, float]:
    clock = Clock()
    b = Builder(path)
    array = np.frombuffer(b, "u1", size)
    _fill(array, count)
    clock.mark("stored")
    del array
    b.close()
    clock.mark("closed")
    return clock.marks | {"growths": b.stats.growths, "faults": b.stats.faults}


def mmap_sized(path: str, size: int, count: int) -> dict[str, float]:
    clock = Clock()
    with open(path, "w+b") as f:
        f.truncate(size)
        with mmap.mmap(f.fileno(), size) as m:
            array = np.frombuffer(m, "u1")
            _fill(array, count)
            clock.mark("stored")
            del array
    clock.mark("closed")
    return clock.marks
