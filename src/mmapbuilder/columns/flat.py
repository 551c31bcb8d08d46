"""Flat columns into a message: numbers, Bools, enums, Text and Data of all structs of a list.

All values are checked before anything is changed. What remains then are plain stores, which fail
only if the disk does. They go straight from the memory of the values into the message.
"""

from typing import Any, NamedTuple

from .. import _core
from ._numpy import DTYPES, np
from .fields import FlatField, Union, flat_field, refuse
from .lists import TargetList, common_length
from .memory import Room
from .numbers import (
    SomeRows,
    Type,
    is_inside,
    length_of,
    masked_of,
    named_numbers,
    number_type,
    numbers_of,
)
from .schema import TAG, Plan
from .spans import StructRows
from .text import Need, Strings, measure, reserve, strings_of, write
from .unions import clear
from .views import field_view
from .views import numbers as numbers_view

Segments = tuple[memoryview, ...]

# Rows that are written before the next column gets its turn: what they take should
# stay in the processor's cache, since columns share cache lines.
_BATCH = 1 << 14

# A pointer has 29 bits for the elements of a list, or for its words if they are structs.
_MOST_ELEMENTS = (1 << 29) - 1


# ---- lists of structs ---------------------------------------------------------------


class _CheckedColumn:
    """Checked values of one column, to be written."""

    def __init__(self, field: FlatField, mask: Any) -> None:
        self.field = field
        self.mask = mask
        """Which rows get the value, an array of bool; None for all."""

    def _store(self, view: Any, values: Any, start: int, stop: int) -> None:
        if self.mask is None:
            np.copyto(view, values, casting="unsafe")
        else:
            np.copyto(view, values, casting="unsafe", where=self.mask[start:stop])


class _Numbers(_CheckedColumn):
    def __init__(self, field: FlatField, mask: Any, values: Any) -> None:
        super().__init__(field, mask)
        self.dtype = np.dtype("<u2" if field.union is not None else DTYPES[field.kind])
        self.xor_default = np.dtype(f"<u{self.dtype.itemsize}").type(field.default)
        self.values = values

    def is_as_stored(self) -> bool:
        """Tell whether the values have the bytes that are to be stored."""
        return bool(self.values.dtype == self.dtype) and len(self.values) != 0

    def write(self, segments: Segments, rows: StructRows, start: int, stop: int) -> None:
        """Write the rows from `start` to `stop`."""
        values = self.values[start:stop]
        dtype = self.dtype
        if self.xor_default:
            dtype = self.xor_default.dtype
            values = values.astype(self.dtype, casting="unsafe").view(dtype) ^ self.xor_default
        view = _view(segments, rows, self.field.offset, dtype, start, stop)
        self._store(view, values, start, stop)


class _Bools(_CheckedColumn):
    def __init__(self, field: FlatField, mask: Any, values: Any) -> None:
        super().__init__(field, mask)
        self.values = values ^ bool(field.default)

    def write(self, segments: Segments, rows: StructRows, start: int, stop: int) -> None:
        """Write the rows from `start` to `stop`."""
        bit = self.field.offset % 8
        view = _view(segments, rows, self.field.offset, "u1", start, stop)
        stored = view & np.uint8(0xFF ^ 1 << bit)
        stored |= self.values[start:stop].view(np.uint8) << np.uint8(bit)
        self._store(view, stored, start, stop)


class _Texts(_CheckedColumn):
    def __init__(self, field: FlatField, mask: Any, parts: list[Strings], need: Need) -> None:
        super().__init__(field, mask)
        self.parts = parts
        self.need = need


_Plain = _Numbers | _Bools


def _view(
    segments: Segments, rows: StructRows, offset: int, dtype: Any, start: int, stop: int
) -> Any:
    part = rows._replace(byte=rows.byte + start * rows.stride, length=stop - start)
    return field_view(segments, part, offset, dtype)


