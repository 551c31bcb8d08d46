"""Datasets and logs as collections of Dask, and collections of Dask as datasets.

Dask is imported with this module, and with nothing else of the package.
"""

import glob
import itertools
import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from .dataset import Dataset, Shard, open_dataset
from .dataset.compiled import compile_schema, load_schema, module_of
from .dataset.frames import empty_table, to_frame
from .dataset.shard import LOG
from .dataset.task import Source, Target
from .log import open_log

try:
    from dask.delayed import delayed
except ImportError as error:
    raise ImportError(
        "mmapbuilder.dask needs Dask: pip install mmapbuilder[dask]", name="dask"
    ) from error

__all__ = ["read_capnp", "read_log", "to_capnp"]


# ---- reading ----------------------------------------------------------------------------------


def read_capnp(
    path: "str | os.PathLike[str]",
    columns: "list[str] | None" = None,
    storage_options: "dict[str, Any] | None" = None,
) -> Any:
    """Return a dataset as a data frame of Dask, with a partition for each shard.

    Only the manifest is read before something is computed. Then each task reads its shard, and
    only the columns that are asked for: those of `columns`, or fewer if you narrow the frame
    afterwards (``frame[["id"]]``).

    The types of the columns follow from the schema. Numbers that cannot be null have NumPy's
    types, strings are pandas' ``str``, and enums are categories. Numbers that can be null,
    lists and structs are ``pandas.ArrowDtype``.

    Args:
        path: the directory of the dataset, or its address.
        columns: the columns to read; by default all.
        storage_options: what fsspec opens the address with.

    Raises:
        FileNotFoundError: nothing was committed there.
        InvalidMessage: the manifest is damaged, or of a later version.
        KeyError: there is no such column.
    """
    import dask.dataframe as dd

    dataset = open_dataset(path, storage_options)
    meta = _meta(empty_table(dataset.schema, dataset.path, columns))
    starts = [0]
    for shard in dataset.shards:
        starts.append(starts[-1] + shard.rows)
    return dd.from_map(
        _read_shard if columns is None else _read_columns,
        list(dataset.shards),
        starts[:-1],
        meta=meta,
        divisions=_divisions(starts),
        label="read-capnp",
        source=Source.of(dataset),
        **({} if columns is None else {"chosen": columns}),
    )


def _meta(table: Any) -> Any:
    """Return the frame without rows that tells Dask the types.

    Its categories are unknown: an enum can have numbers that its schema has no name for.
    """
    import pandas
    from dask.dataframe.utils import clear_known_categories

    meta = to_frame(table, 0)
    return clear_known_categories(meta) if isinstance(meta, pandas.DataFrame) else meta


def _divisions(starts: list[int]) -> "tuple[int, ...] | None":
    """Return where the numbers of the rows are divided, if no shard is empty."""
    if any(start == stop for start, stop in itertools.pairwise(starts)):
        return None
    return (*starts[:-1], starts[-1] - 1)


def _read_shard(
    shard: Shard, start: int, columns: "list[str] | None" = None, *, source: Source
) -> Any:
    """Read one shard. Dask looks for the argument `columns`, and pushes projections into it."""
    return to_frame(source.table(shard, columns), start)


def _read_columns(
    shard: Shard,
    start: int,
    columns: "list[str] | None" = None,
    *,
    source: Source,
    chosen: list[str],
) -> Any:
    return _read_shard(shard, start, chosen if columns is None else columns, source=source)


# ---- writing ----------------------------------------------------------------------------------


def to_capnp(
    df: Any,
    path: "str | os.PathLike[str]",
    schema: Any,
    field: Any,
    *,
    mode: str = "x",
    compute: bool = True,
    storage_options: "dict[str, Any] | None" = None,
) -> Any:
    """Write a data frame of Dask as a dataset, with a shard for each partition.

    It does no harm if workers die, or if Dask runs a task twice: the last task writes the
    manifest once, whole or not at all. The index of the frame is not written.

    Args:
        df: a data frame of Dask.
        path: the directory, or an address that fsspec knows; all workers must reach it.
        schema: the root of each message, or each message of a log.
        field: the list that gets the rows, or ``"log"``, as `write_shard`'s `path`.
        mode: as for `commit`.
        compute: whether to wait until the dataset is there.
        storage_options: the options for fsspec, if `path` is an address.

    Returns the `Dataset`, or with ``compute=False`` a ``dask.delayed.Delayed`` of it.

    Raises:
        FileExistsError: with mode ``"x"``, there is a dataset already.
        Others: as for `write_shard` and `commit`.
    """
    target = Target.at(path, schema, field, mode, storage_options)
    write, finish = delayed(_write_part, pure=False), delayed(_commit_all, pure=False)
    shards = [write(part, number, target) for number, part in enumerate(df.to_delayed())]
    done = finish(shards, target)
    return done.compute() if compute else done


