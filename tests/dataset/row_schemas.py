"""The schema of the tests' datasets, rows of it, and what is done with both."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Shard, write_shard
from support import processes

capnp = pytest.importorskip("capnp")
SCHEMA = Path(__file__).resolve().parent / "rows.capnp"
rows_capnp = capnp.load(str(SCHEMA))
Table, Row, Generic = rows_capnp.Table, rows_capnp.Row, rows_capnp.Generic

_parsers: list[Any] = []  # a schema does not keep its parser alive


def some_rows(start: int, stop: int) -> list[dict[str, Any]]:
    return [
        {
            "id": i,
            "name": f"row {i}",
            "kind": "rare" if i % 3 == 0 else "plain",
            "tags": [f"t{i}", "x"],
            "ok": i % 2 == 0,
            "place": {"x": i, "y": -i},
        }
        for i in range(start, stop)
    ]


EXPECTED = [i for start in (0, 10, 20) for i in range(start, start + 5)]
"""The ids of what `write_three` writes."""


def write_three(
    directory: Path | str, path: Any = "rows", schema: Any = Table, **options: Any
) -> list[Shard]:
    """Write three shards of five rows."""
    return [
        write_shard(directory, some_rows(10 * i, 10 * i + 5), schema, path, index=i, **options)
        for i in range(3)
    ]


COMMIT = """
import os, pickle, sys
import capnp, mmapbuilder
exec(sys.argv[4])
shards = pickle.loads(bytes.fromhex(sys.argv[2]))
table = capnp.load(sys.argv[3]).Table
mmapbuilder.open_log
print("ready", flush=True)
sys.stdin.readline()
try:
    mmapbuilder.commit(sys.argv[1], shards, schema=table)
    print("won")
except FileExistsError:
    print("lost")
"""


def commit_at_once(where: Path | str, shards: list[Shard], count: int, first: str = "") -> None:
    """Commit the same shards in several processes, of which exactly one must win.

    Each process runs `first` at its start.
    """
    arguments = (where, pickle.dumps(shards).hex(), SCHEMA, first)
    running = [processes.start(COMMIT, *arguments) for _ in range(count)]
    for each in running:
        assert processes.line(each) == "ready\n"
    for each in running:
        processes.tell(each)
    ended = [processes.end(each) for each in running]  # all of them, before one is found wrong
    said = sorted(each.ok().out for each in ended)
    assert said == ["lost\n"] * (count - 1) + ["won\n"]


def other_schema(folder: Path, old: str, new: str) -> Any:
    """Load the schema with a change."""
    path = folder / "rows.capnp"
    path.write_text(SCHEMA.read_text().replace(old, new))
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(path))
