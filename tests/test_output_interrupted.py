"""KeyboardInterrupt and MemoryError between any two bytecodes of a builder's life.

Nothing is left behind: no descriptor, lock, temporary file or map. A close that was
interrupted can be called again, and then does what the first one was to do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from support.processes import python

# There sys.monitoring also raises while a generator is finalised, where nobody can catch it.
pytestmark = pytest.mark.skipif(
    sys.version_info[:2] == (3, 12), reason="3.12 counts bytecodes in finalisers of generators"
)

HARNESS = """
    import os, sys, gc, warnings
    import mmapbuilder
    from mmapbuilder import Builder, MessageBuilder, MessageLog, NpyBuilder, open_log, verify
    warnings.simplefilter("ignore")             # a builder that is dropped warns
    path, kind, scenario, error = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4]
    error = {"KeyboardInterrupt": KeyboardInterrupt, "MemoryError": MemoryError}[error]
    package = os.path.dirname(mmapbuilder.__file__)
    folder = os.path.dirname(path)
    options = {}
    if "atomic" in scenario:
        options["atomic"] = True
    if "durable" in scenario:
        options["durable"] = True
    end = "discard" if "discard" in scenario else "close"
    there = "there" in scenario
    is_log = kind.startswith("log")
    frame = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8)
    old = frame if is_log else b"old content"

    class Tracer:
        # Raises before the bytecode `number` of those that the package runs.
        def __init__(self, number):
            self.left = number

        def count(self):
            self.left -= 1
            if self.left == 0:
                raise error

    class OldTracer(Tracer):
        def __enter__(self):
            sys.settrace(self.enter)

        def __exit__(self, *_):
            sys.settrace(None)

        def enter(self, frame, event, argument):
            if not frame.f_code.co_filename.startswith(package):
                return None
            frame.f_trace_opcodes = True
            return self.step

        def step(self, frame, event, argument):
            if event == "opcode":
                self.count()
            return self.step

    class NewTracer(Tracer):                    # since 3.12
        TOOL = 4

        def __enter__(self):
            monitoring = sys.monitoring
            monitoring.use_tool_id(self.TOOL, "interruptions")
            instruction = monitoring.events.INSTRUCTION
            monitoring.register_callback(self.TOOL, instruction, self.step)
            monitoring.restart_events()
            monitoring.set_events(self.TOOL, instruction)

        def __exit__(self, *_):
            sys.monitoring.set_events(self.TOOL, 0)
            sys.monitoring.free_tool_id(self.TOOL)

        def step(self, code, offset):
            if not code.co_filename.startswith(package):
                return sys.monitoring.DISABLE
            self.count()

    tracer = NewTracer if hasattr(sys, "monitoring") else OldTracer

    def fill(b):
        if kind == "Builder":
            b.write(b"new content")
            memoryview(b)[11:16] = b" more"
        elif kind == "npy":
            b.append([[1, 2], [3, 4]])
        elif kind in ("by hand", "in memory"):
            segment = b.allocate_segment(1)
            segment[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
            segment[8:16] = b"contents"
        elif kind == "log build":
            with b.build() as root:
                root.label = "contents"
        elif is_log:
            b.append_bytes(frame)
        else:
            b.init_root(BLOCKS.schema).label = "contents"

    def check_content():
        if kind == "Builder":
            with open(path, "rb") as f:
                assert f.read() == b"new content more"
        elif kind == "npy":
            assert numpy.load(path).tolist() == [[1, 2], [3, 4]]
        elif is_log:
            with open_log(path, BLOCKS.schema, index=False) as log:
                assert len(log) == 1 + ("again" in scenario)
            with open(path, "rb") as f:
                assert len(f.read()) >= 16 * len(log) and f.tell() % 8 == 0
        else:
            verify(path)

    if kind == "pycapnp" or is_log:
        from support.readers import BLOCKS
        with MessageBuilder(path) as b:         # what pycapnp does only once
            b.init_root(BLOCKS.schema)
    make = Builder if kind == "Builder" else MessageBuilder
    if kind == "in memory":
        make = MessageBuilder.in_memory
        make(path).discard()                    # imports what is imported only once
    if kind == "npy":
        import numpy
        def make(path, **options):
            return NpyBuilder(path, "i8", (-1, 2), **options)
    if is_log:
        sys.unraisablehook = lambda what: None  # an interrupted finaliser, after all was ended
        make = MessageLog
        options["mode"] = "a" if "again" in scenario else "w"
        options["schema"] = BLOCKS.schema
        with MessageLog(path, "w", schema=BLOCKS.schema) as log, log.build():
            pass

    def maps():
        with open("/proc/self/maps") as f:
            return sum(path in line or ".mmapbuilder" in line or ".idx" in line for line in f)

    def fds():
        return set(os.listdir("/proc/self/fd"))

    def attempt(number):
        '''Build, be interrupted, end it again; False if there was no interruption.'''
        b, filled, interrupted = None, False, False
        try:
            with tracer(number):
                b = make(path, **options)
                fill(b)
                filled = True
                getattr(b, end)()
        except error:
            interrupted = True
        finished = b is not None and filled
        if finished:
            getattr(b, end)()                   # completes it, or has nothing to do
            assert b.closed
        elif b is not None:
            b.discard()
        return interrupted, finished

    for number in range(1, 1 << 20):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        if there:
            with open(path, "wb") as f:
                f.write(old)
        before = fds()
        interrupted, finished = attempt(number)
        where = f"bytecode {number}: "
        assert fds() == before, where + f"{len(fds() - before)} descriptors"
        assert maps() == 0, where + "a map"
        names = os.listdir(folder)
        base = os.path.basename(path)
        assert set(names) <= {base} | ({base + ".idx"} if is_log else set()), where + f"{names}"
        if is_log and there and not finished and "again" in scenario:
            with open(path, "rb") as f:
                found = f.read()
            assert found.startswith(old), where + "what was in the log"
            with open_log(path, BLOCKS.schema, index=False) as log:
                assert found == old or len(log) == 2, where + "half a message"
        if finished and end == "close" and kind != "in memory":
            check_content()
        elif finished:
            left = names == [] or options.get("atomic") or "again" in scenario
            assert left, where + f"discard left {names}"
        if options.get("atomic") and there and not (finished and end == "close"):
            with open(path, "rb") as f:
                assert f.read() == old, where + "the target has changed"
        with Builder(path) as again:            # there is no lock either
            again.write(b"x")
        if not interrupted:
            break
    print(number)
"""

KINDS = ["Builder", "by hand", "pycapnp", "npy"]
SCENARIOS = [
    "close",
    "close there",
    "close atomic",
    "close atomic there",
    "close atomic durable there",
    "discard",
    "discard there",
    "discard atomic there",
]
LOG_SCENARIOS = ["close", "close there", "close there again", "discard there"]


NEEDS = {"pycapnp": "capnp", "npy": "numpy"}

# A few of them run under each Python; the others meet much the same code.
SHORT = {"pycapnp-close atomic there", "Builder-discard there", "log build-close there"}


def cases(kinds: list[str], scenarios: list[str]) -> list[Any]:
    """All pairs of them; those that are not in SHORT are slow."""
    pairs = [(kind, scenario) for kind in kinds for scenario in scenarios]
    names = [f"{kind}-{scenario}" for kind, scenario in pairs]
    return [
        pytest.param(*pair, id=name, marks=() if name in SHORT else pytest.mark.slow)
        for pair, name in zip(pairs, names, strict=True)
    ]


@pytest.mark.parametrize(("kind", "scenario"), cases(KINDS, SCENARIOS))
def test_interrupted_at_every_bytecode(tmp_path: Path, kind: str, scenario: str) -> None:
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    ended = python(HARNESS, tmp_path / "target", kind, scenario, "KeyboardInterrupt", timeout=300)
    assert int(ended.ok().out) > 100


@pytest.mark.parametrize("scenario", ["close", "discard"])
def test_a_message_in_memory_interrupted_at_every_bytecode(tmp_path: Path, scenario: str) -> None:
    ended = python(
        HARNESS, tmp_path / "target", "in memory", scenario, "KeyboardInterrupt", timeout=300
    )
    assert int(ended.ok().out) > 100


@pytest.mark.parametrize(("kind", "scenario"), cases(["log", "log build"], LOG_SCENARIOS))
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "MemoryError"])
def test_a_log_interrupted_at_every_bytecode(
    tmp_path: Path, kind: str, error: str, scenario: str
) -> None:
    pytest.importorskip("capnp")
    ended = python(HARNESS, tmp_path / "target", kind, scenario, error, timeout=300)
    assert int(ended.ok().out) > 100


@pytest.mark.parametrize(
    ("kind", "scenario"), cases(KINDS, ["close", "close atomic there", "discard there"])
)
def test_out_of_memory_at_every_bytecode(tmp_path: Path, kind: str, scenario: str) -> None:
    if kind in NEEDS:
        pytest.importorskip(NEEDS[kind])
    ended = python(HARNESS, tmp_path / "target", kind, scenario, "MemoryError", timeout=300)
    assert int(ended.ok().out) > 100


NO_MEMORY = """
    import os, sys, gc, _testcapi
    from mmapbuilder import Builder, MessageBuilder, verify
    path, atomic, kind = sys.argv[1], sys.argv[2] == "True", sys.argv[3]
    folder = os.path.dirname(path)
    sys.unraisablehook = lambda what: None      # what the interpreter meets between our steps

    def make():
        return (MessageBuilder if kind == "by hand" else Builder)(path, atomic=atomic)

    def fill(b):
        if kind == "by hand":
            # Without memory for a memoryview it gives a buffer, which is all that pycapnp needs.
            segment = memoryview(b.allocate_segment(1))
            segment[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
            segment[8:16] = b"contents"
        else:
            b.write(b"new content")

    def check():
        if kind == "by hand":
            assert verify(path).objects == 1
        else:
            with open(path, "rb") as f:
                assert f.read() == b"new content"

    with make() as b:                           # what is done only once
        fill(b)

    def attempt(number):
        b, filled, failed = None, False, False
        _testcapi.set_nomemory(number, number + 1)
        try:
            b = make()
            fill(b)
            filled = True
            b.close()
        except MemoryError:
            failed = True
        finally:
            _testcapi.remove_mem_hooks()
        if b is not None:
            b.close() if filled else b.discard()
        return failed, filled

    failures, number, since = 0, 0, 0
    while since < 100:                          # some are survived
        number += 1
        with open(path, "wb") as f:
            f.write(b"old content")
        gc.collect()
        before = os.listdir("/proc/self/fd")
        failed, filled = attempt(number)
        assert os.listdir("/proc/self/fd") == before, number
        assert os.listdir(folder) in ([], [os.path.basename(path)]), (number, os.listdir(folder))
        if filled:
            check()
        Builder(path).close()                   # no lock is left
        failures += failed
        since = 0 if failed else since + 1
    assert failures > 50
"""


@pytest.mark.parametrize("kind", ["Builder", "by hand"])
@pytest.mark.parametrize("atomic", [False, True])
def test_out_of_memory_at_every_allocation(target: Path, atomic: bool, kind: str) -> None:
    pytest.importorskip("_testcapi")
    python(NO_MEMORY, target, atomic, kind, timeout=120).ok()
