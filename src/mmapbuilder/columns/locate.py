"""Following a path from the root of a message, by its bytes and the plan of its schema.

The bytes are never trusted: where they contradict the schema or lead out of the message
the answer is InvalidMessage, and nothing outside is read.
"""

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, SupportsIndex

from .. import _core
from .._errors import PathError
from .memory import MessageMemory
from .schema import POINTERS, Field, Plan, Struct
from .spans import NOTHING, Record, record_at, span_at

__all__ = ["Found", "PathError", "Step", "find", "find_columns", "spell"]

Step = str | SupportsIndex


class Found(NamedTuple):
    """Where a path has led."""

    type: int
    """The number of the type in the plan."""
    path: tuple[str | int, ...]
    record: Record | None = None
    """Of a struct or group; None if it is not set."""
    pointer: tuple[int, int] | None = None
    """Of what a pointer leads to: the pointer's segment and word; None if the message has
    none, which reads as a null pointer."""
    field: Field | None = None
    """The field whose value this is, if the last step was one."""
    default: tuple[memoryview, ...] | None = None
    """The segments of the default that the path has led into; None: it is in the message."""

    def within(self, memory: MessageMemory) -> tuple[memoryview, ...]:
        """Return the segments that the record and the pointer are in."""
        return memory.segments if self.default is None else self.default


def spell(path: Sequence[Step]) -> str:
    """Write a path as one would in code: ``people[3].name``."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]"
    return text or "the root"


def find(plan: Plan, memory: MessageMemory, path: Sequence[Step]) -> Found:
    """Go from the root along `path`, to its end.

    Where a list or struct is not set in a message that is read, and its field has a default,
    the way goes on in the default.

    Raises:
        PathError: no such field; while building, something on the way is not set; a
            union's member is not the active one.
        IndexError: a list is shorter.
        TypeError: a step is neither a name nor an index.
        InvalidMessage: the bytes are no valid message.
    """
    found = _root(memory)
    for step in path:
        found = _go(plan, memory, found, step, path)
    return found


def find_columns(
    plan: Plan, memory: MessageMemory, path: Sequence[Step]
) -> tuple[Found, tuple[str, ...]]:
    """Go along `path` to its end, or to a list of structs of which it names a field.

    Returns where that is, and the names that are left.

    Raises: as `find`.
    """
    found = _root(memory)
    for number, step in enumerate(path):
        kind, refers_to = plan.types[found.type]
        if kind == "list" and isinstance(step, str) and plan.types[refers_to].kind == "struct":
            return found, tuple(_name(each, path) for each in path[number:])
        found = _go(plan, memory, found, step, path)
    return found, ()


def _root(memory: MessageMemory) -> Found:
    if not memory.segments:
        raise PathError("the message has no root yet: init_root() makes it")
    return Found(0, (), record_at(memory.segments, (0, 0)), (0, 0))


def _go(plan: Plan, memory: MessageMemory, found: Found, step: Step, path: Sequence[Step]) -> Found:
    """Take one step."""
    kind = plan.types[found.type].kind
    if not isinstance(step, str):
        step = _index(step, path)
    if kind in ("struct", "group"):
        return _to_field(plan, memory, found, step, path)
    if kind == "list":
        return _to_element(plan, memory, found, step)
    raise PathError(
        f"{spell(found.path)} is of type {plan.spell(found.type)}: "
        f"it has neither fields nor elements, so there is no {step!r}"
    )


def _name(step: Any, path: Sequence[Step]) -> str:
    if isinstance(step, str):
        return step
    raise PathError(f"{spell(path)}: an index cannot follow the fields of all structs in a list")


def _index(step: Any, path: Sequence[Step]) -> int:
    if not isinstance(step, bool):
        try:
            return operator.index(step)
        except TypeError:
            pass
    raise TypeError(
        f"a path consists of field names and list indexes, not of {type(step).__name__!r}: "
        f"{tuple(path)!r}"
    )


def _to_field(
    plan: Plan, memory: MessageMemory, found: Found, step: str | int, path: Sequence[Step]
) -> Found:
    where = found.path
    layout = plan.structs[plan.types[found.type].refers_to]
    if not isinstance(step, str) or step not in layout.fields:
        names = ", ".join(layout.fields)
        raise PathError(
            f"{spell(path)}: {spell(where)} is a {layout.name}, which has no {step!r}; "
            f"its fields are: {names or 'none'}"
        )
    record = found.record
    if record is None and memory.building:
        raise PathError(f"{spell(where)} is not set: init() it before going on to {step!r}")
    field = layout.fields[step]
    there = (*where, step)
    segments, default = found.within(memory), found.default
    _check_active(segments, layout, record, field, there)
    kind = plan.types[field.type].kind
    if kind == "group":
        return Found(field.type, there, record, None, field, default)
    if kind not in POINTERS:
        return Found(field.type, there, field=field)
    pointer = None
    if record is not None and field.offset < record.pointers:
        pointer = (record.segment, record.word + field.offset)
    if field.content is not None and not memory.building and _is_null(segments, pointer):
        content, word = field.content
        segments = default = (memoryview(content),)
        pointer = (0, word)
    inner = None
    if kind == "struct" and pointer is not None:
        inner = record_at(segments, pointer)
    return Found(field.type, there, inner, pointer, field, default)


def _is_null(segments: tuple[memoryview, ...], pointer: tuple[int, int] | None) -> bool:
    return pointer is None or _core.resolve(segments, *pointer)[0] == NOTHING


def _check_active(
    segments: tuple[memoryview, ...],
    layout: Struct,
    record: Record | None,
    field: Field,
    there: tuple[str | int, ...],
) -> None:
    """Raise PathError if the field is a member of a union, and another one is active."""
    if field.tag is None or layout.tag_offset is None:
        return
    tag = 0
    if record is not None and layout.tag_offset + 16 <= record.data_bits:
        start = record.byte + layout.tag_offset // 8
        tag = int.from_bytes(segments[record.segment][start : start + 2], "little")
    if tag != field.tag:
        other = layout.members.get(tag, f"unknown member {tag}")
        raise PathError(f"{spell(there)} is not the active member of its union: {other} is")


def _to_element(plan: Plan, memory: MessageMemory, found: Found, step: str | int) -> Found:
    where = found.path
    if isinstance(step, str):
        raise PathError(
            f"{spell(where)} is a {plan.spell(found.type)}: an index must follow, not {step!r}"
        )
    span = span_at(found.within(memory), found.pointer)
    if span is None and memory.building:
        raise PathError(f"{spell(where)} is not set: init() it first")
    count = 0 if span is None else span.length
    if span is None or not -count <= step < count:
        raise IndexError(f"{spell((*where, step))}: the list has {count} elements")
    step %= count
    there = (*where, step)
    element = plan.types[found.type].refers_to
    kind = plan.types[element].kind
    if kind not in POINTERS:
        return Found(element, there)
    if kind == "struct":
        return Found(element, there, span.structs().record(step), default=found.default)
    rows = span.strings()
    pointer = (rows.segment, rows.record(step).word)
    return Found(element, there, None, pointer, default=found.default)
