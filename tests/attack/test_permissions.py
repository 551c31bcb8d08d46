"""Modes, links, names of temporary files, two builders on one path, orderly failures."""

from __future__ import annotations

import itertools
import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, MessageBuilder, verify
from support import processes, strace
from support.requirements import tool

MIB = 1 << 20
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def plain(path: Path, **options: Any) -> Any:
    return Builder(path, **options)


def message(path: Path, **options: Any) -> Any:
    return MessageBuilder(path, **options)


MAKERS: dict[str, Callable[..., Any]] = {"bytes": plain, "message": message}
KINDS = list(itertools.product(MAKERS, [False, True]))


def fill(builder: Any, content: bytes) -> None:
    """Put eight bytes in."""
    if isinstance(builder, Builder):
        builder.write(content)
    else:
        segment = builder.allocate_segment(1)
        segment[0:8] = (1 | 2 << 32 | 8 << 35).to_bytes(8, "little")
        segment[8:16] = content


def content_of(path: Path, kind: str) -> bytes:
    if kind == "message":
        verify(path)
    return path.read_bytes()[-8:]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


# ---- modes ------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "atomic"), KINDS)
@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o027, 0o077, 0o177, 0o777])
def test_a_new_file_gets_the_mode_that_open_gives(
    target: Path, umask: Callable[[int], int], kind: str, atomic: bool, mask: int
) -> None:
    umask(mask)
    by_open = target.with_name("by open")
    with open(by_open, "w+b"):
        pass
    with MAKERS[kind](target, atomic=atomic) as b:
        fill(b, b"contents")
    assert mode_of(target) == mode_of(by_open)
    assert names(target.parent) == ["by open", "target"]


@pytest.mark.parametrize(("kind", "atomic"), KINDS)
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666, 0o755, 0o640, 0o200])
def test_an_existing_file_keeps_its_mode(
    target: Path, umask: Callable[[int], int], kind: str, atomic: bool, mode: int
) -> None:
    umask(0o077)
    target.write_bytes(b"old")
    target.chmod(mode)
    if os.geteuid() != 0 and mode == 0o200 and not atomic:
        with pytest.raises(PermissionError):
            MAKERS[kind](target)
        return
    with MAKERS[kind](target, atomic=atomic) as b:
        fill(b, b"contents")
    assert mode_of(target) == mode
    target.chmod(0o600)
    assert content_of(target, kind) == b"contents"


def test_the_temporary_file_is_never_more_open_than_the_target(
    target: Path, umask: Callable[[int], int]
) -> None:
    """What is secret in the target is secret while it is built."""
    umask(0)
    target.write_bytes(b"secret")
    target.chmod(0o600)
    with Builder(target, atomic=True):
        (temporary,) = set(names(target.parent)) - {"target"}
        assert mode_of(target.with_name(temporary)) == 0o600


@pytest.mark.parametrize(("kind", "atomic"), KINDS)
def test_a_mode_taken_away_meanwhile_is_no_matter(target: Path, kind: str, atomic: bool) -> None:
    """What is open stays open, as with any file; atomic keeps the mode that it found."""
    target.write_bytes(b"old")
    target.chmod(0o644)
    b = MAKERS[kind](target, atomic=atomic)
    target.chmod(0)
    fill(b, b"contents")
    b.close()
    assert mode_of(target) == (0o644 if atomic else 0)
    target.chmod(0o600)
    assert content_of(target, kind) == b"contents"


