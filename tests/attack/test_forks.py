"""Forked children, spawned ones, daemons: they may fill, only the owner finishes."""

from __future__ import annotations

import multiprocessing
import subprocess
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support.processes import python
from support.requirements import missing, tool

PRELUDE = """
import os, signal, sys
from mmapbuilder import Builder, MessageBuilder
path = sys.argv[1]
def content(n=-1):
    with open(path, "rb") as f:
        return f.read(n)
def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as e:
            print(type(e).__name__, e, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return pid
def wait(pid):
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status)
"""


def test_child_fills_and_grows_what_the_owner_finishes(target: Path) -> None:
    python(
        PRELUDE
        + """
with Builder(path) as b:
    view = memoryview(b)
    def work(n):
        for at in range(n << 20, (n + 1) << 20, 4096):
            view[at : at + 4096] = bytes([n + 1]) * 4096
    pids = [child(lambda: work(n)) for n in range(24)]
    assert [wait(p) for p in pids] == [0] * 24
    view.release()
data = content()
assert len(data) == 24 << 20
assert all(data[n << 20 : (n + 1) << 20] == bytes([n + 1]) * (1 << 20) for n in range(24))
""",
        target,
    ).ok()


@pytest.mark.parametrize("call", ["b.close()", "b.discard()", "os._exit(0)"])
def test_child_never_finishes(target: Path, call: str) -> None:
    """It neither cuts, removes nor unlocks the file."""
    python(
        PRELUDE
        + f"""
import fcntl
b = Builder(path)
b.write(b"parent")
inode = os.stat(path).st_ino
before = os.path.getsize(path)
assert wait(child(lambda: {call})) == 0
assert os.path.getsize(path) == before and os.stat(path).st_ino == inode
try:
    Builder(path)
except BlockingIOError:
    pass
else:
    raise AssertionError("the child has given the lock up")
b.write(b" goes on")
b.close()
assert content() == b"parent goes on"
""",
        target,
    ).ok()


@pytest.mark.parametrize("atomic", [False, True])
def test_child_exits_in_python_with_an_open_builder(target: Path, atomic: bool) -> None:
    """An ordinary exit of the child, finalizers and all, leaves the parent's file alone."""
    python(
        PRELUDE
        + f"""
import warnings
warnings.simplefilter("ignore")
b = Builder(path, atomic={atomic})
b.write(b"content")
pid = os.fork()
if pid == 0:
    b.write(b" of the child")
    sys.exit(0)
assert wait(pid) == 0
names = os.listdir(os.path.dirname(path))
assert len(names) == 1, names
b.close()
assert content() == b"content of the child", content()
""",
        target,
        options=("-W", "ignore"),
    ).ok()


@pytest.mark.parametrize("call", ["b.write(b'x')", "b.flush()", "b.tell()", "b.size"])
def test_child_after_the_parent_has_closed_extends_nothing(target: Path, call: str) -> None:
    """It is told with its next call; its stores went nowhere, and it lives."""
    python(
        PRELUDE
        + f"""
from_parent, to_child = os.pipe()
b = Builder(path)
view = memoryview(b)
view[0:16] = b"sixteen bytes..."
def work():
    os.read(from_parent, 1)
    view[1 << 28] = 1
    try:
        {call}
    except OSError:
        return
    raise AssertionError("nothing was raised")
pid = child(work)
view.release()
b.close()
assert os.path.getsize(path) == 16
os.write(to_child, b"x")
assert wait(pid) == 0
assert os.path.getsize(path) == 16, os.path.getsize(path)
""",
        target,
    ).ok()


def test_a_full_disk_in_the_child_reaches_the_close_of_the_parent(target: Path, mount) -> None:  # type: ignore[no-untyped-def]
    point = mount("tmpfs", 8 << 20)
    python(
        PRELUDE
        + """
import errno
b = Builder(path)
view = memoryview(b)
view[0] = 1
def work():
    for at in range(0, 64 << 20, 4096):
        view[at] = 1
assert wait(child(work)) == 0
view.release()
try:
    b.close()
except OSError as e:
    assert e.errno == errno.ENOSPC and e.filename == path, e
else:
    raise AssertionError("nothing was raised")
""",
        point / "full",
    ).ok()


