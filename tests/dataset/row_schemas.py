"""The schema of the tests' datasets, rows of it, and what is done with both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Shard, write_shard

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


def other_schema(folder: Path, old: str, new: str) -> Any:
    """Load the schema with a change."""
    path = folder / "rows.capnp"
    path.write_text(SCHEMA.read_text().replace(old, new))
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(path))
