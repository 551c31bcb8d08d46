"""Datasets on this machine: two phases, and what readers see of them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from row_schemas import Generic, Row, Table, other_schema, rows_capnp, some_rows

from mmapbuilder import (
    Dataset,
    InvalidMessage,
    Shard,
    commit,
    open_dataset,
    open_log,
    open_message,
    write_shard,
)
from support import apart

pa = pytest.importorskip("pyarrow")

HERE = Path(__file__).resolve().parent


def write_three(directory: Path, path: Any = "rows", schema: Any = Table) -> list[Shard]:
    return [
        write_shard(directory, some_rows(10 * i, 10 * i + 5), schema, path, index=i)
        for i in range(3)
    ]


EXPECTED = [i for start in (0, 10, 20) for i in range(start, start + 5)]


def test_what_is_committed_is_read(tmp_path: Path) -> None:
    shards = write_three(tmp_path / "ds")
    written = commit(tmp_path / "ds", reversed(shards), schema=Table)
    read = open_dataset(tmp_path / "ds")
    for dataset in (written, read):
        assert isinstance(dataset, Dataset)
        assert dataset.rows == 15
        assert [shard.name for shard in dataset.shards] == [shard.name for shard in shards]
        table = dataset.table()
        assert table["id"].to_pylist() == EXPECTED
        assert table["name"].to_pylist() == [f"row {i}" for i in EXPECTED]
        assert table["kind"].to_pylist() == ["plain" if i % 3 else "rare" for i in EXPECTED]
        assert table["tags"].to_pylist() == [[f"t{i}", "x"] for i in EXPECTED]
        assert table["place"].to_pylist() == [{"x": i, "y": -i} for i in EXPECTED]
        assert dataset.table(columns=["name", "id"]).column_names == ["name", "id"]
        assert [batch.num_rows for batch in dataset.batches()] == [5, 5, 5]
        assert dataset.verify() == dataset.bytes == sum(shard.bytes for shard in shards)
        assert dataset.unreferenced() == []


def test_a_shard_says_what_the_file_is(tmp_path: Path) -> None:
    (shard,) = write_three(tmp_path)[:1]
    file = tmp_path / shard.name
    assert (shard.index, shard.rows, shard.bytes) == (0, 5, file.stat().st_size)
    assert shard.digest == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert pickle.loads(pickle.dumps(shard)) == shard
    with open_message(file, Table) as message:
        assert message.column("rows", "id").tolist() == [0, 1, 2, 3, 4]


def test_a_shard_does_not_show_the_options_of_its_store() -> None:
    shard = Shard("part", 0, 1, 2, "d", ("rows",), "s", {"secret": "swordfish"})
    assert "swordfish" not in repr(shard)


def test_shards_can_be_logs(tmp_path: Path) -> None:
    commit(tmp_path, write_three(tmp_path, "log", Row), schema=Row)
    dataset = open_dataset(tmp_path)
    assert dataset.path == "log"
    assert dataset.rows == 15
    assert dataset.table(columns=["id"])["id"].to_pylist() == EXPECTED
    with open_log(tmp_path / dataset.shards[1].name, Row) as log:
        assert log[0].name == "row 10"
    with dataset.open(2) as log:
        assert [row.id for row in log] == [20, 21, 22, 23, 24]
    # What opened a shard left no index beside it; the line before this one made one.
    assert dataset.unreferenced() == [f"{dataset.shards[1].name}.idx"]


@pytest.mark.parametrize(
    ("path", "steps"),
    [("deeper.rows", ("deeper", "rows")), (("deeper", "rows"), ("deeper", "rows")),
     (("log",), ("log",))],
)  # fmt: skip
def test_a_list_may_lie_deeper_or_be_called_log(tmp_path: Path, path: Any, steps: Any) -> None:
    dataset = commit(tmp_path, write_three(tmp_path, path), schema=Table)
    assert open_dataset(tmp_path).path == dataset.path == steps
    assert open_dataset(tmp_path).table(columns=["id"])["id"].to_pylist() == EXPECTED


def test_a_list_may_be_of_numbers(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, iter([1.0, 2.5]), Table, "numbers", index=0)
    assert commit(tmp_path, [shard], schema=Table).table()["numbers"].to_pylist() == [1.0, 2.5]


def tables() -> dict[str, Any]:
    columns = {"id": [1, 2, 3], "name": ["a", None, "c"]}
    table = pa.table({"id": pa.array([1, 2, 3], pa.uint32()), "name": ["a", None, "c"]})
    found = {
        "columns": columns,
        "arrow": table,
        "batch": table.to_batches()[0],
        "stream": pa.RecordBatchReader.from_batches(table.schema, table.to_batches()),
        "rows": [{"id": 1, "name": "a"}, {"id": 2}, {"id": 3, "name": "c"}],
        "generator": ({"id": i, "name": n} for i, n in zip(*columns.values(), strict=True)),
    }
    for library in ("pandas", "polars"):
        try:
            found[library] = __import__(library).DataFrame(columns)
        except ImportError:
            pass
    return found


@pytest.mark.parametrize("path", ["rows", "log"])
@pytest.mark.parametrize("kind", list(tables()))
def test_data_may_be_of_any_kind(tmp_path: Path, kind: str, path: str) -> None:
    schema = Row if path == "log" else Table
    shard = write_shard(tmp_path, tables()[kind], schema, path, index=0)
    assert shard.rows == 3
    table = commit(tmp_path, [shard], schema=schema).table(columns=["id", "name"])
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table["name"].to_pylist() == ["a", None, "c"]


@pytest.mark.parametrize("path", ["rows", "log"])
def test_a_shard_may_be_empty(tmp_path: Path, path: str) -> None:
    schema = Row if path == "log" else Table
    shards = [
        write_shard(tmp_path, some_rows(0, 3) if i == 1 else [], schema, path, index=i)
        for i in range(3)
    ]
    dataset = commit(tmp_path, shards, schema=schema)
    assert dataset.rows == 3
    assert dataset.table()["id"].to_pylist() == [0, 1, 2]


def work(directory: str, index: int) -> Shard:
    return write_shard(directory, some_rows(10 * index, 10 * index + 5), Table, "rows", index=index)


def test_processes_write_and_one_commits(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("forkserver")) as pool:
        shards = list(pool.map(work, [str(tmp_path)] * 3, range(3)))
    dataset = commit(tmp_path, shards, schema=Table)
    assert dataset.table()["id"].to_pylist() == EXPECTED
    with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
        assert pool.submit(ids, dataset).result() == EXPECTED


def ids(dataset: Dataset) -> list[int]:
    found: list[int] = dataset.table(columns=["id"])["id"].to_pylist()
    return found


# ---- the schema ------------------------------------------------------------------------------


def test_a_reader_needs_no_schema_file(tmp_path: Path) -> None:
    commit(tmp_path / "ds", write_three(tmp_path / "ds"), schema=Table)
    code = """
        import sys, mmapbuilder, gc
        dataset = mmapbuilder.open_dataset(sys.argv[1])
        schema = dataset.schema
        assert schema.schema.node.displayName == "rows.capnp:Table"
        gc.collect()
        with dataset.open(0) as message:
            print([row.name for row in message.root.rows], message.root.rows[1].place.y)
        print(dataset.table(columns=["kind"])["kind"].to_pylist())
        root = schema.new_message(rows=[{"tags": ["a"]}])
        print(root.rows[0].tags[0], dataset.schema is schema)
    """
    out = apart.python(code, tmp_path / "ds").ok().out.splitlines()
    assert out[0] == "['row 0', 'row 1', 'row 2', 'row 3', 'row 4'] -1"
    assert out[1].startswith("['rare', 'plain', 'plain', 'rare'")
    assert out[2] == "a True"


def test_generic_types_come_along(tmp_path: Path) -> None:
    rows = [{"key": "a", "value": {"x": 1, "y": 2}}]
    commit(tmp_path, [write_shard(tmp_path, rows, Generic, "pairs", index=0)], schema=Generic)
    code = """
        import sys, mmapbuilder
        dataset = mmapbuilder.open_dataset(sys.argv[1])
        print(dataset.table().to_pylist())
        with dataset.open(0) as message:
            print(message.root.pairs[0].value.x, message.to_dict())
    """
    out = apart.python(code, tmp_path).ok().out.splitlines()
    assert out == [
        "[{'key': 'a', 'value': {'x': 1, 'y': 2}}]",
        "1 {'pairs': [{'key': 'a', 'value': {'x': 1, 'y': 2}}]}",
    ]


def test_the_manifest_tells_no_directory_of_the_writer(tmp_path: Path) -> None:
    dataset = commit(tmp_path, write_three(tmp_path), schema=Table)
    assert str(HERE).encode() not in dataset._manifest.compiled
    assert b"rows.capnp:Row" in dataset._manifest.compiled


def test_where_a_schema_was_loaded_from_does_not_matter(tmp_path: Path) -> None:
    same = other_schema(tmp_path, "", "").Table
    commit(tmp_path / "ds", write_three(tmp_path / "ds"), schema=same)


def test_a_bare_schema_of_pycapnp_will_do(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, some_rows(0, 2), Row.schema, "log", index=0)
    assert commit(tmp_path, [shard], schema=Row.schema).rows == 2


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
    with pytest.raises(FileExistsError, match="_manifest.json"):
        commit(tmp_path, shards, schema=Table)
    assert (tmp_path / "_manifest.json").read_bytes() == before
    new = write_shard(tmp_path, some_rows(7, 8), Table, "rows", index=0)
    second = commit(tmp_path, [new], schema=Table, mode="w")
    assert second.table()["id"].to_pylist() == [7]
    assert first.table()["id"].to_pylist() == EXPECTED  # whoever has it open keeps it
    assert open_dataset(tmp_path).unreferenced() == sorted(shard.name for shard in shards)


@pytest.mark.parametrize("links", [True, False])
def test_of_many_commits_exactly_one_wins(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the file system has second names for files."""
    shards = write_three(tmp_path)
    code = """
        import sys, os, pickle, time
        import capnp, mmapbuilder
        if sys.argv[4] == "False":
            def link(*names):
                raise PermissionError(1, "no links here")
            os.link = link
        shards = pickle.loads(bytes.fromhex(sys.argv[2]))
        table = capnp.load(sys.argv[3]).Table
        mmapbuilder.open_log
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            mmapbuilder.commit(sys.argv[1], shards, schema=table)
            print("won")
        except FileExistsError:
            print("lost")
    """
    arguments = (tmp_path, pickle.dumps(shards).hex(), HERE / "rows.capnp", links)
    running = [apart.start(code, *arguments) for _ in range(4)]
    for each in running:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"
    for each in running:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    said = sorted(apart.end(each).ok().out for each in running)
    assert said == ["lost\n"] * 3 + ["won\n"]
    assert open_dataset(tmp_path).table()["id"].to_pylist() == EXPECTED
    assert open_dataset(tmp_path).unreferenced() == []


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
    ended = apart.python(
        code, tmp_path, pickle.dumps(shards).hex(), HERE / "rows.capnp", mode, when
    )
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


