"""MessageLog.extend: many messages at once, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog
from support.events import EVENT, fields, read_by_others, times


def test_extend_appends_batches(target: Path) -> None:
    rows = [fields(0), EVENT.schema.new_message(**fields(1)), *map(fields, range(2, 3000))]
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.extend([]) == range(0)
        assert log.extend(rows) == range(3000)
        assert log.extend(iter([fields(3000)])) == range(3000, 3001)
    assert times(target) == list(range(3001))


@pytest.mark.parametrize("roll", [None, "1GB"])
@pytest.mark.parametrize("table", [False, True])
def test_extend_takes_a_schema(target: Path, roll: str | None, table: bool) -> None:
    rows: Any = [fields(number) for number in range(2000)]
    if table:
        rows = pytest.importorskip("pyarrow").Table.from_pylist(rows)
    with MessageLog(target, roll=roll) as log:
        with pytest.raises(TypeError, match="without a schema"):
            log.extend(rows)
        with pytest.raises(TypeError, match="schema must be a struct"):
            log.extend(rows, schema=3)
        assert log.extend(rows, EVENT.schema) == range(2000)
    assert read_by_others(target) == list(range(2000))


def _tables() -> dict[str, Any]:
    columns = {name: [fields(time)[name] for time in range(3000)] for name in fields(0)}
    found: dict[str, Any] = {"columns": columns}
    arrow = pytest.importorskip("pyarrow").table(columns)
    found["arrow"] = arrow
    found["batch"] = arrow.to_batches()[0]
    found["stream"] = arrow.to_reader()
    array = np.zeros(3000, [("time", "u8"), ("value", "f8"), ("name", "U40")])
    for name, values in columns.items():
        array[name] = values
    found["structured"] = array
    found["arrays"] = {name: array[name] for name in columns}
    return found


@pytest.mark.parametrize("kind", ["columns", "arrow", "batch", "stream", "structured", "arrays"])
def test_tables_are_appended_row_by_row(target: Path, kind: str) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.extend(_tables()[kind]) == range(3000)
        with pytest.raises(ValueError, match="differ in length"):
            log.extend({"time": [1], "value": []})
    assert times(target) == list(range(3000))


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_are_appended_row_by_row(target: Path, package: str) -> None:
    frames = pytest.importorskip(package)
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.extend(frames.DataFrame(_tables()["columns"])) == range(3000)
    assert times(target) == list(range(3000))
