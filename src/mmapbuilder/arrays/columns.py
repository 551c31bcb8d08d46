"""Columns of a message as their values: what no view can show, decoded into copies."""

from typing import Any, NamedTuple

from .. import _core
from ._numpy import np
from .fields import Column, find, refuse
from .layout import NUMBERS, Field
from .path import (
    BIT,
    Elements,
    PathError,
    Place,
    Space,
    Step,
    follow,
    invalid,
    pointers_of,
    spell,
    structs_of,
)
from .views import array, field_view


def column(space: Space, path: tuple[Step, ...]) -> Any:
    """Return the values of a list, or of one field of all structs in a list."""
    target = follow(space, path)
    where = target.path
    elements = target.place
    if target.rest:
        assert target.type.element is not None
        assert not isinstance(elements, Place)
        found = find(target.type.element.schema, target.rest, where)
        if elements is None and space.building:
            raise PathError(f"{spell(where)} is not set: it has no columns to read")
        return values(space, rows_of(space, elements), found, where)
    if target.type.kind != "list":
        return np.array(array(space, path))
    element = target.type.element
    assert element is not None
    if element.kind not in ("bool", "text", "data"):
        return np.array(array(space, path))
    assert not isinstance(elements, Place)
    if elements is None:
        if space.building:
            raise PathError(f"{spell(where)} is not set")
        return np.empty(0, bool if element.kind == "bool" else object)
    if element.kind == "bool":
        return list_bits(space, elements)
    strings = list_strings(space, elements, element.kind == "text")
    return as_objects(strings, "" if element.kind == "text" else b"")


# A list of structs without content costs a message nothing, whatever its length. Their
# columns would cost memory: so many are believed, and one more for each bit of the message.
_MOST_EMPTY = 4096


def rows_of(space: Space, elements: Elements | None) -> Place:
    """Take the elements of a list as rows; an unset list has none."""
    if elements is None:
        return Place(0, 0, 0, 0, 0, 0)
    rows = structs_of(elements)
    if rows.stride == 0 and rows.count > _MOST_EMPTY:
        bits = 8 * sum(len(segment) for segment in space.segments)
        if rows.count > _MOST_EMPTY + bits:
            raise invalid(
                "a list has more structs without content than can be taken apart",
                elements.segment,
                elements.word,
            )
    return rows


def values(space: Space, rows: Place, column: Column, where: tuple[Step, ...]) -> Any:
    """Return a column as readers see it: a field's default where it is not there."""
    kind = column.field.type.kind
    there = present(space, rows, column)
    if kind in ("text", "data"):
        return as_objects(strings(space, rows, column.field, there), column.field.default)
    if kind not in NUMBERS and kind not in ("bool", "tag"):
        raise refuse(column, where)
    result = stored(space, rows, column.field)
    if there is not None and not there.all():
        result[~there] = default_of(column.field)
    return result


def present(space: Space, rows: Place, column: Column) -> Any:
    """Return which rows have the column as the active member; None if all have."""
    mask = None
    for union, tag in column.unions:
        matches = tags(space, rows, union.offset) == tag
        mask = matches if mask is None else mask & matches
    return mask


def tags(space: Space, rows: Place, offset: int) -> Any:
    """Return the tags of a union, in a copy."""
    if offset + 16 > rows.data_bits or rows.count == 0:
        return np.zeros(rows.count, np.uint16)
    return field_view(space, rows, offset, "<u2").astype(np.uint16)


def default_of(field: Field) -> Any:
    """Return the value of a field that nobody has set."""
    kind = field.type.kind
    if kind in ("text", "data"):
        return field.default
    if kind == "bool":
        return bool(field.default)
    if kind == "tag":
        return 0
    dtype, bits = NUMBERS[kind]
    return np.frombuffer(int(field.default).to_bytes(bits // 8, "little"), dtype)[0]


def stored(space: Space, rows: Place, field: Field) -> Any:
    """Return a number, bool or tag of all rows, its default undone, in a copy."""
    kind = field.type.kind
    if kind == "tag":
        return tags(space, rows, field.offset)
    if field.offset + field.bits > rows.data_bits or rows.count == 0:
        dtype = bool if kind == "bool" else np.dtype(NUMBERS[kind][0]).newbyteorder("=")
        return np.full(rows.count, default_of(field), dtype)
    if kind == "bool":
        octets = field_view(space, rows, field.offset, "<u1")
        bits = (octets >> np.uint8(field.offset % 8)) & np.uint8(1)
        return bits != field.default
    dtype = np.dtype(NUMBERS[kind][0])
    if not field.default:
        return field_view(space, rows, field.offset, dtype.str).astype(dtype.newbyteorder("="))
    raw = field_view(space, rows, field.offset, f"<u{dtype.itemsize}").copy()
    raw ^= raw.dtype.type(field.default)
    return raw.view(dtype).astype(dtype.newbyteorder("="), copy=False)


class Strings(NamedTuple):
    """Text or Data that was read, in the layout of Apache Arrow."""

    offsets: bytearray
    """One number of 8 bytes more than there are strings."""
    data: bytearray
    valid: bytearray
    """One bit for each: 0 where the pointer is null."""
    text: bool

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.offsets) // 8 - 1


def strings(space: Space, rows: Place, field: Field, wanted: Any) -> Strings:
    """Read a Text or Data field of the rows that are wanted; the others are missing."""
    text = field.type.kind == "text"
    if field.offset >= rows.pointers or rows.count == 0:
        return Strings(
            bytearray(8 * (rows.count + 1)), bytearray(), bytearray((rows.count + 7) // 8), text
        )
    pointers = (rows.segment, rows.word + field.offset, rows.stride // 8, rows.count)
    return Strings(*_core.read_strings(space.segments, pointers, wanted, text), text)


def list_strings(space: Space, elements: Elements, text: bool) -> Strings:
    """Read a list of Text or Data."""
    if elements.count == 0:
        return Strings(bytearray(8), bytearray(), bytearray(), text)
    place = pointers_of(elements)
    pointers = (place.segment, place.word, place.stride // 8, place.count)
    return Strings(*_core.read_strings(space.segments, pointers, None, text), text)


def list_bits(space: Space, elements: Elements) -> Any:
    """Return the values of a list of Bool."""
    if elements.size != BIT:
        if elements.count == 0:
            return np.empty(0, bool)
        raise invalid(
            "a list of something else stands for one of bits", elements.segment, elements.word
        )
    octets = (elements.count + 7) // 8
    packed = np.frombuffer(space.segments[elements.segment], np.uint8, octets, 8 * elements.word)
    return np.unpackbits(packed, count=elements.count, bitorder="little").view(bool)


def as_objects(found: Strings, missing: Any) -> Any:
    """Make an array of str or bytes objects."""
    result = np.empty(found.rows, object)
    result[:] = _core.split_strings(found.offsets, found.data, found.valid, found.text, missing)
    return result
