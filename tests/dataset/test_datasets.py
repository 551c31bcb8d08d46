"""Datasets on this machine: two phases, and what readers see of them."""

from __future__ import annotations

import hashlib
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from row_schemas import (
    EXPECTED,
    SCHEMA,
    Generic,
    Row,
    Table,
    other_schema,
    some_rows,
    write_three,
)

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
from support import processes

pa = pytest.importorskip("pyarrow")


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
def test_a_table_has_lists_and_structs(tmp_path: Path, path: str) -> None:
    rows = [{"id": 1, "tags": ["a", "b"], "place": {"x": 1, "y": 2}}, {"id": 2, "weight": 0.5}]
    schema = Row if path == "log" else Table
    shard = write_shard(tmp_path, rows, schema, path, index=0)
    table = commit(tmp_path, [shard], schema=schema).table()
    assert table["tags"].to_pylist() == [["a", "b"], None]
    assert table["place"].to_pylist() == [{"x": 1, "y": 2}, None]
    assert table["weight"].to_pylist() == [None, 0.5]


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
    out = processes.python(code, tmp_path / "ds").ok().out.splitlines()
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
    out = processes.python(code, tmp_path).ok().out.splitlines()
    assert out == [
        "[{'key': 'a', 'value': {'x': 1, 'y': 2}}]",
        "1 {'pairs': [{'key': 'a', 'value': {'x': 1, 'y': 2}}]}",
    ]


def test_the_manifest_tells_no_directory_of_the_writer(tmp_path: Path) -> None:
    dataset = commit(tmp_path, write_three(tmp_path), schema=Table)
    assert str(SCHEMA.parent).encode() not in dataset._manifest.compiled
    assert b"rows.capnp:Row" in dataset._manifest.compiled


def test_where_a_schema_was_loaded_from_does_not_matter(tmp_path: Path) -> None:
    same = other_schema(tmp_path, "", "").Table
    commit(tmp_path / "ds", write_three(tmp_path / "ds"), schema=same)


def test_a_bare_schema_of_pycapnp_will_do(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, some_rows(0, 2), Row.schema, "log", index=0)
    assert commit(tmp_path, [shard], schema=Row.schema).rows == 2


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
    assert processes.python(code).ok().out == "[]\n"


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
    assert processes.python(code, tmp_path).ok().out == "b'' True\n"
