"""Writes columns of types that nest: all of them are staged first, and then put into a message.

Columns of Arrow are read natively, whichever library made them. Other columns are taken apart into
rows.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from .annotated import are_no_numbers, inner_struct, meaning_of
from .arrow import capsule, is_arrow, library
from .arrow_values import values_of
from .lists import POINTER, ROWS, TargetList, common_length, put_stage
from .locate import PathError
from .meanings import Meaning, counts
from .rows import attribute_names
from .schema import TAG, Plan, Struct

NESTED = frozenset({"list", "void"})
"""Kinds of elements that `fill_list` is for, besides numbers that may be missing."""


def is_nested(plan: Plan, record: int, columns: dict[str, Any]) -> bool:
    """Whether a column is for more than one flat value, or tells members by its nulls.

    The values of columns that are not looked at yet are None.
    """
    if any(_needs_native(plan, record, name, columns[name]) for name in columns):
        return True
    if any(is_only_native(values) for values in columns.values()):
        return True
    if are_no_numbers(None, columns):
        return True
    return _tells_members(plan, record, columns)


def is_only_native(values: Any) -> bool:
    """Whether values can be read by the interface of Arrow, and in no other way."""
    if str(getattr(values, "type", None)).startswith("run_end_encoded"):
        return True
    return is_arrow(values) and not hasattr(values, "__array__") and not hasattr(values, "__len__")


def _tells_members(plan: Plan, record: int, columns: dict[str, Any]) -> bool:
    """Whether the values of columns tell which members of a union are active, as None does."""
    members: dict[str, int] = {}
    for name, values in columns.items():
        group, _, last = name.rpartition(".")
        struct: Struct | None = plan.structs[record]
        for step in filter(None, group.split(".")):
            struct = inner_struct(plan, struct, step)
        if struct is None:
            return False  # the other way says what is wrong
        if last == TAG:
            return False
        if last in struct.fields and struct.fields[last].tag is not None:
            complete = getattr(getattr(values, "dtype", None), "kind", "O") in "biuf"
            members[group] = members.get(group, 0) + (1 if complete else 2)
    return any(count > 1 for count in members.values())


def _needs_native(plan: Plan, record: int, name: str, values: Any) -> bool:
    struct = plan.structs[record]
    steps = name.split(".")
    for number, step in enumerate(steps):
        if step == TAG and number == len(steps) - 1:
            return False
        if step not in struct.fields:
            return False  # the other way says what is wrong
        kind, refers_to = plan.types[struct.fields[step].type]
        if plan.meaning(struct.fields[step].type) is not None:
            return True  # the other way knows numbers
        if kind in ("group", "struct") and number < len(steps) - 1:
            if kind == "struct":
                return True
            struct = plan.structs[refers_to]
            continue
        if kind == "group":
            if isinstance(values, Mapping):
                return any(_needs_native(plan, refers_to, each, None) for each in values)
            return len(plan.structs[refers_to].fields) == 2 or _has_rows(values)
        return kind in ("list", "struct", "void") or (kind == "data" and _is_unusual(values))
    return False


def _has_rows(values: Any) -> bool:
    """Whether a column has structs: one of Arrow, or dicts and the like, not only numbers."""
    if values is None or is_arrow(values):
        return True
    if not isinstance(values, list | tuple) and getattr(values, "dtype", None) != "O":
        return False
    first = next((each for each in values if each is not None), None)
    return not isinstance(first, int | float | str | bytes)


def _is_unusual(values: Any) -> bool:
    """Whether bytes come as arrays of a fixed width, or as UUIDs."""
    if values is None or is_arrow(values):
        return True
    if not isinstance(values, list | tuple) and getattr(values, "dtype", None) != "O":
        return False
    first = next((each for each in values if each is not None), None)
    return type(first).__name__ == "UUID"


# Types of Arrow whose values `flat` and the native code take in the same way, by kinds of fields.
_SAME = {
    "text": ("string", "large_string", "string_view"),
    "data": ("binary", "large_binary", "binary_view"),
    **{kind: (kind,) for kind in ("int8", "int16", "int32", "int64")},
    **{kind: (kind,) for kind in ("uint8", "uint16", "uint32", "uint64")},
    "bool": ("bool",),
    "float32": ("float",),
    "float64": ("double",),
}
_OF_POLARS = {
    **{name.capitalize(): name for name in ("int8", "int16", "int32", "int64")},
    **{f"UInt{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "Boolean": "bool",
    "Float32": "float",
    "Float64": "double",
    "String": "string_view",
    "Binary": "binary_view",
}
_MOST_STAGED = 64 << 20


def _arrow_type(values: Any) -> tuple[str | None, int, int]:
    """Return the type of a column as pyarrow calls it, how many nulls there are, and its bytes."""
    if library(values) == "pyarrow" and hasattr(values, "type"):
        return str(values.type), values.null_count, values.nbytes
    if library(values) == "polars" and hasattr(values, "dtype"):
        return _OF_POLARS.get(str(values.dtype)), values.null_count(), values.estimated_size()
    return None, 0, 0


def is_faster_staged(target: TargetList, columns: dict[str, Any]) -> bool:
    """Whether it is faster to stage flat columns first.

    It is for columns of Arrow for a new list: one call of the kernel then writes the pages of
    the file. For stores it would zero each page first, and each page would be a fault. Meanwhile
    the values are in memory twice, so there must not be too many.
    """
    size, lengths = 0, set[int]()
    if target.span is not None:
        return False
    for name, values in columns.items():
        given, nulls, nbytes = _arrow_type(values)
        kind = _plain_kind(target, name)
        if given not in _SAME.get(kind, ()) or (nulls and kind not in ("text", "data")):
            return False
        lengths.add(len(values))
        size += nbytes
    return len(lengths) == 1 and _fits(target, len(columns), lengths.pop(), size)


def is_table_faster_staged(target: TargetList, table: Any) -> bool:
    """Whether that is so for a table of pyarrow, without taking it apart.

    The answer may be no although it is so for the columns.
    """
    if target.span is not None or library(table) != "pyarrow" or not hasattr(table, "column"):
        return False
    names = table.schema.names
    for i, given in enumerate(table.schema.types):
        kind = _plain_kind(target, names[i])
        if str(given) not in _SAME.get(kind, ()):
            return False
        if kind not in ("text", "data") and table.column(i).null_count:
            return False
    is_plain = 0 < len(names) == len(set(names))
    # Buffers that are used in part count in whole here: to count rows takes longer than the rest.
    most = table.get_total_buffer_size()
    return is_plain and _fits(target, len(names), table.num_rows, most)


def _plain_kind(target: TargetList, name: str) -> str:
    """Return the kind of a field; "void" if there is none, or if it is a member of a union."""
    field = target.plan.structs[target.record].fields.get(name)
    return "void" if field is None or field.tag is not None else target.plan.types[field.type].kind


def _fits(target: TargetList, columns: int, rows: int, size: int) -> bool:
    """Whether so many bytes of columns are not too many to be in memory twice."""
    struct = target.plan.structs[target.record]
    words = struct.data_words + struct.pointer_words + 2 * columns  # strings fill their words
    return size + 8 * words * rows <= min(_MOST_STAGED, 8 * target.memory.most_words)


def _is_void(plan: Plan, record: int, name: str) -> bool:
    struct = plan.structs[record]
    for step in name.split("."):
        if step not in struct.fields:
            return False
        kind, refers_to = plan.types[struct.fields[step].type]
        if kind in ("group", "struct"):
            struct = plan.structs[refers_to]
    return kind == "void"


def fill_table(target: TargetList, table: Any, defaults: bool) -> None:
    """Write a table of Arrow, without a look at its columns."""
    _put(target, _from_arrow(target, [(None, capsule(table))], defaults))


def fill_columns(target: TargetList, columns: dict[str, Any], defaults: bool) -> None:
    """Write columns by name."""
    if columns and all(is_arrow(values) for values in columns.values()):
        given: list[tuple[str | None, Any]] = []
        for name, values in columns.items():
            given.append((name, capsule(values)))
        stage = _from_arrow(target, given, defaults)
    else:
        stage = _from_rows(target, columns, defaults)
    _put(target, stage)


def fill_list(target: TargetList, data: Any, defaults: bool) -> None:
    """Write the elements of a list that are no structs."""
    if is_arrow(data):
        stage = _from_arrow(target, [("", capsule(data))], defaults)
    else:
        if hasattr(data, "filled"):  # a masked array, in which None stands for what is masked
            data = data.tolist()
        elif not isinstance(data, list | tuple) and not hasattr(data, "__array__"):
            data = list(data)
        if target.plan.types[target.element].kind == "void":
            data = [None] * len(data)
        how = _PART_WITH_DEFAULTS if defaults else _ALL
        stage = target.plan.native.stage(
            POINTER,
            target.found.type,
            data,
            None,
            -1,
            False,
            how,
            attribute_names,
            target.memory.make_file,
        )
    _put(target, stage)


def _put(target: TargetList, stage: Any) -> None:
    put_stage(target.memory, stage, target.to_be_set().found)


def _from_arrow(target: TargetList, given: list[tuple[str | None, Any]], defaults: bool) -> Any:
    try:
        make_file = target.memory.make_file
        return target.plan.native.stage_arrow(target.found.type, given, defaults, make_file)
    except KeyError as error:
        raise PathError(f"{target.where}: {error.args[0]}") from None


# What the native code is told of values that are missing, see `Plan.stage`.
_ALL, _PART, _PART_WITH_DEFAULTS = range(1, 4)


def _from_rows(target: TargetList, columns: dict[str, Any], defaults: bool) -> Any:
    how = _PART_WITH_DEFAULTS if defaults else _PART
    lists, count = lists_of(target.plan, target.record, columns, target.where)
    rows = rows_of(target.plan, target.record, lists, count)
    make_file = target.memory.make_file
    return target.plan.native.stage(
        ROWS, target.found.type, rows, None, -1, False, how, attribute_names, make_file
    )


def lists_of(
    plan: Plan, record: int, columns: dict[str, Any], where: str
) -> tuple[dict[str, Any], int]:
    """Return columns as lists, without those of Void, and how many rows they have.

    Raises:
        ValueError: they differ in length, or there are none, or one is given in two ways.
    """
    if not columns:
        raise ValueError(f"{where}: columns are required")
    for name in columns.keys() & _groups_of(columns):
        raise ValueError(f"{where}: column {name!r} is given twice, whole and by its fields")
    lists = {
        name: _as_list(values, name, meaning_of(plan, record, name))
        for name, values in columns.items()
    }
    count = common_length({name: len(values) for name, values in lists.items()}, where)
    return {name: lists[name] for name in lists if not _is_void(plan, record, name)}, count


def rows_of(plan: Plan, record: int, lists: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return rows, of which each has a value of each list."""
    rows = [_row(lists, number) for number in range(count)]
    for group in sorted(_groups_of(lists), reverse=True):  # the inner ones first
        if f"{group.rpartition('.')[0]}.{TAG}".lstrip(".") not in lists:
            _find_inactive(plan, record, group.split("."), rows)
    for name in lists:
        if name.rpartition(".")[2] == TAG:
            groups = name.split(".")[:-1]
            _take_members(groups, rows)
            _drop_inactive(plan, record, groups, rows)
    return rows


