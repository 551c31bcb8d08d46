"""Clears what the old active member has left in rows whose union gets another one.

The members of a union share their bytes and pointers. An old pointer would be taken for one of the
new member, and old bytes for its numbers.
"""

from typing import Any

from ._numpy import np
from .fields import Union, members
from .schema import Plan
from .spans import StructRows
from .text import Part

_WORD = 64


def clear(
    plan: Plan,
    segments: tuple[memoryview, ...],
    rows: StructRows,
    union: Union,
    changed: Any,
    start: int,
) -> None:
    """Zero all members of a union in the rows from `start` that `changed`, a mask, tells."""
    bits, pointers = members(plan, plan.structs[union.struct])
    # If the list was made as one of numbers, its structs are smaller than a word.
    size = _WORD if rows.data_bits % _WORD == 0 else 8
    byte = rows.byte + start * rows.stride
    for offset in range(0, rows.data_bits, size):
        zeroed = bits >> offset & ((1 << size) - 1)
        if zeroed:
            view = np.ndarray(
                changed.shape,
                f"<u{size // 8}",
                segments[rows.segment],
                byte + offset // 8,
                (rows.stride,),
            )
            np.bitwise_and(view, view.dtype.type(~zeroed & ((1 << size) - 1)), view, where=changed)
    _clear_pointers(segments, rows, [n for n in pointers if n < rows.pointers], changed, start)


def _clear_pointers(
    segments: tuple[memoryview, ...],
    rows: StructRows,
    pointers: list[int],
    changed: Any,
    start: int,
) -> None:
    """Set pointers to null by writing missing strings, which zeroes the old ones."""
    count, stride = len(changed), rows.stride // 8
    missing = Part(bytes(8 * count + 8), 8, b"", bytes(count // 8 + 1), 0, count)
    for number in pointers:
        first = rows.word + start * stride + number
        place = (rows.segment, first, stride, count)
        missing.write(segments, place, changed, False, 0, (rows.segment, first, 0))
