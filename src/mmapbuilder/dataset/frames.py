"""A *frame*: a table of a shard for pandas, whose types follow from the schema alone.

pandas' own conversion looks at the values: a column of numbers becomes one of floats as soon
as a value is missing. The partitions of one collection must not differ like this.
"""

from typing import Any

from .reading import table_of_shard
from .shard import Shard, ShardPath


def empty_table(schema: Any, path: ShardPath, columns: "list[str] | None") -> Any:
    """Return the table that a shard without rows has."""
    import os
    import tempfile

    from .building import build
    from .local import LocalStore

    with tempfile.TemporaryDirectory(prefix="mmapbuilder-") as folder:
        name = "empty"
        build(os.path.join(folder, name), [], schema, path)
        size = os.path.getsize(os.path.join(folder, name))
        shard = Shard(name, 0, 0, size, "", path)
        return table_of_shard(LocalStore(folder), shard, schema, columns)


def to_frame(table: Any, start: int) -> Any:
    """Return a table as a data frame of pandas.

    Numbers that cannot be null are NumPy's, strings and categories pandas' own, and all else
    is as Arrow has it.
    """
    import pandas
    import pyarrow

    arrow = pyarrow.table(table)
    index = pandas.RangeIndex(start, start + arrow.num_rows)
    columns = {
        field.name: pandas.Series(_values(field, column), index=index)
        for field, column in zip(arrow.schema, arrow.columns, strict=True)
    }
    return pandas.DataFrame(columns, index=index, columns=arrow.column_names)


def _values(field: Any, column: Any) -> Any:
    import pandas
    from pyarrow import types

    kind = field.type
    if types.is_string(kind) or types.is_large_string(kind):
        return _string_type().__from_arrow__(column)
    if types.is_dictionary(kind) or _is_plain(kind, field.nullable):
        return column.to_pandas().array  # its own index would be looked up
    return pandas.ArrowDtype(kind).__from_arrow__(column)


def _is_plain(kind: Any, nullable: bool) -> bool:
    from pyarrow import types

    numbers = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return (numbers and not nullable) or types.is_timestamp(kind) or types.is_duration(kind)


def _string_type() -> Any:
    import numpy as np
    import pandas

    try:
        return pandas.StringDtype("pyarrow", na_value=np.nan)  # what pandas 3 has by itself
    except TypeError:
        return pandas.StringDtype("pyarrow")
