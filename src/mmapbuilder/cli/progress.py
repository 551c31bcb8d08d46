"""A bar on the terminal that shows how far the work on a large file is, and then its speed.

It is written to stderr, and only if that is a terminal, so it never disturbs a script.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator

from .sizes import counted, in_bytes

_LEAST = 16 << 20  # bytes; less is done before anyone could read it
_BETWEEN = 0.1  # seconds


@contextlib.contextmanager
def progress(label: str, total: int, unit: str = "byte") -> "Iterator[Callable[[int], object]]":
    """Give a function. It is called with the number of bytes (or rows) that are done so far."""
    wanted = unit != "byte" or total >= int(os.environ.get("MMAPBUILDER_PROGRESS", _LEAST))
    if not wanted or sys.stderr is None or not sys.stderr.isatty():
        yield _nothing
        return
    bar = _Bar(label, total, unit)
    try:
        yield bar.tell
    finally:
        bar.clear()
    bar.sum_up()


def _nothing(done: int) -> None:
    pass


class _Bar:
    """A line that is written over and over."""

    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit
        self._start = time.monotonic()
        self._next = 0.0

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _BETWEEN
        share = min(1.0, done / self._total) if self._total else 1.0
        filled = round(30 * share)
        bar = "#" * filled + "." * (30 - filled)
        left = f", {(now - self._start) * (1 - share) / share:.0f} s left" if share > 0 else ""
        line = f"{self._label} [{bar}] {100 * share:3.0f} % {self._amount(done)}{left}"
        sys.stderr.write(f"\r{line}\x1b[K")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    def _amount(self, number: float) -> str:
        return in_bytes(number) if self._unit == "byte" else counted(round(number), self._unit)

    def sum_up(self) -> None:
        """Tell how long it took, and the speed."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        print(
            f"{self._label}: {self._amount(self._total)} in {seconds:.2f} s, "
            f"{self._amount(self._total / seconds)}/s",
            file=sys.stderr,
        )
