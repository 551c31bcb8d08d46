"""Writing whole columns of a message.

All values are checked before anything is changed. What then remains are plain stores,
which cannot fail but for the disk.
"""

from typing import Any, NamedTuple

from .. import _core
from ._numpy import np
from .blocks import Block
from .fields import Column, Union, find, refuse
from .laying import Need, lay, measure, reserve
from .layout import NUMBERS, TAG, Type
from .path import Elements, PathError, Place, Space, Step, Target, follow, spell, structs_of
from .strings import Listed, Part, strings_of
from .tables import columns_of, flatten
from .unions import clear
from .values import chosen_of, is_inside, length_of, named_numbers, numbers_of
from .views import numbers as numbers_view

# Rows that are written before the next column gets its turn: what they take should
# stay in the processor's cache, since columns share cache lines.
_BATCH = 1 << 14

# A pointer has 29 bits for the elements of a list, or for its words if they are structs.
_MOST_ELEMENTS = (1 << 29) - 1


def fill(space: Space, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Write columns, or the elements of a list of plain values."""
    path, data = _split(arguments)
    target = follow(space, path)
    if target.rest:
        if named or data is None:
            raise PathError(
                f"{spell(path)}: fill() takes the fields of a list as names: "
                f"fill(..., {target.rest[0]}=values)"
            )
        named = {".".join(target.rest): data}
        data = None
        path = target.path
    if target.type.kind == "list":
        assert target.type.element is not None
        if target.type.element.kind == "struct":
            _fill_structs(space, target, data, named)
        else:
            _fill_elements(space, target, data, named)
    elif target.type.kind in ("data", "text"):
        raise TypeError(f"{spell(path)} is a single {target.type}: set it with pycapnp")
    else:
        raise TypeError(f"{spell(path)} is a {target.type}, not a list: set it with pycapnp")


def _split(arguments: tuple[Any, ...]) -> tuple[tuple[Step, ...], Any]:
    """Tell the path from the values that may follow it."""
    if arguments:
        last = arguments[-1]
        if not isinstance(last, str | int) and not isinstance(last, np.integer):
            return arguments[:-1], last
    return arguments, None


# ---- lists of structs ---------------------------------------------------------------


class _Writer:
    """Checked values of one column, to be written."""

    def __init__(self, column: Column, wanted: Any) -> None:
        self.column = column
        self.wanted = wanted
        """Which rows get the value, an array of bool; None for all."""

    def _store(self, view: Any, values: Any, start: int, stop: int) -> None:
        if self.wanted is None:
            np.copyto(view, values, casting="unsafe")
        else:
            np.copyto(view, values, casting="unsafe", where=self.wanted[start:stop])


class _Numbers(_Writer):
    def __init__(self, column: Column, wanted: Any, values: Any) -> None:
        super().__init__(column, wanted)
        field = column.field
        dtype, bits = ("<u2", 16) if field.type.kind == "tag" else NUMBERS[field.type.kind]
        self.dtype = dtype
        self.flip = np.dtype(f"<u{bits // 8}").type(field.default or 0)
        self.values = values

    def is_as_stored(self) -> bool:
        """Tell whether the values have the bytes that are to be stored."""
        return bool(self.values.dtype == np.dtype(self.dtype)) and len(self.values) != 0

    def write(self, space: Space, rows: Place, start: int, stop: int) -> None:
        """Write the rows from `start` to `stop`."""
        values = self.values[start:stop]
        dtype = self.dtype
        if self.flip:
            values = values.astype(self.dtype, casting="unsafe").view(self.flip.dtype) ^ self.flip
            dtype = self.flip.dtype
        view = _view(space, rows, self.column.field.offset, dtype, start, stop)
        self._store(view, values, start, stop)


class _Bools(_Writer):
    def __init__(self, column: Column, wanted: Any, values: Any) -> None:
        super().__init__(column, wanted)
        self.values = values ^ bool(column.field.default)

    def write(self, space: Space, rows: Place, start: int, stop: int) -> None:
        """Write the rows from `start` to `stop`."""
        bit = self.column.field.offset % 8
        view = _view(space, rows, self.column.field.offset, "u1", start, stop)
        stored = view & np.uint8(0xFF ^ 1 << bit)
        stored |= self.values[start:stop].view(np.uint8) << np.uint8(bit)
        self._store(view, stored, start, stop)


def _view(space: Space, rows: Place, offset: int, dtype: Any, start: int, stop: int) -> Any:
    byte = rows.byte + start * rows.stride + offset // 8
    return np.ndarray((stop - start,), dtype, space.segments[rows.segment], byte, (rows.stride,))


class _Strings(_Writer):
    def __init__(self, column: Column, wanted: Any, parts: list[Part | Listed], need: Need) -> None:
        super().__init__(column, wanted)
        self.parts = parts
        self.need = need


def _fill_structs(space: Space, target: Target, data: Any, named: dict[str, Any]) -> None:
    given = {} if data is None else columns_of(data, spell(target.path))
    for name, values in flatten(named).items():
        if name in given:
            raise ValueError(f"{spell(target.path)}: column {name!r} is given twice")
        given[name] = values
    where = target.path
    assert target.type.element is not None
    schema = target.type.element.schema
    found = [(find(schema, [name], where), values) for name, values in given.items()]
    count = _count(target, given)
    writers = _writers(space, target, found, count)
    space, rows = _rows(space, target, count, [writer.column for writer in writers])
    plain: list[_Numbers | _Bools] = []
    strings: list[tuple[_Strings, Block]] = []
    for writer in writers:
        if isinstance(writer, _Strings):
            # Before anything is written, since there may be no room.
            space, block = reserve(space, rows.segment, writer.need)
            strings.append((writer, block))
        else:
            plain.append(writer)
    if target.place is not None:
        _clear_changed(space, rows, plain)
    for writer, block in strings:
        offset = writer.column.field.offset
        pointers = (rows.segment, rows.word + offset, rows.stride // 8, count)
        text = writer.column.field.type.kind == "text"
        space = lay(space, pointers, writer.parts, writer.wanted, text, block)
    plain = _store_natively(space, rows, plain)
    for start in range(0, count, _BATCH):
        stop = min(start + _BATCH, count)
        for each in plain:
            each.write(space, rows, start, stop)


def _clear_changed(space: Space, rows: Place, writers: "list[_Numbers | _Bools]") -> None:
    """Clear the unions of rows that get another active member, as pycapnp would."""
    tags = [(writer, writer.column.union) for writer in writers if writer.column.union]
    for start in range(0, rows.count, _BATCH):
        stop = min(start + _BATCH, rows.count)
        for writer, union in tags:
            now = _view(space, rows, union.offset, "<u2", start, stop)
            changed = now != writer.values[start:stop]
            if writer.wanted is not None:
                changed &= writer.wanted[start:stop]
            if changed.any():
                clear(space, rows, union, changed, start)


def _store_natively(
    space: Space, rows: Place, writers: "list[_Numbers | _Bools]"
) -> "list[_Numbers | _Bools]":
    """Store the columns that need no conversion, all in one go; return the others."""
    native, others = [], []
    for writer in writers:
        if isinstance(writer, _Numbers) and writer.wanted is None and writer.is_as_stored():
            offset = writer.column.field.offset // 8
            native.append((writer.values.data, offset, int(writer.flip)))
        else:
            others.append(writer)
    if native:
        place = (rows.segment, rows.byte, rows.stride, rows.count)
        _core.store_columns(space.segments, place, tuple(native))
    return others


def _count(target: Target, given: dict[str, Any]) -> int:
    """Find the one length of all columns and the list."""
    where = spell(target.path)
    elements = target.place
    assert not isinstance(elements, Place)
    if not given:
        raise ValueError(f"{where}: fill() needs columns")
    lengths = {name: length_of(values, _label(target, name)) for name, values in given.items()}
    first, count = next(iter(lengths.items()))
    for name, length in lengths.items():
        if length != count:
            raise ValueError(
                f"{where}: column {first!r} has {count} rows, column {name!r} has {length}"
            )
    if elements is not None and elements.count != count:
        raise ValueError(f"{where} has {elements.count} elements, the columns have {count} rows")
    assert target.type.element is not None
    body = target.type.element.schema.node.struct
    _check_size(where, count, body.dataWordCount + body.pointerCount)
    return count


def _check_size(where: str, count: int, words: int) -> None:
    """Refuse more than a list can have, of which pycapnp would die."""
    most = _MOST_ELEMENTS // max(words, 1)
    if count > most:
        raise ValueError(f"{where}: such a list has {most} elements at most, not {count}")


def _label(target: Target, name: str) -> str:
    return f"{spell(target.path)}, column {name!r}"


def _writers(
    space: Space, target: Target, found: list[tuple[Column, Any]], count: int
) -> list[_Numbers | _Bools | _Strings]:
    """Check all values, and decide which rows the members of unions get."""
    writers: list[_Numbers | _Bools | _Strings] = []
    chosen: dict[str, Any] = {}
    implied: dict[str, _Implied] = {}
    # The tags first, those of outer unions before those of inner ones: they decide.
    found = sorted(found, key=lambda one: (one[0].union is None, len(one[0].unions)))
    for column, values in found:
        label = _label(target, column.name)
        wanted = _wanted(column, chosen, implied, label)
        if column.union is None:
            writers.append(_writer(space, column, wanted, values, label, target))
            continue
        known = {name: tag for tag, name in column.union.members.items()}
        tags = named_numbers(chosen_of(values, wanted), known, "the union", label)
        chosen[column.union.prefix] = _spread(tags, wanted)
        writers.append(_Numbers(column, wanted, chosen[column.union.prefix]))
    for union, tag, _, wanted in implied.values():
        column = find(union.schema, [TAG], target.path)
        writers.append(_Numbers(column, wanted, np.full(count, tag, np.uint16)))
    return writers


class _Implied(NamedTuple):
    """A tag that a column implies, since none is given."""

    union: Union
    tag: int
    name: str
    """Of the first column that implies it."""
    wanted: Any
    """Which rows have the union at all, an array of bool; None for all."""


def _wanted(
    column: Column,
    chosen: dict[str, Any],
    implied: dict[str, _Implied],
    label: str,
) -> Any:
    """Find the rows in which a column is the active member of its unions.

    Where the tag is given as a column of its own, that decides. Else the column makes
    itself the active member, everywhere, as setting it in pycapnp does.
    """
    wanted = None
    for union, tag in column.unions:
        given = chosen.get(union.prefix)
        if given is not None:
            matches = given == tag
            wanted = matches if wanted is None else wanted & matches
            continue
        other = implied.setdefault(union.prefix, _Implied(union, tag, column.name, wanted))
        if other.tag != tag:
            raise ValueError(
                f"{label}: it shares its place with {other.name!r}, as members of one union do; "
                f"column {union.prefix + TAG!r} can say which rows have which"
            )
    return wanted


def _writer(
    space: Space, column: Column, wanted: Any, values: Any, label: str, target: Target
) -> _Numbers | _Bools | _Strings:
    kind = column.field.type
    if kind.kind in ("text", "data"):
        if space.builder is None or space.builder._message is None:
            raise ValueError(f"{label}: Text and Data need a message made by init_root()")
        parts, need = _checked_strings(space, values, label, wanted, kind.kind == "text")
        return _Strings(column, wanted, parts, need)
    if kind.kind not in NUMBERS and kind.kind != "bool":
        raise refuse(column, target.path)
    # Rows that do not have the column may hold anything, or nothing.
    if wanted is not None:
        label += " (among the rows that have it)"
    checked = _checked_numbers(space, chosen_of(values, wanted), kind, label)
    checked = _spread(checked, wanted)
    return (_Bools if kind.kind == "bool" else _Numbers)(column, wanted, checked)


def _checked_numbers(space: Space, values: Any, kind: Type, label: str) -> Any:
    """Check numbers, and copy those that lie where something may be written first."""
    checked = numbers_of(values, kind, label)
    return checked.copy() if is_inside(space, checked) else checked


def _checked_strings(
    space: Space, values: Any, label: str, wanted: Any, text: bool
) -> tuple[list[Part | Listed], Need]:
    """Check strings, and copy those that lie where something may be written first."""
    parts = strings_of(values, label, wanted)
    need = measure(parts, wanted, text, label)
    if need.lent:
        parts = [part.apart(space) for part in parts]
    return parts, need


def _spread(values: Any, wanted: Any) -> Any:
    """Put the values of the rows that are wanted where these rows are."""
    if wanted is None:
        return values
    spread = np.zeros(len(wanted), values.dtype)
    spread[wanted] = values
    return spread


def _rows(space: Space, target: Target, count: int, columns: list[Column]) -> tuple[Space, Place]:
    """Make the list if it is not set, and bring it to the layout of the schema."""
    elements = target.place
    assert not isinstance(elements, Place)
    if elements is not None:
        rows = structs_of(elements)
        if count == 0 or all(_is_there(column, rows) for column in columns):
            return space, rows
        # Made by an older schema: pycapnp moves it when it is asked for it.
        _pycapnp_parent(space, target)._get(target.path[-1])
    else:
        _pycapnp_parent(space, target).init(target.path[-1], count)
    assert space.builder is not None
    space = space.builder._space()
    elements = follow(space, target.path).place
    assert isinstance(elements, Elements)
    rows = structs_of(elements)
    if count != 0 and not all(_is_there(column, rows) for column in columns):
        raise RuntimeError(f"pycapnp did not bring {spell(target.path)} to the schema's layout")
    return space, rows


def _is_there(column: Column, rows: Place) -> bool:
    field = column.field
    if field.type.kind in ("text", "data"):
        return field.offset < rows.pointers
    bits = 16 if field.type.kind == "tag" else field.bits
    return field.offset + bits <= rows.data_bits


def _pycapnp_parent(space: Space, target: Target) -> Any:
    """Return pycapnp's builder of what the list is in."""
    builder = space.builder
    if builder is None or builder._message is None:
        raise ValueError(f"{spell(target.path)} can only be made in a message made by init_root()")
    node = builder._message.get_root(space.schema)
    for step in target.path[:-1]:
        node = node._get(step)
    return node


# ---- lists of plain values -----------------------------------------------------------


def _fill_elements(space: Space, target: Target, data: Any, named: dict[str, Any]) -> None:
    where = spell(target.path)
    element = target.type.element
    assert element is not None
    if named or data is None:
        raise TypeError(f"{where} is a {target.type}: fill() takes its values after the path")
    count = length_of(data, where)
    elements = target.place
    assert not isinstance(elements, Place)
    if elements is not None and elements.count != count:
        raise ValueError(f"{where} has {elements.count} elements, not {count}")
    _check_size(where, count, 1)
    kind = element.kind
    values: Any = None
    parts: list[Part | Listed] = []
    need = Need(0, 0, False)
    if kind in ("text", "data"):
        parts, need = _checked_strings(space, data, where, None, kind == "text")
    elif kind in NUMBERS or kind == "bool":
        values = _checked_numbers(space, data, element, where)
    else:
        raise TypeError(f"{where} is a {target.type}: fill() cannot write it, use pycapnp")
    if elements is None:
        _pycapnp_parent(space, target).init(target.path[-1], count)
        assert space.builder is not None
        space = space.builder._space()
        found = follow(space, target.path).place
        assert isinstance(found, Elements)
        elements = found
    if count == 0:
        return
    if kind == "bool":
        _write_bits(space, elements, values)
    elif kind in NUMBERS:
        np.copyto(numbers_view(space, element, elements), values, casting="unsafe")
    else:
        place = elements.structs()
        pointers = (place.segment, place.word, place.stride // 8, count)
        space, block = reserve(space, place.segment, need)
        lay(space, pointers, parts, None, kind == "text", block)


def _write_bits(space: Space, elements: Elements, values: Any) -> None:
    packed = np.packbits(values, bitorder="little")
    start = 8 * elements.word
    space.segments[elements.segment][start : start + len(packed)] = packed.data
