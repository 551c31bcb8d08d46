"""Datasets as datasets of Ray, and datasets of Ray as datasets.

Ray is imported with this module, and with nothing else of the package. It uses Ray's interface for
developers, which changes between releases. So this module is thin.
"""

import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any

from .dataset import Dataset, Shard, open_dataset
from .dataset.reading import one_table
from .dataset.task import Source, Target

try:
    import ray.data
    from ray.data import Datasink, Datasource, ReadTask
    from ray.data.block import BlockMetadata
except ImportError as error:
    raise ImportError(
        "mmapbuilder.ray needs Ray: pip install mmapbuilder[ray]", name="ray"
    ) from error

__all__ = ["CapnpDatasink", "CapnpDatasource", "read_capnp", "write_capnp"]


class CapnpDatasource(Datasource):  # type: ignore[misc]
    """A dataset for ``ray.data.read_datasource``. Each shard is one block of Arrow.

    Args:
        path: the directory of the dataset, or its address.
        columns: the columns to read; by default all.
        storage_options: what fsspec opens the address with.

    Raises: as for `open_dataset`.
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
        self._source = Source.of(dataset)

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


def _read(shards: tuple[Shard, ...], source: Source, columns: "list[str] | None") -> Iterable[Any]:
    for shard in shards:
        # Ray looks for pyarrow's tables, whose memory goes into its own store then.
        yield one_table([source.table(shard, columns)])


class CapnpDatasink(Datasink[Shard]):  # type: ignore[misc]
    """Writes a dataset of Ray: one shard for each of Ray's write tasks, and then one commit.

    Args:
        path: the directory, or an address that fsspec knows; all workers must reach it.
        schema: the root of each message, or each message of a log.
        field: the list that gets the rows, or ``"log"``, as `write_shard`'s `path`.
        mode: as for `commit`.
        storage_options: what fsspec opens the address with.

    Raises:
        FileExistsError: with mode ``"x"``: there is a dataset.
        ValueError: there is no such mode.
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
        self._target = Target.at(path, schema, field, mode, storage_options)

    def get_name(self) -> str:
        """Return what Ray calls the tasks."""
        return "Capnp"

    def write(self, blocks: Iterable[Any], ctx: Any) -> Shard:
        """Write the blocks of one task as one shard."""
        from ray.data.block import BlockAccessor

        tables = [BlockAccessor.for_block(block).to_arrow() for block in blocks]
        return self._target.write(one_table(tables) if tables else [], ctx.task_idx)

    def on_write_complete(self, write_result: Any) -> None:
        """Commit the shards that Ray kept the results of.

        The numbers of Ray's tasks may have gaps, so the shards are numbered anew, in their
        order.
        """
        shards = sorted(write_result.write_returns, key=lambda shard: shard.index)
        self._target.commit([shard._replace(index=n) for n, shard in enumerate(shards)])


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
        Others: an error of Ray. It holds the error of `write_shard` or `commit`.
    """
    sink = CapnpDatasink(path, schema, field, mode=mode, storage_options=storage_options)
    ds.write_datasink(sink)
    return sink._target.open()
