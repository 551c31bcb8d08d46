"""durable=True: what waits for the device, and in which order. Seen by strace."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support import processes, strace
from support.requirements import missing, tool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace is for Linux")

CALLS = f"fsync,fdatasync,rename,renameat,renameat2,{strace.PWRITE},ftruncate,link,linkat,msync"

BUILDER = """
import sys
from mmapbuilder import Builder
with Builder(sys.argv[1], sys.argv[2], atomic="atomic" in sys.argv, durable=True) as b:
    with memoryview(b) as view:
        view[:7] = b"content"
"""

WRITER = """
import sys
from mmapbuilder import Builder
with Builder(sys.argv[1], sys.argv[2], durable=True) as b:
    b.write(b"content")
"""

MESSAGE = """
import sys
from mmapbuilder import MessageBuilder
from support.readers import BLOCKS
options = {"capacity": 1 << 20, "segment_words": 512} if "segments" in sys.argv else {}
with MessageBuilder(sys.argv[1], sys.argv[2], atomic="atomic" in sys.argv, durable=True,
                    **options) as b:
    root = b.init_root(BLOCKS.schema)
    for block in root.init("blocks", 10):
        block.values = [1] * 100
"""


@pytest.fixture
def calls(target: Path) -> Callable[..., list[str]]:
    """The system calls of a program that concern the target and its directory, in order."""

    def run(code: str, *arguments: str) -> list[str]:
        log = target.with_name("log")
        traced = [tool("strace", "strace"), "-f", "-y", "-o", str(log), "-e", f"trace={CALLS}"]
        done = subprocess.run(
            [*traced, sys.executable, *processes.STRICT, "-c", code, str(target), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=processes.environment(),
        )
        if "ptrace" in done.stderr:
            missing(f"strace may not trace here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        return [
            line
            for line in strace.lines_of(log)
            if str(target.parent) in line and "= -1" not in line
        ]

    return run


def place(lines: list[str], pattern: str, start: int = 0) -> int:
    """Where the first line that matches stands."""
    for number, line in enumerate(lines[start:], start):
        if re.search(pattern, line):
            return number
    raise AssertionError("\n".join([f"no {pattern} after line {start} of", *lines]))


SYNC = r"\b(fsync|fdatasync)\(\d+<[^>]*target"


def directory_sync(target: Path) -> str:
    return rf"\bfsync\(\d+<{re.escape(str(target.parent))}>\)"


@pytest.mark.parametrize("mode", ["w", "x"])
def test_content_reaches_the_device_before_its_name(
    target: Path, calls: Callable[..., list[str]], mode: str
) -> None:
    lines = calls(BUILDER, mode, "atomic")
    synced = place(lines, SYNC)
    named = place(lines, r"\b(rename|link)", synced)
    place(lines, directory_sync(target), named)
    assert not [line for line in lines[:synced] if re.search(r"\b(rename|link)", line)]


def test_a_new_file_is_synced_with_its_directory(
    target: Path, calls: Callable[..., list[str]]
) -> None:
    lines = calls(BUILDER, "w")
    cut = place(lines, r"ftruncate\(.*, 16\)")
    synced = place(lines, SYNC, cut)
    place(lines, directory_sync(target), synced)


def test_what_one_call_wrote_is_synced_as_well(
    target: Path, calls: Callable[..., list[str]]
) -> None:
    lines = calls(WRITER, "w")
    written = place(lines, r'pwrite64\(.*"content"')
    cuts = [n for n, line in enumerate(lines) if "ftruncate" in line]  # where there is one
    synced = place(lines, SYNC, max([written, *cuts]))
    place(lines, directory_sync(target), synced)


@pytest.mark.parametrize("layout", ["one segment", "segments"])
@pytest.mark.parametrize("how", ["atomic", "in place"])
def test_a_message_is_marked_first_and_counted_last(
    target: Path, calls: Callable[..., list[str]], layout: str, how: str
) -> None:
    pytest.importorskip("capnp")
    lines = calls(MESSAGE, "w", layout, how)
    marked = place(lines, r'pwrite64\(.*"\\377\\377\\377\\377.*, 0\)')
    assert marked <= 1  # nothing but the emptying of the file comes before
    place(lines, SYNC, marked)
    counted = place(lines, r"pwrite64\(.*, 0\)", marked + 1)
    before, after = lines[marked:counted], lines[counted + 1 :]
    cut = max(n for n, line in enumerate(before) if "ftruncate" in line)
    assert re.search(SYNC, "\n".join(before[cut:])), "nothing waits between cutting and counting"
    assert re.search(SYNC, after[0]), "something comes before the wait for the count"
    assert not [line for line in after if "pwrite" in line or "ftruncate" in line]
    if how == "atomic":
        named = place(lines, r"\brename", counted)
        place(lines, directory_sync(target), named)


def test_without_durable_nothing_waits(target: Path, calls: Callable[..., list[str]]) -> None:
    lines = calls(BUILDER.replace("durable=True", "durable=False"), "w", "atomic")
    assert place(lines, r"\brename") >= 0
    assert not [line for line in lines if "sync(" in line]


RANGES = """
import sys
from mmapbuilder import Builder
with Builder(sys.argv[1]) as b:
    view = memoryview(b)
    view[0:100_000] = b"x" * 100_000
    b.flush(4096, 5000)
    b.flush(offset := 0, 1)
    b.flush(90_000, 1 << 30)          # as much of it as there is
    b.flush(0, 0)
    view.release()
with Builder(sys.argv[1] + "-written") as b:
    b.write(b"y" * 10)                # not mapped yet
    b.flush(0, 10)
"""


def test_flush_of_a_range_waits_for_the_device_as_that_of_an_mmap(
    target: Path, calls: Callable[..., list[str]]
) -> None:
    lines = calls(RANGES)
    log = target.with_name("log").read_text()
    ranges = re.findall(r"msync\(0x([0-9a-f]+), (\d+), MS_SYNC\) *= 0", log)
    assert [int(length) for _, length in ranges] == [5000, 1, 2 * 1024 * 1024 - 86016]
    first, second, third = (int(address, 16) for address, _ in ranges)
    assert (first - second, third - second) == (4096, 86016)
    assert sum("fdatasync" in line for line in lines) == 1


DATASET = """
import sys
import capnp
from mmapbuilder import commit, write_shard
directory, mode, schema = sys.argv[1], sys.argv[2], capnp.load(sys.argv[3]).Table
shards = [write_shard(directory, [{"id": 1}], schema, "rows", index=0)]
commit(directory, shards, schema=schema, mode=mode)
"""


@pytest.mark.parametrize("mode", ["x", "w"])
def test_a_manifest_is_on_the_device_after_all_that_it_names(
    target: Path, calls: Callable[..., list[str]], mode: str
) -> None:
    """The shards, their names, what the manifest says, and last its name."""
    pytest.importorskip("capnp")
    pytest.importorskip("pyarrow")
    lines = calls(DATASET, mode, str(Path(__file__).parent / "dataset" / "rows.capnp"))
    names = rf"\bfsync\(\d+<{re.escape(str(target))}>\)"
    at = place(lines, r"\b(fsync|fdatasync)\(\d+<[^>]*/part-")
    at = place(lines, names, at)
    at = place(lines, r"\bfsync\(\d+<[^>]*/_manifest\.json\.[^>]*tmp>", at)
    at = place(lines, r"\b(link|linkat|rename|renameat)\(.*/_manifest\.json\.", at)
    place(lines, names, at)
