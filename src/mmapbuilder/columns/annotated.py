"""What annotations of a schema say about columns that are given: names, and what they mean."""

from typing import Any

from .meanings import Meaning
from .schema import Plan, Struct

# Types of Arrow that only the native code knows, as pyarrow and polars call them.
_NO_NUMBERS = (
    "dense_union",
    "sparse_union",
    "timestamp",
    "date",
    "time",
    "duration",
    "decimal",
    "month_day_nano_interval",
)


def own_names(plan: Plan, record: int, columns: dict[str, Any]) -> dict[str, Any]:
    """Return columns by the names of their fields, which an annotation may call otherwise.

    Raises:
        ValueError: two names are those of one field.
    """
    fields = plan.structs[record].fields.values()
    known = {field.column: field.name for field in fields if field.column != field.name}
    if not known:
        return columns
    own = {known.get(name, name): values for name, values in columns.items()}
    if len(own) != len(columns):
        raise ValueError("a column is given twice, under two names")
    return own


def are_no_numbers(table: Any, columns: dict[str, Any]) -> bool:
    """Whether columns of Arrow are unions, times, intervals or decimals."""
    schema = getattr(table, "schema", None)
    kinds = [getattr(values, "type", None) for values in columns.values()]
    kinds += getattr(schema, "types", None) or getattr(schema, "dtypes", list)()
    return any(str(kind).lower().startswith(_NO_NUMBERS) for kind in kinds)


def inner_struct(plan: Plan, struct: Struct | None, name: str) -> Struct | None:
    """Return the struct or group that a field is; None if it is none."""
    if struct is None or name not in struct.fields:
        return None
    kind, refers_to = plan.types[struct.fields[name].type]
    return plan.structs[refers_to] if kind in ("group", "struct") else None


def meaning_of(plan: Plan, record: int, name: str) -> Meaning | None:
    """Return what the values of a column mean, also where they can be null."""
    *groups, last = name.split(".")
    struct: Struct | None = plan.structs[record]
    for step in groups:
        struct = inner_struct(plan, struct, step)
    if struct is None or last not in struct.fields:
        return None
    number = struct.fields[last].type
    kind, refers_to = plan.types[number]
    if kind == "group":
        fields = plan.structs[refers_to].fields.values()
        found = [plan.meanings[each.type] for each in fields if each.type in plan.meanings]
        return found[0] if len(fields) == 2 and len(found) == 1 else None
    return plan.meanings.get(number)
