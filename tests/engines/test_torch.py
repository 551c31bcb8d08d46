"""torch reads datasets and messages, with two worker processes of a DataLoader."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from row_schemas import Row, Table, some_rows
from torch.utils.data import DataLoader

from mmapbuilder import MessageBuilder, commit, write_shard
from mmapbuilder.torch import MessageDataset

EXPECTED = [i for start in (0, 10, 20) for i in range(start, start + 5)]


def write_three(directory: Path, path: str = "rows", schema: Any = Table) -> None:
    shards = [
        write_shard(
            directory, [row | {"price": row["id"] / 2} for row in some_rows(10 * i, 10 * i + 5)],
            schema, path, index=i,
        )
        for i in range(3)
    ]  # fmt: skip
    commit(directory, shards, schema=schema)


@pytest.mark.parametrize(("path", "schema"), [("rows", Table), ("log", Row)])
def test_rows_are_dicts(tmp_path: Path, path: str, schema: Any) -> None:
    write_three(tmp_path, path, schema)
    data = MessageDataset(tmp_path)
    assert len(data) == 15
    row = data[6]
    assert row["id"].item() == 11
    assert row["id"].dtype == torch.int64
    assert row["name"] == "row 11"
    assert row["kind"] == "plain"
    assert row["tags"] == ["t11", "x"]
    assert row["ok"].dtype == torch.bool
    assert row["place"] == {"x": 11, "y": -11}
    assert data[-1]["id"].item() == 24
    for wrong in (15, -16):
        with pytest.raises(IndexError, match="of 15 rows"):
            data[wrong]
    assert [row["id"].item() for row in data.__getitems__([14, 0, 5, 0])] == [24, 0, 10, 0]


@pytest.mark.parametrize("columns", [["id"], ["id", "name"], ["id", "price"], None])
def test_what_is_returned_is_a_copy(tmp_path: Path, columns: list[str] | None) -> None:
    write_three(tmp_path)
    data = MessageDataset(tmp_path, columns=columns)
    row = data[3]
    if columns is not None:
        assert list(row) == columns
    row["id"] += 100
    assert data[3]["id"].item() == 3
    first, second = data.__getitems__([3, 3])
    first["id"] += 1
    assert second["id"].item() == 3


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("columns", [["id"], ["id", "price", "name"]])
def test_two_workers_of_a_loader(tmp_path: Path, start: str, columns: list[str]) -> None:
    write_three(tmp_path)
    data = MessageDataset(tmp_path, "rows", columns=columns)
    data[0]  # open here, before the workers are made
    loader = DataLoader(data, batch_size=4, num_workers=2, multiprocessing_context=start)
    batches = list(loader)
    assert torch.cat([batch["id"] for batch in batches]).tolist() == EXPECTED
    if "price" in columns:
        assert torch.cat([batch["price"] for batch in batches]).tolist() == [
            i / 2 for i in EXPECTED
        ]
        assert batches[0]["name"] == [f"row {i}" for i in range(4)]


def test_a_single_message_is_one_too(tmp_path: Path) -> None:
    file = tmp_path / "one.bin"
    with MessageBuilder(file) as builder:
        builder.init_root(Table)
        builder.fill("rows", id=[1, 2, 3])
    data = MessageDataset(file, "rows", columns=["id"], schema=Table)
    copy = pickle.loads(pickle.dumps(data))
    assert [row["id"].item() for row in copy.__getitems__(range(3))] == [1, 2, 3]
    with pytest.raises(FileNotFoundError):
        MessageDataset(tmp_path / "none", "rows", schema=Table)


def test_a_pickle_carries_no_data(tmp_path: Path) -> None:
    write_three(tmp_path)
    data = MessageDataset(tmp_path)
    data.__getitems__(range(15))
    assert len(pickle.dumps(data)) < 8000
    assert pickle.loads(pickle.dumps(data))[14]["id"].item() == 24


def test_what_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    write_three(tmp_path)
    with pytest.raises(KeyError, match="nothing"):
        MessageDataset(tmp_path, columns=["nothing"])
    with pytest.raises(ValueError, match="deeper"):
        MessageDataset(tmp_path, "deeper", "rows")
    with pytest.raises(FileNotFoundError, match="manifest"):
        MessageDataset(tmp_path / "none")
