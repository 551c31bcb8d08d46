"""How a race is run: threads that start together, for a while, every error reported.

A race is a function with a directory of its own as its argument, registered under its
name. It runs in a process of its own (see test_races.py); there it may crash or hang.
"""

from __future__ import annotations

import faulthandler
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

# The least time that a race is repeated for. A soak test sets it to minutes.
SECONDS = float(os.environ.get("MMAPBUILDER_RACE_SECONDS", "0.5"))
# One round must end within this, and then says where every thread stands.
HANGS_AFTER = 60.0

KIB = 1 << 10
MIB = 1 << 20

Race = Callable[[Path], None]
RACES: dict[str, Race] = {}


def race(function: Race) -> Race:
    """Register a race."""
    RACES[function.__name__] = function
    return function


def together(
    *functions: Callable[[], object], background: tuple[Callable[[], object], ...] = ()
) -> None:
    """Run all functions at once, each in a thread; raise what the first of them raised.

    `background` functions are called over and over until the others have ended.
    """
    count = len(functions) + len(background)
    barrier = threading.Barrier(count)
    awake: list[None] = []
    ended = threading.Event()
    errors: list[BaseException] = []

    def run(function: Callable[[], object], forever: bool) -> None:
        try:
            barrier.wait()
            awake.append(None)
            while len(awake) < count:  # one wakes long before another, by these measures
                time.sleep(0)
            function()
            while forever and not ended.is_set() and not errors:
                function()
        except BaseException as error:
            errors.append(error)

    front = [threading.Thread(target=run, args=(f, False)) for f in functions]
    back = [threading.Thread(target=run, args=(f, True)) for f in background]
    for thread in (*front, *back):
        thread.start()
    for thread in front:
        thread.join()
    ended.set()
    for thread in back:
        thread.join()
    if errors:
        raise errors[0]


def generator() -> random.Random:
    """Random numbers that differ from thread to thread and from run to run."""
    return random.Random(f"{os.getpid()} {threading.get_ident()} {time.perf_counter_ns()}")


def gil_is_on() -> bool:
    """Whether threads take turns in this process."""
    asked: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return asked()


def run(name: str, directory: str) -> None:
    """Repeat a race until its time is up, then print how often it was run."""
    sys.setswitchinterval(1e-5)  # where there is a GIL, threads change often
    end = time.monotonic() + SECONDS
    rounds = 0
    while rounds == 0 or time.monotonic() < end:
        faulthandler.dump_traceback_later(HANGS_AFTER, exit=True)
        place = Path(directory, str(rounds))
        place.mkdir()
        RACES[name](place)
        for left in place.iterdir():
            left.unlink()
        place.rmdir()
        rounds += 1
    faulthandler.cancel_dump_traceback_later()
    print(f"{rounds} rounds, GIL {'on' if gil_is_on() else 'off'}")
