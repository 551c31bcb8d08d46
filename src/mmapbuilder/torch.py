"""Datasets and single messages as map-style datasets of torch.

torch is imported with this module, and with nothing else of the package.
"""

import bisect
import itertools
import operator
import os
from collections.abc import Sequence
from typing import Any

from .columns.schema import Plan, plan_of
from .dataset import Dataset, open_dataset
from .dataset.building import count_rows, element_of
from .dataset.compiled import compile_schema, load_schema, module_of
from .dataset.shard import path_of
from .reader import open_message

try:
    import torch
except ImportError as error:
    raise ImportError(
        "mmapbuilder.torch needs torch: pip install mmapbuilder[torch]", name="torch"
    ) from error

__all__ = ["MessageDataset"]

# torch calculates with few unsigned types, so they become the next larger signed one.
_DTYPES = {
    "bool": torch.bool,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint16": torch.int32,
    "uint32": torch.int64,
    "uint64": torch.int64,
    "float32": torch.float32,
    "float64": torch.float64,
}
_WIDENED = {"uint16": "<i4", "uint32": "<i8", "uint64": "<i8"}
_MOST = (1 << 63) - 1


class MessageDataset(torch.utils.data.Dataset[Any]):  # type: ignore[misc]
    """The rows of a dataset, or of a list in one message, by their numbers.

    Each row is a dict of its columns. Numbers and Bools are tensors, and lists of numbers are
    tensors of one dimension. Text is str, Data is bytes, and enums are their names. Other
    values are as `Message.rows` gives them. All values are copies that you may change.
    Unsigned numbers of 16 and 32 bits become signed ones of 32 and 64 bits. Those of 64 bits
    must be less than 2**63.

    Files are opened when you first ask for a row, and again in every worker of a DataLoader.
    When a MessageDataset is pickled, the pickle has the path and no data.

    Args:
        path: the directory or the address of a dataset. If `schema` is given, it is the file
            of one message.
        *field_path: the names of fields that lead to the list in a message. A dataset does
            not need them.
        columns: the columns to read; by default all.
        schema: the root of the message in `path`.
        storage_options: the options for fsspec, if `path` is an address.

    Raises:
        FileNotFoundError: nothing was committed there, or there is no such file.
        InvalidMessage: the manifest or the message is damaged.
        KeyError, TypeError: the path leads to no list of structs, or there is no such column.
        ValueError: `field_path` is not that of the dataset.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        *field_path: str,
        columns: "Sequence[str] | None" = None,
        schema: Any = None,
        storage_options: "dict[str, Any] | None" = None,
    ) -> None:
        self._columns = None if columns is None else list(columns)
        self._dataset: Dataset | None = None
        self._file: str | None = None
        if schema is None:
            self._dataset = open_dataset(path, storage_options)
            self._compiled = self._dataset._manifest.compiled
            self._path = self._dataset.path
            if field_path and path_of(_one_or_many(field_path)) != self._path:
                raise ValueError(
                    f"the rows of the dataset are at {self._path!r}, not at {field_path!r}"
                )
            starts = itertools.accumulate((s.rows for s in self._dataset.shards), initial=0)
            self._starts = list(starts)
        else:
            self._file = os.path.abspath(os.fsdecode(os.fspath(path)))
            self._compiled = compile_schema(module_of(schema))
            self._path = path_of(_one_or_many(field_path))
            with open_message(self._file, load_schema(self._compiled)) as message:
                self._starts = [0, count_rows(message.root, self._path)]
        self._forget()
        self._wanted()  # raises if there is no such column

    def _forget(self) -> None:
        self._opened: dict[int, _Part] = {}
        self._process = os.getpid()
        self._known: list[tuple[str, str, str]] | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """Return one row.

        Raises:
            IndexError: there is no such row.
        """
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[Any]) -> list[dict[str, Any]]:
        """Return many rows at once, which a DataLoader asks for. Each file is read once."""
        if self._process != os.getpid():
            self._forget()  # a worker that was forked
        places: dict[int, list[tuple[int, int]]] = {}
        for place, index in enumerate(indices):
            number = self._number(index)
            part = bisect.bisect_right(self._starts, number) - 1
            places.setdefault(part, []).append((place, number - self._starts[part]))
        rows: list[dict[str, Any]] = [{}] * len(indices)
        for part, wanted in places.items():
            found = self._part(part).rows([row for _, row in wanted])
            for (place, _), row in zip(wanted, found, strict=True):
                rows[place] = row
        return rows

    def _number(self, index: Any) -> int:
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of {len(self)} rows")
        return number % len(self)

    def _part(self, number: int) -> "_Part":
        found = self._opened.get(number)
        if found is None:
            schema = load_schema(self._compiled)
            if self._dataset is not None:
                opened = self._dataset.open(number)
            else:
                assert self._file is not None
                opened = open_message(self._file, schema)
            found = self._opened[number] = _Part(opened, self._path, self._wanted())
        return found

    def _wanted(self) -> list[tuple[str, str, str]]:
        """Return the name of each column, the kind of its type, and that of its elements."""
        if self._known is None:
            plan = plan_of(load_schema(self._compiled))
            self._known = _columns(plan, self._path, self._columns)
        return self._known

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": {}, "_known": None}

    def __repr__(self) -> str:
        where = self._file if self._dataset is None else self._dataset.directory
        return f"<MessageDataset {where!r}: {len(self)} rows>"


def _one_or_many(field_path: tuple[str, ...]) -> "str | tuple[str, ...]":
    return field_path[0] if len(field_path) == 1 else field_path


def _columns(plan: Plan, path: Any, chosen: "list[str] | None") -> list[tuple[str, str, str]]:
    number = 0 if isinstance(path, str) else element_of(plan, path)
    kind, refers_to = plan.types[number]
    if kind != "struct":
        raise TypeError(f"the rows are {plan.spell(number)}, not structs")
    fields = plan.structs[refers_to].fields
    found = []
    for name in fields if chosen is None else chosen:
        if name not in fields:
            raise KeyError(f"{plan.structs[refers_to].name} has no field {name!r}")
        kind, inner = plan.types[fields[name].type]
        found.append((name, kind, plan.types[inner].kind if kind == "list" else ""))
    return found


class _Part:
    """One open file, and the columns that are wanted of it."""

    def __init__(self, opened: Any, path: Any, columns: list[tuple[str, str, str]]) -> None:
        self._opened = opened
        self._path = path
        self._columns = columns
        self._view = self._numbers()

    def _numbers(self) -> Any:
        """Return the rows as an array in the file, if that has all columns; else None."""
        if isinstance(self._path, str) or any(kind not in _DTYPES for _, kind, _ in self._columns):
            return None
        view = self._opened.array(*self._path)
        names = view.dtype.names or ()
        return view if all(name in names for name, _, _ in self._columns) else None

    def rows(self, numbers: list[int]) -> list[dict[str, Any]]:
        """Return rows by their numbers in the file."""
        if self._view is not None:
            return self._from_view(numbers)
        return [self._converted(self._row(number)) for number in numbers]

    def _from_view(self, numbers: list[int]) -> list[dict[str, Any]]:
        chosen = self._view[numbers]  # a copy
        columns = {}
        for name, kind, _ in self._columns:
            values = chosen[name]
            wide = _WIDENED.get(kind)
            if kind == "uint64" and len(values) and int(values.max()) > _MOST:
                raise OverflowError(f"{name}: {values.max()} does not fit an int64 of torch")
            values = values.astype(wide or values.dtype.newbyteorder("="))
            columns[name] = torch.from_numpy(values)
        return [
            {name: values[place].clone() for name, values in columns.items()}
            for place in range(len(numbers))
        ]

    def _row(self, number: int) -> dict[str, Any]:
        if isinstance(self._path, str):
            found: dict[str, Any] = self._opened[number : number + 1].rows()[0]
        else:
            found = self._opened.rows(*self._path, start=number, stop=number + 1)[0]
        return found

    def _converted(self, row: dict[str, Any]) -> dict[str, Any]:
        converted = {}
        for name, kind, inner in self._columns:
            value: Any = row.get(name)
            if value is None and not inner:
                pass  # not the active member of its union
            elif kind in _DTYPES:
                if kind == "uint64" and value > _MOST:
                    raise OverflowError(f"{name}: {value} does not fit an int64 of torch")
                value = torch.tensor(value, dtype=_DTYPES[kind])
            elif inner in _DTYPES:
                value = torch.tensor(value or [], dtype=_DTYPES[inner])
            converted[name] = value
        return converted
