"""What is in a plain file whose builder was killed, when it is opened again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from mmapbuilder import Builder, CapacityError
from support import processes
from support.requirements import need_attributes

MIB = 1 << 20
GRANULE = 2 * MIB

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="where there are such attributes")


@pytest.fixture(autouse=True)
def attributes(tmp_path: Path) -> None:
    need_attributes(tmp_path)


def killed(target: Path, code: str, options: str = "") -> None:
    """Run `code` with a builder `b` of `target`, and kill the process."""
    ended = processes.python(
        f"""
        import os, signal, sys
        from mmapbuilder import Builder
        b = Builder(sys.argv[1], {options})
        {code}
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        target,
    )
    assert ended.signal == "SIGKILL", ended


@pytest.mark.parametrize("atomic", [False, True])
def test_appending_goes_on_where_the_data_ends(target: Path, atomic: bool) -> None:
    killed(target, "b.write(b'line.' * 100_000)")
    assert target.stat().st_size % GRANULE == 0
    with Builder(target, "r+", atomic=atomic) as b:
        assert b.size == 500_000 + -500_000 % 16
        b.seek(0, os.SEEK_END)
        b.write(b"goes on")
    content = target.read_bytes()
    assert content == (b"line." * 100_000).ljust(b.size - 7, b"\0") + b"goes on"
    assert os.listxattr(target) == []


def test_what_was_flushed_counts_with_its_zeros(target: Path) -> None:
    killed(target, "b.write(b'x' + bytes(99_998)); b.flush(); b.write(bytes(50_000))")
    with Builder(target, "r+") as b:
        assert b.size == 99_999


def test_what_was_truncated_after_a_flush_does_not_come_back(target: Path) -> None:
    killed(target, "b[0:5] = b'abcde'; memoryview(b); b.truncate(99_999); b.flush(); b.truncate(3)")
    with Builder(target, "r+") as b:
        assert bytes(b) == b"abc"


def test_what_was_there_before_counts_with_its_zeros(target: Path) -> None:
    target.write_bytes(b"x" + bytes(9_998))
    killed(target, "memoryview(b)[20_000] = 0", "'r+'")
    assert target.stat().st_size == GRANULE
    with Builder(target, "r+") as b:
        assert b.size == 9_999
    assert target.read_bytes() == b"x" + bytes(9_998)


def test_stores_before_the_kill_count(target: Path) -> None:
    killed(target, "memoryview(b)[5 << 20] = 1")
    with Builder(target, "r+") as b:
        assert b.size == 5 * MIB + 16


def test_a_kill_at_the_end_of_the_capacity(target: Path) -> None:
    killed(target, "memoryview(b)[4000] = 1", "capacity=5000")
    assert target.stat().st_size == 8192
    with Builder(target, "r+", capacity=5000) as b:
        assert b.size == 4016
    killed(target, "memoryview(b)[5 << 20] = 1", "'r+'")
    with pytest.raises(CapacityError, match="capacity="):
        Builder(target, "r+", capacity=5000)


def test_killed_again_and_again(target: Path) -> None:
    for n in range(5):
        mode = "'r+'" if n else "'w'"
        killed(target, f"b.seek(0, 2); b.write(b'{n}' * 70_000)", mode)
    with Builder(target, "r+") as b:
        content = bytes(b)
    assert content == b"".join(b"%d" % n * 70_000 for n in range(5))
    assert target.read_bytes() == content


@pytest.mark.parametrize("size", [GRANULE, 3 * GRANULE, 12_345])
@pytest.mark.parametrize("how", ["sparse", "written"])
def test_the_zeros_of_an_ordinary_file_are_its_own(target: Path, size: int, how: str) -> None:
    if how == "written":
        target.write_bytes(bytes(size))
    else:
        target.touch()
        os.truncate(target, size)
    with Builder(target, "r+") as b:
        assert b.size == size
    assert target.stat().st_size == size


def test_a_builder_leaves_no_mark(target: Path) -> None:
    for code in (b"small", b"x" * MIB):
        with Builder(target) as b:
            b.write(code)
        assert os.listxattr(target) == []
    with Builder(target) as b:
        memoryview(b)[:GRANULE] = b"x" * 5 + bytes(GRANULE - 5)
        b.close(GRANULE)
    assert os.listxattr(target) == []
    with Builder(target, "r+") as b:
        assert b.size == GRANULE


def test_a_new_file_in_the_place_of_a_killed_one_is_an_ordinary_one(target: Path) -> None:
    killed(target, "memoryview(b)[0] = 1")
    with Builder(target) as b:
        b.truncate(GRANULE)
    assert os.listxattr(target) == []
    assert target.stat().st_size == GRANULE


def test_what_others_have_changed_since_counts(target: Path) -> None:
    killed(target, "memoryview(b)[0] = 1")
    with target.open("ab") as file:
        file.write(bytes(10))
    with Builder(target, "r+") as b:
        assert b.size == GRANULE + 10


def test_without_attributes_everything_counts(target: Path, tmp_path: Path) -> None:
    killed(target, "memoryview(b)[0] = 1")
    copy = tmp_path / "copy"
    shutil.copyfile(target, copy)  # the attributes stay behind
    with Builder(copy, "r+") as b:
        assert b.size == GRANULE
