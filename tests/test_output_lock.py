"""Who has a file locked: errors say it, and no lock is left that nobody can give up."""

from __future__ import annotations

import fcntl
import gc
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, MessageBuilder, recover
from mmapbuilder._output import opening
from support import processes
from support.requirements import missing

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
KINDS: list[Callable[..., Any]] = [Builder, MessageBuilder]


# ---- a builder of this process ------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("second", [False, True])
def test_the_builder_that_has_it_is_named(
    target: Path, kind: Callable[..., Any], there: bool, first: bool, second: bool
) -> None:
    if there:
        target.write_bytes(b"old")
    b = kind(target, atomic=first)
    with pytest.raises(BlockingIOError, match=re.escape(repr(b))) as caught:
        Builder(target, atomic=second)
    assert "this process" in str(caught.value)
    assert caught.value.filename == str(target)
    b.discard()


def test_the_cell_of_a_notebook_that_is_run_again(target: Path) -> None:
    """The old builder is there while the new one is made."""
    b = Builder(target)
    with pytest.raises(BlockingIOError, match="close it first"):
        b = Builder(target)
    b.close()
    b = Builder(target)
    b.close()


def test_a_builder_that_shares_a_descriptor_is_named(target: Path) -> None:
    with target.open("w+b") as file, Builder(file) as b:
        with pytest.raises(BlockingIOError, match=re.escape(repr(b))):
            Builder(file.fileno())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_builder_that_nobody_can_reach_is_not_in_the_way(
    target: Path, kind: Callable[..., Any], atomic: bool
) -> None:
    """Even if it waits for the cycle collector."""
    gc.collect()
    gc.disable()
    try:
        holder: list[Any] = [kind(target, atomic=atomic)]
        holder.append(holder)
        del holder
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kind(target, atomic=atomic).discard()
        assert [w.category for w in caught] == [ResourceWarning]
    finally:
        gc.enable()


def test_a_closed_builder_that_is_kept_is_not_in_the_way(target: Path) -> None:
    kept = []
    for _ in range(3):
        b = Builder(target, "r+" if kept else "w")
        b.close()
        kept.append(b)


# ---- others ---------------------------------------------------------------------------------


OTHER = """
    import fcntl, os, sys
    path, how = sys.argv[1:]
    if how in ("Builder", "atomic"):
        from mmapbuilder import Builder
        b = Builder(path, atomic=how == "atomic")
    else:
        f = open(path, "r+b")
        fcntl.flock(f, fcntl.LOCK_SH if how == "shared" else fcntl.LOCK_EX)
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    b.discard() if how in ("Builder", "atomic") else f.close()
"""


@pytest.fixture
def other(target: Path) -> Iterator[Callable[[str], int]]:
    """other(how): another process that has the target locked; its number."""
    started = []

    def start(how: str) -> int:
        process = processes.start(OTHER, target, how)
        started.append(process)
        return int(processes.line(process))

    yield start
    for process in started:
        processes.tell(process)
        processes.end(process).ok()


@linux_only
@pytest.mark.parametrize("how", ["Builder", "atomic", "exclusive"])
@pytest.mark.parametrize("atomic", [False, True])
def test_the_process_that_has_it_is_named(
    target: Path, other: Callable[[str], int], how: str, atomic: bool
) -> None:
    target.write_bytes(b"old")
    pid = other(how)
    with pytest.raises(BlockingIOError, match=rf"process {pid} has it") as caught:
        Builder(target, atomic=atomic)
    assert caught.value.filename == str(target)


@linux_only
def test_a_process_that_is_listed_twice_is_named_once(target: Path) -> None:
    """The kernel's list of locks may name a process twice; two locks of one do so for certain."""
    target.write_bytes(b"old")
    with target.open("rb") as one, target.open("rb") as two:
        fcntl.flock(one, fcntl.LOCK_SH)
        fcntl.flock(two, fcntl.LOCK_SH)
        with pytest.raises(BlockingIOError, match=rf"process {os.getpid()} reads it"):
            Builder(target, "r+")


@linux_only
def test_recover_names_a_reader(target: Path, other: Callable[[str], int]) -> None:
    b = MessageBuilder(target)
    b.allocate_segment(1)[0:8] = bytes(8)
    with pytest.raises(KeyError), b:
        raise KeyError
    pid = other("shared")
    with pytest.raises(BlockingIOError, match=rf"process {pid} reads it"):
        recover(target)


def test_where_nothing_is_told_of_locks(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmapbuilder._output import lock

    monkeypatch.setattr(lock, "_locks_of", lambda fd: [])
    target.write_bytes(b"old")
    with target.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="builder of another process, or a program"):
            Builder(target)


