"""What is given to be written: tables of any kind, as columns by name."""

from collections.abc import Iterable, Mapping
from typing import Any

from . import arrow


def flatten(
    columns: Mapping[str, Any], prefix: str = "", *, mappings_only: bool = False
) -> dict[str, Any]:
    """Give columns in groups (mappings, Arrow structs, structured arrays) dotted names."""
    flat: dict[str, Any] = {}
    for key, values in columns.items():
        if not isinstance(key, str):
            raise TypeError(f"columns are named by str, not {key!r}")
        inner = None if mappings_only and not isinstance(values, Mapping) else _inner(values)
        more = {prefix + key: values}
        if inner is not None:
            more = flatten(inner, f"{prefix}{key}.", mappings_only=mappings_only)
        for name in more:
            if name in flat:
                raise ValueError(f"column {name!r} is given twice")
        flat |= more
    return flat


def _inner(values: Any) -> Mapping[str, Any] | None:
    if isinstance(values, Mapping):
        return values
    names = getattr(getattr(values, "dtype", None), "names", None)
    if names:
        return {name: values[name] for name in names}
    kind = str(getattr(values, "type", None))  # tables have none
    if arrow.library(values) == "pyarrow" and kind.startswith("struct<"):
        if hasattr(values, "combine_chunks"):
            values = values.combine_chunks()
            if hasattr(values, "chunks"):
                values = arrow.load("a table").concat_arrays(values.chunks)
        names = [values.type.field(i).name for i in range(values.type.num_fields)]
        return dict(zip(names, values.flatten(), strict=True))
    return None


def columns_of(table: Any, named: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the columns of a table, and others, by name.

    Taken are mappings of columns, structured arrays, tables and record batches of
    Arrow, data frames of pandas and polars, and what else gives a stream of Arrow.

    Raises:
        TypeError: it is none of these.
        ValueError: two columns have one name.
    """
    columns = {} if table is None else _unique(where, _named_columns(table, where))
    for name, values in named.items():
        if name in columns:
            raise ValueError(f"{where}: column {name!r} is given twice")
        columns[name] = values
    return {name: arrow.unwrapped(values) for name, values in columns.items()}


def _named_columns(table: Any, where: str) -> Iterable[tuple[Any, Any]]:
    if isinstance(table, Mapping):
        return table.items()
    names = getattr(getattr(table, "dtype", None), "names", None)
    if names:
        if table.ndim != 1:
            raise ValueError(f"{where}: one dimension is required, not {table.ndim}")
        return ((name, table[name]) for name in names)
    if hasattr(table, "column_names") and hasattr(table, "schema"):
        return ((name, table.column(i)) for i, name in enumerate(table.column_names))
    if hasattr(table, "get_columns"):
        return ((column.name, column) for column in table.get_columns())
    if hasattr(table, "items") and hasattr(table, "columns"):
        return table.items()  # type: ignore[no-any-return]
    if hasattr(table, "__arrow_c_stream__"):
        return _named_columns(arrow.load("this table").table(table), where)
    raise TypeError(
        f"{where}: a table is required (a mapping of columns, a structured array, an Arrow "
        f"table, a data frame), not {type(table).__name__}"
    )


def _unique(where: str, named: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, values in named:
        if not isinstance(name, str):
            raise TypeError(f"{where}: columns are named by str, not {name!r}")
        if name in columns:
            raise ValueError(f"{where}: the table has two columns {name!r}")
        columns[name] = values
    return columns
