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

__all__ = ["Found", "PathError", "Step", "find", "invalid", "spell"]

Step = str | SupportsIndex

_NULL, _STRUCT, _LIST = range(3)

# Bits of one element of a list, by the element size that its pointer gives.
_ELEMENT_BITS = (0, 1, 8, 16, 32, 64, 0)
_BIT, _BYTE, _POINTER, _COMPOSITE = 1, 2, 6, 7


class Record(NamedTuple):
    """Where the two sections of one struct lie."""

    segment: int
    byte: int
    """Of the data section."""
    data_bits: int
    word: int
    """Of the pointer section."""
    pointers: int


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


def spell(path: Sequence[Step]) -> str:
    """Write a path as one would in code: ``people[3].name``."""
    text = ""
    for step in path:
        if isinstance(step, str):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]"
    return text or "the root"


def invalid(reason: str, segment: int, word: int) -> _core.InvalidMessage:
    """Make the exception for a flaw at a place."""
    error = _core.InvalidMessage(f"{reason} (segment {segment}, word {word})")
    error.reason, error.segment, error.word = reason, segment, word
    return error


def find(plan: Plan, memory: MessageMemory, path: Sequence[Step]) -> Found:
    """Go from the root along `path`, to its end.

    Raises:
        PathError: no such field; while building, something on the way is not set; a
            union's member is not the active one.
        IndexError: a list is shorter.
        TypeError: a step is neither a name nor an index.
        InvalidMessage: the bytes are no valid message.
    """
    if not memory.segments:
        raise PathError("the message has no root yet: init_root() makes it")
    found = Found(0, (), _struct_at(memory, 0, 0), (0, 0))
    for step in path:
        kind = plan.types[found.type].kind
        if not isinstance(step, str):
            step = _index(step, path)
        if kind in ("struct", "group"):
            found = _to_field(plan, memory, found, step, path)
        elif kind == "list":
            found = _to_element(plan, memory, found, step)
        else:
            raise PathError(
                f"{spell(found.path)} is of type {plan.spell(found.type)}: "
                f"nothing is in it that {step!r} could name"
            )
    return found


def find_columns(
    plan: Plan, memory: MessageMemory, path: tuple[Step, ...]
) -> tuple[Found | None, tuple[str, ...]]:
    """Follow a path to a list, and tell the names of fields that are left of it.

    Where the path leads to no list, the answer is None.
    """
    for length in range(len(path) + 1):
        try:
            found = find(plan, memory, path[:length])
        except (KeyError, IndexError, TypeError):
            return None, ()
        kind, target = plan.types[found.type]
        rest = [step for step in path[length:] if isinstance(step, str)]
        at_end = length == len(path)
        if kind == "list" and (at_end or isinstance(path[length], str)):
            if len(rest) == len(path) - length and (at_end or plan.types[target].kind == "struct"):
                return found, tuple(rest)
            return None, ()
    return None, ()


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
    layout = plan.structs[plan.types[found.type].target]
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
    _check_active(memory, layout, record, field, there)
    kind = plan.types[field.type].kind
    if kind == "group":
        return Found(field.type, there, record, None, field)
    if kind not in POINTERS or record is None or field.offset >= record.pointers:
        return Found(field.type, there, field=field)
    pointer = (record.segment, record.word + field.offset)
    inner = _struct_at(memory, *pointer) if kind == "struct" else None
    return Found(field.type, there, inner, pointer, field)


def _check_active(
    memory: MessageMemory,
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
        tag = int.from_bytes(memory.segments[record.segment][start : start + 2], "little")
    if tag != field.tag:
        other = layout.members.get(tag, f"unknown member {tag}")
        raise PathError(f"{spell(there)} is not the active member of its union: {other} is")


def _to_element(plan: Plan, memory: MessageMemory, found: Found, step: str | int) -> Found:
    where = found.path
    if isinstance(step, str):
        raise PathError(
            f"{spell(where)} is a {plan.spell(found.type)}: an index must follow, not {step!r}"
        )
    kind, segment, word, count, size, data, pointers = (0,) * 7
    if found.pointer is not None:
        kind, segment, word, count, size, data, pointers = _core.resolve(
            memory.segments, *found.pointer
        )
    if kind not in (_NULL, _LIST):
        assert found.pointer is not None
        raise invalid("a pointer leads to something else than a list", *found.pointer)
    if kind == _NULL and memory.building:
        raise PathError(f"{spell(where)} is not set: init() it first")
    if not -count <= step < count:
        raise IndexError(f"{spell((*where, step))}: the list has {count} elements")
    step %= count
    there = (*where, step)
    element = plan.types[found.type].target
    what = plan.types[element].kind
    if what not in POINTERS:
        return Found(element, there)
    if size == _BIT or (what != "struct" and pointers == 0):
        raise invalid(f"a list of something else stands for one of {what}", segment, word)
    bits = 64 * data if size == _COMPOSITE else _ELEMENT_BITS[size]
    byte = 8 * word + step * (bits // 8 + 8 * pointers)
    record = Record(segment, byte, bits, byte // 8 + bits // 64, pointers)
    if what == "struct":
        return Found(element, there, record)
    return Found(element, there, None, (segment, record.word))


def _struct_at(memory: MessageMemory, segment: int, word: int) -> Record | None:
    """Follow a pointer to a struct."""
    kind, there, at, _, _, data, pointers = _core.resolve(memory.segments, segment, word)
    if kind == _NULL:
        return None
    if kind != _STRUCT:
        raise invalid("a pointer leads to something else than a struct", segment, word)
    return Record(there, 8 * at, 64 * data, at + data, pointers)
