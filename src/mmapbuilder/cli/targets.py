"""Where `convert` writes rows to.

A *target* takes some rows at a time, and appears whole or not at all.
"""

import base64
import binascii
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol, Self

from .. import MessageBuilder, MessageLog, NpyBuilder
from ..columns.schema import Plan, plan_of
from . import formats
from .ends import NO_FILE, USAGE, Failure, text_of
from .outputs import whole
from .paths import parse, type_at
from .rows import only_list, spell_lists
from .sizes import counted
from .sources import arrow
from .values import to_json

_BITS_OF_A_WORD = 64


class Target(Protocol):
    """What takes rows."""

    takes_values: bool
    """Whether it takes lists of Python's values; otherwise tables of pyarrow."""

    def put(self, rows: Any) -> None:
        """Take some rows."""


@contextlib.contextmanager
def target_of(
    name: str,
    kind: str,
    schema: Any,
    path: "str | None",
    rows: int,
    force: bool,
    missing: str,
) -> Iterator[Target]:
    """Open a file for rows. It appears under its name when the context ends without an error."""
    if name == "-":
        if kind != formats.JSONL:
            raise Failure(f"{kind} cannot be written to a pipe: name a file", USAGE)
        yield _JsonTarget(sys.stdout)
        return
    if not force and os.path.lexists(name):
        raise Failure(f"{name}: it exists; --force replaces it", NO_FILE)
    if kind == formats.MESSAGE:
        with MessageBuilder(name, "w" if force else "x", atomic=True) as builder:
            yield _MessageTarget(builder, schema, path, rows, missing)
    elif kind == formats.LOG:
        with _log(name, schema, missing) as target:
            yield target
    elif kind == formats.NPY:
        yield from _npy(name, force)
    else:
        with whole(name) as temporary:
            if kind == formats.JSONL:
                with open(temporary, "w", encoding="utf-8") as file:
                    yield _JsonTarget(file)
            else:
                with _ArrowTarget(temporary, kind) as table:
                    yield table


# ---- Cap'n Proto ------------------------------------------------------------------------


class _MessageTarget:
    """A list in a message. It is made with its length first, and then filled part by part."""

    def __init__(
        self, builder: MessageBuilder, schema: Any, path: "str | None", rows: int, missing: str
    ) -> None:
        steps = only_list(schema) if path is None else parse(path)
        if not steps or not all(isinstance(step, str) for step in steps):
            raise Failure(f"--path {path}: names of fields only, up to a list", USAGE)
        self._builder, self._missing = builder, missing
        self._path = tuple(map(str, steps))
        self._plan = plan_of(schema)
        element = _element(self._plan, self._path)
        self._decode = decoder(self._plan, element)
        self._kind = self._plan.types[element].kind
        self._done, self._rows = 0, rows
        self._kept: Any = []  # values that fill no whole words of the message yet
        around = builder.init_root(schema)
        for step in self._path[:-1]:
            around = getattr(around, step)
        around.init(self._path[-1], rows)
        self.takes_values = False

    def put(self, rows: Any) -> None:
        if isinstance(rows, list):
            rows = [self._decode(row) for row in rows]
        if self._kind == "struct":
            self._put_structs(rows)
        else:
            self._put_values(rows if isinstance(rows, list) else rows.column(0))
        self._builder._open_map().tell()  # raises if a store found the disk full

    def _put_structs(self, rows: Any) -> None:
        from ..columns import rows as of_rows
        from ..columns.fill import fill

        memory = self._next(len(rows))
        if isinstance(rows, list):
            # JSON leaves out what is not set.
            of_rows.fill_rows(self._plan, memory, self._path, rows, None, None, "error", "default")
        elif len(rows):
            named = {"missing": "default"} if self._missing == "default" else {}
            fill(self._plan, memory, (*self._path, rows), named)

    def _put_values(self, values: Any) -> None:
        """Write elements that are no structs: a list, or a column of Arrow.

        What is written at a time must begin at a word of the message.
        """
        from ..columns.fill import fill

        is_list = isinstance(values, list)
        if len(self._kept):
            values = (
                self._kept + values
                if is_list
                else arrow().chunked_array([*self._kept.chunks, *values.chunks])
            )
        count = len(values)
        if self._done + count < self._rows:
            count -= count % _BITS_OF_A_WORD
        self._kept, values = values[count:], values[:count]
        if self._kind == "list":
            self._put_lists(values if is_list else values.to_pylist())
        elif count:
            values = self._complete(values)
            fill(self._plan, self._next(count), (*self._path, values), {})

    def _complete(self, values: Any) -> Any:
        """Put the default in the place of missing numbers, if one says so."""
        may_default = self._missing == "default" and self._kind not in ("text", "data", "enum")
        if isinstance(values, list):
            return [0 if value is None else value for value in values] if may_default else values
        if may_default and values.null_count:
            values = values.fill_null(False if self._kind == "bool" else 0)
        return values.combine_chunks()

    def _put_lists(self, values: list[Any]) -> None:
        """Write elements that are lists, one by one."""
        from ..columns.fill import fill

        start = self._done
        memory = self._next(len(values))
        memory.part = None
        for number, value in enumerate(values, start):
            if value is not None:
                fill(self._plan, memory, (*self._path, number, value), {})

    def _next(self, count: int) -> Any:
        """Return the memory of the message, in which the next elements are to be filled."""
        if self._done + count > self._rows:
            raise Failure("the source has grown while it was read", NO_FILE)
        memory: Any = self._builder._memory()
        memory.part = (self._done, count)
        self._done += count
        return memory


