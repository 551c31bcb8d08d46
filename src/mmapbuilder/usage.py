"""What takes how many bytes in a message or a log, by the path of fields.

A *usage* is a list of rows, one for each path. Each byte of a file is counted once, in one of
them. So the sum of all rows is the size of the file.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

from . import _core

Progress = Callable[[int], object]

_FIELD, _ELEMENTS, _TAG, _OTHER = range(1, 5)
_NAMES = {_TAG: "@which", _OTHER: "@other"}

ROOT = "(root)"
TABLE = "(table)"
UNREACHABLE = "(unreachable)"
TRAILING = "(trailing)"


class UsageRow(NamedTuple):
    """The bytes of one path. All numbers except `count` are bytes."""

    path: str
    """Names of fields, with ``[]`` after a list for its elements: ``people[].name``.

    ``@which`` is the tag of a union. ``@other`` has the bytes of a struct that belong to no field
    of the schema, or to a member of a union that is not the active one. Names in parentheses are
    for bytes that belong to no path: ``(root)``, ``(table)``, ``(unreachable)``, ``(trailing)``."""
    count: int = 0  # type: ignore[assignment]  # the method of tuples is of no use here
    """The number of values: numbers that are there, pointers that are not null, elements of
    lists."""
    data: int = 0
    """Numbers, the bytes of Data, and objects that no schema describes."""
    pointers: int = 0
    """Pointers, null or not, and the words that say how large the structs of a list are."""
    text: int = 0
    """The bytes of Text, without the zero at the end of each."""
    padding: int = 0
    """Bytes of objects that hold nothing, between the fields of a struct or behind a Text."""
    far: int = 0
    """Landing pads of pointers that lead from one segment to another."""
    unreachable: int = 0
    """Words that no pointer leads to."""
    table: int = 0
    """Tables of segments."""

    @property
    def bytes(self) -> int:
        """All bytes of the row."""
        return sum(self[2:])


class Usage(Sequence[UsageRow]):
    """What takes how many bytes, as rows in the order of the schema. `usage` returns it."""

    def __init__(self, rows: Sequence[UsageRow], messages: int, overlaps: int) -> None:
        self._rows = tuple(rows)
        self.messages = messages
        """How many messages were looked at."""
        self.overlaps = overlaps
        """Pointers to something that was counted already, in whole or in part. In a message that
        is right there are none."""

    @property
    def size(self) -> int:
        """The sum of all rows, which is the size of the file."""
        return sum(row.bytes for row in self._rows)

    @property
    def total(self) -> UsageRow:
        """One row with the sums of all rows."""
        sums = [sum(column) for column in zip(*(row[2:] for row in self._rows), strict=True)]
        return UsageRow("(total)", self.messages, *sums)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> UsageRow: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[UsageRow, ...]: ...
    def __getitem__(self, key: int | slice) -> UsageRow | tuple[UsageRow, ...]:
        return self._rows[key]

    def __repr__(self) -> str:
        return f"<Usage {self.size} bytes in {len(self)} rows>"

    def _repr_html_(self) -> str:
        from ._html import describe, in_bytes

        return describe("Usage", ((row.path, in_bytes(row.bytes)) for row in self))


class Outside(NamedTuple):
    """Bytes of a file that belong to no segment."""

    table: int
    trailing: int


def of_segments(
    native: Any,
    segments: tuple[memoryview, ...],
    outside: Outside,
    progress: Progress | None = None,
) -> Usage:
    """Return the usage of a message; `native` is a plan of `_core`, or None without a schema."""
    usage = _core.Usage(native)
    usage.add(segments, progress)
    return finished(usage, 1, outside)


def of_frames(
    native: Any, frames: memoryview, messages: int, trailing: int, progress: Progress | None = None
) -> Usage:
    """Return the usage of messages that lie back to back."""
    usage = _core.Usage(native)
    usage.add_frames(frames, progress)
    words, _, _ = usage.totals()
    return finished(usage, messages, Outside(len(frames) - 8 * words, trailing))


def finished(usage: _core.Usage, messages: int, outside: Outside) -> Usage:
    """Make rows of what was found."""
    _, unreachable, overlaps = usage.totals()
    rows = [
        row for row in map(UsageRow._make, _paths(usage.paths())) if row.count or row.bytes
    ]  # fmt: skip
    special = [
        UsageRow(TABLE, messages, table=outside.table),
        UsageRow(UNREACHABLE, unreachable=8 * unreachable),
        UsageRow(TRAILING, unreachable=outside.trailing),
    ]
    return Usage([*rows, *(row for row in special if row.bytes)], messages, overlaps)


def _paths(found: "list[tuple[Any, ...]]") -> Iterator[tuple[Any, ...]]:
    """Give the paths in the order of the schema, those in a path right behind it."""
    children: list[list[int]] = [[] for _ in found]
    for number, (_, parent, *_) in enumerate(found[1:], 1):
        children[parent].append(number)
    pending = [(0, "")]
    while pending:
        number, around = pending.pop()
        kind, _, name, *numbers = found[number]
        if kind == _ELEMENTS:
            path = f"{around}[]"
        else:
            step = name if kind == _FIELD else _NAMES.get(kind, "")
            path = f"{around}.{step}" if around else step
        yield (path or ROOT, *numbers, 0, 0)
        pending += [(child, path) for child in reversed(children[number])]
