"""NumPy arrays that are the memory of a message."""

from typing import Any, NamedTuple

from ._numpy import DTYPES, np
from .locate import Found, PathError, Step, find_columns, spell
from .memory import MessageMemory
from .schema import BITS, TAG, Plan
from .spans import ListSpan, StructRows, invalid, span_at

Segments = tuple[memoryview, ...]

_HINTS = {
    "list": "a list of lists has no one array: add an index to the path, array({path}, i)",
    "bool": "Bool is one bit in the format: read it with column({path}), write it with "
    "fill({path}, values)",
    "text": "a list of Text has no one array: read it with column({path}), write it with "
    "fill({path}, values)",
    "data": "a list of Data has no one array: read it with column({path}), write it with "
    "fill({path}, values), or add an index to the path",
    "void": "Void has no bytes: its length is all there is, len() of the list",
    "anyPointer": "a list of pointers of any type: read it with pycapnp",
    "interface": "a list of capabilities: use it with pycapnp",
}


def array(plan: Plan, memory: MessageMemory, path: tuple[Step, ...]) -> Any:
    """Return the array of the list, Text or Data at `path`."""
    found, rest = find_columns(plan, memory, path)
    kind, element = plan.types[found.type]
    if rest:
        raise PathError(
            f"{spell(found.path)} is a {plan.spell(found.type)}: array() gives all of it, with "
            f"{rest[0]!r} as a column; an index before {rest[0]!r} leads to one of its structs"
        )
    if kind not in ("list", "text", "data"):
        raise TypeError(f"{spell(path)} {_what_it_is(plan, found)}")
    if kind == "list":
        _refuse(plan, found, path)
    segments = found.within(memory)
    span = span_at(segments, found.pointer, kind)
    if span is None:
        return _unset(plan, memory, found)
    if kind == "list":
        if plan.types[element].kind == "struct":
            return structs(plan, segments, element, span)
        return numbers(plan, segments, element, span)
    start = 8 * span.word
    if kind == "data":
        return np.ndarray((span.length,), "u1", segments[span.segment], start)
    if span.length == 0 or segments[span.segment][start + span.length - 1] != 0:
        raise invalid("the Text has no terminator", span.segment, span.word)
    return np.ndarray((span.length - 1,), "u1", segments[span.segment].toreadonly(), start)


def _what_it_is(plan: Plan, found: Found) -> str:
    kind = plan.types[found.type].kind
    if kind in ("struct", "group"):
        return "is a struct, not a list: go on to one of its fields, or use pycapnp"
    name = plan.spell(found.type)
    if kind in ("anyPointer", "interface"):
        return f"is of type {name}: use it with pycapnp"
    return f"is a single {name}, not a list: read or set it with pycapnp"


def _refuse(plan: Plan, found: Found, path: tuple[Step, ...]) -> None:
    """Raise TypeError if the elements of a list are nothing that arrays can have."""
    element = plan.types[plan.types[found.type].refers_to].kind
    if element in _HINTS:
        shown = ", ".join(repr(step) for step in path)
        hint = _HINTS[element].format(path=shown)
        raise TypeError(f"{spell(path)} is a {plan.spell(found.type)}: {hint}")


def _unset(plan: Plan, memory: MessageMemory, found: Found) -> Any:
    """Return what reading a null pointer gives: nothing, or the default."""
    kind, element = plan.types[found.type]
    if memory.building:
        last = found.path[-1]
        raise PathError(
            f"{spell(found.path)} is not set, so there is no memory to show: make it first, with "
            f"fill() or with pycapnp's init({last!r}, size)"
        )
    if kind in ("text", "data"):
        default = None if found.field is None else found.field.default
        return np.frombuffer(default or b"", "u1")
    inner = plan.types[element]
    if inner.kind == "struct":
        words = plan.structs[inner.refers_to].data_words
        empty = np.empty(0, struct_dtype(plan, inner.refers_to, 64 * words))
    else:
        empty = np.empty(0, DTYPES[inner.kind])
    empty.flags.writeable = False
    return empty


# In each case the buffer of the array keeps the memory, so that it outlives the message.


def numbers(plan: Plan, segments: Segments, element: int, span: ListSpan) -> Any:
    """Return the array of a list of numbers or enumerants, of the type `element`."""
    kind = plan.types[element].kind
    stride = span.stride
    if span.data_bits < BITS[kind]:
        if span.length != 0:
            raise invalid(
                f"the elements of a list are too small to be {plan.spell(element)}",
                span.segment,
                span.word,
            )
        stride = BITS[kind] // 8
    return np.ndarray(
        (span.length,), DTYPES[kind], segments[span.segment], 8 * span.word, (stride,)
    )


def structs(plan: Plan, segments: Segments, element: int, span: ListSpan) -> Any:
    """Return the structured array of a list of structs."""
    rows = span.structs()
    dtype = struct_dtype(plan, plan.types[element].refers_to, rows.data_bits)
    return field_view(segments, rows, 0, dtype)


def field_view(segments: Segments, rows: StructRows, offset: int, dtype: Any) -> Any:
    """Return the array of one field of all structs; it must be there. `offset` is in bits."""
    return np.ndarray(
        (rows.length,), dtype, segments[rows.segment], rows.byte + offset // 8, (rows.stride,)
    )


class _Member(NamedTuple):
    """A member of a dtype: a number, or a group of some."""

    name: str
    dtype: Any
    offset: int
    size: int


def struct_dtype(plan: Plan, number: int, data_bits: int) -> Any:
    """Return the dtype of a list's structs: what numbers they hold, where.

    `data_bits` is what the structs really have, whatever the schema says. The dtype covers
    that and no more: NumPy moves whole items when it sorts, and a pointer that is moved
    leads somewhere else.
    """
    key = (number, data_bits)
    dtype = plan.dtypes.get(key)
    if dtype is None:
        dtype = _dtype_of(_members(plan, number, data_bits), 0, data_bits // 8)
        plan.dtypes[key] = dtype
    return dtype


def _dtype_of(members: list[_Member], start: int, size: int) -> Any:
    return np.dtype(
        {
            "names": [member.name for member in members],
            "formats": [member.dtype for member in members],
            "offsets": [member.offset - start for member in members],
            "itemsize": size,
        }
    )


def _members(plan: Plan, number: int, data_bits: int) -> list[_Member]:
    """List the fields that are there and can be shown as they are stored."""
    struct = plan.structs[number]
    members = []
    for name, field in struct.fields.items():
        kind, refers_to = plan.types[field.type]
        if kind == "group":
            inner = _members(plan, refers_to, data_bits)
            if inner:
                start = min(member.offset for member in inner)
                size = max(member.offset + member.size for member in inner) - start
                members.append(_Member(name, _dtype_of(inner, start, size), start, size))
        elif kind in DTYPES and field.default == 0 and field.offset + BITS[kind] <= data_bits:
            members.append(_Member(name, DTYPES[kind], field.offset // 8, BITS[kind] // 8))
    tag = struct.tag_offset
    if tag is not None and tag + 16 <= data_bits:
        members.append(_Member(TAG, "<u2", tag // 8, 2))
    return members
