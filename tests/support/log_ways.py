"""Every way to append to a log, as one table, and a check of what is there after a failure.

A *way* appends some events, the first of which has the number that the log gives it as its time.
It returns how many they were. A way that is *whole* appends all of them or none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmapbuilder import MessageLog, open_log
from support.events import EVENT, check, fields, read_by_others

MANY = 2500  # messages of one extend: more than a batch has


@dataclass(frozen=True)
class Way:
    """A way to append."""

    append: Callable[[MessageLog, int, int], int]
    whole: bool = True


def _event(number: int, size: int) -> dict[str, Any]:
    return fields(number) | {"payload": b"p" * size}


def _builder(number: int, size: int) -> Any:
    return EVENT.schema.new_message(**_event(number, size))


def _single(append: Callable[[MessageLog, int, int], int]) -> Way:
    def checked(log: MessageLog, number: int, size: int) -> int:
        assert append(log, number, size) == number
        return 1

    return Way(checked)


def _extend(table: Callable[[range, int], Any]) -> Way:
    def checked(log: MessageLog, number: int, size: int) -> int:
        numbers = range(number, number + (MANY if size < 10_000 else 30))
        assert log.extend(table(numbers, size)) == numbers
        return len(numbers)

    return Way(checked, whole=False)


def _columns(numbers: range, size: int) -> dict[str, Any]:
    events = [_event(number, size) for number in numbers]
    return {name: [event[name] for event in events] for name in events[0]}


def _arrays(numbers: range, size: int) -> dict[str, Any]:
    import numpy as np

    columns = _columns(numbers, size)
    return columns | {"time": np.array(columns["time"], "u8"), "value": np.array(columns["value"])}


def _arrow(numbers: range, size: int) -> Any:
    import pyarrow

    return pyarrow.table(_columns(numbers, size))


def _build(log: MessageLog, number: int, size: int) -> int:
    with log.build() as root:
        root.payload = b"p" * size
        root.time, root.value, root.name = fields(number).values()
    assert len(log) == number + 1
    return 1


def _give_up(log: MessageLog, number: int, size: int) -> int:
    """Build a message, drop it, and append another one."""
    with contextlib.suppress(ZeroDivisionError), log.build() as root:
        root.payload = b"q" * size
        raise ZeroDivisionError
    assert len(log) == number
    assert log.append(_event(number, size)) == number
    return 1


def _cut(log: MessageLog, number: int, size: int) -> int:
    log.flush(cut=True)
    assert log.append(_event(number, size)) == number
    return 1


WAYS = {
    "builder": _single(lambda log, number, size: log.append(_builder(number, size))),
    "reader": _single(lambda log, number, size: log.append(_builder(number, size).as_reader())),
    "fields": _single(lambda log, number, size: log.append(**_event(number, size))),
    "dict": _single(lambda log, number, size: log.append(_event(number, size))),
    "bytes": _single(lambda log, number, size: log.append_bytes(_builder(number, size).to_bytes())),
    "extend dicts": _extend(lambda numbers, size: [_event(number, size) for number in numbers]),
    "extend builders": _extend(
        lambda numbers, size: (_builder(number, size) for number in numbers)
    ),
    "extend arrays": _extend(_arrays),
    "extend arrow": _extend(_arrow),
    "build": Way(_build),
    "build and give up": Way(_give_up),
    "flush and cut": Way(_cut),
}


def readable(path: Path, *, index: bool = True) -> int:
    """Return how many messages readers find, of which each is whole and has its number as time."""
    found = read_by_others(path)
    assert found == list(range(len(found)))
    for with_index in (True, False) if index else (False,):
        with open_log(path, EVENT.schema, index=with_index) as log:
            assert len(log) == len(found), (len(log), len(found), with_index)
            assert log.torn == 0
            if found:
                check(log[-1], len(found) - 1)
                assert log.column("time").tolist() == found
    return len(found)


class Trial:
    """A log, a way to append to it, and what calls have returned so far."""

    def __init__(self, log: MessageLog, path: Path, way: str, size: int) -> None:
        self.log, self.path, self.size = log, path, size
        self.way = WAYS[way]
        self.count = len(log)
        self.errors: list[OSError] = []

    def append(self) -> bool:
        """Append, and say whether that worked; whatever happens, nothing is lost or halved."""
        try:
            count = self.way.append(self.log, self.count, self.size)
        except OSError as error:
            self.errors.append(error)
            assert error.filename == str(self.path), (error, error.filename)
            assert error.strerror
            now = len(self.log)
            assert now == self.count or (not self.way.whole and now > self.count), (
                now, self.count
            )  # fmt: skip
            self.count = now
            return False
        self.count += count
        assert len(self.log) == self.count
        return True

    def check(self, *, index: bool = True) -> None:
        """Readers find what was appended, and no more."""
        found = readable(self.path, index=index)
        assert found == self.count, (found, self.count)

    def append_until_it_fails(self, most: int = 200_000) -> None:
        """Append until a call raises."""
        for _ in range(most):
            if not self.append():
                return
        raise AssertionError("no call has failed")


@contextlib.contextmanager
def full_disk(filler: Path) -> Iterator[None]:
    """Leave no room on the disk of `filler` in the block."""
    fill_up(filler)
    try:
        yield
    finally:
        filler.unlink()


def fill_up(filler: Path) -> None:
    """Write until there is no room."""
    with filler.open("ab", buffering=0) as file:
        for step in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * step)
            except OSError:
                pass
