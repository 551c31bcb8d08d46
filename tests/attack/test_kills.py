"""SIGKILL at any moment, and the order of system calls that a power cut depends on.

What a killed builder leaves is refused by every reader or is complete, never in
between; recover() makes of it a message whose content is a prefix of what was built.
MMAPBUILDER_KILLS multiplies the number of kills.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from support.processes import environment, python
from support.requirements import missing, tool
from support.strace import PWRITE, lines_of
from support.wire import is_unfinished, table_of

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="strace is of Linux")

KILLS = 40 * int(os.environ.get("MMAPBUILDER_KILLS", "1"))

# One process forks the victims, so that a kill costs milliseconds. The victims make one
# message after the other on the same path, block after block.
HARNESS = """
    import os, random, shutil, signal, sys, time
    from mmapbuilder import InvalidMessage, MessageBuilder, open_message, recover, verify
    from support.readers import BLOCKS, PYCAPNP, UNLIMITED, capnp
    from support.wire import is_unfinished

    path, rounds, blocks, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    options = eval(options)
    atomic = options.get("atomic", False)
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, "." + name + ".mmapbuilder")
    copy = path + "-copy"
    schema = BLOCKS.schema

    def length(i):
        return 3000 if i % 7 == 3 else 100      # the long ones leave tails in segments

    def build():
        with MessageBuilder(path, **options) as b:
            root = b.init_root(schema)
            root.label = "label"
            for i, block in enumerate(root.init("blocks", blocks)):
                block.values = [i + 1] * length(i)
                block.note = f"note {i}" * 10
                block.index = i + 1
            root.init("last").note = "complete"

    def check_prefix(root, complete):
        # Everything up to some block, a part of that one, and nothing after it.
        label = root.label
        assert label == "label" or (not complete and not label.strip(chr(0) + "label"))
        found = list(root.blocks)
        assert len(found) in (0, blocks)
        done = sum(1 for block in found if block.index)
        for i, block in enumerate(found):
            values, note = list(block.values), block.note
            if i < done:
                assert block.index == i + 1
                assert values == [i + 1] * length(i)
                assert note == f"note {i}" * 10
            elif i == done:
                assert len(values) in (0, length(i))
                made = sum(1 for v in values if v)
                assert values == [i + 1] * made + [0] * (len(values) - made)
                assert f"note {i}" * 10 == note or not note.strip(chr(0)) or (
                    (f"note {i}" * 10).startswith(note.rstrip(chr(0))))
            else:
                assert not values and not note and not block.index
        last = root.last.note.strip(chr(0))
        assert "complete".startswith(last) and (not last or done == blocks)
        assert not complete or last == "complete"
        return done

    def read(where, way):
        with PYCAPNP[way](path_type(where), schema) as root:
            return check_prefix(root, True)

    from pathlib import Path as path_type

    def refused(where):
        for look in (verify, lambda p: open_message(p, schema)):
            try:
                look(where)
            except InvalidMessage:
                pass
            else:
                raise AssertionError(f"{look} accepts it")
        for way in ("read", "read_multiple", "from_bytes"):
            try:
                with PYCAPNP[way](path_type(where), schema) as root:
                    pass
            except (ValueError, capnp.KjException):
                continue
            raise AssertionError(f"{way} accepts it")

    def examine(where):
        size = os.path.getsize(where)
        if size and not is_unfinished(where):
            assert verify(where).size == size
            for way in ("read", "from_bytes"):
                read(where, way)
            return "complete"
        if size:                                # the sparse rest would only take time
            os.truncate(where, min(size, 8 << 20))
        refused(where)
        if size == 0:
            return "empty"
        report = recover(where)
        assert report.unfinished and report.size == os.path.getsize(where)
        assert not verify(where).unfinished
        with open_message(where, schema) as m:
            check_prefix(m.root, False)
        with open(where, "rb") as f:
            check_prefix(schema.read(f, traversal_limit_in_words=UNLIMITED), False)
        return "unfinished"

    started = time.perf_counter()
    for _ in range(3):
        build()
    each = (time.perf_counter() - started) / 3
    seen = {}
    for round in range(rounds):
        if round % 3 == 0 and os.path.exists(path):
            os.unlink(path)
        existed = os.path.exists(path)          # or the last victim did not live to make it
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(begin, b"x")
                while True:
                    build()
            finally:
                os._exit(1)
        os.read(begun, 1)
        os.close(begun)
        os.close(begin)
        time.sleep(random.random() * 3 * each)
        os.kill(pid, signal.SIGKILL)
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
        for where in (path, temporary):
            if os.path.exists(where):
                shutil.copyfile(where, copy) if os.path.getsize(where) < 8 << 20 else \\
                    os.system(f"head -c 8388608 '{where}' > '{copy}'")
                state = examine(copy)
                if where == path and atomic:
                    assert state == "complete"
                key = f"{'temporary' if where == temporary else 'target'} {state}"
                seen[key] = seen.get(key, 0) + 1
            else:
                assert where == temporary or not existed
        assert set(os.listdir(folder)) <= {name, os.path.basename(temporary), name + "-copy"}
    build()                                     # nothing that was left is in the way
    read(path, "from_bytes")
    assert not os.path.exists(temporary)
    for key in sorted(seen):
        print(key, seen[key])
