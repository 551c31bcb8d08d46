"""Tables of all kinds, as columns of Arrow or row by row."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Rows = tuple[Iterable[Any], tuple[str, ...] | None]
    """Rows, and the names of the values in those rows that are tuples."""


def columns_of(table: "Any") -> "list[Any] | None":
    """Return a table as columns of Arrow, as the native code takes them; None if it has none.

    A table of pandas has none: it would need pyarrow for that, and would add its index.
    """
    from ..columns.arrow import capsule, is_arrow

    if is_arrow(table):
        return [(None, capsule(table))]
    if isinstance(table, dict) and table:
        columns = {name: _as_arrow(column) for name, column in table.items()}
        if all(column is not None for column in columns.values()):
            return [(str(name), capsule(column)) for name, column in columns.items()]
    return None


def _as_arrow(column: "Any") -> "Any":
    """Return a column as one of Arrow, if it is one, or numbers of NumPy and pyarrow is there."""
    from ..columns.arrow import is_arrow, library, load_if_there

    if is_arrow(column):
        return column
    dtype: Any = getattr(column, "dtype", None)
    if library(column) != "numpy" or getattr(dtype, "kind", "") not in "iuf" or column.ndim != 1:
        return None
    pyarrow = load_if_there()
    return None if pyarrow is None or not dtype.isnative else pyarrow.array(column)


def rows_of(table: "Any") -> "Rows":
    """Return the rows of a table; any other object gives its rows when it is iterated over.

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
