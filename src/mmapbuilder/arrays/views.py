"""NumPy arrays that are the memory of a message."""

from typing import Any, NamedTuple

from ._numpy import np
from .layout import NUMBERS, TAG, Struct, Type
from .path import (
    Elements,
    PathError,
    Place,
    Space,
    Step,
    Target,
    follow,
    invalid,
    spell,
    structs_of,
)

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


def array(space: Space, path: tuple[Step, ...]) -> Any:
    """Return the array of the list, Text or Data at `path`."""
    target = follow(space, path)
    kind = target.type.kind
    if target.rest:
        raise PathError(
            f"{spell(target.path)} is a {target.type}: array() gives all of it, with "
            f"{target.rest[0]!r} as a column; an index before {target.rest[0]!r} leads to one of "
            "its structs"
        )
    if kind not in ("list", "text", "data"):
        raise TypeError(f"{spell(path)} {_what_it_is(target)}")
    if kind == "list":
        _refuse(target, path)
    elements = target.place
    assert not isinstance(elements, Place)
    if elements is None:
        return _unset(space, target)
    if kind == "list":
        assert target.type.element is not None
        if target.type.element.kind == "struct":
            return structs(space, target.type.element, elements)
        return numbers(space, target.type.element, elements)
    start = 8 * elements.word
    if kind == "data":
        return _ndarray(space, elements.segment, start, "<u1", elements.count, 1)
    check_terminator(space, elements)
    memory = space.segments[elements.segment].toreadonly()
    return np.ndarray((elements.count - 1,), "<u1", memory, start)


def check_terminator(space: Space, text: Elements) -> None:
    """Make sure that a Text ends with the zero that is not part of it."""
    byte = 8 * text.word + text.count - 1
    if text.count == 0 or space.segments[text.segment][byte] != 0:
        raise invalid("the Text has no terminator", text.segment, text.word)


def _what_it_is(target: Target) -> str:
    kind = target.type.kind
    if kind in ("struct", "group"):
        return "is a struct, not a list: go on to one of its fields, or use pycapnp"
    if kind in ("anyPointer", "interface"):
        return f"is of type {target.type}: use it with pycapnp"
    return f"is a single {target.type}, not a list: read or set it with pycapnp"


def _refuse(target: Target, path: tuple[Step, ...]) -> None:
    """Raise TypeError if the elements of a list are nothing that arrays can have."""
    assert target.type.element is not None
    element = target.type.element.kind
    if element in _HINTS:
        shown = ", ".join(repr(step) for step in path)
        hint = _HINTS[element].format(path=shown)
        raise TypeError(f"{spell(path)} is a {target.type}: {hint}")


def _unset(space: Space, target: Target) -> Any:
    """Return what reading a null pointer gives: nothing, or the default."""
    where = spell(target.path)
    kind = target.type.kind
    if space.building:
        last = target.path[-1]
        raise PathError(
            f"{where} is not set, so that there is no memory to show: "
            f"init({last!r}, size) it first, with pycapnp, or fill() it"
        )
    if kind in ("text", "data"):
        default = target.field.default if target.field is not None else b""
        raw = default.encode() if isinstance(default, str) else bytes(default)
        return np.frombuffer(raw, "<u1")
    assert target.type.element is not None
    if target.type.element.kind == "struct":
        body = target.type.element.schema.node.struct
        empty = np.empty(0, struct_dtype(space, target.type.element, 64 * body.dataWordCount))
    else:
        empty = np.empty(0, NUMBERS[target.type.element.kind][0])
    empty.flags.writeable = False
    return empty


def _ndarray(space: Space, segment: int, byte: int, dtype: Any, count: int, stride: int) -> Any:
    """Make the array. Its buffer keeps the memory, so that it outlives the message."""
    return np.ndarray((count,), dtype, space.segments[segment], byte, (stride,))


def numbers(space: Space, element: Type, elements: Elements) -> Any:
    """Return the array of a list of numbers or enumerants."""
    dtype, bits = NUMBERS[element.kind]
    if elements.data_bits < bits:
        if elements.count == 0:
            return _ndarray(space, elements.segment, 8 * elements.word, dtype, 0, bits // 8)
        raise invalid(
            f"the elements of a list are too small to be {element}",
            elements.segment,
            elements.word,
        )
    return _ndarray(
        space, elements.segment, 8 * elements.word, dtype, elements.count, elements.stride
    )


def structs(space: Space, element: Type, elements: Elements) -> Any:
    """Return the structured array of a list of structs."""
    place = structs_of(elements)
    dtype = struct_dtype(space, element, place.data_bits)
    return _ndarray(space, place.segment, place.byte, dtype, place.count, place.stride)


def field_view(space: Space, place: Place, offset: int, dtype: str) -> Any:
    """Return the array of one field of all structs; it must be there."""
    return _ndarray(
        space, place.segment, place.byte + offset // 8, dtype, place.count, place.stride
    )


class _Column(NamedTuple):
    name: str
    dtype: Any
    offset: int
    size: int


def struct_dtype(space: Space, element: Type, data_bits: int) -> Any:
    """Return the dtype of a list's structs: what numbers they hold, where.

    `data_bits` is what the structs really have, whatever the schema says. The dtype covers
    that and no more: NumPy moves whole items when it sorts, and a pointer that is moved
    leads somewhere else.
    """
    node = element.schema.node
    # Generic types are many under one number.
    key = None if node.isGeneric else (int(node.id), data_bits)
    dtype = space.dtypes.get(key)
    if dtype is None:
        dtype = _dtype_of(_columns(element.schema, data_bits), 0, data_bits // 8)
        if key is not None:
            space.dtypes[key] = dtype
    return dtype


def _dtype_of(columns: list[_Column], start: int, size: int) -> Any:
    return np.dtype(
        {
            "names": [column.name for column in columns],
            "formats": [column.dtype for column in columns],
            "offsets": [column.offset - start for column in columns],
            "itemsize": size,
        }
    )


def _columns(schema: Any, data_bits: int) -> list[_Column]:
    """List the fields that are there and can be shown as they are stored."""
    layout = Struct(schema)
    columns = []
    for name in layout.names:
        field = layout[name]
        if field.type.kind == "group":
            inner = _columns(field.type.schema, data_bits)
            if inner:
                start = min(column.offset for column in inner)
                size = max(column.offset + column.size for column in inner) - start
                columns.append(_Column(name, _dtype_of(inner, start, size), start, size))
        elif field.type.kind in NUMBERS and field.default == 0:
            dtype, bits = NUMBERS[field.type.kind]
            if field.offset + bits <= data_bits:
                columns.append(_Column(name, dtype, field.offset // 8, bits // 8))
    tag = layout.tag_offset
    if tag is not None and tag + 16 <= data_bits:
        columns.append(_Column(TAG, "<u2", tag // 8, 2))
    return columns
