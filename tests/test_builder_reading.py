"""A Builder read like a file, and the guards around its capacity."""

from __future__ import annotations

import inspect
import io
import os
import random
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import mmapbuilder
from mmapbuilder import Builder, CapacityError

MIB = 1 << 20
LINES = b"first\n\nthird is longer\n" + b"x" * 20_000 + b"\n" + b"\n" * 5 + b"no end"


@pytest.fixture(params=["written", "stored"])
def pair(request, target: Path):
    """A builder and an io.BytesIO with the same content, whichever way it came in."""
    with Builder(target) as b:
        content = LINES + b"\1" * (-len(LINES) % 16)
        if request.param == "written":
            b.write(content)
            b.seek(0)
        else:
            memoryview(b)[: len(content)] = content
        yield b, io.BytesIO(content)


def test_each_way_of_reading_gives_what_a_file_gives(pair) -> None:
    b, file = pair
    source = random.Random(3)
    sizes = [-1, None, 0, 1, 5, 100, 8191, 8192, 8193, 30_000]
    for _ in range(300):
        place = source.choice([0, 3, 6, 20_000, 8192, source.randrange(21_000)])
        size = source.choice(sizes)
        name = source.choice(["read", "read1", "readline", "readlines", "readinto", "next"])
        for each in pair:
            each.seek(place)
        if name == "readinto":
            buffers = [bytearray(max(size or 0, 0)) for _ in pair]
            got = [each.readinto(buffer) for each, buffer in zip(pair, buffers, strict=True)]
            assert buffers[0] == buffers[1]
        elif name == "next":
            got = [next(iter(each), None) for each in pair]
        elif name == "readlines":
            got = [each.readlines(size) for each in pair]
        else:
            got = [getattr(each, name)(size) for each in pair]
        assert got[0] == got[1], (name, size, place)
        assert b.tell() == file.tell()


def test_the_whole_content(pair) -> None:
    b, file = pair
    b.seek(7)
    assert bytes(b) == b.getvalue() == b.getbuffer() == file.getvalue()
    assert b.tell() == 7
    assert b.peek(5) == file.getvalue()[7:12]
    assert b.peek() == file.getvalue()[7 : 7 + 8192]
    assert len(b) == len(file.getvalue())
    assert b[-1] == file.getvalue()[-1]
    assert b[-6:] == file.getvalue()[-6:]
    assert b[:] == file.getvalue()
    assert b[::-7] == memoryview(file.getvalue())[::-7]


def test_finding(pair) -> None:
    b, file = pair
    content = file.getvalue()
    for sub in (b"first", b"\n\n", b"x\n", b"", b"not there", b"no end", bytearray(b"xx")):
        for bounds in ((), (3,), (-100,), (5, 100), (5, -3), (100, 5), (0, 10**9)):
            assert b.find(sub, *bounds) == content.find(sub, *bounds)
            assert b.rfind(sub, *bounds) == content.rfind(sub, *bounds)
        assert (sub in b) == (sub in content)
    assert 120 in b
    assert 200 not in b
    assert b.find(120) == content.find(120)  # the byte, not so many zeros
    assert b.rfind(10, 3) == content.rfind(10, 3)
    for wrong in ("text", 256, None):
        with pytest.raises((TypeError, ValueError)):
            b.find(wrong)


def test_finding_across_pieces(target: Path) -> None:
    with Builder(target) as b:
        b.truncate(5 * MIB)
        for place in (MIB - 3, 2 * MIB, 4 * MIB - 1):
            b[place : place + 6] = b"needle"
        assert b.find(b"needle") == MIB - 3
        assert b.find(b"needle", MIB) == 2 * MIB
        assert b.rfind(b"needle") == 4 * MIB - 1
        assert b.rfind(b"needle", 0, 4 * MIB) == 2 * MIB


