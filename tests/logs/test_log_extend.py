"""MessageLog.extend: many messages at once, and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
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
        with pytest.raises(ValueError, match="column 'time' has 1 rows, column 'value' has 0"):
            log.extend({"time": [1], "value": []})
    assert times(target) == list(range(3000))


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_data_frames_are_appended_row_by_row(target: Path, package: str) -> None:
    frames = pytest.importorskip(package)
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.extend(frames.DataFrame(_tables()["columns"])) == range(3000)
    assert times(target) == list(range(3000))


@pytest.mark.parametrize("roll", [None, "1GB"])
@pytest.mark.parametrize("kind", ["list", "pandas", "masked", "pyarrow", "pandas of arrow"])
def test_a_number_that_is_missing_is_an_error_unless_the_default_may_stand(
    target: Path, kind: str, roll: str | None
) -> None:
    values: Any = [5, None]
    if kind == "masked":
        values = np.ma.array([5, 6], mask=[0, 1])
    elif kind == "pandas":
        values = pytest.importorskip("pandas").array(values, "Int64")
    elif kind == "pyarrow":
        values = pytest.importorskip("pyarrow").array(values)
    elif kind == "pandas of arrow":
        values = pytest.importorskip("pandas").array(values, "int64[pyarrow]")
    names = ["a", None]
    with MessageLog(target, schema=EVENT.schema, roll=roll) as log:
        for beside in ({}, {"name": names}):
            with pytest.raises(TypeError, match="row 1.*(missing|None)"):
                log.extend({"time": values, **beside})
        assert len(log) == 0
        assert log.extend({"time": values, "name": names}, missing="default") == range(2)
        assert log.append(time=None) == 2
        with pytest.raises(ValueError, match="missing must be"):
            log.extend({}, missing="no")
    with open_log(target, EVENT.schema) as log:
        assert log.column("time").tolist() == [5, 0, 0]


@pytest.mark.parametrize("dtype", ["str", "string", "object", "string[pyarrow]", "large_string"])
def test_what_pandas_says_is_missing_is_missing(target: Path, dtype: str) -> None:
    pd = pytest.importorskip("pandas")
    if dtype == "large_string":
        dtype = pd.ArrowDtype(pytest.importorskip("pyarrow").large_string())
    frame = pd.DataFrame({"time": [1, 2], "name": pd.Series(["a", None], dtype=dtype)})
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(frame)
    with open_log(target, EVENT.schema) as log:
        assert [row.get("name") for row in log.rows()] == ["a", None]
