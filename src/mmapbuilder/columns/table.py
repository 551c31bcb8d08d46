"""Tables: a list of a message as columns of Apache Arrow, made without an Arrow library."""

import sys
from typing import Any

from .layout import choose, layout_of, native
from .left_out import warn_of_columns
from .locate import PathError, Step, find, spell
from .memory import MessageMemory
from .schema import Plan

_END = sys.maxsize


class Table:
    """Columns of Apache Arrow, handed out by the Arrow PyCapsule interface.

    polars, duckdb, pandas and pyarrow take it as it is: ``polars.DataFrame(table)``,
    ``pyarrow.table(table)``. If pyarrow is installed, the table has the methods of a
    ``pyarrow.Table`` as well.
    """

    def __init__(self, columns: Any, names: list[str]) -> None:
        self._columns = columns
        self._names = names
        self._pyarrow: Any = None

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Export the table as a stream of one batch."""
        return self._columns.stream()

    def __arrow_c_schema__(self) -> Any:
        """Export the names and types of the columns."""
        return self._columns.schema()

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """Export the table as one array of structs."""
        return self._columns.schema(), self._columns.array()

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        rows: int = self._columns.rows
        return rows

    @property
    def num_columns(self) -> int:
        """The number of columns."""
        return len(self._names)

    @property
    def column_names(self) -> list[str]:
        """The names of the columns."""
        return list(self._names)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return self.num_rows, self.num_columns

    def to_pyarrow(self) -> Any:
        """Return the table as a ``pyarrow.Table``, without a copy.

        Raises:
            ImportError: pyarrow is not installed.
        """
        if self._pyarrow is None:
            try:
                import pyarrow
            except ImportError as error:
                raise ImportError(
                    "the methods of pyarrow's tables need it: pip install pyarrow; without it "
                    "the table is for libraries that take __arrow_c_stream__",
                    name="pyarrow",
                ) from error
            self._pyarrow = pyarrow.table(self)
        return self._pyarrow

    def equals(self, other: Any) -> bool:
        """Whether another table has the same columns with the same values."""
        if isinstance(other, Table):
            other = other.to_pyarrow()
        return bool(self.to_pyarrow().equals(other))

    def __eq__(self, other: object) -> bool:
        return self.equals(other)

    __hash__ = None  # type: ignore[assignment]

    def __len__(self) -> int:
        return self.num_rows

    def __getitem__(self, key: Any) -> Any:
        return self.to_pyarrow()[key]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.to_pyarrow(), name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.num_rows} rows of {', '.join(self._names)}>"


def table(
    plan: Plan,
    memory: MessageMemory,
    path: tuple[Step, ...],
    names: list[str] | None,
    depth: int,
    unions: str,
    views: bool,
    start: int,
    stop: int | None,
    trusted: bool,
) -> Table:
    """Return the list at `path` as a table."""
    dense = is_dense(depth, unions)
    if views and memory.building:
        raise ValueError(
            "views=True is for a finished message: the memory of this one can still change"
        )
    found = find(plan, memory, path)
    kind, element = plan.types[found.type]
    if kind != "list":
        raise TypeError(f"{spell(path)} is a {plan.spell(found.type)}, not a list")
    if memory.building and found.pointer is None:
        raise PathError(f"{spell(path)} is not set")
    name = next((step for step in reversed(found.path) if isinstance(step, str)), "values")
    layout = layout_of(plan, element, name, depth, dense, views)
    if names is None:
        columns = layout.columns
        warn_of_columns(spell(path), layout.left_out)
    elif plan.types[element].kind != "struct":
        raise TypeError(
            f"{spell(path)} is a {plan.spell(found.type)}, which has no columns to choose"
        )
    else:
        columns = choose(layout, names, spell(path))
        warn_of_columns(spell(path), layout.left_out, names)
    made = plan.native.columns(
        found.within(memory),
        found.type,
        found.pointer,
        native(columns),
        trusted,
        not memory.building,
        views,
        start,
        _END if stop is None else stop,
    )
    return Table(made, [column.name for column in columns])


def is_dense(depth: int, unions: str) -> bool:
    """Check what says how a table is laid out; return whether unions are dense unions."""
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    if unions not in ("members", "dense"):
        raise ValueError(f'unions must be "members" or "dense", not {unions!r}')
    return unions == "dense"
