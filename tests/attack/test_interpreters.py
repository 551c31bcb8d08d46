"""Interpreters come and go; so do cycles, modules, and ten thousand builders."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.libc import MUSL
from support.processes import python
from support.requirements import missing

# ---- the end of the interpreter ----


@pytest.mark.parametrize(
    "state",
    [
        "pass",
        "view = memoryview(b); view[0] = 1",
        "import atexit; atexit.register(lambda: b.write(b'late'))",
        "b.self = b",
        "sys.stash = b",
        "import threading; threading.Thread(target=lambda: b.write(b'x' * (1 << 20))).start()",
        "import threading; threading.Thread(target=endless, daemon=True).start()",
        "import threading, time; threading.Thread(target=endless, daemon=True).start(); "
        "time.sleep(0.1)",
        "raise SystemExit(0)",
    ],
)
def test_exit_with_an_open_builder(target: Path, state: str) -> None:
    if MUSL and "daemon" in state:
        missing("CPython frees the state of a daemon thread that runs, and musl unmaps it at once")
    ended = python(
        f"""
import sys
from mmapbuilder import Builder
b = Builder(sys.argv[1])
b.write(b"content")
def endless():
    view = memoryview(b)
    at = 0
    while True:
        view[at % (1 << 30)] = 1
        at += 4096
{state}
""",
        target,
        options=("-W", "ignore"),
    )
    assert ended.code == 0, str(ended)
    assert target.read_bytes()[:7] in (b"content", b"\x01ontent")


@pytest.mark.parametrize("kind", ["root", "builder", "both"])
def test_exit_with_an_open_message(target: Path, kind: str) -> None:
    pytest.importorskip("capnp")
    ended = python(
        """
import sys
import capnp
from mmapbuilder import MessageBuilder
from pathlib import Path
schema = Path(sys.argv[1]).with_suffix(".capnp")
schema.write_text("@0xdbb9ad1f14bf0b36; struct P { t @0 :Text; }")
b = MessageBuilder(sys.argv[1])
root = b.init_root(capnp.load(str(schema)).P, t="text")
if sys.argv[2] == "root":
    del b
elif sys.argv[2] == "builder":
    del root
""",
        target,
        kind,
        options=("-W", "ignore"),
    )
    assert ended.code == 0, str(ended)
    assert target.read_bytes()[:4] == b"\xff" * 4


# ---- many interpreters ----


def test_subinterpreters_with_their_own_gil(target: Path) -> None:
    if sys.version_info < (3, 12):
        missing_feature = "interpreters with their own GIL came with 3.12"
        pytest.skip(missing_feature)
    python(
        """
import sys, threading
try:
    import _interpreters as interpreters
    def create(): return interpreters.create("isolated")
    def run(i, code):
        error = interpreters.exec(i, code)
        assert error is None, error
except ImportError:
    import _xxsubinterpreters as interpreters
    def create(): return interpreters.create(isolated=True)
    run = interpreters.run_string
from mmapbuilder import Builder

code = f'''
import sys
sys.path[:] = {sys.path!r}
from mmapbuilder import Builder
path = %r
for round in range(5):
    with Builder(path, capacity=1 << 30) as b:
        view = memoryview(b)
        for at in range(0, 32 << 20, 4096):
            view[at : at + 8] = at.to_bytes(8, "little")
        view.release()
    with open(path, "rb") as f:
        data = f.read().ljust(32 << 20, bytes(1))  # the last number ends with zeros
    assert all(data[at : at + 8] == at.to_bytes(8, "little") for at in range(0, 32 << 20, 4096))
'''

def work(n):
    for _ in range(2):
        i = create()
        run(i, code % f"{sys.argv[1]}{n}")
        interpreters.destroy(i)

ours = Builder(sys.argv[1])
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for at in range(0, 64 << 20, 4096):
    ours[at] = 1
for t in threads: t.join()
ours.close()
""",
        target,
        timeout=120,
    ).ok()


def test_reload_and_import_again(target: Path) -> None:
    """Another copy of the module serves beside the first, whose builders live on."""
    python(
        """
