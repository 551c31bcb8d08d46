"""Arrays that grow, as files of NumPy's own format."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, CapacityError, NpyBuilder
from support import processes

np = pytest.importorskip("numpy")

RECORD = np.dtype([("time", "M8[us]"), ("place", "f4", (2,)), ("name", "S5"), ("näme", "?")])


def load_both_ways(path: Path) -> Any:
    whole = np.load(path)
    mapped = np.load(path, mmap_mode="r")
    assert mapped.dtype == whole.dtype
    assert mapped.shape == whole.shape
    assert (mapped == whole).all()
    return whole


def rows_of(dtype: Any, shape: tuple[int, ...]) -> Any:
    """Rows of every byte value, zeros at the end."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    data = bytes(n % 251 for n in range(size // 2)) + bytes(size - size // 2)
    if np.dtype(dtype).kind == "b":
        data = bytes(n & 1 for n in data)
    return np.frombuffer(data, dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i8", "f4", "c16", "M8[s]", "S3", "U2", "V7", "?"])
@pytest.mark.parametrize("row", [(), (3,), (2, 1, 4)])
def test_what_was_appended_is_loaded(target: Path, dtype: str, row: tuple[int, ...]) -> None:
    with NpyBuilder(target, dtype, (-1, *row)) as b:
        assert len(b) == 0
        assert b.array.shape == (0, *row)
        expected = rows_of(dtype, (10, *row))
        b.append(expected[:4])
        b.append(expected[4])
        b.extend(iter(expected[5:9]))
        b.extend(expected[9:])
        assert len(b) == 10
        assert b.shape == (10, *row)
        assert b.array.tobytes() == expected.tobytes()
    loaded = load_both_ways(target)
    assert loaded.dtype == np.dtype(dtype)
    assert loaded.shape == expected.shape
    assert loaded.tobytes() == expected.tobytes()


def test_structured_rows(target: Path) -> None:
    with NpyBuilder(target, RECORD) as b:
        b.append([("2020-01-01", (1, 2), b"abc", True), ("2021-01-01", (3, 4), b"", False)])
        b.extend((f"20{n}-05-05", (n, 0), b"x" * (n % 5), False) for n in range(30, 90))
        b.append(np.zeros(3, RECORD))
    loaded = load_both_ways(target)
    assert loaded.dtype == RECORD
    assert loaded.shape == (65,)
    assert loaded["place"][:3].tolist() == [[1, 2], [3, 4], [30, 0]]
    assert loaded["näme"][0]


def test_no_rows_at_all(target: Path) -> None:
    NpyBuilder(target, "f8", (-1, 3)).close()
    assert load_both_ways(target).shape == (0, 3)


def test_values_of_the_same_kind_are_converted_and_others_refused(target: Path) -> None:
    with NpyBuilder(target, "f4") as b:
        b.append(np.arange(3))
        b.append([1.5, 2])
        with pytest.raises(TypeError):
            b.append(np.array([1j]))
        b.append(7)
        assert b.array.tolist() == [0, 1, 2, 1.5, 2, 7]
    with NpyBuilder(target, "i4", (-1, 2)) as b:
        with pytest.raises(TypeError):
            b.append(np.array([[1.5, 2.5]]))
        for wrong in ([1, 2, 3], 5, [[1], [2]], [[[1, 2]]]):
            with pytest.raises(ValueError, match="shape"):
                b.append(wrong)
        with pytest.raises(ValueError, match=r"rows have shape \(2,\), not \(\)"):
            b.extend([1, 2, 3])
        b.append(np.asfortranarray([[1, 2], [3, 4]]))
    assert load_both_ways(target).tolist() == [[1, 2], [3, 4]]


def test_masked_values_are_not_stored_as_what_lies_below_the_mask(target: Path) -> None:
    masked = np.ma.array([[1, 2], [3, 4]], mask=[[1, 0], [0, 0]])
    with NpyBuilder(target, "i4", (-1, 2)) as b:
        for append in (lambda: b.append(masked), lambda: b.extend(masked),
                       lambda: b.extend(row for row in masked)):  # fmt: skip
            with pytest.raises(TypeError, match="mask"):
                append()
        b.append(masked.filled(0))
        b.append(masked[1:])
        b.extend(row for row in masked[1:])
    assert load_both_ways(target).tolist() == [[0, 2], [3, 4], [3, 4], [3, 4]]


def test_stores_in_the_array_are_stores_in_the_file(target: Path) -> None:
    with NpyBuilder(target, "i8", (-1, 2)) as b:
        b.append(np.zeros((5, 2)).astype("i8"))
        array = b.array
        array[1] = [3, 4]
        b.append([5, 6])
        assert len(array) == 5
        array[4, 1] = 9
    loaded = load_both_ways(target)
    assert loaded.tolist() == [[0, 0], [3, 4], [0, 0], [0, 0], [0, 9], [5, 6]]
    array[0] = 77  # a snapshot
    assert np.load(target).tolist() == loaded.tolist()


def test_numpy_refuses_what_is_not_finished(target: Path) -> None:
    b = NpyBuilder(target, "i8")
    b.append([1, 2, 3])
    for how in ({}, {"mmap_mode": "r"}, {"allow_pickle": True}):
        with pytest.raises(ValueError, match=r"version.*\(255, 255\)"):
            np.load(target, **how)
    b.close()
    assert load_both_ways(target).tolist() == [1, 2, 3]


def test_an_exception_leaves_it_unfinished(target: Path) -> None:
    with pytest.raises(RuntimeError), NpyBuilder(target, "i8") as b:
        b.append([1, 2, 3])
        raise RuntimeError
    assert b.closed
    with pytest.raises(ValueError, match="255"):
        np.load(target)
    np.save(target.with_suffix(".npy"), [7])
    with pytest.raises(RuntimeError), NpyBuilder(target.with_suffix(".npy"), atomic=True) as b:
        raise RuntimeError
    assert np.load(target.with_suffix(".npy")).tolist() == [7]


@pytest.mark.parametrize("options", [{"atomic": True}, {"durable": True}, {"size_hint": 1 << 24}])
def test_the_options_of_a_builder(target: Path, options: dict[str, Any]) -> None:
    with NpyBuilder(target, "u2", (-1, 5), **options) as b:
        b.append(rows_of("u2", (1000, 5)))
        b.flush(durable=True)
    assert load_both_ways(target).tobytes() == rows_of("u2", (1000, 5)).tobytes()
    with pytest.raises(FileExistsError):
        NpyBuilder(target, mode="x")


def test_what_is_refused(target: Path) -> None:
    for shape in ((), (3,), (2, -1), (-1, -1)):
        with pytest.raises(ValueError, match="first"):
            NpyBuilder(target, "i8", shape)
    with pytest.raises(ValueError, match="Fortran"):
        NpyBuilder(target, "i8", order="F")
    with pytest.raises(ValueError, match="mode"):
        NpyBuilder(target, "i8", mode="r+")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no bytes"):
        NpyBuilder(target, "i8", (-1, 0))
    with pytest.raises(TypeError, match="objects"):
        NpyBuilder(target, object)
    assert not target.exists()


def test_more_than_the_capacity_appends_nothing(target: Path) -> None:
    with NpyBuilder(target, "u1", (-1, 10), capacity=1000) as b:
        b.append(np.ones((50, 10), "u1"))
        with pytest.raises(CapacityError, match="capacity="):
            b.append(np.ones((100, 10), "u1"))
        assert len(b) == 50
    assert load_both_ways(target).shape == (50, 10)


def test_a_closed_one(target: Path) -> None:
    with NpyBuilder(target, "u1") as b:
        b.append([1])
    b.close()
    for use in (lambda: b.append([1]), lambda: len(b), lambda: b.array, lambda: b.append([])):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert "closed" in repr(b)
    assert b


def _append(b: NpyBuilder, which: int) -> None:
    for n in range(500):
        b.append([which, n])


def test_forked_processes_append_side_by_side(target: Path) -> None:
    context = multiprocessing.get_context("fork")
    with NpyBuilder(target, "i8", (-1, 2)) as b:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork in a threaded process
            workers = [context.Process(target=_append, args=(b, n)) for n in range(4)]
            for worker in workers:
                worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        assert len(b) == 2000
    rows = load_both_ways(target).tolist()
    for which in range(4):
        assert [n for found, n in rows if found == which] == list(range(500))


def test_a_killed_builder_leaves_no_array(target: Path) -> None:
    code = """
        import os, signal, sys
        from mmapbuilder import NpyBuilder
        b = NpyBuilder(sys.argv[1], "i8")
        b.extend(range(100_000))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert processes.python(code, target).signal == "SIGKILL"
    assert os.path.getsize(target) >= 800_000
    with pytest.raises(ValueError, match="255"):
        np.load(target)


@pytest.mark.skipif(sys.platform != "linux", reason="private memory can be limited on Linux only")
def test_rows_take_no_memory_of_the_process(target: Path) -> None:
    """So the file can be larger than memory. Here it is four times as large as what is allowed."""
    code = """
        import resource, sys
        import numpy as np
        from mmapbuilder import NpyBuilder
        rows = np.ones((512, 1024))  # 4 MiB
        with NpyBuilder(sys.argv[1], shape=(-1, 1024)) as b:
            b.append(rows)
            with open("/proc/self/status") as file:
                (kib,) = (int(line.split()[1]) for line in file if line.startswith("VmData:"))
            most = (kib << 10) + (32 << 20)
            resource.setrlimit(resource.RLIMIT_DATA, (most, most))
            for _ in range(31):
                b.append(rows)
            b.array[-1, 0] = 2
    """
    processes.python(code, target, timeout=120).ok()
    loaded = np.load(target, mmap_mode="r")
    assert loaded.shape == (32 * 512, 1024)
    assert (loaded[0, 0], loaded[-1, 0], loaded[-1, -1]) == (1, 2, 1)


@pytest.mark.parametrize(
    "dtype",
    [
        "G",  # clongdouble, longer than what ends of stores are rounded to
        "g",
        [("flag", "u1"), ("value", "i8")],  # packed: 9 bytes, nothing aligned
        np.dtype([("flag", "u1"), ("value", "G")], align=True),
        [("name", "S3"), ("points", "f4", (2, 3))],
    ],
)
def test_elements_of_any_length_end_where_they_end(target: Path, dtype: Any) -> None:
    """Zeros at the end of an element included: each row was appended, and counts."""
    kind = np.dtype(dtype)
    rows = np.zeros(7, kind)  # whose last are zeros
    rows[0] = np.ones((), kind)
    with NpyBuilder(target, kind) as b:
        b.append(rows[:3])
        b.extend(rows[3:])
        assert b.array.dtype == kind
        b.array[6] = rows[0]
        b.array[6] = rows[6]
    found = np.load(target)
    assert found.dtype == kind
    assert found.shape == rows.shape
    assert (found == rows).all()  # there are bytes in a long double that are nobody's
    with Builder(target) as b:
        b.zeros(7, kind)[:] = rows
    assert (np.fromfile(target, kind) == rows).all()
    assert target.stat().st_size == rows.nbytes
