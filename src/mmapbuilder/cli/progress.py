"""A bar on the terminal that shows how far the work on a large file is, and then its speed.

It is written to stderr, and only if that is a terminal, so it never disturbs a script.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

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
    bar = _RichBar(label, total, unit) if _has_rich() else _PlainBar(label, total, unit)
    start = time.monotonic()
    with bar:
        yield bar.tell
    bar.sum_up(max(time.monotonic() - start, 1e-9))


def _nothing(done: int) -> None:
    pass


def _has_rich() -> bool:
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        import rich.progress
    except ImportError:
        return False
    return rich.progress is not None


class _Bar:
    def __init__(self, label: str, total: int, unit: str) -> None:
        self._label, self._total, self._unit = label, total, unit

    def tell(self, done: int) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass

    def _amount(self, number: float) -> str:
        return in_bytes(number) if self._unit == "byte" else counted(round(number), self._unit)

    def sum_up(self, seconds: float) -> None:
        """Tell how long it took, and the speed."""
        print(
            f"{self._label}: {self._amount(self._total)} in {seconds:.2f} s, "
            f"{self._amount(self._total / seconds)}/s",
            file=sys.stderr,
        )


class _PlainBar(_Bar):
    """A line that is written over and over."""

    _next = 0.0

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _BETWEEN
        share = min(1.0, done / self._total) if self._total else 1.0
        filled = round(30 * share)
        bar = "#" * filled + "." * (30 - filled)
        sys.stderr.write(f"\r{self._label} [{bar}] {100 * share:3.0f} % {self._amount(done)}\x1b[K")
        sys.stderr.flush()

    def __exit__(self, *error: object) -> None:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


class _RichBar(_Bar):
    def __init__(self, label: str, total: int, unit: str) -> None:
        super().__init__(label, total, unit)
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        count: list[Any] = [MofNCompleteColumn()]
        if unit == "byte":
            count = [DownloadColumn(binary_units=True), TransferSpeedColumn()]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *count,
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._progress.add_task(escape(label), total=total)

    def tell(self, done: int) -> None:
        self._progress.update(self._task, completed=min(done, self._total))

    def __enter__(self) -> None:
        self._progress.start()

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