import importlib, sys
import mmapbuilder
first = mmapbuilder.Builder(sys.argv[1])
for name in [n for n in sys.modules if n.startswith("mmapbuilder")]:
    del sys.modules[name]
again = importlib.import_module("mmapbuilder")
assert again.Builder is not mmapbuilder.Builder
importlib.reload(again)
second = again.Builder(sys.argv[1] + "2")
first[1 << 24] = 1
second[1 << 25] = 1
del mmapbuilder
second.close()
first.close()
""",
        target,
    ).ok()


# ---- cycles and leaks ----


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A path on tmpfs where there is one: ten thousand files are slow on a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory) / "target"


def test_cycles_are_collected(target: Path) -> None:
    python(
        """
import gc, os, sys, warnings, weakref
from mmapbuilder import Builder
gc.collect()
fds = len(os.listdir("/proc/self/fd"))
for round in range(20):
    b = Builder(sys.argv[1])
    b[1 << 22] = 1
    b.cycle = [b, memoryview(b)]
    gone = weakref.ref(b)
    del b
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    assert gone() is None
assert len(os.listdir("/proc/self/fd")) == fds
with open("/proc/self/maps") as f:
    assert sys.argv[1] not in f.read()
""",
        target,
        timeout=60,
    ).ok()


@pytest.mark.parametrize(
    "kind", ["builder", "message", "discarded", "dropped", "failed", "snapshot"]
)
def test_ten_thousand_come_back_to_the_start(in_memory: Path, kind: str) -> None:
    """fds, mappings, memory and slots of the registry."""
    python(
        """
import gc, os, sys, warnings
from mmapbuilder import Builder, MessageBuilder
kind, path = sys.argv[2], sys.argv[1]
warnings.simplefilter("ignore", ResourceWarning)
def once():
    if kind == "builder":
        with Builder(path) as b:
            b[0:4] = b"data"
    elif kind == "message":
        with MessageBuilder(path) as b:
            b.allocate_segment(1)[0:8] = bytes(8)
    elif kind == "discarded":
        Builder(path).discard()
    elif kind == "dropped":
        Builder(path).write(b"data")
    elif kind == "failed":
        try:
            Builder(path, capacity=1 << 62)
        except OSError:
            pass
    else:
        b = MessageBuilder(path, capacity=1 << 24)
        view = b.allocate_segment(1)
        view[8:16] = bytes(8)
        b.close()
        view[64:72] = b"snapshot"
def state():
    gc.collect()
    with open("/proc/self/maps") as f:
        maps = len(f.readlines())
    with open("/proc/self/statm") as f:
        resident = int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return len(os.listdir("/proc/self/fd")), maps, resident
for _ in range(500):
    once()
fds, maps, resident = state()
for _ in range(10000):
    once()
now = state()
assert now[0] == fds, (now, fds)
assert abs(now[1] - maps) <= 4, (now, maps)
assert now[2] - resident < 2 << 20, (now, resident)
os.path.exists(path) and os.unlink(path)
with Builder(path) as b:
    b[1 << 24] = 1
assert os.path.getsize(path) == (1 << 24) + 1
""",
        in_memory,
        kind,
        timeout=180,
    ).ok()


def test_more_builders_than_slots_are_refused(target: Path) -> None:
    """The table is full: a clear error, and room again when one is closed."""
    code = """
import os, resource, sys
from mmapbuilder import Builder
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
need = 16384 + 100
if hard != resource.RLIM_INFINITY and hard < need:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, need))
    except (ValueError, OSError):
        print("too few file descriptors")
        raise SystemExit
else:
    resource.setrlimit(resource.RLIMIT_NOFILE, (need, hard))
held = []
try:
    while len(held) < 20000:
        fd = os.memfd_create("many")
        held.append(Builder(fd, capacity=1 << 16))
        os.close(fd)
except OSError as e:
    os.close(fd)
    assert "16384" in str(e), e
assert len(held) == 16384, len(held)
held.pop().close()
with Builder(sys.argv[1]) as b:
    b[1 << 22] = 1
held[-1][4096] = 1
for b in held:
    b.close()
"""
    ended = python(code, target, timeout=180).ok()
    if ended.out:
        missing("the limit on open files is too low to fill the table")
