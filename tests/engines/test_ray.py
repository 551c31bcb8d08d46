"""Ray, a real one on this machine, reads and writes datasets."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray
from row_schemas import Row, Table, some_rows

from mmapbuilder import commit, open_dataset, write_shard
from mmapbuilder.ray import CapnpDatasink, CapnpDatasource, read_capnp, write_capnp

# What Ray itself is warned of is none of our business.
pytestmark = pytest.mark.filterwarnings("default")

EXPECTED = [i for start in (0, 10, 20) for i in range(start, start + 5)]


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
        object_store_memory=100 << 20,
    )  # fmt: skip
    yield
    ray.shutdown()


def write_three(directory: Path, path: str = "rows", schema: Any = Table) -> None:
    shards = [
        write_shard(directory, some_rows(10 * i, 10 * i + 5), schema, path, index=i)
        for i in range(3)
    ]
    commit(directory, shards, schema=schema)


@pytest.mark.parametrize(("path", "schema"), [("rows", Table), ("log", Row)])
def test_a_dataset_is_read(tmp_path: Path, path: str, schema: Any) -> None:
    write_three(tmp_path, path, schema)
    found = read_capnp(tmp_path)
    assert found.count() == 15
    rows = sorted(found.take_all(), key=lambda row: row["id"])
    assert [row["id"] for row in rows] == EXPECTED
    assert rows[4]["name"] == "row 4"
    narrow = read_capnp(tmp_path, columns=["id"])
    assert narrow.schema().names == ["id"]
    assert narrow.sum("id") == sum(EXPECTED)


def test_a_task_reads_whole_shards(tmp_path: Path) -> None:
    write_three(tmp_path)
    source = CapnpDatasource(tmp_path)
    for parallelism, rows in ((1, [15]), (2, [5, 10]), (3, [5, 5, 5]), (100, [5, 5, 5])):
        tasks = source.get_read_tasks(parallelism)
        assert [task.metadata.num_rows for task in tasks] == rows
    assert source.estimate_inmemory_data_size() == open_dataset(tmp_path).bytes


@pytest.mark.parametrize(("path", "schema"), [("rows", Table), ("log", Row)])
def test_a_dataset_is_written(tmp_path: Path, path: str, schema: Any) -> None:
    table = pa.table({"id": pa.array(range(100), pa.uint32()), "name": ["x"] * 100})
    told = ray.data.from_arrow([table.slice(0, 40), table.slice(40)])
    dataset = write_capnp(told, tmp_path, schema, path)
    assert dataset.rows == 100
    assert dataset.verify() > 0
    assert dataset.unreferenced() == []
    assert sorted(dataset.table(columns=["id"])["id"].to_pylist()) == list(range(100))
    with pytest.raises(FileExistsError, match="there is a dataset already"):
        write_capnp(told, tmp_path, schema, path)
    assert write_capnp(told, tmp_path, schema, path, mode="w").rows == 100


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_worker_leaves_a_whole_dataset_or_none(tmp_path: Path, when: str) -> None:
    """It dies once, before it has written its shard or after that. Ray starts the task again."""
    place, mark = tmp_path / "dataset", tmp_path / "mark"

    class Dying(CapnpDatasink):
        def write(self, blocks: Any, ctx: Any) -> Any:
            told = list(blocks)
            dies = ctx.task_idx == 1 and not mark.exists()
            if not dies or when == "after":
                shard = super().write(told, ctx)
            if dies:
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return shard

    parts = [pa.table({"id": pa.array(range(i, i + 50), pa.uint32())}) for i in (0, 50, 100)]
    told = ray.data.from_arrow(parts)
    try:
        told.write_datasink(Dying(place, Table, "rows"))
    except Exception:
        with pytest.raises(FileNotFoundError):
            open_dataset(place)
    else:
        dataset = open_dataset(place)
        assert sorted(dataset.table(columns=["id"])["id"].to_pylist()) == list(range(150))
        assert dataset.verify() == dataset.bytes
        known = {shard.name for shard in dataset.shards} | {"_manifest.json"}
        assert set(os.listdir(place)) - known == set(dataset.unreferenced())
        assert len(dataset.unreferenced()) == (1 if when == "after" else 0)
    assert mark.exists()


def test_data_that_does_not_fit_commits_nothing(tmp_path: Path) -> None:
    told = ray.data.from_arrow(pa.table({"id": pa.array([1, -3], pa.int64())}))
    with pytest.raises(Exception, match="id"):
        write_capnp(told, tmp_path, Table, "rows")
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path)