UNPRIVILEGED = """
    import os, sys
    from mmapbuilder import *                   # later, modules may not be readable
    from support.wire import is_unfinished
    os.chdir(sys.argv[1])                       # while we may
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    def denied(make, *names):
        try:
            make()
        except PermissionError as e:
            assert os.path.basename(e.filename) in names, e
        else:
            raise AssertionError("nothing was denied")
    for kind in Builder, MessageBuilder:
        # A directory in which nothing can be made: in place works, beside it does not.
        before = os.listdir(".")
        denied(lambda: kind("new"), "new")
        denied(lambda: kind("new", atomic=True), ".new.mmapbuilder")
        denied(lambda: kind("ours", atomic=True), ".ours.mmapbuilder")
        with kind("ours") as b:
            if kind is Builder:
                b.write(b"contents")
        # A file that may only be read, or not even that.
        denied(lambda: kind("readable"), "readable")
        denied(lambda: kind("readable", atomic=True), ".readable.mmapbuilder")
        denied(lambda: kind("hidden"), "hidden")
        denied(lambda: kind("hidden", atomic=True), "hidden")
        assert os.listdir(".") == before
    denied(lambda: verify("hidden"), "hidden")
    denied(lambda: recover("readable"), "readable")
    print("done")
"""


def test_without_permission() -> None:
    """PermissionError, and nothing is made or left."""
    # Not in tmp_path, which nobody else may enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        directory = Path(folder, "directory")
        directory.mkdir()
        denied_in(directory)


def denied_in(directory: Path) -> None:
    for name, mode in (("ours", 0o666), ("readable", 0o444), ("hidden", 0o000)):
        (directory / name).write_bytes(b"content")
        (directory / name).chmod(mode)
    directory.chmod(0o555)
    try:
        ended = processes.python(UNPRIVILEGED, directory).ok()
    finally:
        directory.chmod(0o755)
    assert ended.out == "done\n"
    assert (directory / "readable").read_bytes() == b"content"
    (directory / "hidden").chmod(0o600)
    assert (directory / "hidden").read_bytes() == b"content"


@pytest.mark.root
@linux_only
def test_a_file_system_that_is_mounted_read_only(mount: Callable[..., Path]) -> None:
    point = mount("tmpfs", 4 * MIB)
    (point / "target").write_bytes(b"old")
    subprocess.run([tool("mount", "mount"), "-o", "remount,ro", str(point)], check=True)
    for kind, atomic in KINDS:
        with pytest.raises(OSError, match="Read-only"):
            MAKERS[kind](point / "target", atomic=atomic)
    assert names(point) == ["target"]


# ---- what stands where the temporary file is to be ---------------------------------------


def temporary_name(target: Path) -> Path:
    with Builder(target, atomic=True) as b:
        (name,) = names(target.parent)
        b.discard()
    return target.with_name(name)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path.name)
    finally:
        os.chdir(here)


IN_THE_WAY: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, victim: path.symlink_to(victim),
    "dangling link": lambda path, victim: path.symlink_to(victim.with_name("nowhere")),
    "link to itself": lambda path, victim: path.symlink_to(path),
    "directory": lambda path, victim: path.mkdir(),
    "fifo": lambda path, victim: os.mkfifo(path),
    "socket": lambda path, victim: make_socket(path),
}


@pytest.mark.parametrize("thing", IN_THE_WAY)
@pytest.mark.parametrize("kind", MAKERS)
def test_no_file_where_the_temporary_one_is_to_be(target: Path, kind: str, thing: str) -> None:
    """Neither followed nor removed: another name is taken."""
    path = temporary_name(target)
    victim = target.with_name("victim")
    victim.write_bytes(b"victim")
    IN_THE_WAY[thing](path, victim)
    before = os.lstat(path)
    with MAKERS[kind](target, atomic=True) as b:
        fill(b, b"contents")
        with pytest.raises(BlockingIOError):
            MAKERS[kind](target, atomic=True)
    assert content_of(target, kind) == b"contents"
    assert os.path.samestat(os.lstat(path), before)
    assert victim.read_bytes() == b"victim"
    assert names(target.parent) == sorted([path.name, "target", "victim"])


def test_things_stand_wherever_a_temporary_file_could_be(target: Path) -> None:
    """Then it is an error, which names the last of them."""
    first = temporary_name(target)
    for path in (first, *(first.with_name(f"{first.name}-{n}") for n in range(2, 9))):
        path.mkdir()
    with pytest.raises(FileExistsError) as caught:
        Builder(target, atomic=True)
    assert caught.value.filename == str(path)
    target.write_bytes(b"old")
    with Builder(target) as b:  # where none is needed, all is well
        b.write(b"contents")
    assert target.read_bytes() == b"contents"


