"""Values as readers see them: a list, or one field of all structs in a list, in a copy."""

from typing import Any, NamedTuple

from .. import _core
from ._numpy import DTYPES, np
from .fields import FlatField, flat_field, refuse
from .left_out import warn_of_values
from .locate import Found, PathError, Step, find_columns, spell
from .meanings import dress
from .memory import MessageMemory
from .rows import ALL, DICTS, OBJECTS
from .schema import TAG, Plan, Struct
from .spans import BIT, ListSpan, StructRows, invalid, span_at
from .views import array, field_view


class _Source(NamedTuple):
    """The structs of a list, or the elements of one."""

    plan: Plan
    memory: MessageMemory
    segments: tuple[memoryview, ...]
    found: Found
    span: ListSpan | None


def column(plan: Plan, memory: MessageMemory, path: tuple[Step, ...], names: bool = False) -> Any:
    """Return the values of a list, or of one field of all structs in a list."""
    found, rest = find_columns(plan, memory, path)
    if plan.types[found.type].kind != "list":
        return np.array(array(plan, memory, path))
    segments = found.within(memory)
    source = _Source(plan, memory, segments, found, span_at(segments, found.pointer))
    if source.span is None and memory.building:
        raise PathError(f"{spell(found.path)} is not set: there is nothing to read")
    steps = [step for name in rest for step in name.split(".")]
    values = _field(source, steps) if steps else _elements(source, path)
    values = _with_meaning(source, steps, values)
    return _with_names(source, steps, values) if names else values


# ---- lists ----------------------------------------------------------------------------------


def _elements(source: _Source, path: tuple[Step, ...]) -> Any:
    kind = source.plan.types[source.plan.types[source.found.type].refers_to].kind
    span = source.span
    if kind in ("list", "void"):
        return objects([] if span is None else _read(source, DICTS, None, None))
    if kind not in ("bool", "text", "data"):
        return np.array(array(source.plan, source.memory, path))
    if span is None or span.length == 0:
        return np.empty(0, bool if kind == "bool" else object)
    if kind == "bool":
        return _bits(source, span)
    rows = span.strings()
    return _strings(source, rows, rows.word, None, kind == "text", "" if kind == "text" else b"")


def _bits(source: _Source, span: ListSpan) -> Any:
    if span.size != BIT:
        raise invalid("a list of something else stands for one of bits", span.segment, span.word)
    octets = (span.length + 7) // 8
    packed = np.frombuffer(source.segments[span.segment], np.uint8, octets, 8 * span.word)
    return np.unpackbits(packed, count=span.length, bitorder="little").view(bool)


# ---- fields of structs ----------------------------------------------------------------------


def _field(source: _Source, steps: list[str]) -> Any:
    plan, span = source.plan, source.span
    record = plan.types[plan.types[source.found.type].refers_to].refers_to
    if _is_nested(plan, record, steps):
        return _nested(source, steps)
    field = flat_field(plan, record, ".".join(steps), source.found.path)
    rows = StructRows(0, 0, 0, 0, 0, 0, 0) if span is None else _rows(source, span)
    there = _present(source, rows, field)
    if field.kind in ("text", "data"):
        default = field.default or b""
        if field.offset >= rows.pointers:  # no struct has the pointer: their schema is older
            values = np.empty(rows.length, object)
            values[:] = default.decode() if field.kind == "text" else default
            return values
        text = field.kind == "text"
        missing = default.decode() if text else default
        return _strings(source, rows, rows.word + field.offset, there, text, missing)
    if field.kind not in DTYPES and field.kind not in ("bool", "tag"):
        raise refuse(plan, field, source.found.path)
    values = _stored(source, rows, field)
    if there is not None and not there.all():
        values[~there] = _default_of(field)
    return values


# Structs without content take no room in a message, however many a list claims to have. Their
# columns take memory. So this many are accepted, and one more for each bit of the message.
_MOST_EMPTY = 4096


