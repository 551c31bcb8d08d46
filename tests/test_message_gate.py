"""Calls of one message builder that meet: from threads, signal handlers, generators, children.

Each of these could end the process, so each runs in one of its own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

from support import processes

PRELUDE = """
import faulthandler, gc, os, random, signal, sys, threading, time
from mmapbuilder import MessageBuilder, verify
from support.readers import ADDRESS_BOOK, BLOCKS
path = sys.argv[1]
faulthandler.dump_traceback_later(80, exit=True)
sys.setswitchinterval(1e-5)

def book(**options):
    b = MessageBuilder(path, capacity=1 << 26, **options)
    return b, b.init_root(ADDRESS_BOOK.schema)

def together(*functions):
    barrier, errors = threading.Barrier(len(functions)), []
    def run(function):
        barrier.wait()
        try:
            function()
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors

class Column:                              # of one value, calls something when it is read
    def __init__(self, work):
        self.work = work
    def __len__(self):
        return 1
    def __iter__(self):
        self.work()
        yield "Alice"

def refused(call, inside, function):
    try:
        function()
    except RuntimeError as error:
        assert str(error) == (
            f"{call}() called while {inside}() of the same builder is at work in this thread"
        ), error
    else:
        raise AssertionError("nothing was raised")
"""


def run(code: str, *arguments: object, timeout: float = 90) -> processes.Ended:
    return processes.python(PRELUDE + code, *arguments, timeout=timeout).ok()


# ---- threads -----------------------------------------------------------------------


def test_two_threads_close(target: Path) -> None:
    run(
        """
for round in range(300):
    b, root = book()
    root.init("people", 50)[7].name = "Alice"
    errors = together(b.close, b.close, b.close)
    assert not errors, errors
    assert b.closed
    assert verify(path).objects > 2
""",
        target,
    )


def test_a_second_close_waits_for_the_first(target: Path) -> None:
    run(
        """
for round in range(100):
    b, root = book(durable=True)
    root.init("people", 50)
    def close():
        b.close()
        assert verify(path).objects == 2      # it returned: the message is there
    errors = together(close, close)
    assert not errors, errors
""",
        target,
    )


@pytest.mark.parametrize("end", ["close", "discard"])
def test_the_end_waits_for_a_fill_in_another_thread(target: Path, end: str) -> None:
    run(
        f"""
names = [f"name {{i}}" for i in range(2000)]
for round in range(60):
    b, root = book()
    filled = []
    def fill():
        b.fill("people", name=names)
        filled.append(True)
    errors = together(fill, b.{end})
    assert all(type(e) is ValueError and "closed" in str(e) for e in errors), errors
    assert b.closed and len(errors) + len(filled) == 1
    if "{end}" == "close":
        assert verify(path).objects == (2002 if filled else 1)
    else:
        assert not os.path.exists(path)
""",
        target,
    )


def test_threads_fill_one_builder(target: Path) -> None:
    run(
        """
import numpy as np
from mmapbuilder import open_message
kinds = {"name": "one", "email": "two"}
for round in range(20):
    b, root = book(segment_words=1 << 15)
    root.init("people", 3000)
    values = {key: [f"{word} {round} {i}" for i in range(3000)] for key, word in kinds.items()}
    values["id"] = np.arange(3000) + round
    errors = together(*(lambda k=k, v=v: b.fill("people", **{k: v}) for k, v in values.items()),
                      *(lambda k=k, v=v: b.fill("people", **{k: v}) for k, v in values.items()),
                      lambda: b.column("people", "name"), lambda: b.array("people"))
    assert not errors, errors
    b.close()
    verify(path)
    with open_message(path, ADDRESS_BOOK.schema) as m:
        for key, value in values.items():
            assert list(m.column("people", key)) == list(value), key
""",
        target,
    )


def test_every_call_against_close(target: Path) -> None:
    run(
        """
calls = {
    "fill": lambda b: b.fill("people", name=["x"] * 50),
    "array": lambda b: b.array("people"),
    "column": lambda b: b.column("people", "name"),
    "message": lambda b: b.message,
    "init_root": lambda b: b.init_root(ADDRESS_BOOK.schema),
    "reserve": lambda b: b.reserve(1 << 22),
    "flush": lambda b: b.flush(),
    "size": lambda b: b.size,
    "stats": lambda b: b.stats,
    "repr": repr,
    "allocate_segment": lambda b: b.allocate_segment(5),
    "discard": lambda b: b.discard(),
}
del calls["allocate_segment"]
for round in range(40):
    for name, call in calls.items():
        b, root = book()
        root.init("people", 50)
        errors = together(lambda: call(b), lambda: call(b), b.close)
        for error in errors:
            assert isinstance(error, ValueError), (name, error)
        assert b.closed
        if name != "discard":
            verify(path)
        elif os.path.exists(path):
            verify(path)
