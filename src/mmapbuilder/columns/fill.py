"""Whole columns into a message, of types that nest.

Columns of Arrow are read natively, whoever made them. Other columns whose fields are lists
or structs are taken apart into rows. What is flat and not of Arrow is for
`mmapbuilder.columns.flat`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .locate import Found, PathError, Step, find_columns, spell
from .memory import GrowingMemory
from .rows import attribute_names, put_stage
from .schema import TAG, Plan, Struct

_FLAT = frozenset(
    {
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        "float32",
        "float64",
        "enum",
        "text",
        "data",
    }
)


def fill(
    plan: Plan, memory: GrowingMemory, arguments: tuple[Any, ...], named: dict[str, Any]
) -> bool:
    """Write columns into the list at a path; return False if `flat.fill` is to do it."""
    path, data = _split(arguments)
    found, rest = find_columns(plan, memory, path)
    if plan.types[found.type].kind != "list" or found.pointer is None:
        return False
    defaults = _takes_defaults(named)
    if rest and (named or data is None):
        return False
    if rest:
        named, data = {".".join(rest): data}, None
    element = plan.types[found.type].target
    if plan.types[element].kind != "struct":
        return not named and data is not None and _fill_list(plan, memory, found, data, defaults)
    columns = _columns(data, named)
    if columns is None:
        return False
    if not defaults and not _is_nested(plan, plan.types[element].target, data, columns):
        return False
    _fill_structs(plan, memory, found, data, columns, defaults)
    return True


def _takes_defaults(named: dict[str, Any]) -> bool:
    """Take the option `missing` out of the columns; whether numbers can be missing.

    A column of that name has values: no column is a str.
    """
    missing = named.get("missing")
    if not isinstance(missing, str):
        return False
    if missing not in ("default", "error"):
        raise ValueError(f'missing must be "default" or "error", not {missing!r}')
    del named["missing"]
    return missing == "default"


def _split(arguments: tuple[Any, ...]) -> tuple[tuple[Step, ...], Any]:
    """Tell the path from the values that may follow it."""
    if arguments:
        last = arguments[-1]
        if not isinstance(last, str | int) and not hasattr(last, "__index__"):
            return arguments[:-1], last
        if hasattr(last, "__len__") and not isinstance(last, str):
            return arguments[:-1], last  # an array has __index__, too
    return arguments, None


# ---- columns -------------------------------------------------------------------------------


def _is_arrow(values: Any) -> bool:
    """Whether values are offered by the Arrow PyCapsule interface."""
    if type(values).__module__.partition(".")[0] == "pandas":
        return False  # which needs pyarrow for it, and adds its index
    return hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")


def _capsule(values: Any) -> Any:
    if hasattr(values, "__arrow_c_stream__"):
        return values.__arrow_c_stream__()
    return values.__arrow_c_array__()


def _columns(data: Any, named: dict[str, Any]) -> dict[str, Any] | None:
    """Return columns by name; for a table of Arrow that is not taken apart, as None each."""
    if data is None:
        return dict(named)
    if _is_arrow(data) and not named:
        names = getattr(data, "column_names", None) or getattr(data, "columns", None)
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            return {}
        return dict.fromkeys(names)
    found: dict[str, Any] | None = None
    if isinstance(data, Mapping):
        found = dict(data)
    elif hasattr(data, "get_columns"):  # polars
        found = {column.name: column for column in data.get_columns()}
    elif hasattr(data, "column_names") and hasattr(data, "column"):  # pyarrow
        found = {name: data.column(name) for name in data.column_names}
    elif hasattr(data, "items") and hasattr(data, "columns"):  # pandas
        found = dict(data.items())
    if found is None or not all(isinstance(name, str) for name in found) or found.keys() & named:
        return None
    return found | named


def _is_nested(plan: Plan, record: int, data: Any, columns: dict[str, Any]) -> bool:
    """Whether a column is for more than one flat value, or no other way can read it."""
    if data is not None and _is_arrow(data):
        library = type(data).__module__.partition(".")[0]
        if not columns or library not in ("polars", "pyarrow"):
            return True
    if any(_needs_native(plan, record, name, columns[name]) for name in columns):
        return True
    if any(_only_native(values) for values in columns.values()):
        return True
    return _tells_members(plan, record, columns)


def _only_native(values: Any) -> bool:
    """Whether values can be read by the interface of Arrow, and in no other way."""
    return _is_arrow(values) and not hasattr(values, "__array__") and not hasattr(values, "__len__")


def _tells_members(plan: Plan, record: int, columns: dict[str, Any]) -> bool:
    """Whether the values of columns tell which members of a union are active, as None does."""
    members: dict[str, int] = {}
    for name, values in columns.items():
        group, _, last = name.rpartition(".")
        struct: Struct | None = plan.structs[record]
        for step in filter(None, group.split(".")):
            struct = _struct_in(plan, struct, step)
        if struct is None:
            return False  # the other way says what is wrong
        if last == TAG:
            return False
        if last in struct.fields and struct.fields[last].tag is not None:
            complete = getattr(getattr(values, "dtype", None), "kind", "O") in "biuf"
            members[group] = members.get(group, 0) + (1 if complete else 2)
    return any(count > 1 for count in members.values())


def _struct_in(plan: Plan, struct: Struct | None, name: str) -> Struct | None:
    if struct is None or name not in struct.fields:
        return None
    kind, target = plan.types[struct.fields[name].type]
    return plan.structs[target] if kind in ("group", "struct") else None


def _needs_native(plan: Plan, record: int, name: str, values: Any) -> bool:
    struct = plan.structs[record]
    steps = name.split(".")
    for number, step in enumerate(steps):
        if step == TAG and number == len(steps) - 1:
            return False
        if step not in struct.fields:
            return False  # the other way says what is wrong
        if struct.is_generic:
            return True  # the other way does not know what parameters are bound to
        kind, target = plan.types[struct.fields[step].type]
        if kind in ("group", "struct") and number < len(steps) - 1:
            if kind == "struct":
                return True
            struct = plan.structs[target]
            continue
        if kind == "group":
            if isinstance(values, Mapping):
                return any(_needs_native(plan, target, each, None) for each in values)
            return len(plan.structs[target].fields) == 2 or _has_rows(values)
        return kind in ("list", "struct", "void") or (kind == "data" and _is_unusual(values))
    return False


def _has_rows(values: Any) -> bool:
    """Whether a column has structs: one of Arrow, or dicts and the like, not only numbers."""
    if values is None or _is_arrow(values):
        return True
    first = next(iter(values), None) if isinstance(values, list | tuple) else None
    return first is not None and not isinstance(first, int | float | str | bytes)


def _is_unusual(values: Any) -> bool:
    """Whether bytes come as arrays of a fixed width, or as UUIDs."""
    if values is None or _is_arrow(values):
        return True
    if not isinstance(values, list | tuple):
        return False
    first = next((each for each in values if each is not None), None)
    return type(first).__name__ == "UUID"


def _is_void(plan: Plan, record: int, name: str) -> bool:
    struct = plan.structs[record]
    for step in name.split("."):
        if step not in struct.fields:
            return False
        kind, target = plan.types[struct.fields[step].type]
        if kind in ("group", "struct"):
            struct = plan.structs[target]
    return kind == "void"


def _fill_structs(
    plan: Plan,
    memory: GrowingMemory,
    found: Found,
    data: Any,
    columns: dict[str, Any],
    defaults: bool,
) -> None:
    where = spell(found.path)
    if data is not None and _is_arrow(data) and all(each is None for each in columns.values()):
        given: list[tuple[str | None, Any]] = [(None, _capsule(data))]
    elif columns and all(_is_arrow(values) for values in columns.values()):
        given = [(name, _capsule(values)) for name, values in columns.items()]
    else:
        stage = _from_rows(plan, found, where, columns, defaults)
        put_stage(memory, stage, found)
        return
    put_stage(memory, _from_arrow(plan, found, where, given, defaults), found)


def _from_arrow(plan: Plan, found: Found, where: str, given: list[Any], defaults: bool) -> Any:
    try:
        return plan.native.stage_arrow(found.type, given, defaults)
    except KeyError as error:
        raise PathError(f"{where}: {error.args[0]}") from None


# What the native code is told of values that are missing, see `Plan.stage`.
_PART_OF_ROWS, _PART_WITH_DEFAULTS = 2, 3


def _from_rows(
    plan: Plan, found: Found, where: str, columns: dict[str, Any], defaults: bool
) -> Any:
    """Take columns apart into rows, of which each has a value of each column."""
    if not columns:
        raise ValueError(f"{where}: fill() needs columns")
    lists = {name: _as_list(values, name) for name, values in columns.items()}
    counts = {name: len(values) for name, values in lists.items()}
    first, count = next(iter(counts.items()))
    for name, other in counts.items():
        if other != count:
            raise ValueError(
                f"{where}: column {first!r} has {count} rows, column {name!r} has {other}"
            )
    record = plan.types[plan.types[found.type].target].target
    lists = {name: lists[name] for name in lists if not _is_void(plan, record, name)}
    rows = [_row(lists, number) for number in range(count)]
    for name in lists:
        if name.rpartition(".")[2] == TAG:
            _drop_inactive(plan, record, name.split(".")[:-1], rows)
    how = _PART_WITH_DEFAULTS if defaults else _PART_OF_ROWS
    return plan.native.stage(0, found.type, rows, None, -1, False, how, attribute_names)


def _row(lists: dict[str, Any], number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in lists.items():
        inner = row
        *groups, last = name.split(".")
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = values[number]
    return row


def _drop_inactive(plan: Plan, record: int, path: list[str], rows: list[dict[str, Any]]) -> None:
    """Of a union whose tag is a column, let rows have the member that it names, and no other."""
    struct: Struct | None = plan.structs[record]
    for step in path:
        struct = _struct_in(plan, struct, step)
    members = () if struct is None else struct.members.values()
    for row in rows:
        for step in path:
            row = row.get(step, {})
        for name in members:
            if name != row.get(TAG):
                row.pop(name, None)


def _as_list(values: Any, name: str) -> Any:
    if isinstance(values, list | tuple):
        return values
    if isinstance(values, Mapping):
        inner = {key: _as_list(each, name) for key, each in values.items()}
        counts = {len(each) for each in inner.values()}
        if len(counts) > 1:
            raise ValueError(f"column {name!r}: its columns differ in length")
        return [{key: inner[key][i] for key in inner} for i in range(max(counts, default=0))]
    if getattr(getattr(values, "dtype", None), "names", None):  # structs of NumPy
        names = values.dtype.names
        return [dict(zip(names, row, strict=True)) for row in values.tolist()]
    if type(values).__module__.partition(".")[0] == "pandas":
        return _pandas_list(values)
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method) and getattr(values, "ndim", 1) == 1:
            return getattr(values, method)()
    return list(values)


def _pandas_list(values: Any) -> list[Any]:
    """Return the values of a series, with None where it says that there is none."""
    if getattr(values.dtype, "kind", "O") in "fc" and not hasattr(values.dtype, "na_value"):
        return list(values.tolist())  # in floats NaN is a value
    gone = values.isna().tolist()
    return [None if gone[i] else each for i, each in enumerate(values.tolist())]


# ---- lists of other types ---------------------------------------------------------------------


def _fill_list(plan: Plan, memory: GrowingMemory, found: Found, data: Any, defaults: bool) -> bool:
    kind = plan.types[plan.types[found.type].target].kind
    if kind in ("anyPointer", "interface") or (kind in _FLAT and not defaults):
        return False
    if _is_arrow(data):
        stage = _from_arrow(plan, found, spell(found.path), [("", _capsule(data))], defaults)
    else:
        if not isinstance(data, list | tuple) and not hasattr(data, "__array__"):
            data = list(data)
        if kind == "void":
            data = [None] * len(data)
        how = 0 if defaults else 1
        stage = plan.native.stage(1, found.type, data, None, -1, False, how, attribute_names)
    put_stage(memory, stage, found)
    return True
