"""A disk that is full: at any point, on every file system, met in every way.

The process lives, the next call and close raise OSError with the file's name, what is
incomplete looks incomplete, and a new builder works once there is room.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import (
    Builder,
    InvalidMessage,
    MessageBuilder,
    MessageLog,
    NpyBuilder,
    open_message,
    recover,
    verify,
)
from support.mounts import SMALLEST, no_room
from support.processes import python
from support.requirements import tool

MIB = 1 << 20
KINDS = ["tmpfs", "ext4", "xfs", "btrfs"]
Mount = Callable[..., Path]


@pytest.fixture(params=KINDS)
def disk(request: pytest.FixtureRequest, mount: Mount) -> tuple[Path, int]:
    """A small file system, and a number of bytes that it cannot hold."""
    size = max(SMALLEST[request.param], 8 * MIB)
    return mount(request.param, size), size + MIB


def check(error: OSError, path: Path) -> None:
    assert error.errno == errno.ENOSPC, error
    assert error.filename == str(path), error


WAYS = """
import errno, sys
from mmapbuilder import Builder
path, size, way = sys.argv[1], int(sys.argv[2]), sys.argv[3]
block = bytes(range(1, 256)) * 16 + b"x" * 16
blocks = range(0, size, len(block))
b = Builder(path)
told = None
try:
    if way == "view":
        view = memoryview(b)
        for at in blocks:
            view[at : at + len(block)] = block
        # What was stored is still there, in the file or in memory.
        assert all(view[at : at + len(block)] == block for at in blocks)
        view.release()
    elif way == "hole":
        view = memoryview(b)
        view[size] = 1                   # EOF is far up, blocks are not there
        for at in blocks:
            view[at : at + len(block)] = block
        assert all(view[at : at + len(block)] == block for at in blocks)
        view.release()
    elif way == "write":
        for at in blocks:
            b.write(block)
    elif way == "allocate":
        while True:
            b.allocate(len(block))[:] = block
    elif way == "reserve":
        b.write(block)
        b.reserve(size)
except OSError as e:
    told = e
if way in ("view", "hole"):
    assert told is None
    try:
        b.tell()
    except OSError as e:
        told = e
assert told is not None and told.errno == errno.ENOSPC and told.filename == path, repr(told)
if way in ("view", "hole"):              # no store could say it, so the map is lost
    try:
        b.close()
    except OSError as e:
        assert e.errno == errno.ENOSPC and e.filename == path, repr(e)
    else:
        raise AssertionError("close raised nothing")
    assert b.closed
    b.close()
