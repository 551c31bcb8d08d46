"""close and discard against every public call of every builder, in the middle of its use.

The other side is a thread, a signal handler or a forked child. Nobody dies or hangs, each call
does its work or says that the builder is closed, and what was closed is whole. Each of these
could end the process, so each runs in one of its own; `make test-asan-python` and
`make test-free-threaded` run them, too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")

from mmapbuilder import Builder
from support import processes
from support.requirements import missing, tool

PRELUDE = """
import errno, faulthandler, gc, io, os, random, signal, sys, threading, time, warnings
import numpy as np
from mmapbuilder import Builder, MessageBuilder, MessageLog, NpyBuilder, open_log, verify
path, kind, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
faulthandler.dump_traceback_later(100, exit=True)
warnings.simplefilter("ignore")
sys.setswitchinterval(1e-5)
random.seed(1)
MIB = 1 << 20
FRAME = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8)

def builder():
    return Builder(path, capacity=64 * MIB, atomic=random.random() < 0.3)

def npy():
    return NpyBuilder(path, "i8", (-1, 2), capacity=64 * MIB)

def log():
    return MessageLog(path, "w", capacity=64 * MIB)

def rolling():
    return MessageLog(path, "w", capacity=64 * MIB, roll=16)

def message():
    from support.readers import BLOCKS
    b = MessageBuilder(path, capacity=64 * MIB)
    b.init_root(BLOCKS.schema).init("blocks", 20)
    return b

