"""Growth under live views: taken at zero bytes, valid and right at gigabytes."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder
from support.processes import python

MIB = 1 << 20
GIB = 1 << 30


def test_a_memoryview_taken_at_zero_bytes(target: Path) -> None:
    sizes = []
    with Builder(target) as b:
        with memoryview(b) as view:
            assert target.stat().st_size == 0
            # Sparse: a word here and there up to eight gigabytes.
            places = [0, 1, 4095, 2 * MIB - 1, 2 * MIB, 3 * MIB, 700 * MIB, GIB, 3 * GIB, 8 * GIB]
            for number, place in enumerate(places, 1):
                view[place : place + 1] = bytes([number])
                sizes.append(target.stat().st_size)
                assert sizes[-1] > place
            for number, place in enumerate(places, 1):
                assert view[place] == number
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 5  # it was seen to move, again and again
    assert target.stat().st_size == 8 * GIB + 16
    with target.open("rb") as file:
        for number, place in enumerate(places, 1):
            file.seek(place)
            assert file.read(1)[0] == number


def test_a_numpy_array_taken_at_zero_bytes(target: Path) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        numbers = np.frombuffer(b, "<u8")
        assert target.stat().st_size == 0
        last = 0
        for start in range(0, 4 * GIB // 8, 64 * MIB // 8):
            numbers[start : start + 1000] = np.arange(start, start + 1000)
            assert target.stat().st_size > last
            last = target.stat().st_size
        for start in range(0, 4 * GIB // 8, 64 * MIB // 8):
            assert (numbers[start : start + 1000] == np.arange(start, start + 1000)).all()
        end = start + 1000
        del numbers
    assert target.stat().st_size == 8 * end  # numbers are not cut


@pytest.mark.slow
def test_every_byte_of_a_gigabyte(target: Path) -> None:
    np = pytest.importorskip("numpy")
    step = 16 * MIB // 8

    def numbers(start: int) -> Any:
        return np.arange(start, start + step, dtype="<u8") * np.uint64(0x9E3779B97F4A7C15)

    with Builder(target) as b:
        words = np.frombuffer(b, "<u8")
        for start in range(0, GIB // 8, step):
            words[start : start + step] = numbers(start)
        growths = b.stats.growths
        del words
        b.truncate(GIB)
    assert growths <= 32
    assert target.stat().st_size == GIB
    found = np.memmap(target, "<u8", mode="r")
    for start in range(0, GIB // 8, step):
        assert (found[start : start + step] == numbers(start)).all()
    del found
    target.unlink()


def test_views_and_calls_grow_the_same_file(target: Path) -> None:
    with Builder(target) as b:
        early = b[50 * MIB : 50 * MIB + 10]
        b.write(b"w" * (20 * MIB))
        with b.allocate(10 * MIB) as room:
            room[:5] = b"alloc"
        b.reserve(40 * MIB)
        early[:5] = b"early"
        b.seek(60 * MIB)
        b.write(b"late")
        assert bytes(early[:5]) == b"early"
        early.release()
    content = target.read_bytes()
    assert len(content) == 60 * MIB + 4
    assert content[: 20 * MIB] == b"w" * (20 * MIB)
    assert content[20 * MIB :][:5] == b"alloc"
    assert content[50 * MIB :][:5] == b"early"
    assert content[60 * MIB :] == b"late"


def test_writes_to_a_small_file_that_nobody_looks_at(target_in_memory: Path) -> None:
    target = target_in_memory
    with Builder(target) as b:
        for length in (1, 100, 4096, 60_000):
            b.seek(0)
            b.write(b"w" * length)
            assert target.stat().st_size == length == b.size == b.stats.backed
        b[100:103] = b"two"
        assert b.stats.growths == 1
    assert target.read_bytes() == b"w" * 100 + b"two" + b"w" * 59_897


@pytest.mark.parametrize("look", ["memoryview", "item", "allocate", "long write"])
def test_a_look_at_memory_moves_the_end_to_where_stores_are_safe(
    target_in_memory: Path, look: str
) -> None:
    target = target_in_memory
    with Builder(target) as b:
        b.write(b"written")
        assert target.stat().st_size == 7
        if look == "memoryview":
            memoryview(b).release()
        elif look == "item":
            assert b[3] == ord("t")
        elif look == "allocate":
            b.allocate(10).release()
        else:
            b.write(b"w" * (64 << 10))
        assert target.stat().st_size == 2 * MIB == b.stats.backed
        with memoryview(b) as view:
            view[4000:4006] = b"stored"  # in the page in which the end was
        b.seek(7)
        b.write(b"again")
    content = target.read_bytes()
    assert content[:12] == b"writtenagain"
    assert content[4000:4006] == b"stored"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_has_closed_everything_harms_nobody(target_in_memory: Path) -> None:
    code = """
    import errno, os, sys
    from mmapbuilder import Builder
    b = Builder(sys.argv[1])
    b.write(b"hello")
    pid = os.fork()
    if pid == 0:
        os.closerange(3, 100)
        try:
            b[0]
        except OSError as error:  # the end of the file cannot be moved without it
            os._exit(0 if error.errno == errno.EBADF else 1)
        os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    with memoryview(b) as view:
        view[100] = 65
    b.close()
    """
    python(code, target_in_memory, timeout=60).ok()
    assert target_in_memory.read_bytes() == b"hello" + bytes(95) + b"A" + bytes(11)


def test_random_places_in_a_sparse_file(target: Path) -> None:
    source = random.Random(20)
    stored = {}
    with Builder(target, capacity=1 << 42) as b:
        for _ in range(300):
            place = source.randrange(1 << source.randrange(10, 41))
            stored[place] = source.randrange(1, 256)
            b[place] = stored[place]
        assert all(b[place] == value for place, value in stored.items())
        assert b.size == max(stored) + 1
    assert target.stat().st_size == max(stored) + 1
    assert target.stat().st_blocks * 512 < 2 * GIB
    with target.open("rb") as file:
        for place, value in stored.items():
            file.seek(place)
            assert file.read(1)[0] == value


@pytest.mark.parametrize(
    "options",
    [{"prefault": True}, {"writeback": True}, {"prefault": True, "writeback": True}],
    ids=lambda options: "+".join(options),
)
def test_helping_threads_change_no_content(target: Path, options: dict[str, bool]) -> None:
    expected = random.Random(22).randbytes(MIB) * 150 + b"end of content.."
    with Builder(target, **options) as b:
        with memoryview(b) as view:
            for start in range(0, len(expected), MIB):
                part = expected[start : start + MIB]
                view[start : start + len(part)] = part
        assert b.size == len(expected)
        assert b.stats.backed >= len(expected)
        b.flush(durable=True)
    assert target.read_bytes() == expected
    with Builder(target, **options) as b:
        b[3] = 1
    assert target.read_bytes() == b"\0\0\0\1"


@pytest.mark.root
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_on_every_file_system(mount, kind: str) -> None:
    path = mount(kind, 400 * MIB) / "file"
    expected = random.Random(21).randbytes(20 * MIB + 16)
    with Builder(path) as b:
        with memoryview(b) as view:
            assert path.stat().st_size == 0
            view[: len(expected)] = expected
            with memoryview(view) as view:
                view[3 * GIB] = 1
                view[3 * GIB] = 0  # grown, but no content
        assert b.size == len(expected)
        b.flush(durable=True)
    assert path.read_bytes() == expected
    with Builder(path, "r+") as b:
        assert b.size == len(expected)
        b[len(expected) + 5] = 9
    assert path.read_bytes() == expected + b"\0\0\0\0\0\t"


@pytest.mark.root
def test_tmpfs_with_huge_pages(mount) -> None:
    # There a store beyond EOF but in the same huge page raises no signal.
    path = mount("tmpfs", 64 * MIB, "huge=always") / "file"
    with Builder(path) as b:
        with memoryview(b) as view:
            for place in (0, 5000, MIB, 2 * MIB - 1, 2 * MIB, 5 * MIB + 3):
                view[place] = 255
                assert path.stat().st_size > place
            assert b.size == 5 * MIB + 16
            view[5 * MIB + 3] = 0
        assert b.size == 2 * MIB + 16
    content = path.read_bytes()
    assert len(content) == 2 * MIB + 16
    assert content.count(255) == 5


def test_steps_double_whatever_their_limit(target: Path) -> None:
    with Builder(target, max_growth=(1 << 64) - 1) as b:
        for _ in range(64):
            b.write(bytes(1 << 20))
        assert b.stats.growths <= 8
