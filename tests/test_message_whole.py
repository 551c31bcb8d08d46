"""A message that is built on while it is closed: what is published is whole, or close raises.

The one who builds is another thread, a signal handler, or a forked child. Each test runs in a
process of its own, since what goes wrong here may end it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")

from support import processes
from support.gil import FREE_THREADED

PRELUDE = """
import faulthandler, os, random, signal, sys, threading, time
from mmapbuilder import InvalidMessage, MessageBuilder, open_message, verify
from support.readers import ADDRESS_BOOK, BLOCKS
path = sys.argv[1]
WITH_GIL = getattr(sys, "_is_gil_enabled", lambda: True)()
faulthandler.dump_traceback_later(100, exit=True)

def child(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as e:
            print(type(e).__name__, e, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""

SEGMENTS = {"one segment": "", "many segments": ", segment_words=1 << 13"}


def run(code: str, *arguments: object) -> processes.Ended:
    return processes.python(PRELUDE + code, *arguments, timeout=120).ok()


# ---- threads and signal handlers -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_a_thread_builds_while_another_closes(target: Path, segments: str) -> None:
    run(
        f"""
sys.setswitchinterval(1e-6)
for round in range(300 if WITH_GIL else 30):
    b = MessageBuilder(path, capacity=1 << 24{segments})
    root = b.init_root(BLOCKS.schema)
    begun, closed, built = threading.Event(), threading.Event(), [0]
    def build():
        while not closed.is_set():
            blocks = root.init("blocks", 3)
            for block in blocks:
                block.note = "x" * random.randrange(10_000)
                block.init("values", 200)[199] = 7
            root.label = f"round {{built[0]}}"
            built[0] += 1
            begun.set()
        if WITH_GIL:  # without it, a call that is half done is in memory in part only
            assert len(root.blocks) == 3 and str(root.label) == f"round {{built[0] - 1}}"
    def build_and_pardon():
        try:
            build()
        except Exception:  # of pycapnp, which sees a half of its own call
            if WITH_GIL:
                raise
            begun.set()
    thread = threading.Thread(target=build_and_pardon)
    thread.start()
    begun.wait()
    before = built[0]
    published = False
    try:
        b.close()
        published = True
    except OSError as error:
        assert "capacity" in str(error), error
    except InvalidMessage:
        assert not WITH_GIL
    closed.set()
    thread.join()
    if published:
        verify(path)
    if published and WITH_GIL:
        with open_message(path, BLOCKS.schema) as m:
            assert len(m.root.blocks) in (0, 3)
            assert int(str(m.root.label).split()[1]) >= before - 1
""",
        target,
    )


@pytest.mark.slow
@pytest.mark.parametrize("hand", [False, True], ids=["init_root", "allocate_segment"])
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_a_signal_handler_builds_in_the_middle_of_close(
    target: Path, segments: str, hand: bool
) -> None:
    made = (
        "BLOCKS.schema.new_message(allocate_seg_callable=b.allocate_segment)"
        if hand
        else "b.init_root(BLOCKS.schema)"
    )
    run(
        f"""
calls, inside = 0, False
def handler(*_):
    global calls, inside
    if inside:  # on a busy machine the timer is faster than this
        return
    inside = True
    calls += 1
    root.init("blocks", 3)[2].note = "x" * 30_000
    root.label = "y" * 20_000
    inside = False
signal.signal(signal.SIGALRM, handler)
for round in range(700):
    b = MessageBuilder(path, capacity=1 << 22{segments})
    root = {made}
    root.label = "first"
    signal.setitimer(signal.ITIMER_REAL, 5e-5, 5e-5)
    b.close()
    signal.setitimer(signal.ITIMER_REAL, 0)
    verify(path)
    with open_message(path, BLOCKS.schema) as m:
        assert str(m.root.label) in ("first", "y" * 20_000)
    handler()                                # it is memory still
    assert str(root.blocks[2].note) == "x" * 30_000
assert calls > 1400, calls
""",
        target,
    )


@pytest.mark.skipif(FREE_THREADED, reason="without the GIL pycapnp is not asked for the sizes")
def test_what_is_built_after_the_end_stays_in_memory(target: Path) -> None:
    """Nothing of it is lost there, and nothing of it is in the file."""
    run(
        """
class Late:
    # Stands for pycapnp where it is asked for the sizes: the middle of close.
    def __init__(self, ask):
        self.ask = ask
    def __call__(self, *arguments):
        root.init("blocks", 20000)[19999].note = "late"
        root.label = "late"
        return self.ask(*arguments)
from mmapbuilder import _pycapnp
_pycapnp.used_words = Late(_pycapnp.used_words)
b = MessageBuilder(path)
root = b.init_root(BLOCKS.schema)
root.label = "early"
root.init("blocks", 5)[4].note = "early"
b.close()
assert str(root.label) == "late" and str(root.blocks[19999].note) == "late"
assert not any(block.index or block.note for block in list(root.blocks)[:19999])
verify(path)
with open_message(path, BLOCKS.schema) as m:
    assert str(m.root.label) == "early" and len(m.root.blocks) == 5
    assert str(m.root.blocks[4].note) == "early"
""",
        target,
    )


# ---- children --------------------------------------------------------------------------


@pytest.mark.parametrize("options", ["", ", atomic=True", ", durable=True", ", segment_words=512"])
def test_what_a_child_built_counts(target: Path, options: str) -> None:
    run(
        f"""
b = MessageBuilder(path, capacity=1 << 20{options})
root = b.init_root(BLOCKS.schema)
root.label = "of the parent"
def work():
    blocks = root.init("blocks", 100)
    for i, block in enumerate(blocks):
        block.note = f"note {{i}} of the child"
        block.values = [i] * 50
child(work)
b.close()
verify(path)
with open_message(path, BLOCKS.schema) as m:
    assert str(m.root.label) == "of the parent"
    assert [str(block.note) for block in m.root.blocks] == [
        f"note {{i}} of the child" for i in range(100)]
    assert list(m.root.blocks[99].values) == [99] * 50
""",
        target,
    )


BUILT = {
    "empty text": 'root.label = ""',
    "a list of zeros": 'root.init("blocks", 1)[0].init("values", 10_000)',
    "beyond the end of the file": 'root.init("blocks", 300_000)[299_999].index = 7',
    "by fill": 'b.fill("blocks", note=["of the child"] * 1000)',
    "nothing": "",
    "in place": 'root.label = "x"',
}


@pytest.mark.slow
@pytest.mark.parametrize("built", BUILT.values(), ids=BUILT)
def test_whatever_a_child_built_the_message_is_whole(target: Path, built: str) -> None:
    run(
        f"""
b = MessageBuilder(path)
root = b.init_root(BLOCKS.schema)
def work():
    {built or "pass"}
child(work)
b.close()
report = verify(path)
with open_message(path, BLOCKS.schema) as m:
    found = m.root.to_dict()
def expected(message):
    root = message
    {
            built.replace(
                'b.fill("blocks", note=["of the child"] * 1000)',
                'root.blocks = [{"note": "of the child"}] * 1000',
            )
            or "pass"
        }
    return root.to_dict()
assert found == expected(BLOCKS.schema.new_message())
""",
        target,
    )


def test_a_child_makes_the_whole_message(target: Path) -> None:
    run(
        """
b = MessageBuilder(path)
def work():
    b.init_root(BLOCKS.schema).label = "of the child"
child(work)
b.close()
verify(path)
with open_message(path, BLOCKS.schema) as m:
    assert str(m.root.label) == "of the child"
""",
        target,
    )


def test_a_child_builds_by_hand(target: Path) -> None:
    run(
        """
b = MessageBuilder(path, capacity=1 << 22, segment_words=1 << 13)
root = BLOCKS.schema.new_message(allocate_seg_callable=b.allocate_segment)
def work():
    root.init("blocks", 10_000)[9_999].note = "of the child"
child(work)
b.close()
verify(path)
with open_message(path, BLOCKS.schema) as m:
    assert str(m.root.blocks[9_999].note) == "of the child"
""",
        target,
    )


def test_parent_and_child_build_at_once(target: Path) -> None:
    """Neither knows of the other's: then the message is whole by luck, or close says that not."""
    run(
        """
target, refused = b"the old one", 0
for round in range(60):
    with open(path, "wb") as file:
        file.write(target)
    b = MessageBuilder(path, capacity=1 << 22, segment_words=1 << 13, atomic=True)
    root = b.init_root(BLOCKS.schema)
    root.init("blocks", 2)
    def work():
        root.blocks[0].note = "c" * random.randrange(1, 3000)
        root.blocks[0].init("values", random.randrange(1, 3000))
    child(work)
    root.blocks[1].note = "p" * random.randrange(1, 3000)
    root.blocks[1].init("values", random.randrange(1, 3000))[0] = 1
    try:
        b.close()
    except InvalidMessage:
        refused += 1
        with open(path, "rb") as file:
            assert file.read() == target
    else:
        verify(path)
    assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
assert refused > 0
""",
        target,
    )


def test_a_child_that_leaves_a_broken_pointer(target: Path) -> None:
    run(
        """
with open(path, "wb") as file:
    file.write(b"the old one")
b = MessageBuilder(path, atomic=True)
root = b.init_root(BLOCKS.schema)
root.label = "x"
def work():
    memory = b._segments.views()[0]
    memory[8 * 2 : 8 * 3] = b"\\xfd" * 8     # pointers of the root struct: far, nowhere
child(work)
try:
    b.close()
except InvalidMessage as error:
    assert error.segment == 0, error
else:
    raise AssertionError("nothing was raised")
assert b.closed
with open(path, "rb") as file:
    assert file.read() == b"the old one"
""",
        target,
    )


@pytest.mark.slow
@pytest.mark.parametrize("atomic", [False, True])
def test_a_child_is_killed_while_it_builds(target: Path, atomic: bool) -> None:
    """What it built until then counts, unless it died in the middle of a call of pycapnp's."""
    run(
        f"""
from mmapbuilder import recover
killed = 0
for round in range(150):
    b = MessageBuilder(path, capacity=1 << 24, atomic={atomic})
    root = b.init_root(BLOCKS.schema)
    root.label = "of the parent"
    begun, begin = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os.write(begin, b"x")
        blocks = root.init("blocks", 300)
        for block in blocks:
            block.note = "of the child"
        os._exit(0)
    os.read(begun, 1)
    time.sleep(random.random() * 1e-3)
    os.kill(pid, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    try:
        b.close()
    except InvalidMessage:
        pass
    else:
        verify(path)
        with open_message(path, BLOCKS.schema) as m:
            assert str(m.root.label) == "of the parent"
            assert len(m.root.blocks) in (0, 300)
    os.close(begun)
    os.close(begin)
assert killed > 0
""",
        target,
    )
