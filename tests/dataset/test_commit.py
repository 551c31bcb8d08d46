"""Commits of a dataset: one wins, and what is not a whole dataset is refused."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import pytest
from row_schemas import (
    EXPECTED,
    SCHEMA,
    Row,
    Table,
    commit_at_once,
    other_schema,
    rows_capnp,
    some_rows,
    write_three,
)

from mmapbuilder import (
    commit,
    open_dataset,
    write_shard,
)
from mmapbuilder.dataset.store import store_of
from support import processes

pa = pytest.importorskip("pyarrow")


# ---- strays, and several commits ---------------------------------------------------------------


def test_strays_do_no_harm_and_are_listed(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    again = write_shard(tmp_path, some_rows(0, 5), Table, "rows", index=0)
    half = tmp_path / "part-00001-00000000-0000-0000-0000-000000000000.bin"
    half.write_bytes(b"what a killed worker left")
    dataset = commit(tmp_path, shards, schema=Table)
    assert dataset.table()["id"].to_pylist() == EXPECTED
    dataset.verify()
    assert dataset.unreferenced() == sorted([again.name, half.name])


def test_a_shard_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    for path, schema in (("rows", Table), ("log", Row)):
        with pytest.raises((OverflowError, ValueError, TypeError)):
            write_shard(tmp_path, [{"id": 1}, {"id": -1}], schema, path, index=0)
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_is_not_replaced_by_accident(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    first = commit(tmp_path, shards, schema=Table)
    before = (tmp_path / "_manifest.json").read_bytes()
    with pytest.raises(FileExistsError, match='there is a dataset already, .*mode="w"') as caught:
        commit(tmp_path, shards, schema=Table)
    assert caught.value.filename == str(tmp_path)
    assert (tmp_path / "_manifest.json").read_bytes() == before
    new = write_shard(tmp_path, some_rows(7, 8), Table, "rows", index=0)
    second = commit(tmp_path, [new], schema=Table, mode="w")
    assert second.table()["id"].to_pylist() == [7]
    assert first.table()["id"].to_pylist() == EXPECTED  # whoever has it open keeps it
    assert open_dataset(tmp_path).unreferenced() == sorted(shard.name for shard in shards)


@pytest.mark.parametrize("links", [True, False])
def test_of_many_commits_exactly_one_wins(tmp_path: Path, links: bool) -> None:
    """Whether or not the file system has second names for files."""
    there, directory = tmp_path / "there", tmp_path / "dataset"
    there.mkdir()
    answer = "return real(*names)" if links else 'raise PermissionError(1, "no links here")'
    wait_for_all = f"""
import time
real = os.link
def link(*names):
    open(f"{there}/{{os.getpid()}}", "w").close()
    while len(os.listdir({str(there)!r})) < 4:
        time.sleep(0.001)
    {answer}
