"""The manifest of a dataset, as it should be and as it should not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from row_schemas import (
    Table,
    write_three,
)

from mmapbuilder import (
    InvalidMessage,
    commit,
    open_dataset,
)

pa = pytest.importorskip("pyarrow")


def test_without_a_manifest_there_is_no_dataset(tmp_path: Path) -> None:
    write_three(tmp_path)
    for directory in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match="manifest"):
            open_dataset(directory)
    (tmp_path / "_manifest.json").touch()  # as a commit leaves it that dies where links fail
    with pytest.raises(FileNotFoundError, match="manifest"):
        open_dataset(tmp_path)


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    commit(tmp_path, write_three(tmp_path), schema=Table)
    found: dict[str, Any] = json.loads((tmp_path / "_manifest.json").read_bytes())
    return found


def test_the_manifest_is_json_that_a_person_can_read(manifest: dict[str, Any]) -> None:
    assert {key: manifest[key] for key in ("version", "path", "rows")} == {
        "version": 1,
        "path": ["rows"],
        "rows": 15,
    }
    assert [shard["rows"] for shard in manifest["shards"]] == [5, 5, 5]
    assert int(manifest["root"], 16) == Table.schema.node.id


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 2}, "version 2"),
        ({"version": None}, "version None"),
        ({"format": "parquet"}, "no manifest of a dataset"),
        ({"rows": 16}, "rows"),
        ({"bytes": 1}, "bytes"),
        ({"path": []}, "path"),
        ({"path": "rows"}, "path"),
        ({"root": "7"}, "root"),
        ({"schema": "!"}, "schema"),
        ({"shards": []}, "shards"),
        ({"commit": 7}, "commit"),
    ],
)
def test_a_manifest_that_is_wrong_is_an_error(
    tmp_path: Path, manifest: dict[str, Any], change: dict[str, Any], text: str
) -> None:
    (tmp_path / "_manifest.json").write_text(json.dumps(manifest | change))
    with pytest.raises(InvalidMessage, match=text) as caught:
        open_dataset(tmp_path)
    assert caught.value.filename == str(tmp_path / "_manifest.json")


@pytest.mark.parametrize(
    "change",
    [{"name": "../../etc/passwd"}, {"name": "_manifest.json"}, {"rows": -1}, {"rows": True},
     {"bytes": 1.5}, {"digest": "md5:0"}, {"digest": None}],
)  # fmt: skip
def test_a_shard_in_the_manifest_that_is_wrong_is_an_error(
    tmp_path: Path, manifest: dict[str, Any], change: dict[str, Any]
) -> None:
    manifest["shards"][1] |= change
    (tmp_path / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidMessage, match="shard 1"):
        open_dataset(tmp_path)


def test_bytes_that_are_no_manifest_are_an_error(tmp_path: Path) -> None:
    for content in (b"{", b"[]", b"\xff", b"null", b'{"version": 1}'):
        (tmp_path / "_manifest.json").write_bytes(content)
        with pytest.raises(InvalidMessage, match="manifest"):
            open_dataset(tmp_path)


def test_a_schema_in_the_manifest_that_is_wrong_is_an_error(
    tmp_path: Path, manifest: dict[str, Any]
) -> None:
    import base64
    import random

    compiled = base64.b64decode(manifest["schema"])
    chance = random.Random(1)
    wrong = 0
    for number in range(300):
        damaged = bytearray(compiled)
        for _ in range(number and 4):
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        cut = bytes(damaged if number % 3 else damaged[: chance.randrange(len(damaged))])
        changed = manifest | {"schema": base64.b64encode(cut).decode()}
        (tmp_path / "_manifest.json").write_text(json.dumps(changed))
        dataset = open_dataset(tmp_path)
        try:
            dataset.schema
        except InvalidMessage as error:
            assert "_manifest.json" in str(error)
            wrong += 1
    assert wrong > 100
    other = manifest | {"fingerprint": "0"}
    (tmp_path / "_manifest.json").write_text(json.dumps(other))
    with pytest.raises(InvalidMessage, match="fingerprint"):
        open_dataset(tmp_path).schema


def test_rows_that_the_manifest_does_not_know_are_an_error(
    tmp_path: Path, manifest: dict[str, Any]
) -> None:
    manifest["shards"][1]["rows"] += 1
    manifest["rows"] += 1
    (tmp_path / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidMessage, match="shard 1 has 5 rows, the manifest says 6"):
        open_dataset(tmp_path).table()
