"""What a Builder opens, how, and what it leaves alone."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support import processes

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


@pytest.fixture
def fd(target: Path) -> Iterator[int]:
    number = os.open(target, os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)  # fails if someone has closed it


# ---- how a file can be named -----------------------------------------------------


class Holder:
    """Has nothing but a file descriptor."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def fileno(self) -> int:
        return self.fd


class Named(os.PathLike[bytes]):
    """A path that is bytes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> bytes:
        return os.fsencode(self.path)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path, Named])
def test_paths(target: Path, kind: type) -> None:
    path = kind(str(target)) if kind is not Named else Named(target)
    with Builder(path) as b:
        assert b.name == os.fspath(path)
        b.write(b"content")
    assert target.read_bytes() == b"content"


@linux_only
def test_a_path_that_is_no_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe caf\xe9"
    for path in (raw, os.fsdecode(raw)):
        with Builder(path) as b:
            assert b.name == path
            b.write(b"content")
        with open(raw, "rb") as file:
            assert file.read() == b"content"
        with Builder(path, atomic=True) as b:
            b.write(b"other")
        with open(raw, "rb") as file:
            assert file.read() == b"other"
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe caf\xe9"]


@linux_only
def test_an_error_names_a_path_that_is_no_utf8(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/missing/\xff"
    with pytest.raises(FileNotFoundError) as caught:
        Builder(raw)
    assert caught.value.filename == raw


def test_a_relative_path_means_the_directory_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, later = tmp_path / "start", tmp_path / "later"
    start.mkdir()
    later.mkdir()
    monkeypatch.chdir(start)
    with (
        Builder("plain") as plain,
        Builder("atomic", atomic=True) as atomic,
        Builder("gone") as gone,
    ):
        plain.write(b"plain")
        atomic.write(b"atomic")
        monkeypatch.chdir(later)
        gone.discard()
    assert list(later.iterdir()) == []
    assert sorted(path.name for path in start.iterdir()) == ["atomic", "plain"]


@pytest.mark.parametrize("wrap", [int, Holder])
def test_a_descriptor_is_duplicated_and_left_open(target: Path, fd: int, wrap: type) -> None:
    b = Builder(wrap(fd))
    assert b.descriptor != fd
    assert not os.get_inheritable(b.descriptor)
    b.write(b"content")
    b.close()
    assert os.fstat(fd).st_size == len(b"content")
    assert os.pread(fd, 10, 0) == b"content"


@linux_only
@pytest.mark.parametrize("atomic", [False, True])
def test_no_other_program_inherits_a_descriptor(target: Path, atomic: bool) -> None:
    def descriptors() -> list[int]:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
        return [n for n in numbers if os.path.exists(f"/proc/self/fd/{n}")]

    target.write_bytes(b"old")
    number = os.open(target, os.O_RDWR)
    before = descriptors()
    try:
        with Builder(target if atomic else number, atomic=atomic):
            ours = set(descriptors()) - set(before)
            assert ours
            assert not any(os.get_inheritable(n) for n in ours)
    finally:
        os.close(number)


def test_a_descriptor_may_be_closed_by_its_owner(target: Path) -> None:
    number = os.open(target, os.O_RDWR | os.O_CREAT)
    b = Builder(number)
    os.close(number)
    with b:
        b[5 << 20] = 1
    assert target.stat().st_size == (5 << 20) + 1


def test_a_file_object(target: Path) -> None:
    with target.open("w+b") as file:
        with Builder(file) as b:
            b.write(b"content")
        assert not file.closed
        assert file.read() == b"content"


@pytest.mark.parametrize("mode", ["r+", "w"])
@pytest.mark.parametrize("kind", ["binary", "text"])
def test_what_a_file_object_holds_back_comes_first(target: Path, mode: str, kind: str) -> None:
    """Else it would be written over the content when that object is closed."""
    with target.open("w+b" if kind == "binary" else "w+") as file:
        file.write(b"before" if kind == "binary" else "before")  # type: ignore[arg-type]
        with Builder(file, mode) as b:  # type: ignore[arg-type]
            b.seek(0, os.SEEK_END)
            b.write(b" after")
    assert target.read_bytes() == (b"before after" if mode == "r+" else b" after")


def test_the_lock_on_a_descriptor_ends_with_the_builder(target: Path, fd: int) -> None:
    # The duplicate shares the lock of the original, which stays open.
    Builder(fd).close()
    with Builder(target) as b:
        b.write(b"x")


@linux_only
def test_a_memfd() -> None:
    number = os.memfd_create("test")
    try:
        with Builder(number) as b:
            b[3 << 20] = 7
        assert os.fstat(number).st_size == (3 << 20) + 1
    finally:
        os.close(number)


@linux_only
def test_tmpfs() -> None:
    directory = Path("/dev/shm")
    path = directory / f"mmapbuilder-test-{os.getpid()}"
    try:
        with Builder(path, "x") as b:
            b[3 << 20] = 7
        assert path.stat().st_size == (3 << 20) + 1
    finally:
        path.unlink()


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_a_symbolic_link_stands_for_its_target(tmp_path: Path, atomic: bool, there: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    link.symlink_to(real)
    if there:
        real.write_bytes(b"old")
    with Builder(link, atomic=atomic) as b:
        assert b.name == str(link)
        b.write(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    with pytest.raises(FileExistsError):
        Builder(link, "x", atomic=atomic)
    if not atomic:
        Builder(link).discard()
        assert link.is_symlink()
        assert not real.exists()
        with pytest.raises(FileExistsError):  # as open has it: the link is there
            Builder(link, "x")


@pytest.mark.parametrize("atomic", [False, True])
def test_a_loop_of_symbolic_links(target: Path, atomic: bool) -> None:
    target.symlink_to(target)
    with pytest.raises(OSError) as caught:
        Builder(target, atomic=atomic)
    assert caught.value.errno == errno.ELOOP
    assert os.listdir(target.parent) == ["target"]


# ---- modes -------------------------------------------------------------------------


def test_w_replaces(target: Path) -> None:
    target.write_bytes(b"a long content that was here before")
    with Builder(target) as b:
        assert b.mode == "wb+"
        assert b.size == 0
        b.write(b"new")
    assert target.read_bytes() == b"new"


def test_w_without_a_store_makes_an_empty_file(target: Path) -> None:
    target.write_bytes(b"old")
    Builder(target, "w").close()
    assert target.read_bytes() == b""


def test_x_makes_a_file(target: Path) -> None:
    with Builder(target, "x") as b:
        assert b.mode == "xb+"
        b.write(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("atomic", [False, True])
def test_x_refuses_what_exists(target: Path, atomic: bool) -> None:
    target.write_bytes(b"old")
    with pytest.raises(FileExistsError) as caught:
        Builder(target, "x", atomic=atomic)
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("atomic", [False, True])
def test_r_plus_keeps_the_content_and_goes_on(target: Path, atomic: bool) -> None:
    target.write_bytes(b"0123456789")
    with Builder(target, "r+", atomic=atomic) as b:
        assert b.mode == "rb+"
        assert b.size == 10
        assert b.tell() == 0
        assert b[:12] == b"0123456789\0\0"
        b.write(b"ab")
        b.seek(0, os.SEEK_END)
        b.write(b"cd")
    assert target.read_bytes() == b"ab23456789cd"


def test_r_plus_keeps_zeros_at_the_end(target: Path) -> None:
    target.write_bytes(b"x" + bytes(4096))
    with Builder(target, "r+") as b:
        assert b.size == 4097
    assert target.stat().st_size == 4097


def test_r_plus_of_a_descriptor(target: Path, fd: int) -> None:
    os.write(fd, b"old content")
    with Builder(fd, "r+") as b:
        assert b.size == 11
        b[0:3] = b"new"
    assert target.read_bytes() == b"new content"


def test_w_of_a_descriptor_replaces(target: Path, fd: int) -> None:
    os.write(fd, b"old content")
    with Builder(fd) as b:
        b.write(b"new")
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("atomic", [False, True])
def test_r_plus_wants_a_file(target: Path, atomic: bool) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        Builder(target, "r+", atomic=atomic)
    assert caught.value.filename == str(target)
    assert not target.exists()


def test_permissions_are_those_that_open_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with open(tmp_path / "open", "wb"):
            pass
        Builder(tmp_path / "plain").close()
        Builder(tmp_path / "atomic", atomic=True).close()
    finally:
        os.umask(old)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"open": 0o640, "plain": 0o640, "atomic": 0o640}


# ---- the lock ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["w", "r+"])
@pytest.mark.parametrize("atomic", [False, True])
def test_a_second_builder_is_refused_and_the_first_loses_nothing(
    target: Path, mode: str, atomic: bool
) -> None:
    with Builder(target) as first:
        first.write(b"written")
        first[100] = 1
        before = target.stat()
        with pytest.raises(BlockingIOError) as caught:
            Builder(target, mode, atomic=atomic)
        assert caught.value.filename == str(target)
        assert target.stat().st_size == before.st_size
        assert first[:7] == b"written"
    assert target.read_bytes() == b"written" + bytes(93) + b"\1"


def test_the_lock_holds_against_another_process(target: Path) -> None:
    code = """
        import sys
        from mmapbuilder import Builder
        try:
            Builder(sys.argv[1])
        except BlockingIOError:
            print("refused")
    """
    with Builder(target) as b:
        b.write(b"written")
        assert processes.python(code, target).ok().out == "refused\n"
    assert target.read_bytes() == b"written"


def test_what_someone_else_has_locked_is_not_changed(target: Path) -> None:
    target.write_bytes(b"theirs")
    with target.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            Builder(target)
        assert target.read_bytes() == b"theirs"
    with Builder(target) as b:
        b.write(b"ours")


def test_two_builders_through_hard_links(target: Path, tmp_path: Path) -> None:
    with Builder(target):
        os.link(target, tmp_path / "link")
        with pytest.raises(BlockingIOError):
            Builder(tmp_path / "link")


def test_two_builders_that_share_a_descriptor(target: Path, fd: int) -> None:
    """They would share the lock of the file as well."""
    other = os.dup(fd)
    try:
        with Builder(fd) as first:
            first.write(b"written")
            for given in (fd, other, target):
                with pytest.raises(BlockingIOError):
                    Builder(given)
        with Builder(other, "r+") as second:
            assert second.size == 7
    finally:
        os.close(other)
    assert target.read_bytes() == b"written"


def test_a_closed_builder_lets_the_next_one_in(target: Path) -> None:
    for content in (b"one", b"two"):
        with Builder(target) as b:
            b.write(content)
    assert target.read_bytes() == b"two"
