"""What is made ready for a file before anybody stores in it: a huge page, or single ones.

Each test is a process of its own, since that goes by the files that a process made before.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from support.apart import python

Mount = Callable[..., Path]
MIB = 1 << 20
ROOM = 340 * MIB  # xfs wants as much

PRELUDE = """
import os
import resource
import sys
from pathlib import Path
from mmapbuilder import Builder

MIB = 1 << 20
path = sys.argv[1]

def make(size, view=True):
    # Returns the bytes of disk that the file took after the first store.
    with Builder(path) as b:
        if not view:
            b.write(b"x" * size)
            return 0
        with memoryview(b) as v:
            v[0] = 1
            taken = os.fstat(b.fileno()).st_blocks * 512
            v[:size] = b"x" * size
    assert Path(path).read_bytes() == b"x" * size
    assert os.stat(path).st_blocks * 512 <= size + 64 * 1024
    return taken
"""


@pytest.fixture(params=["ext4", "xfs"])
def path(request: pytest.FixtureRequest, mount: Mount) -> Path:
    point: Path = mount(request.param, ROOM)
    return point / "target"


def test_the_first_file_and_those_after_large_ones_are_expected_to_be_large(path: Path) -> None:
    python(
        PRELUDE
        + """
small = lambda taken: taken <= 64 * 1024
large = lambda taken: taken == 2 * MIB
make(4096, view=False)  # what only calls have written says nothing
assert large(make(4096))
assert small(make(4096))
assert small(make(3 * MIB))
assert large(make(4096))
assert small(make(300 * 1024))
assert small(make(MIB))
assert large(make(MIB))
make(MIB, view=False)  # nor does it take the place of one that is expected
assert large(make(4096))
""",
        path,
    ).ok()


def test_of_many_that_are_open_only_the_first_is(path: Path) -> None:
    python(
        PRELUDE
        + """
many = [Builder(f"{path}{i}") for i in range(20)]
for b in many:
    b[0] = 1
    memoryview(b)[1] = 2
taken = [os.fstat(b.fileno()).st_blocks * 512 for b in many]
assert sum(taken) <= 2 * MIB + 20 * 64 * 1024, taken
for b in many:
    b.close()
""",
        path,
    ).ok()


def test_a_file_that_was_begun_by_calls_is_not(path: Path) -> None:
    python(
        PRELUDE
        + """
with Builder(path) as b:
    b.write(b"x" * 4096)
    memoryview(b)[5000] = 1
    assert os.fstat(b.fileno()).st_blocks * 512 <= 64 * 1024
with Builder(path, "r+") as b:
    memoryview(b)[6000] = 1
    assert os.fstat(b.fileno()).st_blocks * 512 <= 64 * 1024
assert make(4096) == 2 * MIB
""",
        path,
    ).ok()


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
with Builder(path) as b:
    v = memoryview(b)
    {before}
    v[:100000] = b"x" * 100000
    v.release()
assert Path(path).read_bytes() == b"x" * 100000
""",
        path,
    ).ok()


def test_a_message_does_not_take_its_place(path: Path) -> None:
    # It begins with a mark that is written, so that no huge page could come in.
    python(
        PRELUDE
        + """
from mmapbuilder import MessageBuilder
with MessageBuilder(path + ".message") as m:
    m.allocate_segment(1)[0:8] = bytes(8)
assert make(4096) == 2 * MIB
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
def faults():
    with Builder(path) as b, memoryview(b) as v:
        v[0] = 1
        before = count()
        v[: 2 * MIB] = data
        return count() - before
print(faults(), make(4096), faults())
""",
        path,
    ).ok()
    large, _, small = map(int, done.out.split())
    assert small <= 512 + 100
    if tuple(map(int, platform.release().split(".")[:2])) >= (6, 16):  # where it was seen
        assert large <= 100