def test_reading_ends_where_the_content_ends(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"abc")
        assert (b.read(), b.readline(), b.readlines(), list(b)) == (b"", b"", [], [])
        b.seek(100)
        assert (b.read(), b.read(5), b.readinto(bytearray(5))) == (b"", b"", 0)
        b.truncate(5 * MIB)  # more than the file has by now
        b.seek(1)
        assert b.read() == b"bc" + bytes(5 * MIB - 3)


def test_reading_into_memory_that_is_not_there_yet(target: Path, tmp_path: Path) -> None:
    with Builder(target) as b, Builder(tmp_path / "other") as other:
        b.write(b"0123456789" * 1000)
        b.seek(0)
        assert b.readinto(other[8 * MIB : 8 * MIB + 10_000]) == 10_000
        assert other[8 * MIB : 8 * MIB + 10_000] == b"0123456789" * 1000


# ---- the capacity is not in the way -------------------------------------------------------


def test_a_look_at_the_whole_buffer_leaves_no_large_file(target_in_memory: Path) -> None:
    target = target_in_memory  # since an overlay has the hole read
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        b.write(b"content")
        assert "..." in repr(np.frombuffer(b, "u1"))  # looks at both ends
        assert b.size == len(b) == 7
        assert bytes(b) == b"content"
        assert os.stat(target).st_blocks * 512 < 4 * MIB
    assert target.read_bytes() == b"content"


def test_an_empty_builder(target: Path) -> None:
    with Builder(target) as b:
        assert (len(b), bytes(b), b.read(), bool(b)) == (0, b"", b"", True)
        with pytest.raises(IndexError):
            b[-1]
        assert b[:] == b[-5:] == b""
        assert "size=0" in repr(b)
        assert f"capacity={64 << 30}" in repr(b)


@pytest.mark.parametrize("content", [b"", b"a", b"abcdef"])
@pytest.mark.parametrize("step", [1, 2, -1, -2, -7])
def test_negative_places_before_the_start_reach_nothing_else(
    target_in_memory: Path, content: bytes, step: int
) -> None:
    """Above all not the end of the capacity, 64 GiB away."""
    places = [None, -8, -7, -6, -1]
    with Builder(target_in_memory) as b:
        b.write(content)
        for start in places:
            for stop in places:
                key = slice(start, stop, step)
                assert bytes(b[key]) == content[key], key
                b[key] = content[key]
        assert b.size == len(content)
        assert target_in_memory.stat().st_size < 64 << 20


def test_a_slice_without_a_stop_ends_at_the_size(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"0123456789")
        assert b[4:] == b"456789"
        assert b[-3:] == b"789"
        assert b[:-7] == b"012"
        assert b[-100:3] == b"012"
        b[-2:] = b"XY"
        b[5:7] = b"ab"
        b[8:12] = b"beyo"  # a stop that is given may lie beyond
        assert bytes(b) == b"01234ab7beyo"
        with pytest.raises(ValueError, match="the size"):
            b[12:] = b"nd"


def test_errors_of_capacity_say_what_to_do(target: Path) -> None:
    with Builder(target, capacity=10) as b:
        b.write(b"abc")
        uses = [lambda: b.write(bytes(8)), lambda: b.allocate(9), lambda: b.truncate(11),
                lambda: b.reserve(11), lambda: b.close(11), lambda: b.zeros(2),
                lambda: b.__setitem__(slice(5, 20), bytes(15))]  # fmt: skip
        for use in uses:
            with pytest.raises(CapacityError, match=r"\b10\b.*capacity=") as caught:
                use()
            assert caught.value.filename == str(target)
        assert (b.tell(), b.size) == (3, 3)


def test_after_truncate_and_flush_others_see_the_size(target: Path) -> None:
    for size in (100, 3 * MIB, 1 << 36):
        with Builder(target, capacity=1 << 37) as b:
            b.truncate(size)
            b.flush()
            assert target.stat().st_size >= size
            assert target.stat().st_blocks * 512 < 4 * MIB  # no room is taken for zeros
        assert target.stat().st_size == size


