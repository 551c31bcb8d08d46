"""What closing tells: once, of the right kind, and without keeping anything alive."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import gc
import io
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, MessageBuilder, verify
from support.descriptors import descriptor_of
from support.mounts import no_room
from support.processes import python
from support.requirements import missing, tool
from support.wire import is_unfinished

MIB = 1 << 20
KINDS: list[Callable[..., Any]] = [Builder, MessageBuilder]
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


# ---- O_APPEND ----------------------------------------------------------------------------


def set_append(fd: int, on: bool = True) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_APPEND if on else flags & ~os.O_APPEND)


def ignores_append(directory: Path) -> bool:
    """Whether a write to a file there goes where it is told, in spite of O_APPEND.

    Linux can do that since 6.9 (RWF_NOAPPEND), but not on an overlay.
    """
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        file.write(b"old")
        set_append(file.fileno())
        try:
            os.pwritev(file.fileno(), [b"new"], 0, 0x20)
        except (AttributeError, NotImplementedError, OSError):
            return False
        return os.pread(file.fileno(), 10, 0) == b"new"


def test_append_that_is_set_later_does_no_harm_or_is_told(target: Path) -> None:
    """What is written after it may go to the end of the file, wherever it should go."""
    with target.open("w+b") as file:
        b = Builder(file)
        b.write(b"0123456789")
        b.seek(0)
        set_append(file.fileno())
        if ignores_append(target.parent):
            b.write(b"abc")
            b.close()
            assert target.read_bytes() == b"abc3456789"
            return
        with pytest.raises(OSError, match="O_APPEND") as caught:
            b.write(b"abc")
        assert caught.value.errno == errno.EINVAL
        with pytest.raises(OSError, match="O_APPEND"):
            b.close()
    assert b.closed


def test_append_that_comes_and_goes_between_two_writes_does_no_harm(target: Path) -> None:
    if not ignores_append(target.parent):
        pytest.skip("before Linux 6.9, and elsewhere, it is only told if it is still there")
    piece = 5000
    with target.open("w+b") as file:
        b = Builder(file)
        done = threading.Event()

        def toggle() -> None:
            while not done.is_set():
                set_append(file.fileno())
                set_append(file.fileno(), False)

        thread = threading.Thread(target=toggle)
        thread.start()
        for number in range(400):
            b.write(bytes([number % 251]) * piece)
        done.set()
        thread.join()
        b.close()
    assert target.read_bytes() == b"".join(bytes([n % 251]) * piece for n in range(400))


def test_a_message_whose_file_is_set_to_append_is_finished_or_told(target: Path) -> None:
    with target.open("w+b") as file:
        b = MessageBuilder(file)
        segment = b.allocate_segment(1)
        segment[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
        set_append(file.fileno())
        if ignores_append(target.parent):
            b.close()
            assert verify(target).words > 0
            return
        with pytest.raises(OSError, match="O_APPEND"):
            b.close()
    assert is_unfinished(target)


# ---- names that are none -------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["memfd", "tmpfile", "deleted", "named"])
def test_atomic_wants_a_name(target: Path, kind: Callable[..., Any], what: str) -> None:
    """A link of /proc stands for an open file, which nothing can take the place of."""
    if what == "memfd":
        fd = os.memfd_create("a name")
    elif what == "tmpfile":
        fd = os.open(target.parent, os.O_RDWR | os.O_TMPFILE)
    else:
        fd = os.open(target, os.O_RDWR | os.O_CREAT)
        if what == "deleted":
            target.unlink()
    os.write(fd, b"old")
    link = target.with_name("link")
    link.symlink_to(f"/proc/self/fd/{fd}")
    before = sorted(os.listdir(target.parent))
    for path in f"/proc/self/fd/{fd}", f"/proc/{os.getpid()}/fd/{fd}", f"/dev/fd/{fd}", link:
        with pytest.raises(io.UnsupportedOperation, match="atomic needs a name"):
            kind(path, atomic=True)
        with kind(path) as b:  # otherwise it is a descriptor like any other
            assert os.path.samestat(os.fstat(fd), os.fstat(descriptor_of(b)))
    assert sorted(os.listdir(target.parent)) == before
    os.close(fd)


# ---- what an exception keeps -----------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_file_that_is_removed_after_a_full_disk_gives_back_its_blocks(
    mount: Callable[..., Path], kind: Callable[..., Any], atomic: bool
) -> None:
    """At once, not when the cycle collector runs."""
    disk = mount("tmpfs", 8 * MIB)
    path = disk / "file"
    gc.collect()
    gc.disable()
    try:
        b = kind(path, atomic=atomic)
        view = memoryview(b) if kind is Builder else b.allocate_segment(1)
        view[8 : 32 * MIB : 4096] = b"x" * len(range(8, 32 * MIB, 4096))
        view.release()
        with no_room():
            b.close()
        path.unlink(missing_ok=True)
        del b, view
        free = os.statvfs(disk)
        assert free.f_bfree * free.f_bsize > 7 * MIB
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["close", "with"])
def test_the_error_of_close_is_gone_when_it_was_handled(
    target: Path, kind: Callable[..., Any], end: str
) -> None:
    """It refers to no frame that refers to it: neither do the frames of its callers live on."""

    class Mark:
        pass

    marks = []

    def call(builder: Any) -> None:
        mark = Mark()
        marks.append(weakref.ref(mark))
        if end == "close":
            builder.close()
        else:
            with builder:
                pass

    b = kind(target)
    b.reserve(4096)
    os.truncate(target, 0)
    gc.collect()
    gc.disable()
    try:
        with contextlib.suppress(OSError):
            call(b)
            raise AssertionError("nothing was raised")
        assert marks[0]() is None
    finally:
        gc.enable()


# ---- races -------------------------------------------------------------------------------------


RACE = """
    import sys, threading
    from mmapbuilder import Builder, MessageBuilder, verify
    path, kind = sys.argv[1], sys.argv[2]
    sys.setswitchinterval(1e-6)
    wrong = []
    def run(call, barrier):
        barrier.wait()
        try:
            call()
        except (ValueError, BlockingIOError):
            pass
        except BaseException as e:
            wrong.append(repr(e))
    uses = {
        "close": lambda b: b.close(),
        "discard": lambda b: b.discard(),
        "flush": lambda b: b.flush(),
        "stats": lambda b: b.stats,
        "reserve": lambda b: b.reserve(100),
        "repr": repr,
        "name": lambda b: (b.name, b.mode, b.capacity, b.closed),
        "exit": lambda b: b.__exit__(None, None, None),
        "again": lambda b: Builder(path).discard(),
    }
    for round in range(60):
        for first in uses:
            b = Builder(path) if kind == "Builder" else MessageBuilder(path)
            if kind != "Builder":
                b.allocate_segment(1)[0:8] = bytes(8)
            calls = [lambda: b.close(), lambda: uses[first](b), lambda: b.close()]
            barrier = threading.Barrier(len(calls))
            threads = [threading.Thread(target=run, args=(c, barrier)) for c in calls]
            for t in threads: t.start()
            for t in threads: t.join()
            assert b.closed
    assert not wrong, set(wrong)