"""

VICTIMS: dict[str, tuple[int, dict[str, Any]]] = {
    "one entry": (60, {"capacity": 1 << 30}),
    "many entries": (60, {}),
    "short": (1, {}),
    "segments": (60, {"capacity": 8 << 20, "segment_words": 4096}),
    "small steps": (60, {"capacity": 8 << 20, "max_growth": 1 << 21}),
    "atomic": (20, {"atomic": True}),
    "durable": (10, {"durable": True}),
    "atomic and durable": (10, {"atomic": True, "durable": True}),
    "durable segments": (
        20,
        {"durable": True, "capacity": 8 << 20, "segment_words": 4096},
    ),
}


@pytest.mark.parametrize("name", VICTIMS)
def test_a_message(target: Path, name: str) -> None:
    pytest.importorskip("capnp")
    blocks, options = VICTIMS[name]
    target.parent.joinpath("messages").mkdir()
    path = target.parent / "messages" / "target"
    ended = python(HARNESS, path, KILLS, blocks, options, timeout=60 + 3 * KILLS).ok()
    counts = dict(line.rsplit(" ", 1) for line in ended.out.splitlines())
    assert any("unfinished" in state for state in counts), counts  # kills hit in the middle
    print(name, counts)  # for those who run it with -s


@pytest.mark.parametrize("options", [{}, {"capacity": 1 << 30}, {"segment_words": 1 << 21}])
def test_a_list_that_was_not_filled(target: Path, options: dict[str, Any]) -> None:
    """What it was going to hold lies beyond the end of the file, and is zeros."""
    pytest.importorskip("capnp")
    from mmapbuilder import open_message, recover
    from support.readers import BLOCKS

    code = """
        import os, signal, sys
        from mmapbuilder import MessageBuilder
        from support.readers import BLOCKS
        b = MessageBuilder(sys.argv[1], **{"capacity": 4 << 30} | eval(sys.argv[2]))
        first, second, last = b.init_root(BLOCKS.schema).init("blocks", 3)
        first.init("values", 500_000)[7] = 7
        values = second.init("values", 3_000_000)
        last.init("values", 5_000_000)
        for i in range(100):
            values[i] = i + 1
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert python(code, target, options).signal == "SIGKILL"
    assert target.stat().st_size < 64_000_000
    assert recover(target).size == target.stat().st_size > 68_000_000
    with open_message(target, BLOCKS.schema) as m:
        first, second, last = m.root.blocks
        assert (len(first.values), first.values[7]) == (500_000, 7)
        assert [second.values[i] for i in range(110)] == [*range(1, 101), *[0] * 10]
        assert (len(second.values), len(last.values)) == (3_000_000, 5_000_000)
        assert last.values[4_999_999] == 0