def _element(plan: Plan, path: tuple[str, ...]) -> int:
    """Return the number of the type of the elements of a list."""
    number = type_at(plan, 0, path)
    kind, element = plan.types[number]
    if kind != "list":
        raise Failure(f"{'.'.join(path)} is a {plan.spell(number)}, not a list of rows", USAGE)
    return element


class _LogTarget:
    def __init__(self, log: MessageLog, schema: Any, missing: str) -> None:
        self._log, self._missing = log, missing
        self._plan = plan_of(schema)
        self._decode = decoder(self._plan, 0)
        self.takes_values = False

    def put(self, rows: Any) -> None:
        given = [self._decode(row) for row in rows] if isinstance(rows, list) else rows
        try:
            self._log.extend(given, missing=self._missing)
        except KeyError as error:
            raise Failure(
                f"{text_of(error)}: without --path each row is a message of a log, and with it an "
                f"element of a list; {spell_lists(self._plan)}"
            ) from error


@contextlib.contextmanager
def _log(name: str, schema: Any, missing: str) -> Iterator[_LogTarget]:
    with whole(name) as temporary, MessageLog(temporary, "x", schema=schema, index=False) as log:
        yield _LogTarget(log, schema, missing)
    with contextlib.suppress(OSError):
        os.unlink(f"{name}.idx")  # of the file that was replaced


def decoder(plan: Plan, number: int) -> Callable[[Any], Any]:
    """Return a function that turns values of JSON into those that the schema wants."""

    def decode(value: Any, number: int) -> Any:
        kind, refers_to = plan.types[number]
        if kind == "data" and isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except binascii.Error as error:
                raise Failure(f"Data is written as base64, not as {value[:40]!r}") from error
        if kind in ("float32", "float64") and isinstance(value, str):
            return float(value)
        if kind == "list" and isinstance(value, list):
            return [decode(each, refers_to) for each in value]
        if kind in ("struct", "group") and isinstance(value, dict):
            fields = plan.structs[refers_to].fields
            return {
                name: decode(each, fields[name].type) if name in fields else each
                for name, each in value.items()
            }
        return value

    return lambda value: decode(value, number)


# ---- others -----------------------------------------------------------------------------


class _JsonTarget:
    takes_values = True

    def __init__(self, file: Any) -> None:
        self._file = file

    def put(self, rows: list[Any]) -> None:
        self._file.writelines(f"{to_json(row)}\n" for row in rows)


class _ArrowTarget:
    """Parquet, or Arrow's IPC format."""

    takes_values = False

    def __init__(self, name: str, kind: str) -> None:
        arrow()
        self._name, self._kind = name, kind
        self._writer: Any = None

    def put(self, table: Any) -> None:
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table)

    def _open(self, schema: Any) -> Any:
        if self._kind == formats.PARQUET:
            from pyarrow.parquet import ParquetWriter

            return ParquetWriter(self._name, schema, compression="zstd")
        pa = arrow()
        # Names of an enum that come up later are added to those before.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        return pa.ipc.new_file(self._name, schema, options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


class _NpyTarget:
    takes_values = False

    def __init__(self, name: str, force: bool) -> None:
        self._name, self._force = name, force
        self.builder: NpyBuilder | None = None

    def put(self, table: Any) -> None:
        import numpy as np

        columns = {name: _numbers(name, table.column(name)) for name in table.column_names}
        if len(columns) == 1:
            (rows,) = columns.values()
        else:
            rows = np.empty(len(table), [(name, each.dtype) for name, each in columns.items()])
            for name, each in columns.items():
                rows[name] = each
        if self.builder is None:
            mode = "w" if self._force else "x"
            self.builder = NpyBuilder(self._name, rows.dtype, mode=mode, atomic=True)  # type: ignore[arg-type]
        self.builder.append(rows)


def _numbers(name: str, column: Any) -> Any:
    """Return a column as an array of numbers."""
    pa = arrow()
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise Failure(
            f"column {name!r} is {kind}, and .npy files hold numbers: choose others with --columns"
        )
    if column.null_count:
        nulls = counted(column.null_count, "null")
        raise Failure(f"column {name!r} has {nulls}, for which .npy has no form")
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def _npy(name: str, force: bool) -> Iterator[_NpyTarget]:
    target = _NpyTarget(name, force)
    try:
        yield target
    except BaseException:
        if target.builder is not None:
            target.builder.discard()
        raise
    if target.builder is None:
        raise Failure(f"{name}: there are no rows, and so no types for a .npy file")
    target.builder.close()