os.link = link
"""
    commit_at_once(directory, write_three(directory), 4, wait_for_all)
    assert len(list(there.iterdir())) == 4  # each had found no manifest
    assert open_dataset(directory).table()["id"].to_pylist() == EXPECTED
    assert open_dataset(directory).unreferenced() == []


def test_a_file_that_vanishes_hides_no_shard(tmp_path: Path) -> None:
    """The directory is listed while other commits make and remove their temporary files."""
    shards = write_three(tmp_path)
    store = store_of(tmp_path, None)
    over = threading.Event()

    def come_and_go() -> None:
        names = [tmp_path / f"{i}.tmp" for i in range(50)]
        while not over.is_set():
            for name in names:
                name.touch()
            for name in names:
                name.unlink()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(500):
            assert {each.name for each in shards} <= store.sizes().keys()
    finally:
        over.set()
        thread.join()


def test_a_commit_of_the_same_job_succeeds_again(tmp_path: Path) -> None:
    """An engine may run the task of a commit twice, and those of the shards."""
    from mmapbuilder.dataset.commit import commit_once

    first, second = write_three(tmp_path), write_three(tmp_path)
    how: dict[str, Any] = {"schema": Table, "mode": "x", "storage_options": None}
    commit_once(tmp_path, first, **how, job="one")
    again = commit_once(tmp_path, second, **how, job="one")
    assert [shard.name for shard in again.shards] == [shard.name for shard in first]
    with pytest.raises(FileExistsError):
        commit_once(tmp_path, second, **how, job="two")


@pytest.mark.parametrize("mode", ["x", "w"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_commit_that_is_killed_has_made_a_dataset_or_none(
    tmp_path: Path, mode: str, when: str
) -> None:
    """Right before and after the one step that gives the manifest its name."""
    shards = write_three(tmp_path)
    code = """
        import os, pickle, signal, sys
        import capnp, mmapbuilder
        directory, shards, schema, mode, when = sys.argv[1:]
        step = "link" if mode == "x" else "replace"
        real = getattr(os, step)
        def killed(*names):
            if when == "after":
                real(*names)
            os.kill(os.getpid(), signal.SIGKILL)
        setattr(os, step, killed)
        shards = pickle.loads(bytes.fromhex(shards))
        mmapbuilder.commit(directory, shards, schema=capnp.load(schema).Table, mode=mode)
    """
    ended = processes.python(code, tmp_path, pickle.dumps(shards).hex(), SCHEMA, mode, when)
    assert ended.signal == "SIGKILL"
    if when == "after":
        dataset = open_dataset(tmp_path)
        assert dataset.table()["id"].to_pylist() == EXPECTED
    else:
        with pytest.raises(FileNotFoundError, match="manifest"):
            open_dataset(tmp_path)
        dataset = commit(tmp_path, shards, schema=Table)
    # What the commit wrote under another name is a stray.
    assert all(name.startswith("_manifest.json.") for name in dataset.unreferenced())


# ---- what is refused ---------------------------------------------------------------------------


def test_the_indexes_must_be_complete(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    for wrong, text in (
        ([], "one shard at least"),
        (shards[:1] + shards[2:], "no shard of index 1"),
        (shards[1:], "no shard of index 0"),
        ([*shards, shards[1]], "two shards of index 1"),
        ([*shards, shards[2]._replace(index=0)], "two shards of index 0"),
    ):
        with pytest.raises(ValueError, match=text):
            commit(tmp_path, wrong, schema=Table)
    with pytest.raises(ValueError, match="0 or more"):
        write_shard(tmp_path, [], Table, "rows", index=-1)
    with pytest.raises(ValueError, match="mode"):
        commit(tmp_path, shards, schema=Table, mode="a")
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path)


def test_a_path_must_lead_to_a_list(tmp_path: Path) -> None:
    for path, error in (
        ("nothing", KeyError), ("deeper", TypeError), ("rows.id", TypeError), ("", ValueError),
        ((), ValueError), ((0,), TypeError),
    ):  # fmt: skip
        with pytest.raises(error):
            write_shard(tmp_path / "ds", [], Table, path, index=0)
    with pytest.raises(TypeError):
        write_shard(tmp_path / "ds", [], None, "rows", index=0)
    assert not (tmp_path / "ds").exists() or list((tmp_path / "ds").iterdir()) == []


def test_shards_must_be_of_one_path_and_schema(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    deeper = write_shard(tmp_path, [], Table, "deeper.rows", index=1)
    with pytest.raises(ValueError, match=r"deeper\.rows"):
        commit(tmp_path, [shards[0], deeper, shards[2]], schema=Table)
    changed = other_schema(tmp_path, "ok @8 :Bool", "fine @8 :Bool").Table
    for schema in (changed, rows_capnp.Deeper):
        with pytest.raises(ValueError, match="another schema"):
            commit(tmp_path, shards, schema=schema)
    other = write_shard(tmp_path, [], changed, "rows", index=1)
    with pytest.raises(ValueError, match="shard 1 was written with another schema"):
        commit(tmp_path, [shards[0], other, shards[2]], schema=Table)
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path)


def test_files_must_be_there_when_they_are_committed(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    file = tmp_path / shards[1].name
    os.truncate(file, shards[1].bytes - 8)
    with pytest.raises(ValueError, match="shard 1 has"):
        commit(tmp_path, shards, schema=Table)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="shard 1"):
        commit(tmp_path, shards, schema=Table)
