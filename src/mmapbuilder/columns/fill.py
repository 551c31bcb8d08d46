"""Whole columns into a message, of types that nest.

Columns of Arrow are read natively, whoever made them. Other columns whose fields are lists
or structs are taken apart into rows. What is flat and not of Arrow is for
`mmapbuilder.arrays.fill`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .locate import Found, PathError, Step, find_columns, spell
from .memory import GrowingMemory
from .rows import attribute_names, put_stage
from .schema import TAG, Plan

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
    """Write columns into the list at a path; return False if `arrays.fill` is to do it."""
    path, data = _split(arguments)
    found, rest = find_columns(plan, memory, path)
    if found is None or found.pointer is None:
        return False
    if rest and (named or data is None):
        return False
    if rest:
        named, data = {".".join(rest): data}, None
    element = plan.types[found.type].target
    if plan.types[element].kind != "struct":
        return not named and data is not None and _fill_list(plan, memory, found, data)
    columns = _columns(data, named)
    if columns is None or not _is_nested(plan, plan.types[element].target, data, columns):
        return False
    _fill_structs(plan, memory, found, data, columns)
    return True


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
    return any(_needs_native(plan, record, name, columns[name]) for name in columns)


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
            inner = plan.structs[target].fields
            if isinstance(values, Mapping) or getattr(values, "dtype", None) is not None:
                names = values if isinstance(values, Mapping) else ()
                return any(_needs_native(plan, target, each, None) for each in names)
            return values is None or len(inner) == 2 or _is_arrow(values)
        return kind in ("list", "struct", "void")
    return False


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
    plan: Plan, memory: GrowingMemory, found: Found, data: Any, columns: dict[str, Any]
) -> None:
    where = spell(found.path)
    if data is not None and _is_arrow(data) and all(each is None for each in columns.values()):
        given: list[tuple[str | None, Any]] = [(None, _capsule(data))]
    elif columns and all(_is_arrow(values) for values in columns.values()):
        given = [(name, _capsule(values)) for name, values in columns.items()]
    else:
        stage = _from_rows(plan, found, where, columns)
        put_stage(memory, stage, found)
        return
    put_stage(memory, _from_arrow(plan, found, where, given), found)


def _from_arrow(plan: Plan, found: Found, where: str, given: list[Any]) -> Any:
    try:
        return plan.native.stage_arrow(found.type, given)
    except KeyError as error:
        raise PathError(f"{where}: {error.args[0]}") from None


def _from_rows(plan: Plan, found: Found, where: str, columns: dict[str, Any]) -> Any:
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
    return plan.native.stage(0, found.type, rows, None, -1, False, 2, attribute_names)


def _row(lists: dict[str, Any], number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, values in lists.items():
        inner = row
        *groups, last = name.split(".")
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = values[number]
    return row


def _as_list(values: Any, name: str) -> Any:
    if isinstance(values, list | tuple):
        return values
    if isinstance(values, Mapping):
        inner = {key: _as_list(each, name) for key, each in values.items()}
        counts = {len(each) for each in inner.values()}
        if len(counts) > 1:
            raise ValueError(f"column {name!r}: its columns differ in length")
        return [{key: inner[key][i] for key in inner} for i in range(max(counts, default=0))]
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method) and getattr(values, "ndim", 1) == 1:
            return getattr(values, method)()
    return list(values)


# ---- lists of other types ---------------------------------------------------------------------


def _fill_list(plan: Plan, memory: GrowingMemory, found: Found, data: Any) -> bool:
    kind = plan.types[plan.types[found.type].target].kind
    if kind in _FLAT or kind in ("anyPointer", "interface"):
        return False
    if _is_arrow(data):
        stage = _from_arrow(plan, found, spell(found.path), [("", _capsule(data))])
    else:
        if not isinstance(data, list | tuple) and not hasattr(data, "__array__"):
            data = list(data)
        if kind == "void":
            data = [None] * len(data)
        stage = plan.native.stage(1, found.type, data, None, -1, False, 1, attribute_names)
    put_stage(memory, stage, found)
    return True