def test_daemon_that_closes_every_fd_extends_no_other_file(target: Path, tmp_path: Path) -> None:
    """Its growth faults are no longer ours: it dies as it would without us."""
    other = tmp_path / "other"
    python(
        PRELUDE
        + """
b = Builder(path)
view = memoryview(b)
view[0] = 1
number = b.descriptor
def work():
    os.setsid()
    os.closerange(3, 1024)
    fds = [os.open(sys.argv[2], os.O_RDWR | os.O_CREAT) for _ in range(64)]
    assert number in fds
    view[1 << 28] = 1
pid = child(work)
assert wait(pid) == -signal.SIGBUS
assert os.path.getsize(sys.argv[2]) == 0
view[1 << 20] = 1
view.release()
b.close()
assert os.path.getsize(path) == (1 << 20) + 16
""",
        target,
        other,
    ).ok()


def test_killed_child_does_not_hold_up_the_close(target: Path) -> None:
    python(
        PRELUDE
        + """
import time
for round in range(30):
    b = Builder(path, capacity=4 << 30, max_growth=2 << 20)
    view = memoryview(b)
    def work():
        for at in range(0, 4 << 30, 1 << 20):
            view[at] = 1
    pid = child(work)
    time.sleep(0.002 * (round % 10))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    view.release()
    b.close()
    data = content()
    assert data == b"" or data[-16:] == bytes([1]).ljust(16, bytes(1))
""",
        target,
        timeout=120,
    ).ok()


def test_prefault_thread_is_gone_in_the_child(target: Path) -> None:
    python(
        PRELUDE
        + """
b = Builder(path, prefault=True)
view = memoryview(b)
view[0] = 1
def work():
    assert len(os.listdir("/proc/self/task")) == 1
    view[1 << 26] = 1
assert wait(child(work)) == 0
view.release()
b.close()
assert len(os.listdir("/proc/self/task")) == 1
assert os.path.getsize(path) == (1 << 26) + 16
""",
        target,
        # Since 3.12 Python warns of every thread, even of one that knows nothing of Python.
        options=("-W", "ignore::DeprecationWarning"),
    ).ok()


def test_message_built_by_parent_and_child(target: Path) -> None:
    """The child fills a segment that the parent was handed; the parent finishes."""
    python(
        PRELUDE
        + """
from mmapbuilder import verify
b = MessageBuilder(path)
first = b.allocate_segment(1024)
def work():
    first[8192:8200] = b"x" * 8
    b.close()           # lets go, does not finish
assert wait(child(work)) == 0
assert content(4) == b"\\xff" * 4
first[0:8] = bytes(8)
assert first[8192:8200] == b"x" * 8
b.close()
verify(path)
""",
        target,
    ).ok()


# ---- multiprocessing and subprocess ----


def _fill(path: str, n: int) -> None:
    with Builder(path) as b:
        b[(n << 21) : (n << 21) + 5] = b"child"


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(target: Path, method: str) -> None:
    """Children with builders of their own, while the parent has one open."""
    context = multiprocessing.get_context(method)
    with Builder(target) as b:
        b.write(b"parent")
        paths = [target.with_name(f"child{n}") for n in range(3)]
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fork in a threaded process
            workers = [context.Process(target=_fill, args=(str(p), n)) for n, p in enumerate(paths)]
            for worker in workers:
                worker.start()
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        b[1 << 24] = 1
    assert target.stat().st_size == (1 << 24) + 1
    for n, path in enumerate(paths):
        assert path.read_bytes() == bytes(n << 21) + b"child"


def test_builders_cannot_be_sent(target: Path) -> None:
    with Builder(target) as b:
        with pytest.raises(TypeError, match="cannot pickle"):
            multiprocessing.get_context("spawn").Pipe()[0].send(b)


def test_subprocesses_do_not_inherit_the_fd(target: Path) -> None:
    python(
        PRELUDE
        + """
import subprocess
with Builder(path) as b:
    fds = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, text=True,
                         capture_output=True).stdout
    assert path not in fds, fds
    b[1 << 24] = 1
    subprocess.run(["true"], check=True)
    b[1 << 25] = 1
assert os.path.getsize(path) == (1 << 25) + 1
""",
        target,
    ).ok()


