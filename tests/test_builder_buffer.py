"""A Builder as a buffer: views, slices, and a file that grows below them."""

from __future__ import annotations

import array
import ctypes
import gc
import hashlib
import os
import resource
import struct
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support.processes import python
from support.requirements import missing

MIB = 1 << 20
GIB = 1 << 30


def test_the_buffer_is_writable_bytes_of_the_whole_capacity(target: Path) -> None:
    with Builder(target, capacity=10 * MIB + 3) as b:
        assert b.capacity == 10 * MIB + 3
        assert len(b) == 0
        with memoryview(b) as view:
            assert not view.readonly
            assert view.ndim == 1
            assert view.format == "B"
            assert view.itemsize == 1
            assert view.nbytes == 10 * MIB + 3
            assert view.contiguous
            assert view.obj is b
            assert view[0] == 0


def test_the_default_capacity_is_64_gib(target: Path) -> None:
    with Builder(target) as b:
        assert b.capacity == 64 * GIB
        with memoryview(b) as view:
            assert view.nbytes == 64 * GIB


def test_a_store_through_a_view_grows_the_file(target: Path) -> None:
    with Builder(target) as b:
        assert target.stat().st_size == 0
        with memoryview(b) as view:
            view[0] = 1
            first = target.stat().st_size
            assert first >= 1
            view[100 * MIB] = 2
            assert target.stat().st_size > 100 * MIB > first
            assert view[0] == 1
    assert target.stat().st_size == 100 * MIB + 16


def test_views_share_memory_with_each_other_and_with_the_file(target: Path) -> None:
    with Builder(target) as b:
        with memoryview(b) as one, memoryview(b)[10:20] as other:
            one[10:20] = b"0123456789"
            assert bytes(other) == b"0123456789"
            other[0] = ord("x")
            assert b[10] == ord("x")
        with target.open("rb") as file:
            file.seek(10)
            assert file.read(10) == b"x123456789"


def test_the_capacity_ends_the_buffer(target: Path) -> None:
    with Builder(target, capacity=5000) as b:
        b[4999] = 1
        with pytest.raises(IndexError):
            b[5000] = 1
        with pytest.raises(IndexError):
            b[5000]
        with pytest.raises(IndexError):
            b[-5001]
        assert b[-5000] == 0
    assert target.stat().st_size == 5000


def test_items(target: Path) -> None:
    with Builder(target, capacity=5000) as b:
        b[3] = 255
        assert b[3] == 255
        b[-1] = 7  # from the size, not from the capacity
        assert b[3] == b[-1] == 7
        assert len(b) == b.size == 4
        assert b[4999] == 0
        with pytest.raises(IndexError):
            b[-5]
        for wrong in (256, -1):
            with pytest.raises(ValueError):
                b[0] = wrong
        for wrong_type in ("x", 1.5, None, b"x"):
            with pytest.raises(TypeError):
                b[0] = wrong_type  # type: ignore[assignment]
        for wrong_index in ("x", 1.5, None):
            with pytest.raises(TypeError):
                b[wrong_index]  # type: ignore[index]
        with pytest.raises(TypeError):
            del b[0]
        with pytest.raises(TypeError):
            del b[0:3]


def test_a_slice_takes_bytes_that_do_not_lie_side_by_side(target: Path) -> None:
    with Builder(target) as b:
        b[0:3] = memoryview(b"abcdef")[::2]  # as a memoryview does
        b[3:6] = memoryview(b"abcdef")[::-2]
        with pytest.raises(ValueError):
            b[0:4] = memoryview(b"abcdef")[::2]
    assert target.read_bytes() == b"acefdb"


def test_slices_are_views_not_copies(target: Path) -> None:
    with Builder(target) as b:
        part = b[1000:2000]
        assert isinstance(part, memoryview)
        assert len(part) == 1000
        part[:5] = b"hello"
        assert b[1000:1005] == b"hello"
        b[1000] = ord("j")
        assert part[0] == ord("j")
        part.release()
        assert b[0:0] == b""
        assert b[2000:1000] == b""


@pytest.mark.parametrize(
    "source",
    [
        b"12345678",
        bytearray(b"12345678"),
        memoryview(b"12345678"),
        array.array("H", [1, 2, 3, 0x404]),
        (ctypes.c_uint32 * 2)(1, 2**32 - 1),
    ],
)
def test_slice_assignment_takes_any_buffer(target: Path, source: object) -> None:
    with Builder(target) as b:
        b[3 * MIB : 3 * MIB + 8] = source  # type: ignore[assignment]
        assert b[3 * MIB : 3 * MIB + 8] == bytes(source)  # type: ignore[call-overload]
    assert target.stat().st_size == 3 * MIB + 8


