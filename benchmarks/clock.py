"""Times within one run, and memory warmed up before it."""

import gc
import mmap
import os
import time
from collections.abc import Callable

MIB = 1 << 20
_POPULATE_WRITE = 23


class Clock:
    """Seconds since it was made, at the moments that are marked."""

    def __init__(self) -> None:
        self.marks: dict[str, float] = {}
        self._processor = time.thread_time()
        self._start = time.perf_counter()

    def mark(self, name: str) -> None:
        """Note the seconds so far under `name`."""
        self.marks[name] = time.perf_counter() - self._start
        self.marks["processor"] = time.thread_time() - self._processor


def warm_up(size: int) -> None:
    """Touch and free `size` bytes of memory.

    A virtual machine may hand free memory back to its host; then the first touch of a
    page costs the host's fault as well, ten times ours, and whoever comes first pays.
    Freed just now, pages are still there.
    """
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    try:
        memory.madvise(_POPULATE_WRITE)
    except OSError:  # before Linux 5.14
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1
    memory.close()


def private_memory(pid: int | None = None) -> int:
    """Bytes of private memory that a process holds now."""
    with open(f"/proc/{pid or os.getpid()}/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def best_of(work: Callable[[], object], size: int, rounds: int = 7) -> dict[str, float]:
    """The best of several times for the same work, wall and processor, and ns for one of `size`.

    What was made before is left alone by the cycle collector: it would go through all of it in the
    middle of some of the rounds.
    """
    gc.collect()
    gc.freeze()
    wall = processor = float("inf")
    for _ in range(rounds):
        cpu, start = time.thread_time(), time.perf_counter()
        work()
        wall = min(wall, time.perf_counter() - start)
        processor = min(processor, time.thread_time() - cpu)
    return {
        "closed": wall,
        "processor": processor,
        "ns": wall / size * 1e9,
        "processor_ns": processor / size * 1e9,
    }