def test_bytes_that_were_stored_are_there(target: Path) -> None:
    """What a plain builder stored before the kill is in its file, without any close."""
    code = """
        import mmap, os, random, signal, sys, time
        from mmapbuilder import Builder
        path, rounds = sys.argv[1], int(sys.argv[2])
        said = mmap.mmap(-1, 4096)
        most = 0
        for round in range(rounds):
            said[0:8] = bytes(8)
            open(path, "wb").close()
            pid = os.fork()
            if pid == 0:
                try:
                    with Builder(path, max_growth=2 << 20) as b:
                        view = memoryview(b)
                        for n in range(1, 1 << 20):
                            view[n * 512 : n * 512 + 8] = n.to_bytes(8, "little")
                            said[0:8] = n.to_bytes(8, "little")
                finally:
                    os._exit(1)
            time.sleep(random.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL
            count = int.from_bytes(said[0:8], "little")
            with open(path, "rb") as f:
                data = f.read()
            for n in range(1, count + 1):
                assert data[n * 512 : n * 512 + 8] == n.to_bytes(8, "little"), (n, count)
            assert not data[(count + 2) * 512 :].strip(bytes(1))
            with Builder(path, "r+") as b:      # no lock is left behind
                end = len(data.rstrip(bytes(1)))  # not where growth has left it
                assert b.size == end + -end % 16
            most = max(most, count)
        assert most > 0
    """
    python(code, target, KILLS, timeout=60 + KILLS).ok()


# ---- the order of system calls ---------------------------------------------------------

BUILD = """
    import os, sys
    from mmapbuilder import MessageBuilder
    path, options = sys.argv[1], eval(sys.argv[2])
    b = MessageBuilder(path, **options)
    segment = b.allocate_segment(1)
    segment[0:8] = (1 | 2 << 32 | 4096 << 35).to_bytes(8, "little")
    segment[8 : 8 + 4096] = b"x" * 4096
    os.write(2, b"closing")
    b.close()
    os.write(2, b"closed")
"""

WATCHED = f"write,{PWRITE},ftruncate,fallocate,fdatasync,fsync,msync,rename,renameat,renameat2"


