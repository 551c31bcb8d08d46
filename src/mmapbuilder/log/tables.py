"""Tables of all kinds, as columns of Arrow or row by row."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..columns.schema import Plan

    Rows = tuple[Iterable[Any], tuple[str, ...] | None]
    """Rows, and the names of the values in those rows that are tuples."""


def is_table(data: "Any") -> bool:
    """Whether data are columns, and not messages.

    Columns are a mapping, what offers Arrow's interface, a structured array of NumPy, or a data
    frame of pandas.
    """
    from ..columns.arrow import is_arrow

    return (
        isinstance(data, dict)
        or is_arrow(data)
        or bool(getattr(getattr(data, "dtype", None), "names", None))
        or hasattr(type(data), "itertuples")
    )


def arrow_columns(table: "Any") -> "list[Any] | None":
    """Return a table as columns of Arrow, as the native code takes them; None if it has others."""
    from ..columns.arrow import capsule, is_arrow

    if is_arrow(table):
        return [(None, capsule(table))]
    if not hasattr(table, "items"):
        return None
    columns = {str(name): _as_arrow(column) for name, column in table.items()}
    if not columns or any(column is None for column in columns.values()):
        return None
    return [(name, capsule(column)) for name, column in columns.items()]


def _as_arrow(column: "Any") -> "Any":
    """Return a column as one of Arrow, if it is one, or numbers of NumPy and pyarrow is there."""
    from ..columns.arrow import is_arrow, library, load_if_there, unwrapped

    column = unwrapped(column)
    if is_arrow(column):
        return column
    dtype: Any = getattr(column, "dtype", None)
    if library(column) != "numpy" or getattr(dtype, "kind", "") not in "iuf" or column.ndim != 1:
        return None
    if hasattr(column, "filled"):  # masked
        return None
    pyarrow = load_if_there()
    return None if pyarrow is None or not dtype.isnative else pyarrow.array(column)


def rows_of(table: "Any", plan: "Plan") -> "Rows":
    """Return the rows of a table, for the root struct of a plan.

    Raises:
        ValueError: the columns differ in length.
    """
    from ..columns import nested
    from ..columns.annotated import own_names
    from ..columns.given import columns_of, flatten
    from ..columns.schema import TAG

    if isinstance(table, dict) and not table:
        return (), None
    root, where = plan.types[0].refers_to, "the table"
    columns = flatten(own_names(plan, root, columns_of(table, {}, where)), mappings_only=True)
    lists, count = nested.lists_of(plan, root, columns, where)
    if lists and not any("." in name or name == TAG for name in lists):
        return zip(*lists.values(), strict=True), tuple(lists)
    return nested.rows_of(plan, root, lists, count), None
