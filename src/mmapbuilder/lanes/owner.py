"""The owner's side of lanes: making them, and looking whether they are filled.

The *owner* is the process that has the builder.
"""

import itertools
import os
from typing import Any, NamedTuple

from .. import _core, _pycapnp
from ..columns.part import list_span
from ..columns.room import MOST_WORDS, OVERHEAD, BuilderMemory
from ..columns.schema import Plan
from ..columns.spans import ListSpan
from .lane import Lane, LaneError
from .memory import Layout
from .pool import DONE, FAILED, IDLE, STATES, TAKEN, TOKEN, WORD, Pool, has_locks

# The pool lies in the present segment if that has so many bytes of room for each pointer of the
# elements. Otherwise a new segment is made.
_LEAST_BYTES = 256


class Lanes:
    """The lanes of one list, until the message is closed."""

    def __init__(self, lanes: list[Lane], pool: Pool) -> None:
        self.lanes = lanes
        self._pool = pool
        self._words = STATES + len(lanes)

    def end(self) -> None:
        """Let no lane be filled any more, and clear the words that tell of them.

        Raises:
            LaneError: one of them is not filled.
        """
        if self._pool.words[TOKEN] == 0:
            return  # an earlier close has ended the lanes, and failed after that
        if not self._pool.lock(TOKEN, self._words):
            raise LaneError(f"{self._busy()}: close the message when all have ended")
        try:
            found = [_complaint(lane, *self._pool.state(i)) for i, lane in enumerate(self.lanes)]
            wrong = [text for text in found if text is not None]
            if wrong:
                raise LaneError("; ".join(wrong))
            for i in range(self._words):
                self._pool.words[i] = 0
        finally:
            self._pool.unlock(TOKEN, self._words)

    def _busy(self) -> str:
        busy = []
        for i, lane in enumerate(self.lanes):
            if self._pool.lock(STATES + i):
                self._pool.unlock(STATES + i)
            else:
                busy.append(f"{lane.name} is being filled by process {self._pool.state(i)[1]}")
        return "; ".join(busy) or "a lane is being filled"


class OwnerFile(NamedTuple):
    """What lanes know of their builder."""

    name: Any
    descriptor: int
    capacity: int
    """Bytes."""
    segments: _core.Segments
    schema: Any


def make_lanes(
    file: OwnerFile,
    plan: Plan,
    memory: BuilderMemory,
    path: tuple[Any, ...],
    n: int,
    room: int | None,
) -> Lanes:
    """Divide the list at `path` into `n` lanes; see `MessageBuilder.lanes`."""
    if not has_locks():
        raise NotImplementedError("lanes need Linux, and a machine of 64 bits")
    if n < 1:
        raise ValueError(f"there must be at least one lane, not {n}")
    if room is not None and room < 0:
        raise ValueError(f"room must not be negative: {room}")
    name, span = list_span(plan, memory, path)
    schema = _pycapnp.Importable(file.schema)
    words = STATES + n
    if span.pointers:
        words += _room_words(file, memory, span, room, words)
    taken = memory.make_room(words)
    layout = Layout(file.segments.start, file.segments.sizes, taken)
    pool = _begin(file, memory, layout, n)
    status = os.fstat(file.descriptor)
    bits = span.data_bits + 64 * span.pointers
    lanes = [
        Lane(
            number,
            start,
            stop,
            path,
            name,
            schema,
            layout,
            pool.words[TOKEN],
            (status.st_dev, status.st_ino),
            _names(file),
        )
        for number, (start, stop) in enumerate(_bounds(span.length, n, bits))
    ]
    return Lanes(lanes, pool)


def _room_words(
    file: OwnerFile, memory: BuilderMemory, span: ListSpan, room: int | None, header: int
) -> int:
    """Return the words that the pool gets for texts and lists: all that there are, or a part.

    What the lanes leave over costs nothing if nothing is built after them.
    """
    if room is not None:
        return -(-room // WORD)
    here = memory.room_in(len(file.segments) - 1) - header
    if here >= span.length * span.pointers * _LEAST_BYTES // WORD:
        return here
    left = (file.capacity - file.segments.start) // WORD - sum(file.segments.sizes)
    return max(here, min(MOST_WORDS, left) - header - OVERHEAD, 0)


def _begin(file: OwnerFile, memory: BuilderMemory, layout: Layout, n: int) -> Pool:
    """Move EOF behind the pool, and write its first words."""
    segment, word, words = layout.room
    view = memory.segments[segment][WORD * word : WORD * (word + words)]
    # Only this process moves EOF, so lanes must not meet it before the end of the pool.
    view[-1] = 0
    start = view[: WORD * (STATES + n)]
    pool = Pool(file.descriptor, start, layout.offset(segment, word))
    pool.words[TAKEN] = STATES + n
    pool.words[TOKEN] = int.from_bytes(os.urandom(7), "little") + 1
    return pool


def _bounds(count: int, n: int, bits: int) -> list[tuple[int, int]]:
    """Divide elements so that no two lanes share a word."""
    step = max(1, 64 // bits) if bits else 1
    units = -(-count // step)
    edges = [min(count, units * i // n * step) for i in range(n + 1)]
    return list(itertools.pairwise(edges))


def _complaint(lane: Lane, phase: int, process: int) -> str | None:
    """Say what is wrong with a lane of that state when the message is closed."""
    if phase == DONE or len(lane) == 0:
        return None
    if phase == IDLE:
        return f"{lane.name} was never filled"
    if phase == FAILED:
        return f"{lane.name} was given up by process {process}, whose fill() raised an error"
    return f"{lane.name} was being filled by process {process}, which died"


def _names(file: OwnerFile) -> tuple[str, ...]:
    """Names by which another process finds the file."""
    own = f"/proc/{os.getpid()}/fd/{file.descriptor}"
    if isinstance(file.name, (str, bytes)):
        return own, os.path.realpath(os.fsdecode(file.name))
    return (own,)