# ---- neighbours -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("there", [False, True])
def test_a_reader_of_what_a_killed_builder_left(target: Path, there: bool) -> None:
    """It is left to him, and another name taken."""
    if there:
        target.write_bytes(b"old")
    left = target.with_name(".target.mmapbuilder")
    left.write_bytes(b"left")
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with Builder(target, atomic=True) as b:
            b.write(b"new")
            with pytest.raises(BlockingIOError, match="this process"):
                Builder(target, atomic=True)
            with pytest.raises(BlockingIOError, match="this process"):
                Builder(target)
        assert left.read_bytes() == b"left"
    assert target.read_bytes() == b"new"
    with Builder(target, atomic=True) as b:  # when he has gone, it is removed
        b.write(b"newer")
    assert os.listdir(target.parent) == ["target"]


AS_NOBODY = """
    import os, sys
    from mmapbuilder import Builder
    os.chdir(sys.argv[1])
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    with Builder("target", atomic=True) as b:
        b.write(b"new")
        try:
            Builder("target", atomic=True)
        except BlockingIOError:
            print("refused")
    print(*sorted(os.listdir(".")))
"""


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
@pytest.mark.parametrize("folder_mode", [0o777, 0o1777])
def test_a_temporary_file_of_another_user(folder_mode: int, mode: int) -> None:
    """One that cannot be removed, as in /tmp, is left; another name is taken."""
    if os.geteuid() != 0:
        missing("only root can become another user")
    with tempfile.TemporaryDirectory() as folder:
        left = Path(folder, ".target.mmapbuilder")
        left.write_bytes(b"another's")
        left.chmod(mode)
        Path(folder).chmod(folder_mode)
        ended = processes.python(AS_NOBODY, folder).ok()
        removed = folder_mode == 0o777 and mode != 0o600
        assert ended.out.split("\n")[0] == "refused"
        assert ended.out.split("\n")[1] == ("target" if removed else ".target.mmapbuilder target")
        assert Path(folder, "target").read_bytes() == b"new"


def test_a_builder_that_locks_the_temporary_file_is_not_gone_round(target: Path) -> None:
    left = target.with_name(".target.mmapbuilder")
    left.write_bytes(b"at work")
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for atomic in (False, True):
            with pytest.raises(BlockingIOError):
                Builder(target, atomic=atomic)
    assert os.listdir(target.parent) == [left.name]


CONTENDERS = """
import os, sys
from mmapbuilder import Builder
path, rounds = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
for number in range(rounds):
    while not os.path.exists(f"{path}-go-{number}"):  # all at the same moment
        pass
    try:
        b = Builder(f"{path}-{number}", atomic=True)
    except BlockingIOError:
        b = None
    print("lost" if b is None else "won", flush=True)
    sys.stdin.readline()
    if b is not None:
        b.discard()
"""


@linux_only
def test_one_of_many_processes_gets_a_new_name(target: Path) -> None:
    """Also when all ask at once. tests/test_threads.py has threads, which meet far more often."""
    rounds = 100
    started = [processes.start(CONTENDERS, target, rounds) for _ in range(6)]
    try:
        assert [processes.line(process) for process in started] == ["ready\n"] * 6
        for number in range(rounds):
            target.with_name(f"{target.name}-go-{number}").touch()
            results = [processes.line(process) for process in started]
            assert sorted(results) == ["lost\n"] * 5 + ["won\n"]
            for process in started:
                processes.tell(process)
    finally:
        for process in started:
            processes.stop(process)


@pytest.mark.parametrize("mode", ["r+", "w"])
def test_a_file_that_is_replaced_before_it_is_locked_is_left_alone(
    target: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever replaces a file has its lock: that of the old one says nothing of the new one."""
    target.write_bytes(b"old")
    newer, old = target.with_name("newer"), target.with_name("old")
    newer.write_bytes(b"newer")
    lock, replaced = opening.lock, []

    def replace_and_lock(output: Any, **how: bool) -> None:
        if not replaced:
            os.link(target, old)
            os.replace(newer, target)
            replaced.append(target)
        lock(output, **how)

    monkeypatch.setattr(opening, "lock", replace_and_lock)
    with Builder(target, mode) as b:
        assert replaced
        assert len(b) == (5 if mode == "r+" else 0)
        b[:3] = b"NEW"
    assert target.read_bytes() == (b"NEWer" if mode == "r+" else b"NEW")
    assert old.read_bytes() == b"old"