def fill_structs(target: TargetList, given: dict[str, Any]) -> None:
    """Write columns by name into a list of structs."""
    plan = target.plan
    fields = [flat_field(plan, target.record, name, target.found.path) for name in given]
    count = _count(target, given)
    columns = _check_columns(target, list(zip(fields, given.values(), strict=True)), count)
    rows = _rows(target, count, [column.field for column in columns])
    plain: list[_Plain] = []
    texts: list[tuple[_Texts, Room]] = []
    for column in columns:
        if isinstance(column, _Texts):
            # Before anything is written, since there may be no room.
            texts.append((column, reserve(target.memory, rows.segment, column.need)))
        else:
            plain.append(column)
    segments = target.memory.segments
    if target.span is not None:
        _clear_changed(plan, segments, rows, plain)
    for each, room in texts:
        pointers = (rows.segment, rows.word + each.field.offset, rows.stride // 8, count)
        write(target.memory, pointers, each.parts, each.mask, each.field.kind == "text", room)
    segments = target.memory.segments
    plain = _store_natively(segments, rows, plain)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        for column in plain:
            column.write(segments, rows, start, stop)


def _clear_changed(plan: Plan, segments: Segments, rows: StructRows, columns: list[_Plain]) -> None:
    """Clear the unions of rows that get another active member, as pycapnp would."""
    tags = [(column, column.field.union) for column in columns if column.field.union]
    for start in range(0, rows.length, _BATCH):
        stop = min(start + _BATCH, rows.length)
        for column, union in tags:
            now = _view(segments, rows, union.offset, "<u2", start, stop)
            changed = now != column.values[start:stop]
            if column.mask is not None:
                changed &= column.mask[start:stop]
            if changed.any():
                clear(plan, segments, rows, union, changed, start)


def _store_natively(segments: Segments, rows: StructRows, columns: list[_Plain]) -> list[_Plain]:
    """Store the columns that need no conversion, all in one go; return the others."""
    native, others = [], []
    for column in columns:
        if isinstance(column, _Numbers) and column.mask is None and column.is_as_stored():
            offset = column.field.offset // 8
            native.append((column.values.data, offset, int(column.xor_default)))
        else:
            others.append(column)
    if native:
        place = (rows.segment, rows.byte, rows.stride, rows.length)
        _core.store_columns(segments, place, tuple(native))
    return others


def _count(target: TargetList, given: dict[str, Any]) -> int:
    """Find the one length of all columns and the list."""
    where = target.where
    if not given:
        raise ValueError(f"{where}: fill() needs columns")
    lengths = {name: length_of(values, target.label(name)) for name, values in given.items()}
    count = common_length(lengths, where)
    if target.span is not None and target.span.length != count:
        raise ValueError(
            f"{where} has {target.span.length} elements, the columns have {count} rows"
        )
    struct = target.plan.structs[target.record]
    _check_size(where, count, struct.data_words + struct.pointer_words)
    return count


def _check_size(where: str, count: int, words: int) -> None:
    """Refuse more than a list can have, of which pycapnp would die."""
    most = _MOST_ELEMENTS // max(words, 1)
    if count > most:
        raise ValueError(f"{where}: such a list has {most} elements at most, not {count}")


def _check_columns(
    target: TargetList, given: list[tuple[FlatField, Any]], count: int
) -> list[_Plain | _Texts]:
    """Check all values, and decide which rows the members of unions get."""
    plan = target.plan
    columns: list[_Plain | _Texts] = []
    chosen: dict[str, Any] = {}
    implied: dict[str, _Implied] = {}
    # The tags first, those of outer unions before those of inner ones: they decide.
    given = sorted(given, key=lambda one: (one[0].union is None, len(one[0].unions)))
    for field, values in given:
        label = target.label(field.name)
        mask = _mask(field, chosen, implied, label)
        if field.union is None:
            columns.append(_check_column(target, field, mask, values, label))
            continue
        known = {name: tag for tag, name in plan.structs[field.union.struct].members.items()}
        label = _of_rows(label, mask)
        tags = named_numbers(masked_of(values, mask), known, "the union", label)
        chosen[field.union.prefix] = _spread(tags, mask)
        columns.append(_Numbers(field, mask, chosen[field.union.prefix]))
    for union, tag, _, mask in implied.values():
        field = flat_field(plan, union.struct, TAG, target.found.path)
        columns.append(_Numbers(field, mask, np.full(count, tag, np.uint16)))
    return columns


class _Implied(NamedTuple):
    """A tag that a column implies, since none is given."""

    union: Union
    tag: int
    name: str
    """Of the first column that implies it."""
    mask: Any
    """Which rows have the union at all, an array of bool; None for all."""


def _mask(
    field: FlatField, chosen: dict[str, Any], implied: dict[str, _Implied], label: str
) -> Any:
    """Find the rows in which a field is the active member of its unions.

    Where the tag is given as a column of its own, that decides. Else the field makes
    itself the active member, everywhere, as setting it in pycapnp does.
    """
    mask = None
    for union, tag in field.unions:
        given = chosen.get(union.prefix)
        if given is not None:
            matches = given == tag
            mask = matches if mask is None else mask & matches
            continue
        other = implied.setdefault(union.prefix, _Implied(union, tag, field.name, mask))
        if other.tag != tag:
            raise ValueError(
                f"{label}: this and {other.name!r} are members of one union; "
                f"column {union.prefix + TAG!r} can say which rows have which"
            )
    return mask


def _check_column(
    target: TargetList, field: FlatField, mask: Any, values: Any, label: str
) -> _Plain | _Texts:
    if field.kind in ("text", "data"):
        parts, need = _checked_strings(target, values, label, mask, field.kind == "text")
        return _Texts(field, mask, parts, need)
    if field.kind not in DTYPES and field.kind != "bool":
        raise refuse(target.plan, field, target.found.path)
    # Rows that do not have the column may hold anything, or nothing.
    label = _of_rows(label, mask)
    kind = number_type(target.plan, field.type)
    checked = _spread(_checked_numbers(target, masked_of(values, mask), kind, label), mask)
    return (_Bools if field.kind == "bool" else _Numbers)(field, mask, checked)


def _of_rows(label: str, mask: Any) -> str:
    """Return what errors call a column of the rows that a mask tells."""
    if mask is None:
        return label
    some = SomeRows(label)
    some.rows = np.flatnonzero(mask)
    return some


def _checked_numbers(target: TargetList, values: Any, kind: Type, label: str) -> Any:
    """Check numbers, and copy those that lie where something may be written first."""
    checked = numbers_of(values, kind, label)
    return checked.copy() if is_inside(target.memory.segments, checked) else checked


def _checked_strings(
    target: TargetList, values: Any, label: str, mask: Any, text: bool
) -> tuple[list[Strings], Need]:
    """Check strings, and copy those that lie where something may be written first."""
    parts = strings_of(values, label, mask)
    need = measure(parts, mask, text, label)
    if need.lent:
        segments = target.memory.segments
        parts = [part.apart(segments) for part in parts]
    return parts, need


def _spread(values: Any, mask: Any) -> Any:
    """Put the values of the rows that a mask tells where these rows are."""
    if mask is None:
        return values
    spread = np.zeros(len(mask), values.dtype)
    spread[mask] = values
    return spread


def _rows(target: TargetList, count: int, fields: list[FlatField]) -> StructRows:
    """Make the list if it is not set, and bring it to the layout of the schema."""
    if target.span is not None:
        rows = target.span.structs()
        if count == 0 or all(_is_there(field, rows) for field in fields):
            return rows
    span = target.made(count).span
    assert span is not None
    rows = span.structs()
    if count != 0 and not all(_is_there(field, rows) for field in fields):
        raise RuntimeError(f"pycapnp did not bring {target.where} to the schema's layout")
    return rows


def _is_there(field: FlatField, rows: StructRows) -> bool:
    if field.kind in ("text", "data"):
        return field.offset < rows.pointers
    return field.offset + field.bits <= rows.data_bits


# ---- lists of plain values -----------------------------------------------------------


def fill_elements(target: TargetList, data: Any) -> None:
    """Write values into a list of plain ones."""
    where = target.where
    count = length_of(data, where)
    span = target.span
    if span is not None and span.length != count:
        raise ValueError(f"{where} has {span.length} elements, not {count}")
    _check_size(where, count, 1)
    kind = target.plan.types[target.element].kind
    values: Any = None
    parts: list[Strings] = []
    need = Need(0, 0, False)
    if kind in ("text", "data"):
        parts, need = _checked_strings(target, data, where, None, kind == "text")
    elif kind in DTYPES or kind == "bool":
        number = number_type(target.plan, target.element)
        values = _checked_numbers(target, data, number, where)
    else:
        name = target.plan.spell(target.found.type)
        raise TypeError(f"{where} is a {name}: fill() cannot write it, use pycapnp")
    if span is None:
        span = target.made(count).span
        assert span is not None
    if count == 0:
        return
    segments = target.memory.segments
    if kind == "bool":
        packed = np.packbits(values, bitorder="little")
        segments[span.segment][8 * span.word : 8 * span.word + len(packed)] = packed.data
    elif kind in DTYPES:
        view = numbers_view(target.plan, segments, target.element, span)
        np.copyto(view, values, casting="unsafe")
    else:
        rows = span.strings()
        pointers = (rows.segment, rows.word, rows.stride // 8, count)
        room = reserve(target.memory, rows.segment, need)
        write(target.memory, pointers, parts, None, kind == "text", room)