def test_a_shard_that_was_changed_is_found(tmp_path: Path) -> None:
    shards = write_three(tmp_path)
    dataset = commit(tmp_path, shards, schema=Table)
    file = tmp_path / shards[1].name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InvalidMessage, match="shard 1 is not what was committed") as caught:
        dataset.verify()
    assert caught.value.filename == str(file)
    file.write_bytes(content[:-8])
    for read in (dataset.verify, dataset.table, lambda: dataset.open(1)):
        with pytest.raises(InvalidMessage, match=f"shard 1 has {len(content) - 8} bytes"):
            read()
    file.unlink()
    for read in (dataset.verify, dataset.table):
        with pytest.raises(FileNotFoundError, match=shards[1].name):
            read()


def test_rows_that_the_manifest_does_not_know_are_an_error(
    tmp_path: Path, manifest: dict[str, Any]
) -> None:
    manifest["shards"][1]["rows"] += 1
    manifest["rows"] += 1
    (tmp_path / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidMessage, match="shard 1 has 5 rows, the manifest says 6"):
        open_dataset(tmp_path).table()


def test_unknown_columns_are_an_error(tmp_path: Path) -> None:
    dataset = commit(tmp_path, write_three(tmp_path), schema=Table)
    with pytest.raises(KeyError, match="nothing"):
        dataset.table(columns=["nothing"])