"""


@pytest.mark.parametrize("kind", ["Builder", "MessageBuilder"])
def test_calls_that_race_with_close_raise_valueerror_or_nothing(target: Path, kind: str) -> None:
    python(RACE, target, kind, timeout=120).ok()


# ---- copies ------------------------------------------------------------------------------------


@pytest.mark.root
@linux_only
def test_r_plus_copies_all_where_the_file_system_knows_of_no_late_stores(
    mount: Callable[..., Path], tmp_path: Path
) -> None:
    """ext4 without extents does not find data that was stored and is not written out yet."""
    if os.geteuid() != 0:
        missing("mounting needs root")
    image, point = tmp_path / "image", tmp_path / "mnt"
    point.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    make = [tool("mkfs.ext4", "e2fsprogs"), "-q", "-F", "-O", "^extents,^64bit", str(image)]
    subprocess.run(make, check=True, capture_output=True)
    done = subprocess.run(
        [tool("mount", "mount"), "-o", "loop", str(image), str(point)], capture_output=True
    )
    if done.returncode != 0:
        missing(done.stderr.decode())
    try:
        for number in range(30):
            path = point / f"file{number}"
            with Builder(path) as b, memoryview(b) as view:
                view[3 * MIB : 3 * MIB + 6] = b"stored"
                view[MIB : MIB + 6] = b"before"
            with Builder(path, "r+", atomic=True) as b:
                b[0:5] = b"added"
            data = path.read_bytes()
            assert data[:5] == b"added"
            assert (data[MIB : MIB + 6], data[3 * MIB : 3 * MIB + 6]) == (b"before", b"stored")
    finally:
        subprocess.run([tool("umount", "mount"), "-l", str(point)], check=True)
