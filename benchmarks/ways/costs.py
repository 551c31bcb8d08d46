"""What a user pays besides: many builders at once, sizes, imports."""

import os
import resource
import subprocess
import sys
import time

from benchmarks.clock import MIB, Clock
from mmapbuilder import Builder

GRANULE = 2 * MIB
FAULTS = 100


def _fault_cost(b: Builder) -> float:
    """Seconds of processor time for each of many growth faults."""
    view = memoryview(b)
    view[0] = 1
    start = time.thread_time()
    for i in range(1, FAULTS + 1):
        view[i * GRANULE] = 1
    cost = (time.thread_time() - start) / FAULTS
    view.release()
    assert b.stats.faults == FAULTS + 1
    return cost


def many_open(path: str, size: int) -> dict[str, float]:
    """`size` builders open at once, and the cost of a fault in the first and last."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.mkdir(path)
    options = {"capacity": (FAULTS + 2) * GRANULE, "max_growth": GRANULE}
    first = Builder(f"{path}/first", **options)
    alone = _fault_cost(first)
    clock = Clock()
    builders = [Builder(f"{path}/{i}", **options) for i in range(size - 1)]
    clock.mark("opened")
    middle, last = _fault_cost(builders[len(builders) // 2]), _fault_cost(builders[-1])
    start = time.perf_counter()
    for b in builders:
        b.close()
    closing = time.perf_counter() - start
    first.close()
    return clock.marks | {"alone": alone, "middle": middle, "last": last, "closing": closing}


def size_of_sparse(path: str, size: int) -> dict[str, float]:
    """The cost of `size` where a hole of `size` bytes lies between two bytes."""
    with Builder(path) as b:
        view = memoryview(b)
        view[0] = view[size - 1] = 1
        clock = Clock()
        assert b.size == size
        clock.mark("asked")
        view.release()
    return clock.marks


def size_of_dense(path: str, size: int) -> dict[str, float]:
    """The same where `size` bytes are full."""
    with Builder(path) as b:
        view = memoryview(b)
        block = b"x" * MIB
        for at in range(0, size, MIB):
            view[at : at + MIB] = block
        clock = Clock()
        assert b.size == size
        clock.mark("asked")
        view.release()
    return clock.marks


def _start(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def import_time(path: str, size: int) -> dict[str, float]:
    """Starting an interpreter: bare, with the package, and with the names that most programs use.

    The package imports its names when they are asked for.
    """
    names = "Builder, MessageBuilder, open_message"
    return {
        "bare": _start("pass"),
        "alone": _start("import mmapbuilder"),
        "package": _start(f"from mmapbuilder import {names}"),
    }
