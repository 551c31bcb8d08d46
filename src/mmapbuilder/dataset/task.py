"""A *task*: a part of the work on a dataset that an engine runs, in another process.

What is the same for all engines is here: what a task has to know, and the two phases as tasks,
of which each may be run twice.
"""

import uuid
from typing import Any, NamedTuple, Self

from .commit import commit_once, there_already
from .compiled import compile_schema, load_schema, module_of
from .dataset import Dataset, open_dataset
from .manifest import NAME
from .reading import table_of_shard
from .shard import Shard
from .store import store_of
from .write import write_shard


class Source(NamedTuple):
    """A dataset that tasks read; the schema goes with each of them, compiled."""

    directory: str
    options: dict[str, Any] | None
    compiled: bytes

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        """Describe an open dataset."""
        store = dataset._store
        return cls(store.name, store.options, dataset._manifest.compiled)

    def table(self, shard: Shard, columns: "list[str] | None") -> Any:
        """Read one shard.

        Raises: as `Dataset.batches`.
        """
        store = store_of(self.directory, self.options)
        return table_of_shard(store, shard, load_schema(self.compiled), columns)


class Target(NamedTuple):
    """A dataset that tasks write."""

    directory: str
    options: dict[str, Any] | None
    compiled: bytes
    field: Any
    mode: str
    job: str

    @classmethod
    def at(
        cls, path: Any, schema: Any, field: Any, mode: str, options: "dict[str, Any] | None"
    ) -> Self:
        """Describe a dataset that is to be made, and refuse what cannot become one.

        Raises:
            FileExistsError: with mode ``"x"``: there is a dataset. The commit looks again.
            ValueError: there is no such mode.
        """
        if mode not in ("x", "w"):
            raise ValueError(f"mode must be 'x' or 'w', not {mode!r}")
        store = store_of(path, options)
        if mode == "x" and store.exists(NAME):
            raise there_already(store)
        compiled = compile_schema(module_of(schema))
        return cls(store.name, options, compiled, field, mode, uuid.uuid4().hex)

    def write(self, data: Any, index: int) -> Shard:
        """Write one shard. Run twice, it makes two, of which one is committed."""
        return write_shard(
            self.directory,
            data,
            load_schema(self.compiled),
            self.field,
            index=index,
            storage_options=self.options,
        )

    def commit(self, shards: list[Shard]) -> Dataset:
        """Commit. Run twice, it returns what it has made the first time."""
        return commit_once(
            self.directory,
            shards,
            schema=load_schema(self.compiled),
            mode=self.mode,
            storage_options=self.options,
            job=self.job,
        )

    def open(self) -> Dataset:
        """Open what was committed."""
        return open_dataset(self.directory, self.options)
