"""Dask on datasets and logs: in one process, and with worker processes that are killed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from row_schemas import EXPECTED, SCHEMA, Row, Table, some_rows, write_three

from mmapbuilder import MessageLog, commit, open_dataset, write_shard
from support import processes
from support.requirements import missing

dd = pytest.importorskip("dask.dataframe")
pytest.importorskip("distributed")

from mmapbuilder.dask import read_capnp, read_log, to_capnp  # noqa: E402

HERE = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.mark.parametrize(("path", "schema"), [("rows", Table), ("log", Row)])
def test_a_dataset_is_a_frame(tmp_path: Path, path: str, schema: Any) -> None:
    commit(tmp_path, write_three(tmp_path, path, schema), schema=schema)
    frame = read_capnp(tmp_path)
    assert frame.npartitions == 3
    found = frame.compute()
    assert found["id"].tolist() == EXPECTED
    assert found["name"].tolist() == [f"row {i}" for i in EXPECTED]
    assert found["kind"].tolist() == ["plain" if i % 3 else "rare" for i in EXPECTED]
    assert found.index.tolist() == list(range(15))
    assert frame["id"].sum().compute() == sum(EXPECTED)
    assert frame.groupby("kind", observed=True)["id"].count().compute().to_dict() == {
        "rare": 5,
        "plain": 10,
    }
    assert frame.loc[7:8].compute()["id"].tolist() == [12, 13]
    narrow = read_capnp(tmp_path, columns=["name", "ok"]).compute()
    assert list(narrow.columns) == ["name", "ok"]
    assert narrow["ok"].tolist() == [i % 2 == 0 for i in EXPECTED]
    with pytest.raises(KeyError, match="nothing"):
        read_capnp(tmp_path, columns=["nothing"])


def test_what_is_computed_has_the_types_that_were_told(tmp_path: Path) -> None:
    """Also where values are missing in one shard and in no other."""
    shards = [
        write_shard(tmp_path, [{"weight": None if i else 1.5, "id": 1}], Table, "rows", index=i)
        for i in range(2)
    ]
    commit(tmp_path, shards, schema=Table)
    frame = read_capnp(tmp_path)
    told = {name: str(kind) for name, kind in frame.dtypes.items()}
    for part in range(2):
        found = frame.partitions[part].compute()
        assert {name: str(kind) for name, kind in found.dtypes.items()} == told
    assert told["id"] == "uint32"
    assert told["weight"] == "float[pyarrow]"
    assert frame["weight"].compute().tolist() == [1.5, pytest.importorskip("pandas").NA]


def test_a_shard_without_rows_is_a_partition_without_rows(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path, some_rows(0, 2) if i == 1 else [], Table, "rows", index=i)
        for i in range(3)
    ]
    commit(tmp_path, shards, schema=Table)
    frame = read_capnp(tmp_path)
    assert frame.known_divisions is False
    assert frame.compute()["id"].tolist() == [0, 1]


def resident(path: Path) -> int:
    """How many pages of a file are in memory."""
    import ctypes
    import mmap

    size = path.stat().st_size
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    with open(path, "rb") as file:
        address = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, file.fileno(), 0)
    found = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(size), found) == 0
    libc.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))
    return sum(each & 1 for each in found)


def forget(path: Path) -> None:
    """Let the kernel drop what it keeps of a file."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_columns_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    """Counted in pages of the file that came into memory."""
    if not hasattr(os, "posix_fadvise"):
        missing("pages cannot be counted here")
    rows = [{"id": i, "blob": os.urandom(64 << 10)} for i in range(500)]
    shard = write_shard(tmp_path, rows, Table, "rows", index=0)
    commit(tmp_path, [shard], schema=Table)
    file = tmp_path / shard.name
    pages = -(-shard.bytes // os.sysconf("SC_PAGESIZE"))
    forget(file)
    if resident(file) > pages // 10:
        missing("this file system keeps its pages in memory")
    assert read_capnp(tmp_path, columns=["id"])["id"].sum().compute() == sum(range(500))
    asked_for = resident(file)
    forget(file)
    # The projection is Dask's own here, pushed down into the reading.
    assert read_capnp(tmp_path)[["id"]].compute()["id"].tolist() == list(range(500))
    pushed_down = resident(file)
    forget(file)
    read_capnp(tmp_path).compute()
    everything = resident(file)
    assert everything > 0.95 * pages
    assert asked_for < 0.1 * pages, (asked_for, pages)
    assert pushed_down < 0.1 * pages, (pushed_down, pages)


# ---- writing ---------------------------------------------------------------------------------


def test_a_frame_is_a_dataset(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    told = pd.DataFrame({"id": range(100), "name": [f"n{i}" for i in range(100)], "price": 0.5})
    told.loc[3, "name"] = None
    frame = dd.from_pandas(told, npartitions=4)
    for path, schema in (("rows", Table), ("log", Row)):
        dataset = to_capnp(frame, tmp_path / path, schema, path)
        assert [shard.rows for shard in dataset.shards] == [25] * 4
        table = open_dataset(tmp_path / path).table(columns=["id", "name", "price"])
        assert table["id"].to_pylist() == list(range(100))
        assert table["name"].to_pylist()[2:5] == ["n2", None, "n4"]
        assert table["price"].to_pylist() == [0.5] * 100
        with pytest.raises(FileExistsError, match='a dataset already, .*mode="w"') as caught:
            to_capnp(frame, tmp_path / path, schema, path)
        assert caught.value.filename == str(tmp_path / path)
    later = to_capnp(frame, tmp_path / "rows", Table, "rows", mode="w", compute=False)
    later.compute()
    assert len(open_dataset(tmp_path / "rows").unreferenced()) == 4
    with pytest.raises(ValueError, match="mode"):
        to_capnp(frame, tmp_path / "other", Table, "rows", mode="a")


def test_what_was_read_can_be_written(tmp_path: Path) -> None:
    commit(tmp_path / "a", write_three(tmp_path / "a"), schema=Table)
    frame = read_capnp(tmp_path / "a")
    to_capnp(frame, tmp_path / "b", Table, "rows")
    first, second = (open_dataset(tmp_path / name).table() for name in "ab")
    assert second.to_pylist() == first.to_pylist()


def test_data_that_does_not_fit_commits_nothing(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = dd.from_pandas(pd.DataFrame({"id": [1, 2, -3, 4]}), npartitions=2)
    with pytest.raises(OverflowError, match="id"):
        to_capnp(frame, tmp_path, Table, "rows")
    with pytest.raises(FileNotFoundError):
        open_dataset(tmp_path)


def test_a_collection_lies_in_the_memory_of_the_process(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pd = pytest.importorskip("pandas")
    address = f"memory://{tmp_path.name}/ds"
    to_capnp(dd.from_pandas(pd.DataFrame({"id": range(9)}), npartitions=3), address, Table, "rows")
    assert read_capnp(address)["id"].compute().tolist() == list(range(9))


# ---- logs ------------------------------------------------------------------------------------


def test_logs_are_a_bag_or_a_frame(tmp_path: Path) -> None:
    for name, start in (("a.log", 0), ("b.log", 10)):
        with MessageLog(tmp_path / name, schema=Row) as log:
            log.extend(some_rows(start, start + 5))
    expected = [*range(5), *range(10, 15)]
    for paths in (tmp_path / "*.log", [tmp_path / "a.log", str(tmp_path / "b.log")]):
        bag = read_log(paths, Row)
        assert [row["id"] for row in bag.compute()] == expected
        assert bag.filter(lambda row: row["ok"]).count().compute() == 6
    frame = read_log(tmp_path / "*.log", Row, columns=["id", "kind"])
    assert frame.npartitions == 2
    assert frame.compute()["id"].tolist() == expected
    parts = read_log(tmp_path / "*.log", Row, frame=True, messages=2)
    assert parts.npartitions == 6
    assert parts["id"].compute().tolist() == expected
    assert read_log(tmp_path / "a.log", Row, messages=2).npartitions == 3
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none.log", Row)
    with pytest.raises(FileNotFoundError):
        read_log(tmp_path / "none*.log", Row)
    with pytest.raises(ValueError, match="at least one message"):
        read_log(tmp_path / "a.log", Row, messages=0)
    with pytest.raises(TypeError, match="frame"):
        read_log(tmp_path / "a.log", Row, columns=["id"], frame=False)


# ---- a cluster -------------------------------------------------------------------------------


def test_two_worker_processes_write_and_read(tmp_path: Path) -> None:
    code = """
        import sys
        import pandas as pd, dask.dataframe as dd
        from distributed import Client, LocalCluster
        import capnp
        from mmapbuilder.dask import read_capnp, read_log, to_capnp

        def main():
            schema = capnp.load(sys.argv[1])
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
            with cluster, Client(cluster):
                told = pd.DataFrame({"id": range(1000), "name": "x"})
                frame = dd.from_pandas(told, npartitions=8)
                dataset = to_capnp(frame, sys.argv[2], schema.Table, "rows")
                print(dataset.rows, dataset.verify() > 0, dataset.unreferenced())
                read = read_capnp(sys.argv[2])
                print(read["id"].sum().compute(), read.npartitions)
                to_capnp(read[["id"]], sys.argv[2] + "-log", schema.Row, "log")
                bag = read_log(sys.argv[2] + "-log/*.bin", schema.Row)
                print(bag.count().compute())
        if __name__ == "__main__":
            main()
    """
    program = tmp_path / "program.py"
    program.write_text(processes.textwrap.dedent(code))
    out = run(program, SCHEMA, tmp_path / "ds")
    assert out.splitlines() == ["1000 True []", f"{sum(range(1000))} 8", "1000"]


def run(program: Path, *arguments: object) -> str:
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, str(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=processes.environment(),
        cwd=program.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_killed_worker_leaves_a_whole_dataset_or_none(tmp_path: Path) -> None:
    """`make test-kills` does it a hundred times."""
    out = run(HERE / "kills.py", tmp_path, os.environ.get("MMAPBUILDER_KILLS", "2"))
    assert "wrong: 0" in out, out
