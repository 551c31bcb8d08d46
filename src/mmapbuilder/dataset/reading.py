"""How a shard is opened and checked, and how the rows of many become one table."""

import os
from collections.abc import Iterable
from typing import Any

from ..log import open_log
from ..reader import open_message
from .building import digest_of
from .manifest import damaged
from .shard import Shard
from .store import Store, opened


def open_shard(store: Store, shard: Shard, schema: Any) -> Any:
    """Open the message or the log that a shard is.

    Raises: as `Dataset.open`.
    """
    with store.local_copy(shard.name) as path:
        _check_size(os.stat(path).st_size, shard, store.place(shard.name))
        if isinstance(shard.path, str):
            return open_log(path, schema, index=False)
        return open_message(path, schema)


def table_of_shard(store: Store, shard: Shard, schema: Any, columns: "list[str] | None") -> Any:
    """Return the rows of a shard as a table of Arrow.

    Raises: as `Dataset.batches`.
    """
    with open_shard(store, shard, schema) as found:
        if isinstance(shard.path, str):
            table = found.table(columns=columns)
        else:
            table = found.table(*(shard.path or ()), columns=columns)
    if table.num_rows != shard.rows:
        raise damaged(
            f"shard {shard.index} has {table.num_rows} rows, the manifest says {shard.rows}",
            store.place(shard.name),
        )
    return table


def one_table(tables: Iterable[Any]) -> Any:
    """Put tables of the same columns behind each other.

    Raises:
        ImportError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError(
            "one table of many shards needs pyarrow: pip install pyarrow; batches() does not",
            name="pyarrow",
        ) from error
    return pyarrow.concat_tables(
        [pyarrow.table(each) for each in tables], promote_options="permissive"
    )


def check_digest(store: Store, shard: Shard) -> None:
    """Compare a file with what the manifest says about it.

    Raises:
        InvalidMessage: it has another size or another digest.
        OSError: it is not there, or cannot be read.
    """
    place = store.place(shard.name)
    with opened(store, shard.name) as file:
        _check_size(file.seek(0, os.SEEK_END), shard, place)
        file.seek(0)
        found = digest_of(file)
    if found != shard.digest:
        raise damaged(
            f"shard {shard.index} is not what was committed: its digest is {found}, "
            f"the manifest says {shard.digest}",
            place,
        )


def _check_size(size: int, shard: Shard, place: str) -> None:
    if size != shard.bytes:
        raise damaged(
            f"shard {shard.index} has {size} bytes, the manifest says {shard.bytes}", place
        )
