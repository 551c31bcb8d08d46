"""Whole columns into the list at a path.

Flat columns go straight from where their values lie into the message (`flat`). Columns of
types that nest, and what only the native code can read, are staged first (`nested`). Both
check everything before they change anything.
"""

from typing import Any

from .annotated import are_no_numbers, own_names
from .arrow import is_arrow, library, unwrapped
from .given import columns_of, flatten
from .lists import TargetList, target_at
from .locate import PathError, Step, find_columns, spell
from .memory import GrowingMemory
from .nested import (
    NESTED,
    fill_columns,
    fill_list,
    fill_table,
    is_faster_staged,
    is_nested,
    is_only_native,
    is_table_faster_staged,
)
from .schema import Plan


def fill(
    plan: Plan, memory: GrowingMemory, arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Write columns, or the elements of a list of plain values."""
    path, data = _split(arguments)
    found, rest = find_columns(plan, memory, path)
    defaults = _takes_defaults(named)
    if rest:
        if named or data is None:
            raise PathError(
                f"{spell(path)}: fill() takes the fields of a list as names: "
                f"fill(..., {rest[0]}=values)"
            )
        named, data = {".".join(rest): data}, None
    kind, element = plan.types[found.type]
    if kind != "list":
        name = plan.spell(found.type)
        what = f"a single {name}" if kind in ("data", "text") else f"a {name}, not a list"
        raise TypeError(f"{spell(path)} is {what}: set it with pycapnp")
    target = target_at(plan, memory, found)
    if plan.types[element].kind == "struct":
        _fill_structs(target, data, named, defaults)
    elif named or data is None:
        name = plan.spell(found.type)
        raise TypeError(f"{target.where} is a {name}: fill() takes its values after the path")
    else:
        _fill_elements(target, data, defaults)


def _fill_structs(target: TargetList, data: Any, named: dict[str, Any], defaults: bool) -> None:
    plan, record = target.plan, target.record
    staged = defaults or not _has_numpy()
    if not named and is_arrow(data) and (staged or _is_native(target, data)):
        fill_table(target, data, defaults)
        return
    columns = own_names(plan, record, columns_of(data, named, target.where))
    columns = flatten(columns, mappings_only=True)
    if staged or is_nested(plan, record, columns) or is_faster_staged(target, columns):
        fill_columns(target, columns, defaults)
        return
    from .flat import fill_structs

    fill_structs(target, flatten(columns))


def _fill_elements(target: TargetList, data: Any, defaults: bool) -> None:
    plan, element, data = target.plan, target.element, unwrapped(data)
    staged = defaults or not _has_numpy()
    staged = staged or plan.types[element].kind in NESTED or element in plan.meanings
    if staged or is_only_native(data):
        fill_list(target, data, defaults)
        return
    from .flat import fill_elements

    fill_elements(target, data)


def _is_native(target: TargetList, table: Any) -> bool:
    """Whether a table of Arrow is not to be taken apart into columns."""
    if is_table_faster_staged(target, table):
        return True
    names = _names(table)
    if names is None or library(table) not in ("polars", "pyarrow"):
        return True
    given = dict.fromkeys(names)
    own = own_names(target.plan, target.record, given)
    if own.keys() != given.keys() or are_no_numbers(table, {}):
        return True
    return is_nested(target.plan, target.record, own)


def _has_numpy() -> bool:
    """Whether NumPy is installed: flat columns go through it, and are staged without."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return False
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


def _names(table: Any) -> list[str] | None:
    """Return the names of the columns of a table of Arrow, if it tells them."""
    for attribute in ("column_names", "columns"):
        names = getattr(table, attribute, None)
        if isinstance(names, list | tuple) and names:
            return [str(name) for name in names]
    return None