def _write_part(part: Any, number: int, target: Target) -> Shard:
    import pandas
    import pyarrow

    if any(isinstance(kind, pandas.ArrowDtype) for kind in part.dtypes):
        part = pyarrow.Table.from_pandas(part, preserve_index=False)
    return target.write(part, number)


def _commit_all(shards: list[Shard], target: Target) -> Dataset:
    return target.commit(shards)


# ---- logs -------------------------------------------------------------------------------------


def read_log(
    paths: "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]",
    schema: Any,
    *,
    columns: "list[str] | None" = None,
    frame: "bool | None" = None,
    messages: "int | None" = None,
) -> Any:
    """Return logs as one bag of dicts, or as one data frame. Any program may have written them.

    Args:
        paths: a path, a pattern such as ``"drive-*.log"``, or several of them.
        schema: the root of all messages.
        columns: the fields to read. A field in a group or struct has a dotted name. With
            `columns` the result is a data frame.
        frame: whether to return a data frame, which has a column for each field, and no bag.
        messages: the most messages of a partition; by default all messages of a file.

    Returns a ``dask.bag.Bag`` with a dict for each message, as `Log.rows` gives them, or a
    ``dask.dataframe.DataFrame``.

    Raises:
        FileNotFoundError: there is no such file.
        InvalidMessage, TypeError: as for `open_log`.
    """
    module = module_of(schema)
    compiled = compile_schema(module)
    parts = [part for path in _files(paths) for part in _parts(path, messages)]
    if frame is None:
        frame = columns is not None
    if not frame:
        if columns is not None:
            raise TypeError("columns are for a frame: read_log(..., frame=True)")
        import dask.bag as db

        return db.from_sequence(parts, npartitions=len(parts)).map_partitions(_rows, compiled)
    import dask.dataframe as dd

    found = dd.from_map(
        _read_messages,
        parts,
        meta=_meta(empty_table(module, LOG, columns)),
        label="read-log",
        compiled=compiled,
    )
    return found if columns is None else found[list(columns)]


class _Part(NamedTuple):
    """Some messages of a log."""

    path: str
    start: int
    stop: int | None


def _files(paths: Any) -> list[str]:
    if isinstance(paths, str | bytes | os.PathLike):
        paths = [paths]
    found = []
    for path in map(os.fsdecode, map(os.fspath, paths)):
        matches = sorted(glob.glob(path)) if glob.has_magic(path) else []
        found += [os.path.abspath(each) for each in matches or [path]]
    if not found:
        raise ValueError("read_log() needs a path")
    return found


def _parts(path: str, messages: "int | None") -> list[_Part]:
    if messages is None:
        os.stat(path)  # raises now if there is no such file
        return [_Part(path, 0, None)]
    if messages < 1:
        raise ValueError(f"a partition has at least one message, not {messages}")
    with open_log(path) as log:
        count = len(log)
    return [_Part(path, i, min(i + messages, count)) for i in range(0, max(count, 1), messages)]


def _rows(parts: Iterable[_Part], compiled: bytes) -> list[dict[str, Any]]:
    schema = load_schema(compiled)
    found: list[dict[str, Any]] = []
    for part in parts:
        with open_log(part.path, schema) as log:
            found += log[part.start : part.stop].rows()
    return found


def _read_messages(part: _Part, columns: "list[str] | None" = None, *, compiled: bytes) -> Any:
    with open_log(part.path, load_schema(compiled)) as log:
        return to_frame(log[part.start : part.stop].table(columns=columns), 0)