def _rows(source: _Source, span: ListSpan) -> StructRows:
    rows = span.structs()
    if rows.stride == 0 and rows.length > _MOST_EMPTY:
        bits = 8 * sum(len(segment) for segment in source.segments)
        if rows.length > _MOST_EMPTY + bits:
            raise invalid(
                "a list has more structs without content than can be taken apart",
                span.segment,
                span.word,
            )
    return rows


def _present(source: _Source, rows: StructRows, field: FlatField) -> Any:
    """Return which rows have the field as the active member; None if all have."""
    mask = None
    for union, tag in field.unions:
        matches = _tags(source, rows, union.offset) == tag
        mask = matches if mask is None else mask & matches
    return mask


def _tags(source: _Source, rows: StructRows, offset: int) -> Any:
    if offset + 16 > rows.data_bits or rows.length == 0:
        return np.zeros(rows.length, np.uint16)
    return field_view(source.segments, rows, offset, "<u2").astype(np.uint16)


def _default_of(field: FlatField) -> Any:
    """Return the value of a number that was not set."""
    if field.kind == "bool":
        return bool(field.default)
    dtype = np.dtype("<u2" if field.union is not None else DTYPES[field.kind])
    return np.frombuffer(int(field.default).to_bytes(dtype.itemsize, "little"), dtype)[0]


def _stored(source: _Source, rows: StructRows, field: FlatField) -> Any:
    """Return a number, Bool or tag of all rows, its default undone, in a copy."""
    if field.kind == "tag":
        return _tags(source, rows, field.offset)
    is_bool = field.kind == "bool"
    dtype = np.dtype(bool if is_bool else DTYPES[field.kind])
    native = dtype.newbyteorder("=")
    if field.offset + field.bits > rows.data_bits or rows.length == 0:
        return np.full(rows.length, _default_of(field), native)
    if is_bool:
        octets = field_view(source.segments, rows, field.offset, "u1")
        bits = (octets >> np.uint8(field.offset % 8)) & np.uint8(1)
        return bits != field.default
    if not field.default:
        return field_view(source.segments, rows, field.offset, dtype).astype(native)
    raw = field_view(source.segments, rows, field.offset, f"<u{dtype.itemsize}").copy()
    raw ^= raw.dtype.type(field.default)
    return raw.view(dtype).astype(native, copy=False)