""",
        target,
    )


def test_a_thread_that_waits_can_be_interrupted(target: Path) -> None:
    run(
        """
b, root = book()
inside, go_on = threading.Event(), threading.Event()
def names():
    inside.set()
    go_on.wait()
thread = threading.Thread(target=lambda: b.fill("people", name=Column(names)))
thread.start()
inside.wait()
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    b.close()
except KeyboardInterrupt:
    assert not b.closed
else:
    raise AssertionError("not interrupted")
go_on.set()
thread.join()
b.close()
assert verify(path).objects == 3
""",
        target,
    )


# ---- the thread that is inside --------------------------------------------------------


def test_a_generator_that_calls_the_builder_it_is_for(target: Path) -> None:
    run(
        """
b, root = book()
calls = {
    "close": b.close, "discard": b.discard, "message": lambda: b.message,
    "init_root": lambda: b.init_root(BLOCKS.schema), "array": lambda: b.array("people"),
    "column": lambda: b.column("people", "id"), "fill": lambda: b.fill("people", id=[1]),
}
def names():
    for name, call in calls.items():
        refused(name, "fill", call)
    assert b.size > 0 and not b.closed and b.stats.backed > 0
    b.reserve(1 << 20)
    b.flush()
b.fill("people", name=Column(names))
assert b.column("people", "name")[0] == "Alice"
b.close()
assert verify(path).objects == 3
""",
        target,
    )


def test_an_index_that_closes_the_builder(target: Path) -> None:
    run(
        """
class Number:
    def __index__(self):
        b.close()
        return 1
b, root = book()
root.init("people", 1)
refused("close", "array", lambda: b.array("people", Number()))
b.close()
verify(path)
""",
        target,
    )


def test_a_finalizer_that_closes_the_builder(target: Path) -> None:
    run(
        """
import gc
class Dropped:
    def __del__(self):
        try:
            b.close()
        except RuntimeError as error:
            told.append(str(error))
told = []
b, root = book()
def names():
    it = Dropped()
    it.itself = it
    del it
    gc.collect()
b.fill("people", name=Column(names))
assert len(told) == 1 and not b.closed
b.close()
assert verify(path).objects == 3
""",
        target,
    )


@pytest.mark.slow
@pytest.mark.parametrize("end", ["close", "discard", "__exit__"])
def test_a_signal_handler_that_closes(target: Path, end: str) -> None:
    """At any moment of any call: it closes, or is told, and then nothing has changed."""
    run(
        f"""
told = 0
def handler(*_):
    global told
    try:
        b.{end}({"None, None, None" if end == "__exit__" else ""})
    except RuntimeError as error:
        assert "of the same builder is at work in this thread" in str(error), error
        told += 1
signal.signal(signal.SIGALRM, handler)
names = [f"name {{i}}" for i in range(300)]
for round in range(400):
    b, root = book()
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-3))
    try:
        while True:
            b.fill("people", name=names)
            root.init("people", 300)
            if random.random() < 0.3:
                b.close()
    except ValueError as error:
        assert "closed" in str(error), error
    except RuntimeError:                     # of a handler that was inside the handler's call
        raise
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert b.closed
    if os.path.exists(path):
        verify(path)
print(told)
""",
        target,
    )


# ---- forks ----------------------------------------------------------------------------


def test_a_child_forked_while_another_thread_is_inside(target: Path) -> None:
    run(
        """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork with threads, since 3.12
for end in "close", "discard":
    b, root = book()
    inside, go_on = threading.Event(), threading.Event()
    def names():
        inside.set()
        go_on.wait()
    thread = threading.Thread(target=lambda: b.fill("people", name=Column(names)))
    thread.start()
    inside.wait()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        for _ in range(3):                 # new threads, which must not be taken for the old
            other = threading.Thread(target=lambda: b.message)
            other.start()
            other.join()
        getattr(b, end)()
        os._exit(b.closed - 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    go_on.set()
    thread.join()
    assert b.column("people", "name")[0] == "Alice"
    b.close()
    assert verify(path).objects == 3
""",
        target,
    )


def test_a_fork_by_the_thread_that_is_inside(target: Path) -> None:
    run(
        """
b, root = book()
def names():
    global pid
    pid = os.fork()
    refused("close", "fill", b.close)
    if pid != 0:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
try:
    b.fill("people", name=Column(names))     # goes on in both
    b.close()
    assert b.closed
finally:
    if pid == 0:
        os._exit(1 if sys.exc_info()[0] else 0)
verify(path)
""",
        target,
    )