def by_hand():
    b = MessageBuilder(path, capacity=64 * MIB)
    segment = b.allocate_segment(1)
    segment[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
    segment[8:16] = b"contents"
    return b

def store(b, at=5 * MIB):
    view = memoryview(b)
    view[at : at + 100] = b"y" * 100

PLAIN = {
    "write": lambda b: b.write(b"x" * 70_000), "store": store,
    "slice": lambda b: b.__setitem__(slice(0, 4), b"abcd"), "item": lambda b: b[3],
    "zeros": lambda b: b.zeros(1000, "i4").__setitem__(5, 7),
    "allocate": lambda b: b.allocate(5000)[:3], "reserve": lambda b: b.reserve(3 * MIB),
    "read": lambda b: b.read(100), "readline": lambda b: b.readline(),
    "readinto": lambda b: b.readinto(bytearray(100)), "peek": lambda b: b.peek(5),
    "find": lambda b: b.find(b"yy"), "seek": lambda b: b.seek(0, 2), "tell": lambda b: b.tell(),
    "truncate": lambda b: b.truncate(1000), "flush": lambda b: b.flush(),
    "range": lambda b: b.flush(0, 4096), "durable": lambda b: b.flush(durable=True),
    "size": lambda b: b.size, "len": len, "stats": lambda b: b.stats, "repr": repr,
    "html": lambda b: b._repr_html_(), "bytes": lambda b: len(b.getvalue()),
    "buffer": lambda b: b.getbuffer()[:1], "descriptor": lambda b: os.fstat(b.descriptor),
    "close": lambda b: b.close(), "discard": lambda b: b.discard(),
    "leave": lambda b: b.__exit__(None, None, None),
    "raise": lambda b: b.__exit__(ValueError, ValueError("body"), None),
}
CALLS = {
    "builder": (builder, PLAIN),
    "npy": (npy, {
        "append": lambda b: b.append([[1, 2]] * 500), "extend": lambda b: b.extend([[3, 4]] * 9),
        "array": lambda b: b.array.sum(), "len": len, "shape": lambda b: b.shape, "repr": repr,
        "flush": lambda b: b.flush(), "durable": lambda b: b.flush(True),
        "close": lambda b: b.close(), "discard": lambda b: b.discard(),
        "raise": lambda b: b.__exit__(ValueError, ValueError("body"), None),
    }),
    "log": (log, {
        "append": lambda b: b.append_bytes(FRAME), "len": len, "repr": repr,
        "flush": lambda b: b.flush(), "cut": lambda b: b.flush(cut=True),
        "sync": lambda b: b.sync(), "stats": lambda b: b.stats, "read": lambda b: b.committed,
        "close": lambda b: b.close(), "discard": lambda b: b.discard(),
        "raise": lambda b: b.__exit__(ValueError, ValueError("body"), None),
    }),
    "message": (message, {
        "message": lambda b: b.message.get_root, "array": lambda b: b.array("blocks"),
        "fill": lambda b: b.fill("blocks", index=[5] * 20, note=["a note"] * 20),
        "fill_rows": lambda b: b.fill_rows("blocks", [{"note": "other"}] * 20),
        "column": lambda b: b.column("blocks", "note"), "to_dict": lambda b: b.to_dict(),
        "rows": lambda b: b.rows("blocks"), "table": lambda b: b.table("blocks").num_rows,
        "set_root": lambda b: b.set_root({"label": "label"}), "size": lambda b: b.size,
        "flush": lambda b: b.flush(), "reserve": lambda b: b.reserve(MIB), "repr": repr,
        "html": lambda b: b._repr_html_(), "stats": lambda b: b.stats,
        "descriptor": lambda b: os.fstat(b.descriptor),
        "close": lambda b: b.close(), "discard": lambda b: b.discard(),
        "raise": lambda b: b.__exit__(ValueError, ValueError("body"), None),
    }),
    "by-hand": (by_hand, {
        "allocate": lambda b: b.allocate_segment(10), "size": lambda b: b.size, "repr": repr,
        "flush": lambda b: b.flush(), "stats": lambda b: b.stats,
        "close": lambda b: b.close(), "discard": lambda b: b.discard(),
    }),
}
CALLS["rolling"] = (rolling, CALLS["log"][1])
make, calls = CALLS[kind]

def attempt(call, b, refusals=(ValueError, RuntimeError, FileNotFoundError, BufferError)):
    '''Call; what may be raised is that the builder is closed, or that it is busy right here.'''
    try:
        call(b)
    except refusals as error:
        text = str(error)
        known = ("clos", "at work", "segments were", "body", "taken away", "not known", "in use",
                 "another message", "not set", "No such file", "opened by the", "beyond", "root")
        assert any(word in text for word in known), (error, call)
    except OSError as error:
        # os.fstat of a descriptor that is gone; a child after the close of its parent.
        assert error.errno in (errno.EBADF, errno.EPERM, errno.ESTALE), error

def whole():
    if not os.path.exists(path):
        return                                  # it was discarded
    if kind in ("message", "by-hand"):
        from mmapbuilder import InvalidMessage
        try:
            verify(path)
        except InvalidMessage as error:         # left unfinished by an exception, or mixed up
            assert "unfinished" in str(error), error
    elif kind in ("log", "rolling"):
        size = os.path.getsize(path)
        assert size % 16 == 0, size
"""

THREADS = """
names = sorted(calls)
enders = [name for name in names if name in ("close", "discard", "leave", "raise")]
end = time.monotonic() + seconds
while time.monotonic() < end:
    for name in names:
        b = make()
        chosen = [calls[name], calls[random.choice(enders)], calls[random.choice(names)]]
        barrier, errors = threading.Barrier(len(chosen)), []
        def run(call):
            barrier.wait()
            try:
                for _ in range(3):
                    attempt(call, b)
            except BaseException as error:
                errors.append((name, error))
        threads = [threading.Thread(target=run, args=(call,)) for call in chosen]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors, errors
        attempt(lambda b: b.close(), b)
        assert b.closed
        whole()
        del b
print("ok")
"""

SIGNALS = """
names = sorted(calls)
current = [None, None]
def handler(*_):
    b, ender = current
    if b is not None:
        current[0] = None                       # not within itself, over and over
        attempt(ender, b)
        current[0] = b
signal.signal(signal.SIGALRM, handler)
enders = [calls[name] for name in ("close", "discard", "raise") if name in calls]
end = time.monotonic() + seconds
while time.monotonic() < end:
    for name in names:
        b = make()
        current[:] = b, random.choice(enders)
        signal.setitimer(signal.ITIMER_REAL, random.random() * 3e-4 + 1e-6, 1e-4)
        try:
            for _ in range(5):
                attempt(calls[name], b)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            current[0] = None
        attempt(lambda b: b.close(), b)
        assert b.closed, name
        whole()
        del b
print("ok")
"""

CHILDREN = """
names = sorted(calls)
end = time.monotonic() + seconds
while time.monotonic() < end:
    for name in names:
        b = make()
        children = []
        for number in range(2):
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    for _ in range(3):
                        attempt(calls[name], b, (ValueError, RuntimeError, PermissionError,
                                                 FileNotFoundError, BufferError))
                    code = 0
                except BaseException as error:
                    print(name, repr(error), file=sys.stderr, flush=True)
                finally:
                    os._exit(code)
            children.append(pid)
        attempt(calls["close"], b)
        for pid in children:
            _, status = os.waitpid(pid, 0)
            assert status == 0, (name, status)
        assert b.closed
        whole()
        del b
print("ok")
"""

KINDS = ["builder", "npy", "log", "rolling", "message", "by-hand"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["threads", "signals", "children"])
def test_close_against_every_call(target: Path, side: str, kind: str) -> None:
    if kind == "message":
        pytest.importorskip("capnp")
    code = PRELUDE + {"threads": THREADS, "signals": SIGNALS, "children": CHILDREN}[side]
    assert processes.python(code, target, kind, 1.5, timeout=150).ok().out == "ok\n"


def test_every_public_call_is_among_them() -> None:
    calls = {name for name in dir(Builder) if not name.startswith("_")}
    plain = {
        *("capacity", "closed", "detach", "fileno", "isatty", "mode", "name", "readable"),
        *("seekable", "writable"),  # which only look
        *("read1", "readinto1", "readlines", "rfind", "writelines"),  # made of the others
    }
    named = {"getbuffer", "getvalue"}
    used = {name for name in calls if f"b.{name}" in PRELUDE}
    assert calls - plain - named <= used


# ---- discard against close -------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"atomic": True}])
def test_a_close_that_is_overtaken_by_a_discard_gives_the_file_up(
    target: Path, options: dict[str, Any]
) -> None:
    """The content was finished already when the discard came: it must not get its name."""
    import threading

    finished, dropped, over = threading.Event(), threading.Event(), threading.Event()

    class Slow(Builder):
        def _end_content(self, end: Any, size: int | None = None) -> Exception | None:
            found = super()._end_content(end, size)
            if end == "finish":
                finished.set()
                dropped.wait(30)
            else:
                dropped.set()
                over.wait(30)
            return found

    b = Slow(target, **options)
    b.write(b"never to be seen")

    def close() -> None:
        b.close()
        over.set()

    def discard() -> None:
        finished.wait(30)
        b.discard()

    threads = [threading.Thread(target=work) for work in (close, discard)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert b.closed
    assert list(target.parent.iterdir()) == []


@pytest.mark.root
def test_close_and_discard_meet_on_an_overlay(mount: Callable[..., Path]) -> None:
    """Where closing takes its time: either the file is complete, or it is gone."""
    import subprocess

    place = mount("tmpfs", 64 << 20)
    for name in ("lower", "upper", "work", "merged"):
        (place / name).mkdir()
    options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
    merged = place / "merged"
    command = [tool("mount", "mount"), "-t", "overlay", "overlay", "-o", options, str(merged)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        missing(f"overlays cannot be mounted here: {done.stderr.strip()}")
    try:
        code = """
            import os, random, sys, threading
            from mmapbuilder import Builder
            path = sys.argv[1]
            sys.setswitchinterval(1e-6)
            for round in range(600):
                b = Builder(path, capacity=1 << 24, atomic=round % 2 == 0)
                b.write(b"x" * 70_000)
                barrier = threading.Barrier(2)
                def meet(end):
                    barrier.wait()
                    end()
                ends = [b.close, b.discard]
                threads = [threading.Thread(target=meet, args=(end,)) for end in ends]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert b.closed
                names = os.listdir(os.path.dirname(path))
                assert names in ([], ["target"]), names
                if names:
                    with open(path, "rb") as file:
                        assert file.read() == b"x" * 70_000
                    os.unlink(path)
            """
        processes.python(code, merged / "target", timeout=120).ok()
    finally:
        subprocess.run([tool("umount", "mount"), "-l", str(merged)], check=True, timeout=60)
