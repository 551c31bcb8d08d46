"""docs/reference/ways-in.md, cell by cell."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder
from support import processes
from support.requirements import need_attributes

np = pytest.importorskip("numpy")

MIB = 1 << 20
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "ways-in.md"

# Each puts `n` bytes at the start: zeros, but for a 1 in the third place.
Way = Callable[[Builder, int], object]


def content(n: int) -> bytes:
    return b"\0\0\1" + bytes(n - 3)


def zeros(b: Builder, n: int) -> None:
    b.zeros(n, "u1")[2] = 1


def allocate(b: Builder, n: int) -> None:
    b.allocate(n)[2] = 1


def readinto_allocated(b: Builder, n: int) -> None:
    io.BytesIO(content(n)).readinto(b.allocate(n))


def truncate(b: Builder, n: int) -> None:
    b[2] = 1
    b.truncate(n)


def steps(b: Builder, n: int) -> None:
    b[n - 1 :: -1] = content(n)[::-1]


def copied(b: Builder, n: int) -> None:
    shutil.copyfileobj(io.BytesIO(content(n)), b)


def by_descriptor(b: Builder, n: int) -> None:
    data, at = content(n), 0
    while at < n:
        at += os.pwrite(b.descriptor, data[at:], at)


def reopened(b: Builder, n: int) -> None:
    b[2] = 1
    b.close(n)
    with Builder(b.name, "r+") as again:
        assert again.size == len(again) == n


def view(b: Builder, n: int) -> None:
    memoryview(b)[:n] = content(n)


def cast(b: Builder, n: int) -> None:
    memoryview(b).cast("b")[:n] = memoryview(content(n)).cast("b")


def part(b: Builder, n: int) -> None:
    b[0:n][:] = content(n)


def array(b: Builder, n: int) -> None:
    np.frombuffer(b, "u1")[:n] = list(content(n)) if n < 1000 else np.frombuffer(content(n), "u1")


def pack(b: Builder, n: int) -> None:
    struct.pack_into(f"{n}s", b, 0, content(n))


def readinto_reserved(b: Builder, n: int) -> None:
    b.reserve(n)
    with open(os.fsdecode(b.name) + ".source", "w+b", buffering=0) as file:
        file.write(content(min(n, 1000)))
        file.seek(0)
        file.readinto(b[:n])


def item(b: Builder, n: int) -> None:
    b[2] = 1
    b[n - 1] = 0


WAYS: dict[str, Way] = {
    "`b.write(data)`": lambda b, n: b.write(content(n)),
    "`b.writelines(lines)`": lambda b, n: b.writelines([content(n - 2), b"", bytes(2)]),
    "`shutil.copyfileobj(f, b)`, and whatever else calls `write`": copied,
    "`b[i:j] = data`": lambda b, n: b.__setitem__(slice(0, n), content(n)),
    "`b[i:j:k] = data`": steps,
    "`b[i] = byte`": item,
    "`b.zeros(shape, dtype)`": zeros,
    "`b.allocate(n)`": allocate,
    "`f.readinto(b.allocate(n))`": readinto_allocated,
    "`b.truncate(n)`": truncate,
    "`view = memoryview(b)`": view,
    "`memoryview(b).cast(format)`": cast,
    "`view = b[i:j]`": part,
    "`numpy.frombuffer(b, dtype)`": array,
    "`struct.pack_into(..., b, at)`": pack,
    "`f.readinto(view)` after `b.reserve(end)`": readinto_reserved,
    "`os.pwrite(b.descriptor, data, at)`": by_descriptor,
    "`b.close(size=n)`": lambda b, n: (b.__setitem__(2, 1), b.close(size=n)),
    '`Builder(path, "r+")`, of what was there': reopened,
}


def table() -> dict[str, list[str]]:
    rows = re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    cells = [[cell.strip() for cell in row.split(" | ")] for row in rows]
    return {row[0]: row[1:] for row in cells if row[0] != "way in"}


def cells(column: int) -> list[Any]:
    return [pytest.param(WAYS[way], row[column], id=way) for way, row in table().items()]


def test_each_way_is_in_the_table() -> None:
    assert set(table()) == set(WAYS)


@pytest.mark.parametrize("n", [5, 33, 4096, 100_001])
@pytest.mark.parametrize(("way", "said"), cells(0))
def test_what_counts_as_size(target: Path, way: Way, said: str, n: int) -> None:
    expected = n if said.startswith("exact") else 16
    with Builder(target) as b:
        way(b, n)
        assert b.size == expected
        if not b.closed:
            assert len(b) == b.seek(0, 2) == expected
            assert bytes(b) == content(n).ljust(16, b"\0")[:expected]
    assert target.read_bytes() == content(n).ljust(16, b"\0")[:expected]


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize(("way", "said"), cells(1))
def test_on_a_full_disk(mount: Any, way: Way, said: str) -> None:
    path = mount("tmpfs", 4 * MIB) / "file"
    b = Builder(path)
    b.write(b"before")
    b.seek(0)
    (path.parent / "filler").write_bytes(b"")
    if way is item:
        # One byte needs the last page only: there must be none.
        with open(path.parent / "filler", "wb") as filler:
            with pytest.raises(OSError):
                while True:
                    os.write(filler.fileno(), bytes(4096))
    if "takes no room" in said:
        way(b, 64 * MIB)
        b.close() if b.closed else b.close(64 * MIB)
        assert path.stat().st_size == 64 * MIB
        return
    if said.startswith("the next call"):
        memoryview(b)[: 64 * MIB : 4096] = b"x" * (64 * MIB // 4096)
        with pytest.raises(OSError) as caught:
            b.write(b"x")
    else:
        with pytest.raises(OSError) as caught:
            way(b, 64 * MIB)
    assert caught.value.errno == errno.ENOSPC
    if "nothing is" in said:
        assert b.size == 6
        b.close()
        assert path.read_bytes() == b"before"
    else:
        b.discard()


@pytest.mark.parametrize(
    "way", [w for w in WAYS.values() if w not in (WAYS["`b.close(size=n)`"], reopened)]
)
def test_views_become_a_snapshot_at_close(target: Path, way: Way) -> None:
    b = Builder(target)
    kept = memoryview(b)
    way(b, 5000)
    size = b.size
    b.close()
    assert kept[:size] == target.read_bytes() == content(5000)[:size]
    kept[0:3] = b"new"
    assert target.read_bytes() == content(5000)[:size]


@pytest.mark.parametrize(("way", "said"), cells(2))
def test_in_a_forked_child(target: Path, way: Way, said: str) -> None:
    (name,) = (name for name, found in WAYS.items() if found is way)
    code = f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_ways_in import WAYS, content
        from mmapbuilder import Builder
        said = {said!r}
        b = Builder(sys.argv[1])
        pid = os.fork()
        if pid == 0:
            try:
                WAYS[{name!r}](b, 5001)
            except (PermissionError, BlockingIOError):
                os._exit(3)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code == (3 if "refused" in said else 0), code
        assert not b.closed
        if "range of its own" in said:
            assert b.tell() == b.size == 5001
            b.write(b"after")
            assert b.size == 5006
        elif "counts" in said:
            assert b.size in (5001, 16), b.size
        b.close()
    """
    processes.python(code, target, options=("-W", "ignore::DeprecationWarning")).ok()
    written = target.read_bytes()
    assert written[:3] == b"\0\0\1"
    assert not written[3:5001].strip(b"\0")


