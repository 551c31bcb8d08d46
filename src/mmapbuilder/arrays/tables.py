"""Tables: of whatever kind into columns, and a list of structs into one of Arrow."""

from collections.abc import Iterable, Mapping
from typing import Any

from . import _arrow
from ._numpy import np
from .columns import Strings as Read
from .columns import list_bits, list_strings, present, rows_of, stored, strings, tags
from .fields import Column, columns, find, refuse
from .layout import NUMBERS, enumerants
from .path import PathError, Place, Space, Step, follow, spell
from .views import field_view
from .views import numbers as numbers_view


def flatten(columns: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Give columns in groups (mappings, Arrow structs, structured arrays) dotted names."""
    flat: dict[str, Any] = {}
    for key, values in columns.items():
        if not isinstance(key, str):
            raise TypeError(f"columns are named by str, not {key!r}")
        inner = _inner(values)
        more = {prefix + key: values} if inner is None else flatten(inner, f"{prefix}{key}.")
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
    if _arrow.library(values) == "pyarrow" and kind.startswith("struct<"):
        if hasattr(values, "combine_chunks"):
            values = values.combine_chunks()
            if hasattr(values, "chunks"):
                values = _arrow.load("a table").concat_arrays(values.chunks)
        names = [values.type.field(i).name for i in range(values.type.num_fields)]
        return dict(zip(names, values.flatten(), strict=True))
    return None


def columns_of(table: Any, where: str) -> dict[str, Any]:
    """Return the columns of a table by name, dotted for those in groups.

    Taken are mappings of columns, structured arrays, tables and record batches of
    Arrow, data frames of pandas and polars, and what else gives a stream of Arrow.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(table, Mapping):
        return flatten(table)
    if getattr(getattr(table, "dtype", None), "names", None):
        if table.ndim != 1:
            raise ValueError(f"{where}: one dimension is required, not {table.ndim}")
        return flatten({name: table[name] for name in table.dtype.names})
    if hasattr(table, "column_names") and hasattr(table, "schema"):
        names = table.column_names
        return flatten(_unique(where, ((n, table.column(i)) for i, n in enumerate(names))))
    if hasattr(table, "get_columns"):
        return flatten(_unique(where, ((column.name, column) for column in table.get_columns())))
    if hasattr(table, "items") and hasattr(table, "columns"):
        return flatten(_unique(where, table.items()))
    if hasattr(table, "__arrow_c_stream__"):
        return columns_of(_arrow.load("this table").table(table), where)
    raise TypeError(
        f"{where}: a table is required (a mapping of columns, a structured array, an Arrow "
        f"table, a data frame), not {type(table).__name__}"
    )


def _unique(where: str, named: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    columns: dict[Any, Any] = {}
    for name, values in named:
        if name in columns:
            raise ValueError(f"{where}: the table has two columns {name!r}")
        columns[name] = values
    return columns


# ---- back -------------------------------------------------------------------------------


def table(space: Space, path: tuple[Step, ...], names: list[str] | None) -> Any:
    """Return a list as a table of Arrow."""
    arrow = _arrow.load("table()")
    target = follow(space, path)
    where = target.path
    if target.rest:
        raise PathError(f"{spell(path)}: an index must come before {target.rest[0]!r}")
    if target.type.kind != "list":
        raise TypeError(f"{spell(path)} is a {target.type}, not a list")
    element = target.type.element
    elements = target.place
    assert element is not None
    assert not isinstance(elements, Place)
    if elements is None and space.building:
        raise PathError(f"{spell(path)} is not set")
    if element.kind == "struct":
        rows = rows_of(space, elements)
        if names is None:
            chosen = [column for column in columns(element.schema) if _can_be_column(column)]
        else:
            chosen = [find(element.schema, [name], where) for name in names]
        arrays = [_arrow_column(arrow, space, rows, column, where) for column in chosen]
        return arrow.table(arrays, [column.name for column in chosen])
    if names is not None:
        raise TypeError(f"{spell(path)} is a {target.type}, which has no columns to choose")
    if element.kind in NUMBERS:
        plain = np.empty(0, NUMBERS[element.kind][0])
        if elements is not None:
            plain = numbers_view(space, element, elements)
        values = _numbers(arrow, plain)
        if element.kind == "enum":
            values = _named(arrow, values.to_numpy(), _names(enumerants(element.schema)), None)
    elif element.kind == "bool":
        bits = np.empty(0, bool) if elements is None else list_bits(space, elements)
        values = arrow.array(bits)
    elif element.kind in ("text", "data"):
        text = element.kind == "text"
        empty = Read(bytearray(8), bytearray(), bytearray(), text)
        found = empty if elements is None else list_strings(space, elements, text)
        values = _strings(arrow, found, None, "")
    else:
        raise TypeError(f"{spell(path)} is a {target.type}, which is no table")
    name = next((step for step in reversed(where) if isinstance(step, str)), "values")
    return arrow.table([values], [name])


def _can_be_column(column: Column) -> bool:
    kind = column.field.type.kind
    return kind in NUMBERS or kind in ("bool", "text", "data", "tag")


def _arrow_column(
    arrow: Any, space: Space, rows: Place, column: Column, where: tuple[Step, ...]
) -> Any:
    field = column.field
    kind = field.type.kind
    there = present(space, rows, column)
    missing = None if there is None or there.all() else ~there
    if kind in ("text", "data"):
        return _strings(arrow, strings(space, rows, field, there), missing, field.default)
    if kind == "bool":
        return arrow.array(stored(space, rows, field), mask=missing)
    if kind == "tag":
        assert column.union is not None
        known = {name: tag for tag, name in column.union.members.items()}
        return _named(arrow, tags(space, rows, field.offset), _names(known), missing)
    if kind == "enum":
        names = _names(enumerants(field.type.schema))
        return _named(arrow, stored(space, rows, field), names, missing)
    if kind not in NUMBERS:
        raise refuse(column, where)
    dtype, bits = NUMBERS[kind]
    borrowable = (
        not field.default
        and missing is None
        and rows.stride == bits // 8
        and field.offset + bits <= rows.data_bits
    )
    if borrowable:
        return _numbers(arrow, field_view(space, rows, field.offset, dtype))
    return arrow.array(stored(space, rows, field), mask=missing)


def _numbers(arrow: Any, view: Any) -> Any:
    """Make an array of Arrow that borrows the memory, if its numbers lie side by side."""
    native = view.dtype.newbyteorder("=")
    if view.strides != (view.itemsize,) or native != view.dtype or not len(view):
        return arrow.array(np.ascontiguousarray(view, native))
    kind = arrow.from_numpy_dtype(native)
    return arrow.Array.from_buffers(kind, len(view), [None, arrow.py_buffer(view)])


def _names(known: dict[str, int]) -> list[str]:
    """List names by their numbers; a number without one stands for itself."""
    names = [f"@{number}" for number in range(max(known.values(), default=-1) + 1)]
    for name, number in known.items():
        names[number] = name
    return names


def _named(arrow: Any, numbers: Any, names: list[str], missing: Any) -> Any:
    """Make a dictionary-encoded column, in which unknown numbers are called ``@7``."""
    most = int(numbers.max(initial=0))
    names = names + [f"@{number}" for number in range(len(names), most + 1)]
    indices = arrow.array(np.ascontiguousarray(numbers, np.int32), mask=missing)
    return arrow.DictionaryArray.from_arrays(indices, arrow.array(names, arrow.string()))


def _strings(arrow: Any, found: Read, missing: Any, default: Any) -> Any:
    """Make a column of strings over the copies; null pointers become nulls."""
    small = len(found.data) < 1 << 31
    offsets: Any = found.offsets
    if small:
        offsets = np.frombuffer(offsets, np.uint64).astype(np.int32)
    names = ("string", "large_string") if found.text else ("binary", "large_binary")
    kind = getattr(arrow, names[0 if small else 1])()
    buffers = [arrow.py_buffer(buffer) for buffer in (found.valid, offsets, found.data)]
    values = arrow.Array.from_buffers(kind, found.rows, buffers)
    if not default:
        return values
    # A null pointer stands for the default, unless another member is the active one.
    filled = values.fill_null(default)
    if missing is None:
        return filled
    import pyarrow.compute

    return pyarrow.compute.if_else(arrow.array(missing), arrow.scalar(None, kind), filled)
