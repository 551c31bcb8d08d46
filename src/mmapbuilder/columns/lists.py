"""The list that is written: made if it is not set, and brought to the layout of its schema."""

from typing import Any, NamedTuple

from .. import _core
from .locate import Found, find, spell
from .memory import GrowingMemory, Room
from .room import MOST_WORDS
from .schema import Plan
from .spans import LIST, NOTHING, ListSpan, span_at


class TargetList(NamedTuple):
    """A list of a message that is being built."""

    plan: Plan
    memory: GrowingMemory
    found: Found
    span: ListSpan | None
    """None if it is not set."""

    @property
    def where(self) -> str:
        """The path to it, as errors spell it."""
        return spell(self.found.path)

    @property
    def element(self) -> int:
        """The number of the type of its elements."""
        return self.plan.types[self.found.type].refers_to

    @property
    def record(self) -> int:
        """Of a list of structs the number of the struct."""
        return self.plan.types[self.element].refers_to

    def label(self, name: str) -> str:
        """Return what errors call a column."""
        return f"{self.where}, column {name!r}"

    def made(self, length: int) -> "TargetList":
        """Return the list after pycapnp has made it, or brought it to the schema's layout."""
        *above, name = self.found.path
        parent = self._parent(above)
        if self.span is None:
            parent.init(name, length)
        else:
            parent._get(name)
        return target_list(self.plan, self.memory, self.found.path)

    def to_be_set(self) -> "TargetList":
        """Return the list with a pointer to it, and with structs as large as the schema's.

        Structs of an older schema are smaller, and may not have the pointer. pycapnp moves
        them when it is asked for what is in them.
        """
        if self.found.pointer is None:
            self._parent(self.found.path[:-1])
            return target_list(self.plan, self.memory, self.found.path)
        span = self.span
        if span is None or self.plan.types[self.element].kind != "struct":
            return self
        struct = self.plan.structs[self.record]
        is_small = span.data_bits < 64 * struct.data_words or span.pointers < struct.pointer_words
        return self.made(span.length) if is_small and span.length else self

    def _parent(self, path: Any) -> Any:
        """Return pycapnp's builder of what is at a path."""
        node = self.memory.root()
        for step in path:
            node = node._get(step)
        return node


def target_list(plan: Plan, memory: GrowingMemory, path: tuple[str | int, ...]) -> TargetList:
    """Find the list at a path.

    Raises: as `find`.
    """
    return target_at(plan, memory, find(plan, memory, path))


def target_at(plan: Plan, memory: GrowingMemory, found: Found) -> TargetList:
    """Return the list that was found, or the part of it that is to be filled."""
    span = span_at(memory.segments, found.pointer)
    if span is not None and memory.part is not None:
        span = span.part(*memory.part)
    return TargetList(plan, memory, found, span)


def common_length(lengths: dict[str, int], where: str) -> int:
    """Return the one length that all columns have.

    Raises:
        ValueError: they differ.
    """
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            raise ValueError(
                f"{where}: column {first!r} has {count} rows, column {name!r} has {length}"
            )
    return count


# ---- what was staged into a message ---------------------------------------------------------

ROWS, POINTER, RECORD = range(3)
"""What a stage holds: the rows of a list of structs, what one pointer leads to, one struct."""


def put_stage(memory: GrowingMemory, stage: Any, found: Found) -> None:
    """Put what was staged into the message, at the place that the path leads to.

    Raises:
        ValueError: the list there has another length, or cannot be replaced.
        CapacityError, OSError: the file has no room.
    """
    assert found.pointer is not None
    what = stage.what
    where = spell(found.path)
    kind, there, _, count, _, _, _ = _core.resolve(memory.segments, *found.pointer)
    if kind == NOTHING and (what == ROWS or stage.list_head):
        rooms = _rooms_of_list(memory, stage)
    else:
        if what == POINTER and kind != NOTHING:
            raise ValueError(
                f"{where} is set: its elements can be changed in place with array() or fill()"
            )
        if memory.part is not None:
            count = memory.part[1]
        if what == ROWS and kind == LIST and count != stage.count:
            raise ValueError(
                f"{where} has {count} elements, but there are {stage.count} rows: "
                "a list cannot change its length"
            )
        rooms = _rooms(memory, stage, found.pointer[0] if what == POINTER else there)
    stage.put(memory.segments, *found.pointer, tuple(map(tuple, rooms)), memory.part)


def _rooms_of_list(memory: GrowingMemory, stage: Any) -> list[Room]:
    """Take room for a new list: one if it can be, or one for its rows and others for the rest."""
    if stage.list_words <= MOST_WORDS:
        return [memory.make_room(stage.list_words)]
    rows = memory.make_room(stage.list_head)
    return [rows, *_rooms(memory, stage, rows.segment)]


def _rooms(memory: GrowingMemory, stage: Any, segment: int) -> list[Room]:
    """Take room for what the rows lead to that are in `segment`."""
    rooms = []
    for words, pointers in stage.sections:
        if not words:
            rooms.append(Room(segment, 0, 0))
            continue
        far = memory.room_in(segment) < words
        rooms.append(memory.make_room(words + pointers if far else words))
    return rooms
