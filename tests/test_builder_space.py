"""size, reserve, allocate, stats: what is backed, what is used."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from mmapbuilder import Builder, CapacityError

MIB = 1 << 20
GRANULE = 2 * MIB


def blocks(path: Path) -> int:
    """Bytes on the disk."""
    return path.stat().st_blocks * 512


# ---- size --------------------------------------------------------------------------


def test_size_of_what_was_written(target: Path) -> None:
    with Builder(target) as b:
        assert b.size == 0
        b.write(b"12345")
        assert b.size == 5
        b.write(bytes(5))
        assert b.size == 10  # zeros that were written count
        b.seek(3)
        b.write(b"x")
        assert b.size == 10
    assert target.read_bytes() == b"123x5" + bytes(5)


def test_what_was_stored_through_a_view_ends_at_the_next_multiple_of_16(target: Path) -> None:
    with Builder(target) as b:
        with memoryview(b) as view:
            for place in (0, 1, 4095, 4096, GRANULE - 1, GRANULE, 37 * MIB + 11):
                view[place] = 255
                assert b.size == place // 16 * 16 + 16
            view[37 * MIB + 11] = 0
        assert b.size == GRANULE + 16
    assert target.stat().st_size == GRANULE + 16


def test_zeros_at_the_end_count_when_they_are_declared(target: Path) -> None:
    with Builder(target) as b:
        with memoryview(b) as view:
            view[0] = 1
            view[5000] = 0
        assert b.size == 16
        b.truncate(5001)
        assert b.size == 5001
    assert target.stat().st_size == 5001
    with Builder(target) as b:
        b[0] = 1
        b.close(size=9000)
    assert target.read_bytes() == b"\1" + bytes(8999)


def test_the_larger_of_both_counts(target: Path) -> None:
    with Builder(target) as b:
        b.write(bytes(100))
        with memoryview(b) as view:
            view[50] = 1
            assert b.size == 100
            view[150] = 1
        assert b.size == 160


def test_size_skips_holes(target_in_memory: Path) -> None:
    """On tmpfs: where a file system does not tell of holes (overlays), they are read."""
    target = target_in_memory
    with Builder(target, capacity=1 << 40) as b:
        with memoryview(b) as view:
            view[1 << 38] = 1
            assert b.size == (1 << 38) + 16
            view[1 << 38] = 0
        assert b.size == 0  # looks through 256 GiB of hole
        b[5] = 1
        assert b.size == 6
    assert target.stat().st_size == 6


def test_size_cannot_be_set(target: Path) -> None:
    with Builder(target) as b:
        for name in ("size", "capacity", "closed", "stats"):
            with pytest.raises(AttributeError):
                setattr(b, name, 1)


# ---- reserve -----------------------------------------------------------------------


def test_reserve_backs_at_once_and_is_no_content(target: Path) -> None:
    with Builder(target) as b:
        b.reserve(10 * MIB + 1)
        assert target.stat().st_size >= 10 * MIB + 1
        assert b.stats.backed >= 10 * MIB + 1
        if sys.platform == "linux":
            assert blocks(target) >= 10 * MIB + 1
        faults = b.stats.faults
        b[0 : 10 * MIB] = b"x" * (10 * MIB)
        assert b.stats.faults == faults
        assert b.size == 10 * MIB
        assert b.tell() == 0
    assert target.stat().st_size == 10 * MIB


def test_reserve_of_what_is_there_does_nothing(target: Path) -> None:
    with Builder(target) as b:
        b.reserve(10 * MIB)
        before = b.stats
        b.reserve(0)
        b.reserve(1)
        b.reserve(10 * MIB)
        assert b.stats == before


def test_reserve_fills_the_holes_that_jumps_left(target: Path) -> None:
    with Builder(target) as b:
        b[64 * MIB] = 1
        assert blocks(target) < 16 * MIB
        b.reserve(64 * MIB)
        if sys.platform == "linux":
            assert blocks(target) >= 64 * MIB


def test_reserve_beyond_the_capacity(target: Path) -> None:
    with Builder(target, capacity=MIB) as b:
        b.reserve(MIB)
        for end in (MIB + 1, 1 << 62, 1 << 70):
            with pytest.raises(CapacityError) as caught:
                b.reserve(end)
            assert caught.value.errno == errno.EFBIG
            assert caught.value.filename == str(target)
        b.write(b"goes on")
    assert target.read_bytes() == b"goes on"


@pytest.mark.root
def test_reserve_says_that_the_disk_is_full(mount, tmp_path: Path) -> None:
    disk = mount("tmpfs", 16 * MIB)
    path = disk / "file"
    with Builder(path) as b:
        b.write(b"before")
        with pytest.raises(OSError) as caught:
            b.reserve(100 * MIB)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(path)
        b.reserve(4 * MIB)  # nothing is lost: what fits still does
        b.write(b" and after")
    assert path.read_bytes() == b"before and after"


@pytest.mark.parametrize("end", [-1, -(1 << 70)])
def test_reserve_refuses_negative_ends(target: Path, end: int) -> None:
    with Builder(target) as b, pytest.raises(ValueError):
        b.reserve(end)


# ---- allocate ----------------------------------------------------------------------


def test_allocate_hands_out_what_is_next(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"abc")
        with b.allocate(10) as first:
            assert isinstance(first, memoryview)
            assert len(first) == 10
            assert not first.readonly
            assert first == bytes(10)
            assert b.tell() == b.size == 18  # 3, made 8, and 10
            first[:] = b"0123456789"
        with b.allocate(4, align=1) as second:
            second[:] = b"next"
        assert b.tell() == 22
    assert target.read_bytes() == b"abc" + bytes(5) + b"0123456789next"


@pytest.mark.parametrize("align", [1, 2, 8, 64, 4096])
def test_allocate_aligns_the_place_and_the_address(target: Path, align: int) -> None:
    with Builder(target) as b:
        b.write(b"x")
        view = b.allocate(100, align)
        assert b.tell() == align + 100
        import ctypes

        assert ctypes.addressof(ctypes.c_char.from_buffer(view)) % align == 0
        view[0] = 255
        del view
        assert b[align] == 255


def test_zeros_that_were_allocated_count(target: Path) -> None:
    with Builder(target) as b:
        b.allocate(5 * MIB).release()
        assert b.size == 5 * MIB
        assert b.stats.backed >= 5 * MIB
    assert target.stat().st_size == 5 * MIB


def test_allocated_memory_needs_no_fault(target: Path) -> None:
    with Builder(target) as b:
        with b.allocate(30 * MIB) as view:
            faults = b.stats.faults
            view[:] = b"x" * len(view)
            assert b.stats.faults == faults


def test_allocate_of_nothing(target: Path) -> None:
    with Builder(target) as b:
        with b.allocate(0) as view:
            assert len(view) == 0
        assert b.size == 0


def test_allocate_refuses(target: Path) -> None:
    with Builder(target, capacity=MIB) as b:
        b.write(b"x")
        for n in (MIB, MIB - 1, 1 << 62, 1 << 70):
            with pytest.raises(CapacityError) as caught:
                b.allocate(n)
            assert caught.value.errno == errno.EFBIG
            assert b.tell() == b.size == 1
        with pytest.raises(ValueError):
            b.allocate(-1)
        for align in (0, -8, 3, 12):
            with pytest.raises(ValueError):
                b.allocate(8, align)
        for wrong in ("8", 8.0, None, True):
            with pytest.raises(TypeError):
                b.allocate(wrong)  # type: ignore[arg-type]
        b.allocate(MIB - 8).release()  # just fits


# ---- capacity ----------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 7, 4095, 4096, 4097, GRANULE, GRANULE + 1])
def test_small_capacities(target: Path, capacity: int) -> None:
    with Builder(target, capacity=capacity) as b:
        assert b.capacity == capacity
        b.write(b"x" * capacity)
        assert len(b) == capacity
        with pytest.raises(CapacityError):
            b.write(b"x")
    assert target.read_bytes() == b"x" * capacity


def test_a_capacity_of_many_terabytes(target_in_memory: Path) -> None:
    """On tmpfs, as above: elsewhere three terabytes of hole may be read."""
    target = target_in_memory
    with Builder(target, capacity=16 << 40) as b:
        assert b.capacity == 16 << 40
        with memoryview(b) as view:
            view[3 << 40] = 1
            view[3 << 40] = 0  # grown, but no content
        b.write(b"small")
    assert target.read_bytes() == b"small"


def test_writing_beyond_the_capacity_is_both_kinds_of_error(target: Path) -> None:
    with Builder(target, capacity=10) as b:
        with pytest.raises(CapacityError) as caught:
            b.write(b"12345678901")
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value, ValueError)
        assert caught.value.errno == errno.EFBIG
        assert caught.value.filename == str(target)
        assert b.size == b.tell() == 0  # nothing of it
        b.write(b"1234567890")
    assert target.read_bytes() == b"1234567890"


def test_a_file_larger_than_the_capacity(target: Path) -> None:
    target.write_bytes(b"x" * 5000)
    with pytest.raises((OSError, ValueError), match=r".{10}"):
        Builder(target, "r+", capacity=4999)
    assert target.read_bytes() == b"x" * 5000
    Builder(target, "r+", capacity=5000).close()
    assert target.read_bytes() == b"x" * 5000


# ---- growing -----------------------------------------------------------------------


def test_stats(target: Path) -> None:
    with Builder(target) as b:
        assert b.stats.growths == b.stats.faults == b.stats.used == 0
        assert {"growths", "faults", "backed", "used"} <= set(b.stats._fields)
        b[0] = 1
        assert b.stats.growths == b.stats.faults == 1
        b[1] = 2
        assert b.stats.faults == 1
        assert b.stats.used == 2
        assert b.stats.backed == target.stat().st_size
        b.reserve(100 * MIB)
        assert b.stats.growths > 1
        assert b.stats.faults == 1
        assert isinstance(b.stats, tuple)


def test_the_file_ends_at_multiples_of_two_mebibytes_while_it_grows(target: Path) -> None:
    with Builder(target) as b:
        for place in (0, GRANULE, 5 * MIB, 77 * MIB + 1):
            b[place] = 1
            assert target.stat().st_size % GRANULE == 0
            assert target.stat().st_size > place


def test_sequential_stores_need_few_growths(target: Path) -> None:
    with Builder(target) as b:
        for start in range(0, 512 * MIB, 4096 * 64):
            b[start] = 1  # a fault wherever the file has not been grown ahead
        assert b.stats.growths <= 24
        assert b.stats.faults <= 24


def test_max_growth_bounds_the_step(target: Path) -> None:
    with Builder(target, max_growth=4 * MIB) as b:
        with memoryview(b) as view:
            for start in range(0, 64 * MIB, MIB):
                view[start] = 1
                assert target.stat().st_size <= start + 1 + 6 * MIB


def test_a_jump_leaves_a_hole(target: Path) -> None:
    with Builder(target) as b:
        b[0] = 1
        b[20 << 30] = 1
        assert blocks(target) < 200 * MIB
        assert b.stats.backed <= (20 << 30) + 70 * MIB
    assert target.stat().st_size == (20 << 30) + 1


def test_the_file_never_shrinks_while_it_is_open(target: Path) -> None:
    with Builder(target) as b:
        b[50 * MIB] = 1
        size = target.stat().st_size
        b.truncate(0)
        b.write(b"x")
        b.seek(0)
        b.flush()
        assert target.stat().st_size >= size
    assert target.read_bytes() == b"x"


def test_r_plus_grows_from_what_is_there(target: Path) -> None:
    target.write_bytes(b"x" * 3_000_001)
    with Builder(target, "r+") as b:
        assert b[3_000_000] == b[-1] == ord("x")
        assert b[3_000_001] == 0
        b[3_000_001] = 7
        with memoryview(b) as view:
            view[40 * MIB] = 8
            assert os.stat(target).st_size % GRANULE == 0
            view[40 * MIB] = 0
    assert target.read_bytes() == b"x" * 3_000_001 + b"\7"
