"""Datasets as datasets of Ray, and datasets of Ray as datasets.

Ray is imported with this module, and with nothing else of the package. What it builds on is
Ray's interface for developers, which changes between releases, so this is thin.
"""

import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .dataset import Dataset, Shard, commit, open_dataset, write_shard
from .dataset.compiled import compile_schema, load_schema, module_of
from .dataset.manifest import NAME
from .dataset.reading import one_table, table_of_shard
from .dataset.store import store_of

try:
    import ray.data
    from ray.data import Datasink, Datasource, ReadTask
    from ray.data.block import BlockMetadata
except ImportError as error:
    raise ImportError(
        "mmapbuilder.ray needs Ray: pip install mmapbuilder[ray]", name="ray"
    ) from error

__all__ = ["CapnpDatasink", "CapnpDatasource", "read_capnp", "write_capnp"]


class _Source(NamedTuple):
    """What each task has to know of a dataset; the schema goes with it, compiled."""

    directory: str
    options: dict[str, Any] | None
    compiled: bytes


class CapnpDatasource(Datasource):  # type: ignore[misc]
    """A dataset for `ray.data.read_datasource`: a block of Arrow for each shard.

    Args:
        path: the directory of the dataset, or its address.
        columns: the columns to read; by default all.
        storage_options: what fsspec opens the address with.

    Raises: as `open_dataset`.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        columns: "list[str] | None" = None,
        storage_options: "dict[str, Any] | None" = None,
    ) -> None:
        super().__init__()
        dataset = open_dataset(path, storage_options)
        self._shards = dataset.shards
        self._columns = columns
        compiled = dataset._manifest.compiled
        self._source = _Source(dataset.directory, storage_options, compiled)

    def get_name(self) -> str:
        """Return what Ray calls the tasks."""
        return "Capnp"

    def estimate_inmemory_data_size(self) -> int:
        """Return how many bytes the shards have."""
        return sum(shard.bytes for shard in self._shards)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: "int | None" = None, data_context: Any = None
    ) -> list[Any]:
        """Return at most `parallelism` tasks, which read whole shards that follow each other."""
        count = len(self._shards)
        number = max(1, min(parallelism, count))
        cuts = [count * i // number for i in range(number + 1)]
        limit = {} if per_task_row_limit is None else {"per_task_row_limit": per_task_row_limit}
        return [
            ReadTask(self._reader(shards), _metadata(shards), **limit)
            for shards in (self._shards[a:b] for a, b in itertools.pairwise(cuts))
        ]

    def _reader(self, shards: tuple[Shard, ...]) -> Callable[[], Iterable[Any]]:
        source, columns = self._source, self._columns
        return lambda: _read(shards, source, columns)


def _metadata(shards: tuple[Shard, ...]) -> Any:
    return BlockMetadata(
        num_rows=sum(shard.rows for shard in shards),
        size_bytes=sum(shard.bytes for shard in shards),
        input_files=None,
        exec_stats=None,
    )


def _read(shards: tuple[Shard, ...], source: _Source, columns: "list[str] | None") -> Iterable[Any]:
    store, schema = store_of(source.directory, source.options), load_schema(source.compiled)
    for shard in shards:
        # Ray looks for pyarrow's tables, whose memory goes into its own store then.
        yield one_table([table_of_shard(store, shard, schema, columns)])


class CapnpDatasink(Datasink[Shard]):  # type: ignore[misc]
    """Writes a dataset of Ray: a shard for each of Ray's write tasks, and one commit.

    Args:
        path: the directory, or an address that fsspec knows; all workers must reach it.
        schema: the root of each message, or each message of a log.
        field: the list that gets the rows, or ``"log"``, as `write_shard`'s `path`.
        mode: as for `commit`.
        storage_options: what fsspec opens the address with.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        schema: Any,
        field: Any,
        *,
        mode: str = "x",
        storage_options: "dict[str, Any] | None" = None,
    ) -> None:
        store = store_of(path, storage_options)
        self._source = _Source(store.name, storage_options, compile_schema(module_of(schema)))
        self._field = field
        self._mode = mode
        if mode not in ("x", "w"):
            raise ValueError(f"mode must be 'x' or 'w', not {mode!r}")

    def get_name(self) -> str:
        """Return what Ray calls the tasks."""
        return "Capnp"

    def on_write_start(self, schema: Any = None) -> None:
        """Refuse a directory with a dataset in it before anything is written.

        Raises:
            FileExistsError: with mode ``"x"``: there is a dataset.
        """
        store = store_of(self._source.directory, self._source.options)
        if self._mode == "x" and store.exists(NAME):
            import errno

            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), store.place(NAME))

    def write(self, blocks: Iterable[Any], ctx: Any) -> Shard:
        """Write the blocks of one task as one shard."""
        from ray.data.block import BlockAccessor

        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        source = self._source
        return write_shard(
            source.directory,
            one_table(tables) if tables else [],
            load_schema(source.compiled),
            self._field,
            index=ctx.task_idx,
            storage_options=source.options,
        )

    def on_write_complete(self, write_result: Any) -> None:
        """Commit the shards that Ray kept the results of.

        The numbers of Ray's tasks may have gaps, so the shards are numbered anew, in their
        order.
        """
        shards = sorted(write_result.write_returns, key=lambda shard: shard.index)
        source = self._source
        commit(
            source.directory,
            [shard._replace(index=number) for number, shard in enumerate(shards)],
            schema=load_schema(source.compiled),
            mode=self._mode,
            storage_options=source.options,
        )


def read_capnp(
    path: "str | os.PathLike[str]",
    columns: "list[str] | None" = None,
    storage_options: "dict[str, Any] | None" = None,
) -> Any:
    """Return a dataset as a ``ray.data.Dataset``; the arguments are `CapnpDatasource`'s."""
    return ray.data.read_datasource(CapnpDatasource(path, columns, storage_options))


def write_capnp(
    ds: Any,
    path: "str | os.PathLike[str]",
    schema: Any,
    field: Any,
    *,
    mode: str = "x",
    storage_options: "dict[str, Any] | None" = None,
) -> Dataset:
    """Write a ``ray.data.Dataset`` as a dataset, and return it; see `CapnpDatasink`.

    Raises:
        FileExistsError: with mode ``"x"``: there is a dataset.
        Others: as Ray raises them, with what `write_shard` and `commit` raise in them.
    """
    sink = CapnpDatasink(path, schema, field, mode=mode, storage_options=storage_options)
    sink.on_write_start()  # here, where the error is not wrapped by Ray
    ds.write_datasink(sink)
    return open_dataset(path, storage_options)