def _strings(
    source: _Source, rows: StructRows, word: int, mask: Any, text: bool, missing: Any
) -> Any:
    """Return what the pointers from a word on lead to: an array of str or bytes."""
    pointers = (rows.segment, word, rows.stride // 8, rows.length)
    return objects(_core.read_strings(source.segments, pointers, mask, text, missing))


# ---- nested values --------------------------------------------------------------------------


def _is_nested(plan: Plan, number: int, steps: list[str]) -> bool:
    """Whether a field is a list, a struct or a group, or in a struct."""
    kind = "struct"
    for step in steps:
        if kind not in ("struct", "group") or step not in plan.structs[number].fields:
            return False
        kind, number = plan.types[plan.structs[number].fields[step].type]
        if kind == "struct":
            return True
    return kind in ("list", "group")


def _nested(source: _Source, steps: list[str]) -> Any:
    structs = _structs_on(source, steps)
    if source.span is None:
        return objects([])
    first = steps[0]
    rows = _read(source, OBJECTS, lambda **fields: fields[first], frozenset([first]))
    for step, struct in zip(steps[1:], structs[1:], strict=True):
        if step == TAG:
            rows = [None if row is None else _tag_of(struct, row) for row in rows]
        else:
            rows = [None if row is None else row.get(step) for row in rows]
    last = structs[-1].fields.get(steps[-1])
    kind, number = (None, 0) if last is None else source.plan.types[last.type]
    if kind == "enum":
        numbers = source.plan.enums[number].numbers
        rows = [None if row is None else _number_of(numbers, row) for row in rows]
    return objects(rows)


def _number_of(numbers: dict[str, int], name: str) -> int:
    """Return the number of an enumerant, which is called ``@7`` if it has no name."""
    return int(name[1:]) if name.startswith("@") else numbers[name]


def _structs_on(source: _Source, steps: list[str]) -> list[Struct]:
    """Return the struct or group of which each step names a field.

    Raises:
        PathError: one does not have the field, or the way leads through something else.
    """
    plan, found = source.plan, []
    kind, number = "struct", plan.types[plan.types[source.found.type].refers_to].refers_to
    for position, step in enumerate(steps):
        name = ".".join(steps[:position])
        if kind not in ("struct", "group"):
            raise PathError(f"{spell(source.found.path)}: {name!r} is no struct, of which a column "
                            f"could have {step!r}")  # fmt: skip
        struct = plan.structs[number]
        found.append(struct)
        if step == TAG and struct.tag_offset is not None and position == len(steps) - 1:
            break
        if step not in struct.fields:
            known = ", ".join(struct.fields)
            raise PathError(f"{spell(source.found.path)}: {struct.name} has no {step!r}; its "
                            f"fields are: {known}")  # fmt: skip
        kind, number = plan.types[struct.fields[step].type]
    return found


def _tag_of(struct: Struct, row: dict[str, Any]) -> int | None:
    """Return the tag of a struct that was read as a dict; None if its member has no name."""
    return next((tag for tag, name in struct.members.items() if name in row), None)


def _read(source: _Source, style: int, row_class: Any, fields: frozenset[str] | None) -> list[Any]:
    pointer = source.found.pointer
    assert pointer is not None
    values, left_out = source.plan.native.read(
        source.segments, source.found.type, *pointer, 0, ALL, style, row_class, fields, False
    )
    warn_of_values(left_out)
    assert isinstance(values, list)
    return values


def objects(values: list[Any]) -> Any:
    """Return an array of Python's objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


# ---- what numbers mean ----------------------------------------------------------------------


def _with_meaning(source: _Source, steps: list[str], values: Any) -> Any:
    """Return numbers that an annotation is about as what they mean; others as they are."""
    plan = source.plan
    number = plan.types[source.found.type].refers_to
    for step in steps:
        kind, refers_to = plan.types[number]
        if kind not in ("struct", "group") or step not in plan.structs[refers_to].fields:
            return values
        number = plan.structs[refers_to].fields[step].type
    meaning = plan.meanings.get(number)
    # Values that were read as rows are converted already.
    if meaning is None or (values.dtype == object and not isinstance(next(iter(values), 0), bytes)):
        return values
    return dress(meaning, values)


# ---- names ----------------------------------------------------------------------------------


def _with_names(source: _Source, steps: list[str], numbers: Any) -> Any:
    """Return the names of enumerants, or of a union's members, for their numbers.

    Raises:
        TypeError: the values are neither.
    """
    plan = source.plan
    names: dict[int, str] | None = None
    kind, number = plan.types[plan.types[source.found.type].refers_to]
    for step in steps:
        struct = plan.structs[number]
        if step == TAG:
            kind, names = "tag", dict(struct.members)
            break
        kind, number = plan.types[struct.fields[step].type]
    if kind == "enum":
        names = {value: name for name, value in plan.enums[number].numbers.items()}
    if names is None:
        raise TypeError(f"names=True is for enums and for {TAG!r}: these values are neither")
    return names_of(names, numbers)


def names_of(names: dict[int, str], numbers: Any) -> Any:
    """Return the name of each number, or ``@7`` for one without a name, and None for None."""
    if numbers.dtype == object:
        return objects([None if i is None else names.get(i, f"@{i}") for i in numbers])
    most = max(0, int(numbers.max(initial=0)), *names)
    return np.array([names.get(i, f"@{i}") for i in range(most + 1)])[numbers]
