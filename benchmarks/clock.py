"""Times within one run, and memory warmed up before it."""

import mmap
import os
import time

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
