"""Single values of a finished message, changed in place."""

from collections.abc import Sequence
from typing import Any

from .. import _core
from .lists import POINTER, RECORD
from .locate import Found, Step, find, spell
from .memory import MessageMemory
from .rows import attribute_names
from .schema import BITS, POINTERS, Plan
from .spans import BYTE, LIST, NOTHING, Record, invalid

_FAR = 2  # the kind of a pointer


def set_value(plan: Plan, memory: MessageMemory, path: tuple[Step, ...], value: Any) -> None:
    """Set the value at a path, if that takes no new room.

    Raises:
        ValueError: it takes some.
    """
    *around, last = path
    parent = find(plan, memory, tuple(around))
    if not isinstance(last, str):
        _set_element(plan, memory, parent, value, path)
        return
    if plan.types[parent.type].kind not in ("struct", "group"):
        find(plan, memory, path)  # says what is wrong
    record = parent.record
    if record is None or parent.default is not None:
        raise _not_set(around)
    struct = plan.structs[plan.types[parent.type].refers_to]
    if last not in struct.fields:
        find(plan, memory, path)
    field = struct.fields[last]
    kind = plan.types[field.type].kind
    if kind in POINTERS:
        found = find(plan, memory, path)  # which must be the active member, if it is one
        if found.default is not None:
            if value is not None:
                raise _not_set(path)
            return
        if found.pointer is None:
            raise ValueError(f"{spell(path)}: the struct was made by an older schema: {_ANEW}")
        _set_pointer(memory, kind, found.pointer, value, path)
        return
    if kind == "group":
        raise TypeError(f"{spell(path)} is a group: set its fields one by one")
    _set_number(plan, memory, parent, record, last, value)


_ANEW = "build the message anew with MessageBuilder, for example from to_dict()"


def _not_set(path: Sequence[Step]) -> ValueError:
    return ValueError(f"{spell(path)} is not set, and to set it takes new room: {_ANEW}")


def _set_number(
    plan: Plan, memory: MessageMemory, parent: Found, record: Record, last: str, value: Any
) -> None:
    # Groups lie in the struct around them, which the native code converts as a whole.
    names = [last]
    path = list(parent.path)
    while plan.types[parent.type].kind == "group":
        names.append(str(path.pop()))
        parent = find(plan, memory, tuple(path))
    content: Any = value
    for name in names:
        content = {name: content}
    stage = plan.native.stage(RECORD, parent.type, content, None, -1, False, 2, attribute_names)
    stage.put_record(
        memory.segments,
        (record.segment, record.byte // 8, record.data_bits // 64, record.pointers),
    )


def _set_element(
    plan: Plan,
    memory: MessageMemory,
    parent: Found,
    value: Any,
    path: tuple[Step, ...],
) -> None:
    found = find(plan, memory, path)  # checks the list and the index
    if parent.default is not None:
        raise _not_set(parent.path)
    kind = plan.types[found.type].kind
    if found.pointer is not None:
        _set_pointer(memory, kind, found.pointer, value, path)
        return
    if kind not in BITS or parent.pointer is None:
        raise TypeError(f"{spell(path)} is a {plan.spell(found.type)}: set its fields one by one")
    # One element, converted as a list of one.
    stage = plan.native.stage(POINTER, parent.type, [value], None, -1, False, 1, attribute_names)
    _, segment, word, count, size, data, pointers = _core.resolve(memory.segments, *parent.pointer)
    step = (0, 1, 8, 16, 32, 64, 64, 64 * (data + pointers))[size]
    number = found.path[-1]
    assert isinstance(number, int)
    if step < BITS[kind] or number >= count:
        raise invalid("the elements of a list are smaller than their type", segment, word)
    raw = bytearray(16)
    stage.put((raw,), 0, 0, ((0, 1, 1),))
    bit = 64 * word + number * step
    view = memory.segments[segment]
    if kind == "bool":
        view[bit // 8] = view[bit // 8] & ~(1 << bit % 8) | (raw[8] & 1) << bit % 8
    else:
        width = BITS[kind] // 8
        view[bit // 8 : bit // 8 + width] = raw[8 : 8 + width]


def _set_pointer(
    memory: MessageMemory, kind: str, pointer: tuple[int, int], value: Any, path: tuple[Step, ...]
) -> None:
    segment, word = pointer
    where = spell(path)
    if value is None:
        memory.segments[segment][8 * word : 8 * word + 8] = bytes(8)
        return
    if kind not in ("text", "data"):
        raise ValueError(
            f"{where} leads to other objects, and new ones take new room: set what is in them, or "
            f"{_ANEW}"
        )
    try:
        new = value.encode() if isinstance(value, str) else bytes(memoryview(value))
    except TypeError:
        name = type(value).__name__
        raise TypeError(f"{where}: {kind.capitalize()} cannot be made of {name}") from None
    if kind == "text":
        new.decode()
        new += b"\0"
    found, there, start, count, size, _, _ = _core.resolve(memory.segments, segment, word)
    room = -(-count // 8) * 8 if found == LIST and size == BYTE else 0
    if found not in (NOTHING, LIST):
        raise invalid("the pointer leads to something else than Text or Data", segment, word)
    if len(new) > room:
        raise ValueError(
            f"{where} has room for {max(0, room - (kind == 'text'))} bytes, not for "
            f"{len(new) - (kind == 'text')}: {_ANEW}"
        )
    memory.segments[there][8 * start : 8 * start + room] = new.ljust(room, b"\0")
    _set_count(memory, segment, word, len(new))


def _set_count(memory: MessageMemory, segment: int, word: int, count: int) -> None:
    """Write the number of elements into the list pointer, or where a far pointer has it."""

    def load(segment: int, word: int) -> int:
        return int.from_bytes(memory.segments[segment][8 * word : 8 * word + 8], "little")

    pointer = load(segment, word)
    if pointer & 3 == _FAR:
        double = pointer >> 2 & 1
        segment, word = pointer >> 32, (pointer >> 3 & 0x1FFFFFFF) + double
        pointer = load(segment, word)
    pointer = pointer & 0x7_FFFF_FFFF | count << 35
    memory.segments[segment][8 * word : 8 * word + 8] = pointer.to_bytes(8, "little")