def test_a_child_opens_what_its_parent_has_closed(target: Path) -> None:
    python(
        PRELUDE
        + """
closed, tell = os.pipe()
b = Builder(path)
b.write(b"parent")
def work():
    try:
        Builder(path, "r+")
    except BlockingIOError:
        pass                          # the parent is at work still
    else:
        raise AssertionError("opened")
    os.write(told, b"x")
    os.read(closed, 1)
    again = Builder(path, "r+")
    b.discard()                       # what was inherited
    try:
        Builder(path, "r+")
    except BlockingIOError:
        pass
    else:
        raise AssertionError("opened twice")
    again.seek(0)
    again.write(b"CHILD!")
    again.close()
tried, told = os.pipe()
pid = child(work)
os.read(tried, 1)
b.close()
os.write(tell, b"x")
assert wait(pid) == 0
assert content() == b"CHILD!"
""",
        target,
    ).ok()


# Positional writes, which are raw calls, take their time where SLOW is set: that is between a
# growth and its write. They tell the descriptor that SLOW names when they have begun.
SLOW_WRITES = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
static void take_time(void)
{
    const char *told = getenv("SLOW");
    if (told != NULL && write(atoi(told), "", 1) == 1) {
        usleep(400000);
    }
}
long syscall(long number, ...)
{
    long (*real)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long given[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        given[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_pwrite64 || number == SYS_pwritev2) {
        take_time();
    }
    return real(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
"""
SLOWLY = (
    PRELUDE
    + """
import ctypes, threading
b = Builder(path)
b.write(b"parent")
writing, told = os.pipe()
def slow_down():
    ctypes.CDLL(None).setenv(b"SLOW", b"%d" % told, 1)
def wait_for_a_write():
    os.read(writing, 1)
"""
)


@pytest.fixture
def slow_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tool("cc", "gcc")
    source, library = tmp_path / "slow.c", tmp_path / "slow.so"
    source.write_text(SLOW_WRITES)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(library))


@pytest.mark.usefixtures("slow_writes")
def test_the_owner_waits_for_the_write_of_a_child(target: Path) -> None:
    python(
        SLOWLY
        + """
def work():
    slow_down()
    b.seek(1 << 20)
    b.write(b"c" * 100)
pid = child(work)
wait_for_a_write()
b.close()
size = os.path.getsize(path)
assert wait(pid) == 0
assert os.path.getsize(path) == size
""",
        target,
    ).ok()


@pytest.mark.usefixtures("slow_writes")
def test_close_in_a_child_waits_for_a_write_there(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"somebody else's")
    python(
        SLOWLY
        + """
def work():
    slow_down()
    thread = threading.Thread(target=lambda: b.write(b"CCCC"))
    thread.start()
    wait_for_a_write()
    b.close()
    for _ in range(3):                # one of them gets the number of the map's
        os.open(sys.argv[2], os.O_RDWR)
    thread.join()
pid = child(work)
assert wait(pid) == 0
b.close()
assert content() == b"parentCCCC"
""",
        target,
        other,
    ).ok()
    assert other.read_bytes() == b"somebody else's"


@pytest.mark.root
@pytest.mark.parametrize("kind", ["Builder", "MessageBuilder"])
@pytest.mark.parametrize("end", ["close", "discard"])
def test_a_child_with_the_pid_of_its_parent_never_finishes(
    tmp_path: Path, kind: str, end: str
) -> None:
    """In pid namespaces of their own, parent and child are both process 1."""
    code = """
        import ctypes, os, sys
        import mmapbuilder
        target, kind, end = sys.argv[1:]
        CLONE_NEWPID = 0x20000000
        def first_of_a_namespace(work):
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWPID) != 0:
                print("missing:", os.strerror(ctypes.get_errno()), flush=True)
                return
            pid = os.fork()
            if pid == 0:
                assert os.getpid() == 1
                work()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        def build():
            b = getattr(mmapbuilder, kind)(target, atomic=True)
            if kind == "Builder":
                b.write(b"half of it")
            else:
                b.allocate_segment(1)[0:8] = bytes(8)
            before = os.listdir(os.path.dirname(target))
            first_of_a_namespace(lambda: getattr(b, end)())
            assert os.listdir(os.path.dirname(target)) == before
            b.close()
            assert os.listdir(os.path.dirname(target)) == [os.path.basename(target)]
        first_of_a_namespace(build)
    """
    ended = python(code, tmp_path / "target", kind, end).ok()
    if ended.out.startswith("missing"):
        missing(ended.out)
