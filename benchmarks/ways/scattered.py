"""Words stored at random places of a range of `size` bytes."""

import mmap
import os
import random

from benchmarks.clock import Clock
from mmapbuilder import Builder

STORES = 2000


def _places(size: int) -> list[int]:
    order = random.Random(1)
    return [order.randrange(size // 8) * 8 for _ in range(STORES)]


def builder(path: str, size: int) -> dict[str, float]:
    places = _places(size)
    clock = Clock()
    b = Builder(path)
    view = memoryview(b).cast("Q")
    for at in places:
        view[at // 8] = at
    clock.mark("stored")
    taken = os.fstat(b.descriptor).st_blocks * 512
    view.release()
    b.close()
    clock.mark("closed")
    return clock.marks | {"growths": b.stats.growths, "faults": b.stats.faults, "disk": taken}


def mmap_sized(path: str, size: int) -> dict[str, float]:
    places = _places(size)
    clock = Clock()
    with open(path, "w+b") as f:
        f.truncate(size)
        with mmap.mmap(f.fileno(), size) as m:
            view = memoryview(m).cast("Q")
            for at in places:
                view[at // 8] = at
            clock.mark("stored")
            taken = os.fstat(f.fileno()).st_blocks * 512
            view.release()
    clock.mark("closed")
    return clock.marks | {"disk": taken}
