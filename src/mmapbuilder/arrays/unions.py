"""Rows whose union gets another active member: what the one before left is cleared.

The members of a union share their bytes and pointers. A pointer that stays would be taken
for one of the new member's, and bytes for its numbers.
"""

from typing import Any

from ._numpy import np
from .fields import Union
from .layout import POINTERS, Struct
from .path import Place, Space
from .strings import Part

_WORD = 64


def clear(space: Space, rows: Place, union: Union, changed: Any, start: int) -> None:
    """Zero all members of a union in the rows from `start` that `changed`, a mask, tells."""
    bits, pointers = _members(Struct(union.schema))
    # A list that is one of numbers by its make has structs of less than a word.
    size = _WORD if rows.data_bits % _WORD == 0 else 8
    byte = rows.byte + start * rows.stride
    for offset in range(0, rows.data_bits, size):
        zeroed = bits >> offset & ((1 << size) - 1)
        if zeroed:
            view = np.ndarray(
                changed.shape,
                f"<u{size // 8}",
                space.segments[rows.segment],
                byte + offset // 8,
                (rows.stride,),
            )
            np.bitwise_and(view, view.dtype.type(~zeroed & ((1 << size) - 1)), view, where=changed)
    _clear_pointers(space, rows, [n for n in pointers if n < rows.pointers], changed, start)


def _clear_pointers(
    space: Space, rows: Place, pointers: list[int], changed: Any, start: int
) -> None:
    """Set pointers to null as laying missing strings does, which zeroes old ones."""
    count, stride = len(changed), rows.stride // 8
    missing = Part(bytes(8 * count + 8), 8, b"", bytes(count // 8 + 1), 0, count)
    for number in pointers:
        first = rows.word + start * stride + number
        place = (rows.segment, first, stride, count)
        missing.lay(space.segments, place, changed, False, 0, (rows.segment, first, 0))


def _members(layout: Struct) -> tuple[int, set[int]]:
    """Find the bits of the data section and the pointers of all members of a union."""
    bits, pointers = 0, set[int]()
    for name in layout.names:
        if layout[name].tag is not None:
            more_bits, more_pointers = _field(layout, name)
            bits |= more_bits
            pointers |= more_pointers
    return bits, pointers


def _field(layout: Struct, name: str) -> tuple[int, set[int]]:
    field = layout[name]
    if field.type.kind in POINTERS:
        return 0, {field.offset}
    if field.type.kind != "group":
        return ((1 << field.bits) - 1) << field.offset, set()
    inner = Struct(field.type.schema)
    bits, pointers = 0, set[int]()
    if inner.tag_offset is not None:
        bits = 0xFFFF << inner.tag_offset
    for each in inner.names:
        more_bits, more_pointers = _field(inner, each)
        bits |= more_bits
        pointers |= more_pointers
    return bits, pointers
