"""`size_hint`: what is made ready for a file before anybody stores in it."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapbuilder import Builder, MessageBuilder
from support.processes import python

Mount = Callable[..., Path]
KIB, MIB = 1 << 10, 1 << 20
ROOM = 340 * MIB  # xfs wants as much

PRELUDE = """
import os
import resource
import sys
from pathlib import Path
from mmapbuilder import Builder

MIB = 1 << 20
path = sys.argv[1]
"""


@pytest.fixture(params=["ext4", "xfs"])
def path(request: pytest.FixtureRequest, mount: Mount) -> Path:
    point: Path = mount(request.param, ROOM)
    return point / "target"


def taken(b: Builder) -> int:
    return os.fstat(b.descriptor).st_blocks * 512


@pytest.mark.parametrize("hint", [0, 1, 4 * KIB, 511 * KIB])
def test_a_file_without_a_large_hint_starts_small(path: Path, hint: int) -> None:
    for _ in range(3):  # what was made before says nothing
        with Builder(path, size_hint=hint) as b:
            memoryview(b)[0] = 1
            assert taken(b) <= 64 * KIB
            memoryview(b)[: 3 * MIB] = b"x" * 3 * MIB
        assert path.read_bytes() == b"x" * 3 * MIB


@pytest.mark.parametrize(
    ("hint", "first"), [(512 * KIB, 2), (3 * MIB, 4), (50 * MIB, 50), (1 << 40, 64)]
)
def test_a_file_with_a_large_hint_starts_large(path: Path, hint: int, first: int) -> None:
    with Builder(path, size_hint=hint) as b:
        memoryview(b)[0] = 1
        assert b.stats.backed == first * MIB
        assert first * MIB <= taken(b) <= first * MIB + 64 * KIB
        memoryview(b)[: first * MIB] = b"x" * first * MIB
        assert b.stats.growths == 1
    assert path.read_bytes() == b"x" * first * MIB
    with Builder(path, size_hint=hint, max_growth=4 * MIB) as b:
        memoryview(b)[0] = 1
        assert b.stats.backed == min(first, 4) * MIB


def test_a_hint_is_no_limit_and_no_size(path: Path) -> None:
    with Builder(path, size_hint=4 * MIB) as b:
        memoryview(b)[: 10 * MIB] = b"x" * 10 * MIB
    assert path.read_bytes() == b"x" * 10 * MIB
    with Builder(path, size_hint=64 * MIB) as b:
        memoryview(b)[:112] = b"x" * 112
    assert path.read_bytes() == b"x" * 112
    assert path.stat().st_blocks * 512 <= 64 * KIB
    with Builder(path, size_hint=64 * MIB) as b:
        b.write(b"x" * 112)
    assert path.read_bytes() == b"x" * 112
    assert path.stat().st_blocks * 512 <= 64 * KIB


def test_a_message_takes_a_hint(path: Path) -> None:
    with MessageBuilder(path, size_hint=20 * MIB) as b:
        b.allocate_segment(1)[0:8] = bytes(8)
        assert b.stats.backed == 20 * MIB
    assert path.stat().st_blocks * 512 <= 64 * KIB


@pytest.mark.parametrize("hint", [-1, "large", 1.5])
def test_a_hint_that_is_none_is_refused(target: Path, hint: object) -> None:
    with pytest.raises((ValueError, TypeError, OverflowError)):
        Builder(target, size_hint=hint)  # type: ignore[arg-type]
    assert not target.exists() or target.stat().st_size == 0


@pytest.mark.parametrize(
    "before",
    [
        "fill_disk()",
        "fill_disk(); v[0]",  # a load brings in what a store would
        "fill_disk(); v[5000]; v[0] = 1",
        "v[0] = 1; b.truncate(0); fill_disk()",
        "v[0] = 1; fill_disk(); b.truncate(0); fill_disk()",
        "v[5000] = 1; b.truncate(4096); fill_disk()",
    ],
)
def test_where_there_is_no_room_it_is_a_small_one(path: Path, before: str) -> None:
    python(
        PRELUDE
        + f"""
def fill_disk():
    fd = os.open(path + ".ballast", os.O_WRONLY | os.O_CREAT)
    free = os.fstatvfs(fd).f_bavail * os.fstatvfs(fd).f_frsize
    if free > MIB:
        os.posix_fallocate(fd, os.fstat(fd).st_size, free - MIB)
    os.close(fd)
with Builder(path, size_hint=2 * MIB) as b:
    v = memoryview(b)
    {before}
    v[:100000] = b"x" * 100000
    v.release()
assert Path(path).read_bytes() == b"x" * 100000
""",
        path,
    ).ok()


def test_a_large_one_comes_in_at_once(mount: Mount) -> None:
    path = mount("xfs", ROOM) / "target"
    done = python(
        PRELUDE
        + """
data = b"x" * 2 * MIB
def count():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt + usage.ru_majflt
def faults(hint):
    with Builder(path, size_hint=hint) as b, memoryview(b) as v:
        v[0] = 1
        before = count()
        v[: 2 * MIB] = data
        return count() - before
print(faults(2 * MIB), faults(0))
""",
        path,
    ).ok()
    large, small = map(int, done.out.split())
    assert small <= 512 + 100
    if tuple(map(int, platform.release().split(".")[:2])) >= (6, 16):  # where it was seen
        assert large <= 100