def test_options_of_a_store_are_for_addresses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="storage_options"):
        open_dataset(tmp_path, {"anon": True})


# ---- around it ---------------------------------------------------------------------------------


def test_directories_may_be_given_in_many_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shard = write_shard("ds", [], Table, "rows", index=0)
    commit(tmp_path / "ds", [shard], schema=Table)
    for directory in ("ds", "./ds/", os.fsencode(tmp_path / "ds"), f"file://{tmp_path}/ds"):
        assert open_dataset(directory).directory == str(tmp_path / "ds")


def test_it_is_shown(tmp_path: Path) -> None:
    dataset = commit(tmp_path, write_three(tmp_path), schema=Table)
    assert repr(dataset) == f"<Dataset {str(tmp_path)!r}: 15 rows in 3 shards>"
    assert "15" in dataset._repr_html_()


def test_importing_the_package_imports_no_engine() -> None:
    code = """
        import sys, mmapbuilder
        names = {"dask", "distributed", "ray", "torch", "fsspec", "tqdm", "json", "hashlib"}
        print(sorted(names & set(sys.modules)))
    """
    assert apart.python(code).ok().out == "[]\n"


def test_a_bar_is_shown_on_a_terminal_only(tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    commit(tmp_path, write_three(tmp_path), schema=Table)
    code = """
        import os, pty, subprocess, sys, termios
        program = "import mmapbuilder, sys; mmapbuilder.open_dataset(sys.argv[1]).verify()"
        command = [sys.executable, "-c", program, sys.argv[1]]
        piped = subprocess.run(command, stderr=subprocess.PIPE, check=True).stderr
        master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (24, 80))
        child = subprocess.Popen(command, stderr=slave)
        os.close(slave)
        shown = b""
        try:
            while part := os.read(master, 4096):
                shown += part
        except OSError:
            pass
        assert child.wait() == 0
        print(piped, b"verifying" in shown and b"/3" in shown)
    """
    assert apart.python(code, tmp_path).ok().out == "b'' True\n"
