"""Datasets in a real object store: a server on loopback, through s3fs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow  # noqa: F401
import pytest
from row_schemas import EXPECTED, Row, Table, commit_at_once, write_three

from mmapbuilder import InvalidMessage, commit, open_dataset, write_shard
from support import processes

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, Any]]:
    command = [sys.executable, str(HERE / "s3_server.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        port = int(processes.line(server))
        yield {
            "key": "key",
            "secret": "swordfish",
            "client_kwargs": {"endpoint_url": f"http://127.0.0.1:{port}"},
        }
        server.kill()


@pytest.fixture
def address(options: dict[str, Any]) -> str:
    bucket = f"bucket-{uuid.uuid4()}"
    fsspec.filesystem("s3", **options).mkdir(bucket)
    return f"s3://{bucket}/deep/ds"


@pytest.mark.parametrize(("path", "schema"), [("rows", Table), ("log", Row)])
def test_a_dataset_in_an_object_store(
    address: str, options: dict[str, Any], path: str, schema: Any, tmp_path: Path
) -> None:
    shards = write_three(address, path, schema, storage_options=options)
    with pytest.raises(FileNotFoundError, match="manifest"):
        open_dataset(address, options)
    commit(address, shards, schema=schema)  # the shards know how the store is opened
    dataset = open_dataset(address, options)
    assert dataset.table()["id"].to_pylist() == EXPECTED
    assert dataset.verify() == dataset.bytes
    assert pickle.loads(pickle.dumps(dataset)).rows == 15
    stray = write_shard(address, [], schema, path, index=0, storage_options=options)
    assert dataset.unreferenced() == [stray.name]
    with pytest.raises(FileExistsError, match="there is a dataset already"):
        commit(address, shards, schema=schema, storage_options=options)
    commit(address, [stray], schema=schema, mode="w", storage_options=options)
    assert open_dataset(address, options).rows == 0


def test_no_secret_is_in_what_is_stored(address: str, options: dict[str, Any]) -> None:
    commit(address, write_three(address, storage_options=options), schema=Table)
    system = fsspec.filesystem("s3", **options)
    files = system.find(address)
    assert len(files) == 4
    for file in files:
        assert b"swordfish" not in system.cat_file(file)


def test_of_many_processes_that_commit_exactly_one_wins(
    address: str, options: dict[str, Any]
) -> None:
    shards = write_three(address, storage_options=options)
    commit_at_once(address, shards, 3, "import fsspec, s3fs")
    assert open_dataset(address, options).table()["id"].to_pylist() == EXPECTED


def test_a_shard_that_was_changed_is_found(address: str, options: dict[str, Any]) -> None:
    shards = write_three(address, storage_options=options)
    dataset = commit(address, shards, schema=Table)
    system = fsspec.filesystem("s3", **options)
    file = f"{address}/{shards[1].name}"
    content = system.cat_file(file)
    system.pipe_file(file, content[:-1] + b"x")
    with pytest.raises(InvalidMessage, match="shard 1 is not what was committed"):
        dataset.verify()
    system.pipe_file(file, content[:-8])
    with pytest.raises(InvalidMessage, match="shard 1 has"):
        dataset.table()
    system.rm_file(file)
    with pytest.raises(FileNotFoundError, match=shards[1].name):
        dataset.table()
    with pytest.raises(FileNotFoundError, match="shard 1"):
        commit(address, shards, schema=Table, mode="w")


def test_a_large_shard_goes_up_in_parts(address: str, options: dict[str, Any]) -> None:
    rows = [{"id": i, "blob": os.urandom(1 << 20)} for i in range(60)]
    shard = write_shard(address, rows, Table, "rows", index=0, storage_options=options)
    assert shard.bytes > 60 << 20
    dataset = commit(address, [shard], schema=Table)
    assert dataset.verify() == shard.bytes
    assert dataset.table(columns=["id"]).num_rows == 60


def test_dask_reads_and_writes_it(address: str, options: dict[str, Any]) -> None:
    import dask
    import dask.dataframe as dd
    import pandas as pd

    from mmapbuilder.dask import read_capnp, to_capnp

    frame = dd.from_pandas(pd.DataFrame({"id": range(100)}), npartitions=4)
    with dask.config.set(scheduler="threads"):
        to_capnp(frame, address, Table, "rows", storage_options=options)
        read = read_capnp(address, storage_options=options)
        assert read["id"].sum().compute() == sum(range(100))