def test_slice_assignment_refuses_another_length(target: Path) -> None:
    with Builder(target, capacity=5000) as b:
        for wrong in (b"", b"1234", b"123456"):
            with pytest.raises(ValueError):
                b[0:5] = wrong
        with pytest.raises(ValueError):
            b[4998:6000] = b"123"  # two bytes are left
        with pytest.raises(TypeError):
            b[0:5] = "12345"  # type: ignore[assignment]
        with pytest.raises(TypeError):
            b[0:5] = 5  # type: ignore[assignment]
        assert b.size == 0
        b[4998:6000] = b"12"
    assert target.read_bytes()[-2:] == b"12"


def test_steps(target: Path) -> None:
    with Builder(target, capacity=5000) as b:
        b[0:10] = bytes(range(10))
        b[0:10:2] = b"abcde"
        assert b[0:10] == b"a\1b\3c\5d\7e\11"
        assert bytes(b[9::-1]) == b"\11e\7d\5c\3b\1a"


@pytest.mark.parametrize(
    ("to", "source"),
    [
        (slice(None, None, -1), slice(None)),  # turns it round
        (slice(0, 10, 2), slice(0, 5)),
        (slice(1, 10, 2), slice(0, 5)),
        (slice(8, None, -2), slice(5, 10)),
        (slice(0, 5), slice(9, None, -2)),
    ],
)
def test_steps_of_itself(target: Path, to: slice, source: slice) -> None:
    """No byte is written over before it is read."""
    model = bytearray(b"0123456789")
    model[to] = model[source]
    with Builder(target) as b:
        b.write(b"0123456789")
        b[to] = b[source]
        assert bytes(b) == model


def test_a_slice_of_itself(target: Path) -> None:
    with Builder(target) as b:
        b[0:10] = b"0123456789"
        b[2:12] = b[0:10]  # they overlap
        assert b[0:12] == b"010123456789"
        b[4 * MIB : 4 * MIB + 12] = b[0:12]
        assert b[4 * MIB : 4 * MIB + 12] == b"010123456789"


def test_a_view_of_another_builder_beyond_its_end(target: Path, tmp_path: Path) -> None:
    # The source grows while it is read.
    with Builder(target) as b, Builder(tmp_path / "other") as other:
        other[0] = 1
        b[0 : 8 * MIB] = other[0 : 8 * MIB]
        b.write(other[0 : 8 * MIB])
        assert b[0] == 1
        assert b.size == 8 * MIB


def test_struct(target: Path) -> None:
    with Builder(target) as b:
        struct.pack_into("<IQd", b, 7 * MIB, 1, 2, 3.0)
        assert struct.unpack_from("<IQd", b, 7 * MIB) == (1, 2, 3.0)
    assert struct.unpack_from("<IQd", target.read_bytes(), 7 * MIB) == (1, 2, 3.0)


def test_ctypes(target: Path) -> None:
    with Builder(target, capacity=8 * MIB) as b:
        numbers = (ctypes.c_uint64 * 1000).from_buffer(b, 4 * MIB)
        numbers[999] = 2**64 - 1
    assert target.stat().st_size == 4 * MIB + 8000
    assert numbers[999] == 2**64 - 1


def test_readers_of_buffers(target: Path) -> None:
    with Builder(target, capacity=3 * MIB) as b:
        b[0:5] = b"hello"
        assert bytes(memoryview(b)[:5]) == b"hello"
        assert hashlib.sha256(b).digest() == hashlib.sha256(b"hello" + bytes(3 * MIB - 5)).digest()
        assert int.from_bytes(b[:2], "big") == 0x6865
        assert b[:5].tobytes().decode() == "hello"


def test_numpy(target: Path) -> None:
    np = pytest.importorskip("numpy")
    samples = np.arange(1_000_000, dtype="f8")
    with Builder(target) as b:
        numbers = np.frombuffer(b, "f8")
        assert numbers.flags.writeable
        assert len(numbers) == b.capacity // 8
        numbers[: len(samples)] = samples
        assert np.shares_memory(numbers, np.frombuffer(b, "u1", count=8))
        del numbers
    assert (np.fromfile(target, "f8") == samples).all()