else:                                    # the call has said it: nothing else is lost
    at = b.tell()
    b.close()
    with open(path, "rb") as f:
        data = f.read()
    assert at == len(data) and data == block * (at // len(block)), (at, len(data))
"""


@pytest.mark.parametrize("way", ["view", "hole", "write", "allocate", "reserve"])
def test_every_way_to_fill(disk: tuple[Path, int], way: str) -> None:
    point, size = disk
    python(WAYS, point / "full", size, way, timeout=120).ok()
    (point / "full").unlink()
    with Builder(point / "full") as b:
        b[0 : 1 * MIB] = b"x" * MIB
    assert (point / "full").read_bytes() == b"x" * MIB


def test_the_target_of_atomic_is_untouched(disk: tuple[Path, int]) -> None:
    point, size = disk
    target = point / "target"
    target.write_bytes(b"before")
    b = Builder(target, atomic=True)
    view = memoryview(b)
    for at in range(0, size, MIB):
        view[at : at + MIB] = b"x" * MIB
    view.release()
    with pytest.raises(OSError) as caught:
        b.close()
    check(caught.value, target)
    assert [p.name for p in point.iterdir() if p.name != "lost+found"] == ["target"]
    assert target.read_bytes() == b"before"


def test_a_message_stays_unfinished_until_there_is_room(disk: tuple[Path, int]) -> None:
    capnp = pytest.importorskip("capnp")
    point, size = disk
    schema = capnp.load(str(Path(__file__).parent / "rows.capnp")).Rows
    path = point / "message"
    ballast = point / "ballast"
    with ballast.open("wb") as f:
        f.write(b"x" * MIB)
    b = MessageBuilder(path)
    rows = b.init_root(schema).init("rows", 200)
    written = 0
    for row in rows:
        row.data = b"d" * (size // 190)  # pycapnp has nobody to tell
        written += 1
    assert written == 200
    assert all(len(row.data) == size // 190 for row in rows)
    with pytest.raises(OSError) as told:
        b.flush()
    check(told.value, path)
    with pytest.raises(OSError) as caught:
        b.close()
    check(caught.value, path)
    assert rows[199].data[-1:] == b"d"  # the objects outlive it, and keep the file's blocks
    del rows, row
    for look in (verify, lambda p: open_message(p, schema)):
        with pytest.raises(InvalidMessage):
            look(path)
    path.unlink()
    with MessageBuilder(path) as again:
        again.init_root(schema).init("rows", 1)[0].data = b"d"
    with open_message(path, schema) as m:
        assert m.root.rows[0].data == b"d"


def test_no_blocks_stay_behind_a_small_file(mount: Mount) -> None:
    point = mount("ext4", 64 * MIB)
    path = point / "target"
    with Builder(path) as b:
        b.write(b"x" * 4096)
        with pytest.raises(OSError) as caught:
            b.write(b"x" * 100 * MIB)
        check(caught.value, path)
        # A growth that failed has left them beyond the end, which is where the content ends.
        assert os.fstat(b.descriptor).st_blocks * 512 > 10 * MIB
    assert path.read_bytes() == b"x" * 4096
    assert path.stat().st_blocks * 512 <= 64 << 10


def test_steps_grow_again_when_there_is_room_again(mount: Mount) -> None:
    point = mount("tmpfs", 200 * MIB)
    ballast = point / "ballast"
    with ballast.open("wb") as f:
        f.write(bytes(190 * MIB))
    block = b"x" * MIB
    with Builder(point / "target") as b:
        for _ in range(4):
            b.write(block)
        with pytest.raises(OSError) as caught:
            b.write(block * 20)
        check(caught.value, point / "target")
        ballast.unlink()
        before = b.stats.growths
        for _ in range(100):
            b.write(block)
        assert b.stats.growths - before <= 12  # in steps of 2 MiB it would be fifty
    assert (point / "target").read_bytes() == block * 104


def test_full_in_the_middle_of_close(mount: Mount) -> None:
    """The table has its block already, so that closing needs none; the content decides."""
    point = mount("ext4", 8 * MIB)
    path = point / "target"
    b = Builder(path)
    b[0:4096] = b"x" * 4096
    with (point / "ballast").open("wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 65536)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    b.close(size=3 * MIB)  # longer than what is backed: sparse, needs no block
    assert path.stat().st_size == 3 * MIB
    assert path.read_bytes() == b"x" * 4096 + bytes(3 * MIB - 4096)


def test_a_message_closes_on_a_disk_that_others_filled(mount: Mount) -> None:
    capnp = pytest.importorskip("capnp")
    point = mount("ext4", 8 * MIB)
    schema = capnp.load(str(Path(__file__).parent / "rows.capnp")).Rows
    for n, options in enumerate([{}, {"durable": True}, {"segment_words": 4096, "capacity": MIB}]):
        settings: dict[str, Any] = options
        b = MessageBuilder(point / f"message{n}", **settings)
        rows = b.init_root(schema).init("rows", 8)
        for row in rows:
            row.data = b"d" * 9000
        ballast = point / "ballast"
        with ballast.open("wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 65536)
            except OSError as error:
                assert error.errno == errno.ENOSPC
        try:
            b.close()
        except OSError as error:
            check(error, point / f"message{n}")
            with pytest.raises(InvalidMessage):
                verify(point / f"message{n}")
            ballast.unlink()
            recover(point / f"message{n}")
        else:
            ballast.unlink()
        verify(point / f"message{n}")
        with open_message(point / f"message{n}", schema) as m:
            assert [len(row.data) for row in m.root.rows] == [9000] * 8


# ---- limits that are not the disk's ----


def test_a_file_size_limit_lowered_later(target: Path) -> None:
    """EFBIG, which is how the kernel says RLIMIT_FSIZE where SIGXFSZ is ignored."""
    python(
        """
import errno, resource, sys
from mmapbuilder import Builder
b = Builder(sys.argv[1])
view = memoryview(b)
view[0] = 1
resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
for at in range(0, 32 << 20, 4096):
    view[at] = 7
assert all(view[at] == 7 for at in range(0, 32 << 20, 4096))
view.release()
for call in (b.tell, b.close):
    try:
        call()
    except OSError as e:
        assert e.errno == errno.EFBIG and e.filename == sys.argv[1], repr(e)
    else:
        raise AssertionError(call)
""",
        target,
    ).ok()


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_AS"])
def test_limits_are_named_when_the_builder_is_made(target: Path, limit: str) -> None:
    ended = python(
        """
import resource, sys
from mmapbuilder import Builder
which = getattr(resource, sys.argv[2])
with open("/proc/self/statm") as f:  # without a GIL, Python itself takes a GiB of addresses
    room = (1 << 30) + int(f.read().split()[0]) * resource.getpagesize()
resource.setrlimit(which, (room, room))
try:
    Builder(sys.argv[1])
except OSError as e:
    print(e)
with Builder(sys.argv[1], capacity=1 << 24) as b:
    b[0] = 1
""",
        target,
        limit,
    ).ok()
    assert limit in ended.out


def test_a_quota(mount: Mount) -> None:
    """A quota of btrfs, which binds root as well: a full disk by its own errno."""
    point = mount("btrfs", SMALLEST["btrfs"])
    btrfs = tool("btrfs", "btrfs-progs")
    volume = point / "limited"
    for command in (
        ["quota", "enable", str(point)],
        ["subvolume", "create", str(volume)],
        ["qgroup", "limit", "8M", str(volume)],
    ):
        subprocess.run([btrfs, *command], check=True, capture_output=True, timeout=60)
    b = Builder(volume / "target")
    view = memoryview(b)
    for at in range(0, 16 * MIB, 4096):
        view[at] = 7
    assert all(view[at] == 7 for at in range(0, 16 * MIB, 4096))
    view.release()
    with pytest.raises(OSError) as caught:
        b.close()
    assert caught.value.errno == errno.EDQUOT, caught.value


def test_sigxfsz_is_left_alone(target: Path) -> None:
    """CPython ignores it; we neither need nor change that."""
    before = signal.getsignal(signal.SIGXFSZ)
    with Builder(target) as b:
        b[0] = 1
    assert signal.getsignal(signal.SIGXFSZ) is before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] in (resource.RLIM_INFINITY, -1)


def test_a_write_of_more_than_the_disk_leaves_nothing_behind(mount: Mount) -> None:
    path = mount("tmpfs", 300 * MIB) / "file"
    with Builder(path) as b:
        b.write(b"head")
        data = b"x" * (400 * MIB)
        for write in (b.write, lambda more: b.__setitem__(slice(4, 4 + len(more)), more)):
            with pytest.raises(OSError) as caught:
                write(data)
            check(caught.value, path)
            assert (b.tell(), b.size) == (4, 4)
    assert path.read_bytes() == b"head"


def fill_up(path: Path) -> None:
    """Leave no room on the disk."""
    with path.open("wb", buffering=0) as file:
        for step in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(b"x" * step)
                    os.fsync(file.fileno())
            except OSError:
                pass


@pytest.mark.root
@pytest.mark.parametrize("kind", ["message", "durable message", "npy", "log"])
def test_no_room_for_what_a_new_file_begins_with_leaves_the_old_one(
    disk: tuple[Path, int], kind: str
) -> None:
    """The mark, the header and the fence are written before the old file is replaced."""
    pytest.importorskip("numpy")
    path = disk[0] / "target"
    make: Callable[[], Any] = {
        "message": lambda: MessageBuilder(path),
        "durable message": lambda: MessageBuilder(path, durable=True),
        "npy": lambda: NpyBuilder(path, "i8"),
        "log": lambda: MessageLog(path),
    }[kind]
    replace = (lambda: MessageLog(path, "w")) if kind == "log" else make
    make().close()
    before = path.read_bytes()
    fill_up(disk[0] / "filler")
    try:
        made = replace()
    except OSError as error:
        check(error, path)
        assert path.read_bytes() == before
        assert {other.name for other in disk[0].iterdir()} <= {
            "target", "target.idx", "filler", "lost+found"
        }  # fmt: skip
    else:  # a file system that keeps some blocks back
        made.discard()
        assert not path.exists() or path.read_bytes() == b""


@pytest.mark.root
def test_an_npy_file_that_cannot_be_finished_is_let_go_of(mount: Mount) -> None:
    np = pytest.importorskip("numpy")
    path = mount("tmpfs", 4 * MIB) / "array.npy"
    points = NpyBuilder(path, "i8", capacity=64 * MIB)
    points._builder.truncate(16 * MIB)
    view = np.frombuffer(memoryview(points._builder), "i8")
    view[512 : 1 << 21] = 7  # more than there is room for
    with no_room():
        points.close()
    assert points.closed
    points.close()
    with pytest.raises(ValueError, match=r"255, 255"):
        np.load(path)