# ---- zeros -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [None, float, "i1", "<M8[s]", "S", "3i4", [("a", "f4"), ("b", "S3")]]
)
@pytest.mark.parametrize("shape", [0, 5, (), (2, 3), [4], (0, 3)])
def test_zeros_are_those_of_numpy(target: Path, shape, dtype) -> None:
    np = pytest.importorskip("numpy")
    expected = np.zeros(shape, dtype or float)
    with Builder(target) as b:
        b.write(b"x")
        array = b.zeros(shape, dtype) if dtype is not None else b.zeros(shape)
        assert array.dtype == expected.dtype
        assert array.shape == expected.shape
        assert (array == expected).all()
        assert array.flags.aligned
        assert array.flags.writeable
        assert b.size == b.tell() == array.dtype.alignment + array.nbytes
        array.reshape(-1).view("u1")[...] = 7 if array.size else 0
    assert target.read_bytes().count(7) == expected.nbytes


def test_zeros_refuse(target: Path) -> None:
    with Builder(target) as b:
        with pytest.raises(TypeError, match="objects"):
            b.zeros(3, object)
        with pytest.raises(ValueError, match="negative"):
            b.zeros((3, -1))
        for shape in (3.5, (2, 3.5), None):
            with pytest.raises(
                TypeError, match="a shape is a whole number or a tuple of them, not"
            ):
                b.zeros(shape)  # type: ignore[arg-type]
        assert b.tell() == 0


def test_zeros_where_there_was_content(target: Path) -> None:
    target.write_bytes(b"x" * 100)
    with Builder(target, "r+") as b:
        assert b.zeros(5, "u1").tolist() == [0] * 5
        b.seek(90)
        assert b.zeros(20, "u1").tolist() == [0] * 20
    assert target.read_bytes() == bytes(5) + b"x" * 85 + bytes(20)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i8", [1, 2, 3, 4, 5]), ("i8", [256, 1 << 40, 1 << 56]), ("?", [True, False]),
        ("f8", [1.5, 0.0]), ("f4", [0.0, 1.0, 0.0]), ("c16", [1 + 2j, 3 + 0j, 5 + 0j]),
        ("S5", [b"abc", b""]), ("M8[us]", [5, 0]),
    ],
)  # fmt: skip
def test_no_element_that_was_stored_is_split(target: Path, dtype: str, values) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        np.frombuffer(b, dtype, 1000)[: len(values)] = values
    kept = np.array(values, dtype)
    last = max(n for n, value in enumerate(kept) if value.tobytes().strip(b"\0"))
    size = target.stat().st_size
    assert size % 16 == 0
    if dtype != "S5":
        loaded = np.memmap(target, dtype, "r")
        assert loaded[: last + 1].tolist() == kept[: last + 1].tolist()


# ---- types ---------------------------------------------------------------------------------


def test_types_can_be_asked_for() -> None:
    pytest.importorskip("numpy")
    for kind in (mmapbuilder.Builder, mmapbuilder.NpyBuilder):
        typing.get_type_hints(kind)
        assert "Literal" in str(inspect.signature(kind, eval_str=True).parameters["mode"])
        for name in dir(kind):
            method = inspect.getattr_static(kind, name)
            if isinstance(method, property):
                method = method.fget
            if inspect.isfunction(method):
                typing.get_type_hints(method)
                inspect.signature(method, eval_str=True)


def test_uses_of_a_builder_type_check(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    code = tmp_path / "uses.py"
    code.write_text("""
import numpy as np
from mmapbuilder import Builder, NpyBuilder

with Builder("x", "w") as b:
    np.frombuffer(b, dtype=np.float64)[0] = 1  # from 3.12 on: NumPy's stubs know buffers there
    np.frombuffer(memoryview(b), "i4")
    b.zeros((2, 3), "i4")[:] = 1
    b.write(np.zeros(3).data)
    content: bytes = bytes(b)
    for line in b:
        content += line
with NpyBuilder("y", "f4", (-1, 3)) as npy:
    npy.append([[1, 2, 3]])
""")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--python-version", "3.13", str(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