def _row(lists: dict[str, Any], number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in lists.items():
        inner = row
        *groups, last = name.split(".")
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = values[number]
    return row


def _groups_of(names: Iterable[str]) -> set[str]:
    """Return the groups and structs whose fields come as columns of their own."""
    return {name[:end] for name in names for end, letter in enumerate(name) if letter == "."}


def _find_inactive(plan: Plan, record: int, path: list[str], rows: list[dict[str, Any]]) -> None:
    """Let a member of a union be None in rows where all its fields are None."""
    struct: Struct | None = plan.structs[record]
    *groups, last = path
    for step in groups:
        struct = inner_struct(plan, struct, step)
    if struct is None or last not in struct.fields or struct.fields[last].tag is None:
        return
    for row in rows:
        for step in groups:
            row = row.get(step) or {}
        if row.get(last) is not None and all(each is None for each in row[last].values()):
            row[last] = None


def _take_members(groups: list[str], rows: list[dict[str, Any]]) -> None:
    """Of a union that is a column itself, let rows have the member that the column has."""
    for row in rows:
        for step in groups:
            row = row[step]
        if isinstance(row[TAG], dict):
            (row[TAG], value), *_ = row[TAG].items()
            row[row[TAG]] = value


def _drop_inactive(plan: Plan, record: int, path: list[str], rows: list[dict[str, Any]]) -> None:
    """If the tag of a union is a column, let each row have only the member that it names."""
    struct: Struct | None = plan.structs[record]
    for step in path:
        struct = inner_struct(plan, struct, step)
    members = () if struct is None else struct.members.values()
    for row in rows:
        for step in path:
            row = row.get(step, {})
        for name in members:
            if name != row.get(TAG):
                row.pop(name, None)


def _as_list(values: Any, name: str, meaning: Meaning | None = None) -> Any:
    if isinstance(values, list | tuple):
        return values
    letter = getattr(getattr(values, "dtype", None), "kind", "O")
    if letter in ("M", "m") and library(values) == "numpy":
        found = None if meaning is None else counts(meaning, values)
        return list(values) if found is None else found  # the native code says what is wrong
    if letter in ("M", "m") and library(values) == "pandas" and meaning and not meaning.zone:
        found = counts(meaning, values.to_numpy())
        if found is not None:
            return found
    if isinstance(values, Mapping):
        inner = {key: _as_list(each, name) for key, each in values.items()}
        lengths = {len(each) for each in inner.values()}
        if len(lengths) > 1:
            raise ValueError(f"column {name!r}: its columns differ in length")
        return [{key: inner[key][i] for key in inner} for i in range(max(lengths, default=0))]
    if getattr(getattr(values, "dtype", None), "names", None):  # structs of NumPy
        names = values.dtype.names
        return [dict(zip(names, row, strict=True)) for row in values.tolist()]
    if library(values) == "pandas":
        return _pandas_list(values)
    if is_arrow(values):
        return values_of(values, f"column {name!r}", meaning)
    for method in ("to_list", "tolist"):
        if hasattr(values, method) and getattr(values, "ndim", 1) == 1:
            return getattr(values, method)()
    return list(values)


def _pandas_list(values: Any) -> list[Any]:
    """Return the values of a series, with None where it says that there is none."""
    if getattr(values.dtype, "kind", "O") in "fc" and not hasattr(values.dtype, "na_value"):
        return list(values.tolist())  # in floats NaN is a value
    gone = values.isna().tolist()
    return [None if gone[i] else each for i, each in enumerate(values.tolist())]