def strace(target: Path, *options: str, builder: dict[str, Any]) -> tuple[int, list[str]]:
    """Build under strace; the exit code, and its lines."""
    program = tool("strace", "strace")
    log = target.parent.parent / f"{target.parent.name}.strace"
    done = subprocess.run(
        [
            *(program, "-f", "-y", "-qq", "-o", str(log), *options),
            *(sys.executable, "-c", textwrap.dedent(BUILD), str(target), repr(builder)),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        missing("ptrace is not permitted here")
    return done.returncode, lines_of(log)


def calls_of_close(lines: list[str], directory: Path) -> list[tuple[str, str]]:
    """(system call, what it is about) between the two words of BUILD."""
    first = next(i for i, line in enumerate(lines) if '"closing"' in line)
    last = next(i for i, line in enumerate(lines) if '"closed"' in line)
    found = []
    for line in lines[first + 1 : last]:
        call = re.match(r"\d+\s+(\w+)\((.*)\)\s+= 0|\d+\s+(pwrite64)\((.*)\)\s+= \d+", line)
        assert call is not None, line
        name, arguments = call[1] or call[3], call[2] or call[4]
        about = re.match(r"\d+<([^>]*)>", arguments)
        path = about[1] if about else ""
        found.append((name, "directory" if path == str(directory) else arguments))
    return found


@linux_only
@pytest.mark.parametrize("atomic", [False, True])
def test_the_order_of_a_durable_close(target: Path, atomic: bool) -> None:
    """Content, then the sizes, then the count, then the name: each waits for the one before."""
    directory = target.parent / "directory"
    directory.mkdir()
    path = directory / "target"
    code, lines = strace(
        path, "-e", f"trace={WATCHED}", builder={"durable": True, "atomic": atomic}
    )
    assert code == 0
    calls = calls_of_close(lines, directory)
    syncs = [i for i, (name, _) in enumerate(calls) if name in ("fdatasync", "fsync")]
    writes = [i for i, (name, _) in enumerate(calls) if name == "pwrite64"]
    # The last write is the count; it is at offset 0, and no longer than a sector.
    head = re.search(r", (\d+), 0$", calls[writes[-1]][1])
    assert head is not None, calls
    assert int(head[1]) <= 16
    assert not any(calls[w][1].endswith(", 0") for w in writes[:-1])
    changes = [i for i, (n, _) in enumerate(calls) if n in ("pwrite64", "ftruncate", "fallocate")]
    for change in changes:
        if change != writes[-1]:
            assert change < writes[-1]
            # Between it and the count a sync says that it is on the device.
            assert any(change < sync < writes[-1] for sync in syncs), calls
    cuts = [i for i, (name, _) in enumerate(calls) if name == "ftruncate"]
    assert len(cuts) == 1
    renames = [i for i, (name, _) in enumerate(calls) if name.startswith("rename")]
    assert len(renames) == int(atomic)
    of_directory = [i for i in syncs if calls[i] == ("fsync", "directory")]
    assert of_directory, calls
    if atomic:
        (rename,) = renames
        assert any(writes[-1] < sync < rename for sync in syncs if sync not in of_directory), calls
        assert of_directory[-1] > rename
    else:
        assert any(writes[-1] < sync for sync in syncs if sync not in of_directory), calls
        assert of_directory[-1] > writes[-1]


@linux_only
def test_the_mark_is_durable_before_the_file_grows(target: Path) -> None:
    """A file grown before the mark would read as zeros, which are a message."""
    directory = target.parent / "directory"
    directory.mkdir()
    path = directory / "target"
    code, lines = strace(path, "-e", f"trace={WATCHED}", builder={"durable": True})
    assert code == 0
    ours = [line for line in lines if f"<{path}>" in line]
    mark = next(i for i, line in enumerate(ours) if '"\\377\\377\\377\\377' in line)
    growths = [
        i for i, line in enumerate(ours) if re.search(r"(fallocate|ftruncate)\(.*[1-9]\d*\)", line)
    ]
    syncs = [i for i, line in enumerate(ours) if re.search(r"f(data)?sync\(", line)]
    assert any(mark < sync < min(g for g in growths if g > mark) for sync in syncs), ours
    assert "pwrite64" in ours[mark] or "write" in ours[mark]


# ---- killed at each system call of close -------------------------------------------------

STEPS = [
    *(("ftruncate", n) for n in (1, 2)),
    *(("fdatasync", n) for n in (1, 2, 3, 4)),
    *((PWRITE, n) for n in (1, 2, 3)),
    *(("fsync", n) for n in (1, 2)),
    *(("rename", n) for n in (1,)),
]


@linux_only
@pytest.mark.parametrize(("call", "number"), STEPS)
def test_killed_at_a_system_call(target: Path, call: str, number: int) -> None:
    """With atomic and durable: the old target or the new one, whole, under its name."""
    pytest.importorskip("capnp")
    from mmapbuilder import MessageBuilder, recover, verify

    directory = target.parent / "directory"
    directory.mkdir()
    path = directory / "target"
    with MessageBuilder(path) as b:
        b.allocate_segment(1)[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
    old = path.read_bytes()
    code, lines = strace(
        path,
        *("-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"),
        builder={"atomic": True, "durable": True},
    )
    temporary = directory / ".target.mmapbuilder"
    assert code == -signal.SIGKILL or (code == 0 and number > 1)  # or there are fewer such calls
    assert any("killed by SIGKILL" in line for line in lines) == (code != 0), lines
    replaced = path.read_bytes() != old
    verify(path)
    assert len(table_of(path).sizes) == 1
    if temporary.exists():
        assert not replaced
        if temporary.stat().st_size and is_unfinished(temporary):
            recover(temporary)
        if temporary.stat().st_size:
            verify(temporary)
    with MessageBuilder(path, atomic=True) as b:
        b.allocate_segment(1)[0:8] = bytes(8)
    assert os.listdir(directory) == ["target"]
