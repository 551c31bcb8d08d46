"""The schema of the tests' datasets, rows of it, and what is done with both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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


def other_schema(folder: Path, old: str, new: str) -> Any:
    """Load the schema with a change."""
    path = folder / "rows.capnp"
    path.write_text(SCHEMA.read_text().replace(old, new))
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(path))
