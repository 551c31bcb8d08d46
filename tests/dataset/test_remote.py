"""Datasets behind fsspec: in the memory of the process, and in what cannot hold one safely.

S3 is in tests/engines, with a server of its own.
"""

from __future__ import annotations

import os
import pickle
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from row_schemas import EXPECTED, Row, Table, some_rows, write_three

from mmapbuilder import InvalidMessage, commit, open_dataset, write_shard

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")


@pytest.fixture
def address() -> Iterator[str]:
    name = f"memory://{uuid.uuid4()}/ds"
    yield name
    fsspec.filesystem("memory").rm(name.rpartition("/")[0], recursive=True)


@pytest.mark.parametrize(("schema", "path"), [(Table, "rows"), (Row, "log")])
def test_a_dataset_in_memory(address: str, schema: Any, path: str, tmp_path: Path) -> None:
    shards = write_three(address, path, schema)
    with pytest.raises(FileNotFoundError, match="manifest"):
        open_dataset(address)
    commit(address, shards, schema=schema)
    dataset = open_dataset(address)
    assert dataset.rows == 15
    assert dataset.table(columns=["id"])["id"].to_pylist() == EXPECTED
    assert dataset.verify() == dataset.bytes
    assert dataset.directory == address
    assert pickle.loads(pickle.dumps(dataset)).rows == 15
    with dataset.open(1) as opened:
        rows = opened if path == "log" else opened.root.rows
        assert [row.name for row in rows] == [f"row {i}" for i in range(10, 15)]
    stray = write_shard(address, [], schema, path, index=0)
    assert dataset.unreferenced() == [stray.name]
    with pytest.raises(FileExistsError, match='there is a dataset already, .*mode="w"') as caught:
        commit(address, shards, schema=schema)
    assert caught.value.filename == address
    assert commit(address, [stray], schema=schema, mode="w").rows == 0


def test_what_is_built_here_and_downloaded_is_removed(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    shard = write_shard(address, some_rows(0, 5), Table, "rows", index=0)
    dataset = commit(address, [shard], schema=Table)
    message = dataset.open(0)
    dataset.table()
    with pytest.raises(OverflowError):
        write_shard(address, [{"id": -1}], Table, "rows", index=0)
    assert os.listdir(tmp_path) == []
    assert message.root.rows[4].id == 4
    assert dataset.unreferenced() == []


def test_a_shard_that_was_changed_is_found(address: str) -> None:
    shard = write_shard(address, some_rows(0, 5), Table, "rows", index=0)
    dataset = commit(address, [shard], schema=Table)
    system = fsspec.filesystem("memory")
    content = system.cat_file(f"{address}/{shard.name}")
    system.pipe_file(f"{address}/{shard.name}", content[:-1] + b"x")
    with pytest.raises(InvalidMessage, match="not what was committed"):
        dataset.verify()
    system.pipe_file(f"{address}/{shard.name}", content[:-8])
    for read in (dataset.verify, dataset.table):
        with pytest.raises(InvalidMessage, match="the manifest says"):
            read()
    system.rm(f"{address}/{shard.name}")
    for read in (dataset.verify, dataset.table):
        with pytest.raises(FileNotFoundError, match=shard.name):
            read()
    with pytest.raises(FileNotFoundError, match="shard 0"):
        commit(address, [shard], schema=Table, mode="w")


def test_of_many_threads_that_commit_exactly_one_wins(address: str) -> None:
    shard = write_shard(address, [], Table, "rows", index=0)
    start = threading.Barrier(8)
    said = []

    def run() -> None:
        start.wait()
        try:
            commit(address, [shard], schema=Table)
            said.append("won")
        except FileExistsError:
            said.append("lost")

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["lost"] * 7 + ["won"]


def test_a_store_that_only_looks_first_is_refused(tmp_path: Path) -> None:
    """As fsspec's base class does: two commits could both find nothing, and both write."""
    from fsspec.implementations.local import LocalFileSystem
    from fsspec.registry import register_implementation

    class Careless(LocalFileSystem):
        protocol = "careless"
        pipe_file = fsspec.AbstractFileSystem.pipe_file

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.replace("careless://", f"{tmp_path}/")

    register_implementation("careless", Careless, clobber=True)
    shard = write_shard("careless://ds", some_rows(0, 2), Table, "rows", index=0)
    with pytest.raises(OSError, match="conditional") as caught:
        commit("careless://ds", [shard], schema=Table)
    assert caught.value.filename == "careless://ds/_manifest.json"
    assert commit("careless://ds", [shard], schema=Table, mode="w").rows == 2