def test_numpy_in_place_arithmetic_beyond_the_end(target: Path) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        table = np.frombuffer(b, "i4", count=3000 * 1000).reshape(3000, 1000)
        table[:, 7] += 5  # reads and writes where the file does not reach yet
        table[2999] = np.arange(-1000, 0)
        assert table[1500, 7] == 5
        del table
    # the last element is -1: it has no zero bytes at its end
    found = np.fromfile(target, "i4").reshape(3000, 1000)
    assert found[:, 7].tolist() == [5] * 2999 + [-993]
    assert found[2999].tolist() == list(range(-1000, 0))
    assert found[:2999].sum() == 5 * 2999


def test_a_read_beyond_the_end_gives_zeros(target: Path) -> None:
    with Builder(target) as b:
        assert b[50 * MIB] == 0
        assert bytes(b[60 * MIB : 60 * MIB + 10]) == bytes(10)
        assert b.size == 0
    assert target.stat().st_size == 0


def test_an_array_that_does_not_hold_its_buffer_stays_readable(target: Path) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        numbers = np.ndarray((3,), "i8", buffer=b)  # releases the buffer at once
        numbers[:] = [1, 2, 0]
    assert numbers.tolist() == [1, 2, 0]
    numbers[0] = 5
    del b
    gc.collect()
    assert numbers.tolist() == [5, 2, 0]
    assert np.fromfile(target, "i8").tolist() == [1, 2]


def test_the_kernel_can_use_an_array_that_does_not_hold_its_buffer(
    target: Path, tmp_path: Path
) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        numbers = np.ndarray((MIB,), "u1", buffer=b)
        numbers[0] = 1
    copy = tmp_path / "copy"
    numbers.tofile(copy)
    assert copy.stat().st_size == MIB
    with open(copy, "rb", buffering=0) as file:
        assert file.readinto(numbers) == MIB
    assert numbers[0] == 1


def test_an_array_that_does_not_hold_its_buffer_does_not_show_what_comes_later(
    target: Path,
) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        numbers = np.ndarray((MIB,), "u1", buffer=b)
        numbers[0] = 1
    with Builder(target, "r+") as later:
        later.write(bytes([2]) * (MIB // 2))
        assert numbers[MIB // 4] == 0
        numbers[MIB // 4] = 3
        later.truncate(1)
    assert numbers[MIB // 4] == 3


@pytest.mark.parametrize("end", ["close", "discard"])
def test_memory_that_is_taken_away_leaves_nothing_mapped(target: Path, end: str) -> None:
    def mapped() -> int:
        with open("/proc/self/maps") as file:
            return sum(str(target) in line for line in file)

    b = Builder(target)
    view = b[0:5]
    view[:] = b"hello"
    getattr(b, end)()
    assert bytes(view) == b"hello"
    view.release()
    del view, b
    gc.collect()
    assert mapped() == 0


def test_stores_are_seen_by_whoever_maps_or_reads_the_file(target: Path) -> None:
    import mmap

    with Builder(target) as b:
        b[0:5] = b"hello"
        with target.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as other:
            assert other[:5] == b"hello"
            b[0] = ord("j")
            assert other[0] == ord("j")
            assert os.pread(file.fileno(), 5, 0) == b"jello"


def test_without_addresses_for_a_view_calls_still_write(tmp_path: Path) -> None:
    # Some two thousand views of 64 GiB fill the addresses of a process, on arm64 four.
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 5000:
        missing("the limit on open files (ulimit -Hn) is below 5000")
    python(
        """
        import errno, os, resource, sys
        from mmapbuilder import Builder
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        path = os.path.join(sys.argv[1], "target")
        builders = []
        for i in range(min(most - 50, 16000)):
            b = Builder(f"{path}{i}")
            builders.append(b)
            b.write(b"written")
            try:
                memoryview(b).release()
            except OSError as error:
                assert error.errno == errno.ENOMEM and error.filename == b.name
                assert "capacity of 68719476736 bytes" in error.strerror
                break
        else:
            sys.exit("room for all of them")
        b.write(b" again")
        b[0:1] = b"W"
        b.close()
        with open(b.name, "rb") as f:
            assert f.read() == b"Written again"
        for _ in range(10):
            builders.pop(0).close()
        with Builder(path) as b:
            memoryview(b)[0] = 1  # there is room for one again
        for b in builders[:-1]:
            b.close()
        """,
        tmp_path,
    ).ok()
