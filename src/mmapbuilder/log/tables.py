"""Tables of all kinds, row by row."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def rows_of(table: "Any") -> "Iterable[Any]":
    """Return the rows of a table, or what is iterated over by itself.

    A table is a mapping of columns, a structured array of NumPy, a data frame of pandas or
    polars, a table or record batch of Arrow, or what else gives a stream of Arrow.

    Raises:
        ValueError: the columns of a mapping differ in length.
        ImportError: the table needs pyarrow.
    """
    kind = type(table)
    if isinstance(table, dict):
        return _zipped(table)
    if getattr(getattr(table, "dtype", None), "names", None):
        return (dict(zip(table.dtype.names, row, strict=True)) for row in table.tolist())
    if hasattr(kind, "iter_rows"):  # polars
        return table.iter_rows(named=True)  # type: ignore[no-any-return]
    if hasattr(kind, "itertuples"):  # pandas
        return _zipped({str(name): table[name].tolist() for name in table.columns})
    if hasattr(kind, "to_batches"):
        return (row for batch in table.to_batches(10_000) for row in batch.to_pylist())
    if hasattr(kind, "__arrow_c_stream__"):
        return rows_of(_arrow_table(table))
    if hasattr(kind, "to_pylist"):  # a record batch
        return table.to_pylist()  # type: ignore[no-any-return]
    return table  # type: ignore[no-any-return]


def _zipped(columns: "dict[str, Any]") -> "Iterator[dict[str, Any]]":
    names = list(columns)
    values = [_items(each) for each in columns.values()]
    lengths = {len(each) for each in values}
    if len(lengths) > 1:
        raise ValueError(f"the columns differ in length: {sorted(lengths)}")
    return (dict(zip(names, row, strict=True)) for row in zip(*values, strict=True))


def _items(column: "Any") -> "Any":
    for method in ("to_pylist", "tolist"):
        if hasattr(column, method):
            return getattr(column, method)()
    return list(column)


def _arrow_table(table: "Any") -> "Any":
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "this table needs pyarrow: pip install pyarrow", name="pyarrow"
        ) from error
    return pyarrow.table(table)
