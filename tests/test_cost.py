"""What things cost, in counts: growths, faults, system calls, page faults.

Unlike times, counts are the same on a busy machine. The limits leave a little room, not
room for a second one of anything.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapbuilder import Builder, MessageBuilder, MessageLog
from support.gil import FREE_THREADED
from support.processes import environment
from support.requirements import missing, tool
from support.strace import lines_of

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
GRANULE = 2 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts are those of Linux")

# Between each pair of marks the system calls are counted.
PRELUDE = """
import os
import sys
from mmapbuilder import Builder

def mark(name):
    os.path.exists("/mark/" + name)

path = sys.argv[1]
data = b"x" * 4096
with Builder(path) as b:  # whatever is done only once in a process
    b[0] = 1
os.unlink(path)
"""


def calls(code: str, path: Path) -> dict[str, Counter[str]]:
    """Run `code`; count the system calls between `mark(name)` and the next mark."""
    log = path.with_suffix(".strace")
    command = [tool("strace", "strace"), "-f", "-qq", "-o", str(log)]
    program = PRELUDE + textwrap.dedent(code) + "\nmark('end')\n"
    done = subprocess.run(
        [*command, sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    if "ptrace" in done.stderr:
        missing(f"strace does not work here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    counts: dict[str, Counter[str]] = {}
    current: Counter[str] = Counter()
    for line in lines_of(log):
        what = line.split(None, 1)[1]
        if '"/mark/' in what:
            name = what.split('"/mark/')[1].split('"')[0]
            current = counts.setdefault(name, Counter())
        elif what[0].isalpha():
            current[what.split("(")[0]] += 1
    if FREE_THREADED:  # whose interpreter gives up the processor while it waits for its own locks
        for each in counts.values():
            del each["sched_yield"]
    return counts


def sum_of(counts: Counter[str], *, without: tuple[str, ...] = ()) -> int:
    return sum(count for name, count in counts.items() if name not in without)


def page_faults(work: Callable[[], object]) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_growths_double_up_to_the_limit(target: Path) -> None:
    # A store at each end of the file, all that a sequential writer's faults amount to.
    with Builder(target) as b:
        view = memoryview(b)
        while b.stats.backed < GIB:
            view[b.stats.backed] = 1
        assert b.stats.growths <= 22
        assert b.stats.faults == b.stats.growths
        view.release()
        b.truncate(0)


def test_a_sequential_fill_faults_once_for_each_growth(target: Path) -> None:
    block = b"\x5a" * MIB
    with Builder(target) as b:
        view = memoryview(b)

        def fill() -> None:
            for at in range(0, 64 * MIB, MIB):
                view[at : at + MIB] = block

        pages = page_faults(fill)
        assert b.stats.growths <= 6
        assert b.stats.faults == b.stats.growths
        # At worst single pages, as on tmpfs; never a page twice.
        assert pages <= 64 * MIB // resource.getpagesize() + 200
        view.release()


def test_a_jump_costs_one_granule(target: Path) -> None:
    with Builder(target) as b:
        b[10 * GIB] = 1
        assert b.stats.growths == 1
        assert os.fstat(b.descriptor).st_blocks * 512 <= GRANULE + 64 * KIB
        assert b.size == 10 * GIB + 1


def test_a_small_file_takes_little(target: Path) -> None:
    with Builder(target) as b:  # this one may be expected to become large
        memoryview(b)[0] = 1

    def make() -> None:
        with Builder(target) as b:
            memoryview(b)[: 4 * KIB] = b"x" * 4 * KIB
            assert os.fstat(b.descriptor).st_blocks * 512 <= 64 * KIB

    make()  # whatever is done only once
    # Most of all no huge page, and no look at all of the granule at close.
    assert page_faults(make) <= 24


def test_system_calls_of_a_small_file(target: Path) -> None:
    counts = calls(
        """
        mark("open")
        b = Builder(path)
        mark("store")
        memoryview(b)[:4096] = data
        mark("close")
        b.close()
        """,
        target,
    )
    assert sum_of(counts["open"]) <= 20, counts["open"]
    assert sum_of(counts["store"]) <= 25, counts["store"]
    assert counts["store"]["mmap"] <= 1
    assert counts["store"]["rt_sigreturn"] == 1
    assert counts["store"]["fallocate"] <= 1  # the file is small yet: a page, on xfs
    assert counts["store"]["ftruncate"] == 1
    # Four of them for the snapshot: somebody may have an address.
    assert sum_of(counts["close"]) <= 29, counts["close"]
    assert counts["close"]["ftruncate"] == 1


@pytest.mark.parametrize("store", ["b.write(data)", "b[0:4096] = data"])
def test_system_calls_of_a_small_file_that_is_written(target_in_memory: Path, store: str) -> None:
    counts = calls(
        f"""
        mark("open")
        b = Builder(path)
        mark("store")
        {store}
        mark("close")
        b.close()
        """,
        target_in_memory,
    )
    assert sum_of(counts["open"]) <= 24, counts["open"]
    assert counts["store"]["pwrite64"] == 1
    assert sum_of(counts["store"]) <= 9, counts["store"]
    assert sum_of(counts["close"]) <= 18, counts["close"]
    # Nor does it need memory: this saves a sixth of the time.
    for part in "open", "store", "close":
        assert not {"mmap", "munmap", "madvise"} & counts[part].keys()
    # The end of the file follows what is written, and is not moved on its own.
    assert counts["store"]["ftruncate"] == counts["store"]["fallocate"] == 0
    assert counts["close"]["ftruncate"] == 0


def test_system_calls_of_appends(target: Path) -> None:
    counts = calls(
        """
        b = Builder(path)
        b.write(data)
        mark("write")
        for _ in range(100):
            b.write(data)
        mark("reserve")
        for _ in range(100):
            b.allocate(16)
        mark("rest")
        b.close()
        """,
        target,
    )
    # Five for each, and four more for the first sixteen, whose file is small yet.
    assert sum_of(counts["write"]) <= 600, counts["write"]
    assert counts["write"]["fallocate"] == 0
    assert sum_of(counts["reserve"]) <= 630, counts["reserve"]


def test_system_calls_of_a_large_file(target: Path) -> None:
    counts = calls(
        """
        b = Builder(path)
        view = memoryview(b)
        mark("fill")
        for at in range(0, 256 << 20, 1 << 20):
            view[at : at + 4096] = data
        view[(256 << 20) - 1] = 1
        mark("size")
        assert b.size == 256 << 20
        mark("close")
        view.release()
        b.close()
        """,
        target,
    )
    # 256 MiB take 9 growths, each of nine calls; all else is done by the kernel.
    assert counts["fill"]["rt_sigreturn"] <= 9
    assert sum_of(counts["fill"]) <= 9 * 9 + 1, counts["fill"]
    # One look before anything is done to the file, one right before its end moves.
    assert counts["fill"]["newfstatat"] + counts["fill"]["fstat"] <= 9 * 2, counts["fill"]
    assert counts["fill"]["fallocate"] <= 9 * 2
    # The end is found by halving: the length adds a call for each doubling.
    assert sum_of(counts["size"]) <= 29, counts["size"]
    assert sum_of(counts["close"]) <= 49, counts["close"]


def test_the_end_of_what_was_stored_in_memory_is_found_by_few_reads(target_in_memory: Path) -> None:
    counts = calls(
        """
        b = Builder(path)
        memoryview(b)[: 5 << 20] = b"x" * (5 << 20)
        mark("size")
        assert b.size == 5 << 20
        mark("rest")
        b.close()
        """,
        target_in_memory,
    )
    # The last page up to which the file has grown is one of data, and all before it are holes.
    assert counts["size"]["pread64"] <= 2, counts["size"]
    assert counts["size"]["lseek"] <= 30, counts["size"]


def test_system_calls_of_a_message(target: Path) -> None:
    pytest.importorskip("capnp")
    pytest.importorskip("numpy")
    schema = Path(__file__).parent / "columns" / "arrays.capnp"
    counts = calls(
        f"""
        import capnp
        import numpy
        from mmapbuilder import MessageBuilder
        schema = capnp.load({str(schema)!r}).Root
        with MessageBuilder(path) as b:  # whatever is done only once in a process
            b.init_root(schema)
            b.fill("rows", id=numpy.arange(1000))
        b = MessageBuilder(path)
        b.init_root(schema)
        mark("fill")
        b.fill("rows", id=numpy.arange(1000))
        mark("close")
        b.close()
        """,
        target,
    )
    # At four places: are the process and the handler still ours?
    assert sum_of(counts["fill"]) <= 10, counts["fill"]
    # One search for the end of the content, by halving. Without the GIL the pointers of the message
    # tell its sizes, and they are read by calls.
    assert sum_of(counts["close"]) <= (97 if FREE_THREADED else 57), counts["close"]


def functions(work: Callable[[], object]) -> int:
    """Count the functions of Python that are called."""
    count = 0

    def note(_: object, event: str, __: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_functions_of_a_small_message(target: Path) -> None:
    """What a table of one row takes beside its row."""
    capnp = pytest.importorskip("capnp")
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("numpy")
    schema = capnp.load(str(Path(__file__).parent / "columns" / "arrays.capnp")).Root
    table = pa.table({"id": [1], "name": ["a"], "ratio": pa.array([0.5], "float32")})

    with MessageBuilder(target) as b:  # whatever is done only once in a process
        b.init_root(schema)
        b.fill("rows", table)
    b = MessageBuilder(target)
    assert functions(lambda: b.init_root(schema)) <= 12
    assert functions(lambda: b.fill("rows", table)) <= 90
    assert functions(b.close) <= 16


def test_size_of_a_sparse_file(target: Path) -> None:
    counts = calls(
        """
        b = Builder(path)
        view = memoryview(b)
        view[0] = view[(60 << 30) - 1] = 1
        mark("size")
        assert b.size == 60 << 30
        mark("rest")
        view.release()
        b.close()
        """,
        target,
    )
    assert sum_of(counts["size"], without=("lseek",)) <= 140, counts["size"]
    assert counts["size"]["lseek"] <= 40


def test_many_maps_do_not_multiply_calls(target: Path) -> None:
    counts = calls(
        """
        os.mkdir(path)
        options = {"capacity": 64 << 20, "max_growth": 2 << 20}

        def grow(b):
            view = memoryview(b)
            view[0] = view[2 << 20] = view[4 << 20] = 1

        first = Builder(path + "/first", **options)
        mark("alone")
        grow(first)
        mark("open")
        others = [Builder(f"{path}/{i}", **options) for i in range(300)]
        mark("among many")
        grow(others[-1])
        mark("rest")
        for one in [first, *others]:
            one.close()
        """,
        target,
    )
    assert counts["alone"]["rt_sigreturn"] == 3
    assert counts["among many"] == counts["alone"]
    assert sum_of(counts["open"]) <= 300 * 36, counts["open"]


def test_prefault_grows_in_larger_steps(target: Path) -> None:
    with Builder(target, prefault=True) as b:
        view = memoryview(b)
        block = b"\x5a" * MIB
        for at in range(0, 64 * MIB, MIB):
            view[at : at + MIB] = block
        assert b.stats.growths == 2
        assert b.stats.backed == 64 * MIB
        view.release()
    with Builder(target, prefault=True, max_growth=8 * MIB) as b:
        b[0:1] = b"x"
        assert b.stats.backed == 8 * MIB


# A message of six words: its root is a struct of four words of data.
FRAME = "bytes(4) + b'\\x06\\0\\0\\0' + bytes(4) + b'\\x04\\0\\0\\0' + bytes(40)"


def test_system_calls_of_a_log(target: Path) -> None:
    counts = calls(
        f"""
        from mmapbuilder import MessageLog
        frame = {FRAME}
        log = MessageLog(path)
        log.append_bytes(frame)
        mark("append")
        for _ in range(100_000):
            log.append_bytes(frame)
        mark("rest")
        log.close()
        """,
        target,
    )
    # The log grows by 2 MiB at a time, in 18 calls each, and its index by 1024 messages, in two.
    # Pages come in 64 KiB at a time.
    pages = 100_000 * 56 // (64 << 10) + 1
    assert sum_of(counts["append"]) <= 18 * 3 + 2 * 98 + pages, counts["append"]
    assert counts["append"]["fallocate"] <= 12
    writes = {"write", "pwrite64", "writev", "pwritev2"}
    assert not (writes | {"fsync", "fdatasync"}) & counts["append"].keys()


def test_a_log_touches_each_page_once(target: Path) -> None:
    frame = eval(FRAME)
    assert len(frame) == 56
    with MessageLog(target) as log:
        log.append_bytes(frame)

        def append() -> None:
            for _ in range(100_000):
                log.append_bytes(frame)

        # At worst single pages, those of the log and of its index.
        pages = 100_000 * (len(frame) + 4) // resource.getpagesize()
        assert page_faults(append) <= pages + 100
        assert log.stats.faults == 0  # it grows before it stores


def test_a_follower_that_is_woken_makes_no_call_but_that_of_the_wait(target: Path) -> None:
    pytest.importorskip("capnp")
    code = """
    import time
    from mmapbuilder import MessageLog, open_log
    from support.events import EVENT, fields
    with MessageLog(path, "w", schema=EVENT.schema) as log:
        log.append(fields(0))
        with open_log(path, EVENT.schema) as reader:
            following = reader.follow(0)
            next(following)
            go, start = os.pipe()
            opened, tell = os.pipe()
            writer = os.fork()
            if writer == 0:
                log = MessageLog(path, schema=EVENT.schema)
                os.write(tell, b"x")
                os.read(go, 1)
                for number in range(1, 101):
                    time.sleep(0.001)
                    log.append(fields(number))
                os._exit(0)
            os.read(opened, 1)
            mark("follow")
            os.write(start, b"x")
            found = [next(following).time for _ in range(100)]
            mark("over")
            os.waitpid(writer, 0)
    assert found == list(range(1, 101)), found
    """
    counts = calls(code, target)["follow"]
    ours = "futex", "clock_nanosleep", "restart_syscall"
    assert counts["futex"] <= 2 * 100 + 100  # a wait and a wake, and what a busy machine adds
    assert sum_of(counts, without=ours) < 100, counts


@pytest.mark.parametrize("what", ["tuples", "strings"])
def test_what_is_staged_takes_no_fault_for_each_page(target: Path, what: str) -> None:
    """The memory of a stage is used again, and a call of the kernel writes the file's pages."""
    capnp = pytest.importorskip("capnp")
    schema = capnp.load(str(Path(__file__).parent / "columns" / "arrays.capnp")).Root
    count = 10_000
    if what == "strings":
        pyarrow = pytest.importorskip("pyarrow")
        names = {"name": pyarrow.array([f"name {i}" for i in range(count)])}
    else:
        rows = [(i, f"name {i}") for i in range(count)]

    def fill() -> None:
        with MessageBuilder(target) as b:
            b.init_root(schema)
            if what == "strings":
                b.fill("rows", names)
            else:
                b.fill_rows("rows", rows, fields=("id", "name"))

    fill()
    pages = target.stat().st_size // resource.getpagesize()
    assert pages > 300
    assert page_faults(fill) <= pages // 4


def test_a_table_takes_no_fault_for_each_page(target: Path) -> None:
    """The memory of columns is used again."""
    capnp = pytest.importorskip("capnp")
    count = 10_000
    with MessageBuilder(target) as b:
        b.init_root(capnp.load(str(Path(__file__).parent / "columns" / "arrays.capnp")).Root)
        b.fill("rows", id=range(count), name=[f"a name with the number {i}" for i in range(count)])
        table = b.table("rows", columns=["id", "name"])
        pages = table.nbytes // resource.getpagesize()
        assert pages > 80
        del table
        assert page_faults(lambda: b.table("rows", columns=["id", "name"])) <= pages // 4


def test_import_loads_little() -> None:
    code = (
        "import sys; old = {*sys.modules}; from mmapbuilder import *; print(*{*sys.modules} - old)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env=environment(),
    )  # fmt: skip
    # Not the private ones: into how many modules Python splits one of its own differs.
    loaded = {name for name in done.stdout.split() if not name.startswith(("mmapbuilder", "_"))}
    heavy = {"typing", "re", "inspect", "dataclasses", "numpy", "capnp", "asyncio", "tempfile"}
    assert not loaded & heavy, loaded
    assert len(loaded) <= 10, loaded
