"""Tables of all kinds, as columns of Arrow or row by row."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Rows = tuple[Iterable[Any], tuple[str, ...] | None]
    """Rows, and the names of the values that those have which are tuples."""


def columns_of(table: "Any") -> "list[Any] | None":
    """Return a table as columns of Arrow, as the native code takes them; None if it has none.

    A table of pandas has not: it would need pyarrow for it, and add its index.
    """
    if type(table).__module__.partition(".")[0] == "pandas":
        return None
    for method in ("__arrow_c_stream__", "__arrow_c_array__"):
        if hasattr(type(table), method):
            return [(None, getattr(table, method)())]
    if isinstance(table, dict) and table and all(map(_is_arrow, table.values())):
        return [(name, column.__arrow_c_stream__()) for name, column in table.items()]
    return None


def _is_arrow(column: "Any") -> bool:
    return hasattr(type(column), "__arrow_c_stream__")


def rows_of(table: "Any") -> "Rows":
    """Return the rows of a table, or what is iterated over by itself.

    A table is a mapping of columns, a structured array of NumPy, or a data frame of pandas.

    Raises:
        ValueError: the columns of a mapping differ in length.
    """
    if isinstance(table, dict):
        return _zipped(table)
    names = getattr(getattr(table, "dtype", None), "names", None)
    if names:
        return table.tolist(), tuple(names)
    if hasattr(type(table), "itertuples"):  # pandas
        return _zipped({str(name): table[name].tolist() for name in table.columns})
    return table, None


def _zipped(columns: "dict[str, Any]") -> "Rows":
    values = [_items(each) for each in columns.values()]
    lengths = {len(each) for each in values}
    if len(lengths) > 1:
        raise ValueError(f"the columns differ in length: {sorted(lengths)}")
    return zip(*values, strict=True), tuple(columns)


def _items(column: "Any") -> "Any":
    for method in ("to_pylist", "tolist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return list(column)