@pytest.mark.skipif(sys.platform != "linux", reason="where there are such attributes")
@pytest.mark.parametrize(("way", "said"), cells(3))
def test_after_a_kill(target: Path, way: Way, said: str) -> None:
    need_attributes(target.parent)
    (name,) = (name for name, found in WAYS.items() if found is way)
    code = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_ways_in import WAYS
        from mmapbuilder import Builder
        for flushed in False, True:
            pid = os.fork()
            if pid == 0:
                b = Builder(sys.argv[1])
                WAYS[{name!r}](b, 5001)
                if flushed and not b.closed:
                    b.flush()
                os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(pid, 0)
            with Builder(sys.argv[1], "r+") as b:
                assert bytes(b[:3]) == b"\\0\\0\\1"
                assert not any(b[3:])
                print(b.size)
    """
    sizes = (
        processes.python(code, target, options=("-W", "ignore::DeprecationWarning"))
        .ok()
        .out.split()
    )
    unflushed, flushed = map(int, sizes)
    if said == "exact":
        assert unflushed == flushed == 5001
    elif said.startswith("exact after"):
        assert flushed == 5001
        assert unflushed in (16, 5001)  # the last byte that is not zero, or more
    elif said.endswith("all of the file"):
        assert {unflushed, flushed} <= {16, 5001}
    else:
        assert unflushed == flushed == 16