def test_a_hard_link_where_the_temporary_file_is_to_be(target: Path) -> None:
    """Taken for what a dead builder left: the name goes, the file keeps its content."""
    path = temporary_name(target)
    victim = target.with_name("victim")
    victim.write_bytes(b"victim")
    os.link(victim, path)
    with Builder(target, atomic=True) as b:
        b.write(b"contents")
    assert victim.read_bytes() == b"victim"
    assert target.read_bytes() == b"contents"
    assert names(target.parent) == ["target", "victim"]


@pytest.mark.parametrize("length", [200, 243, 244, 250, 255])
def test_long_names_do_not_collide(tmp_path: Path, length: int) -> None:
    first, second = (tmp_path / ("ä" * 20 + "n" * (length - 41) + end) for end in "12")
    with Builder(first, atomic=True) as a, Builder(second, atomic=True) as b:
        a.write(b"first")
        b.write(b"second")
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")
    assert len(names(tmp_path)) == 2


def test_a_link_to_a_link_is_built_where_the_file_is(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("real/file")
    for kind, atomic in KINDS:
        with MAKERS[kind](tmp_path / "one", atomic=atomic) as b:
            fill(b, b"contents")
        assert content_of(real / "file", kind) == b"contents"
        assert names(real) == ["file"]
    assert names(tmp_path) == ["one", "real", "two"]
    assert (tmp_path / "one").is_symlink()


# ---- two builders on one path ------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(KINDS, KINDS)))
def test_two_builders(
    target: Path, there: bool, first: tuple[str, bool], second: tuple[str, bool]
) -> None:
    """The second is refused, the first loses nothing."""
    if there:
        target.write_bytes(b"old content")
    kind, atomic = first
    b = MAKERS[kind](target, atomic=atomic)
    fill(b, b"contents")
    before = names(target.parent)
    for _ in range(2):
        with pytest.raises(BlockingIOError) as caught:
            MAKERS[second[0]](target, atomic=second[1])
        assert caught.value.filename == str(target)
        assert names(target.parent) == before
    b.close()
    assert content_of(target, kind) == b"contents"
    assert names(target.parent) == ["target"]
    with MAKERS[second[0]](target, atomic=second[1]) as b:  # now it is free
        fill(b, b"it again")
    assert content_of(target, second[0]) == b"it again"


OTHER = """
    import sys
    from mmapbuilder import Builder, MessageBuilder
    for line in sys.stdin:
        kind, atomic, path = line.rstrip("\\n").split(" ", 2)
        make = Builder if kind == "bytes" else MessageBuilder
        try:
            make(path, atomic=atomic == "True").discard()
        except BlockingIOError as e:
            print("refused" if e.filename == path else e.filename, flush=True)
        else:
            print("opened", flush=True)
"""


@pytest.mark.parametrize("there", [False, True])
def test_a_builder_in_another_process(target: Path, there: bool) -> None:
    other = processes.start(OTHER)
    for (kind, atomic), second in itertools.product(KINDS, KINDS):
        target.unlink(missing_ok=True)
        if there:
            target.write_bytes(b"old content")
        b = MAKERS[kind](target, atomic=atomic)
        fill(b, b"contents")
        processes.tell(other, *second, target)
        assert processes.line(other) == "refused\n"
        b.close()
        assert content_of(target, kind) == b"contents"
        assert names(target.parent) == ["target"]
    processes.end(other).ok()


# ---- nothing is left by an orderly failure -----------------------------------------------


FAILURES: dict[str, Callable[[Any, Path], object]] = {
    "capacity": lambda make, path: make(path, capacity=1 << 62),
    "no capacity": lambda make, path: make(path, capacity=0),
    "negative capacity": lambda make, path: make(path, capacity=-1),
    "no number": lambda make, path: make(path, capacity="1"),
    "max_growth": lambda make, path: make(path, max_growth=-1),
    "mode": lambda make, path: make(path, mode="a"),
    "no such argument": lambda make, path: make(path, size=1),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("kind", "atomic"), KINDS)
def test_an_opening_that_fails(
    target: Path, kind: str, atomic: bool, there: bool, failure: str
) -> None:
    if there:
        target.write_bytes(b"old")
    with pytest.raises((OSError, ValueError, TypeError, OverflowError)):
        FAILURES[failure](lambda *a, **k: MAKERS[kind](*a, atomic=atomic, **k), target)
    assert names(target.parent) == ["target"] * there
    assert not there or target.read_bytes() == b"old"


# What one process does from start to end; a failure of any of it is injected from outside. The
# last store lies beyond the first growth, so the file grows once more, and gets blocks.
VICTIM = """
    import os, sys
    from mmapbuilder import MessageBuilder
    try:
        b = MessageBuilder(sys.argv[1], atomic=True, durable=True)
        words = (4 << 20) // 8 - 300
        segment = b.allocate_segment(words)
        segment[0:8] = (1 | 2 << 32 | 8 * (words - 1) << 35).to_bytes(8, "little")
        segment[-1] = 1
        b.close()
    except OSError as e:
        print(e.errno, e.filename)
"""

# Without these it is no test of opening, growing and closing.
NEEDED = ["openat", "flock", "fchmod", "mmap", "ftruncate", "fallocate", "fdatasync", "fsync"]
MOST = 40  # calls of one kind: those beyond are reads, and all alike


def run_victim(directory: Path, *options: str) -> tuple[list[str], str]:
    """Replace an old file under strace: what the victim told, and what strace saw."""
    path, log = directory / "target", directory.with_name("log")
    path.write_bytes(b"old")
    # Python opens files of its own; so only calls about this directory count.
    told = strace.run(
        VICTIM,
        str(path),
        options=[
            *("-y", "-P", str(directory), "-P", str(path)),
            *("-P", str(directory / ".target.mmapbuilder"), *options),
        ],
        log=log,
        timeout=120,
    )
    return told.split(), log.read_text()


def is_about_the_name(call: str, line: str, directory: Path) -> bool:
    """Whether it makes the new name durable: then the name is there already."""
    return call == "fsync" and f"<{directory}>" in line


def is_first_look(call: str, line: str, earlier: list[str]) -> bool:
    """Whether it asks for the first time which file was made.

    The name of a file that the system does not tell apart from others is removed by nobody.
    """
    return "stat" in call and ".target.mmapbuilder>" in line and "O_CREAT" in earlier[-1]


@linux_only
def test_a_system_call_that_fails(target: Path) -> None:
    """An I/O error at any step (strace makes it): the error is told, the rest is as before."""
    directory = target.parent / "directory"
    directory.mkdir()
    path, temporary = directory / "target", directory / ".target.mmapbuilder"
    told, log = run_victim(directory)
    assert not told
    calls = Counter(re.findall(r"^\d+ +(\w+)\(", log, re.MULTILINE))
    assert [call for call in NEEDED if call not in calls] == []
    for call, count in calls.items():
        for number in range(1, min(count, MOST) + 1):
            told, log = run_victim(directory, "-e", f"inject={call}:error=EIO:when={number}")
            lines = log.splitlines()
            (at,) = (i for i, line in enumerate(lines) if "(INJECTED)" in line)
            what = f"{number}: {lines[at]}, told: {told}"
            assert not told or told[0] == "5", what  # EIO
            assert not told or told[1] in map(str, (path, temporary, directory)), what
            if is_first_look(call, lines[at], lines[:at]):
                temporary.unlink()
            assert names(directory) == ["target"], what
            if told and not is_about_the_name(call, lines[at], directory):
                assert path.read_bytes() == b"old", what
            else:  # it has done without that call
                verify(path)
