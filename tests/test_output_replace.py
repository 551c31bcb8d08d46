"""Mode "w" puts a new file in the old one's place: who has the old one keeps it whole."""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapbuilder import Builder, MessageBuilder, open_message
from support import processes
from support.descriptors import descriptor_of
from support.processes import python
from support.requirements import missing, tool

OLD = bytes(range(256)) * 64
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def temporary_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.mmapbuilder")


# ---- readers ---------------------------------------------------------------------------


def test_whoever_has_the_old_one_mapped_keeps_it(target: Path) -> None:
    target.write_bytes(OLD)
    with target.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as old:
        with Builder(target) as b:
            b.write(b"new")
            assert old[:] == OLD
        assert old[:] == OLD
        file.seek(0)
        assert file.read() == OLD
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["target"]


def test_another_process_keeps_what_it_has_mapped(target: Path) -> None:
    """Before, it died of SIGBUS."""
    target.write_bytes(OLD)
    code = """
        import mmap, sys
        with open(sys.argv[1], "rb") as f:
            m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        print("mapped", flush=True)
        sys.stdin.readline()
        print(sum(m[:]))
    """
    reader = processes.start(code, target)
    assert processes.line(reader) == "mapped\n"
    with Builder(target) as b:
        b.write(b"new")
        processes.tell(reader)
        assert processes.line(reader) == f"{sum(OLD)}\n"
    assert processes.end(reader).code == 0


def test_a_message_is_read_and_written_back_under_its_own_name(target: Path) -> None:
    pytest.importorskip("capnp")
    np = pytest.importorskip("numpy")
    from support.readers import BLOCKS

    with MessageBuilder(target) as b:
        block = b.init_root(BLOCKS.schema).init("blocks", 1)[0]
        block.init("values", 10_000)
        b.array("blocks", 0, "values")[:] = np.arange(10_000)
    with open_message(target, BLOCKS.schema) as m:
        data = m.array("blocks", 0, "values")
        with MessageBuilder(target) as b:
            block = b.init_root(BLOCKS.schema).init("blocks", 1)[0]
            block.init("values", 20_000)
            b.array("blocks", 0, "values")[:10_000] = data
            b.array("blocks", 0, "values")[10_000:] = data
        assert (data == np.arange(10_000)).all()
        del data
    with open_message(target, BLOCKS.schema) as m:
        assert (m.array("blocks", 0, "values") == np.tile(np.arange(10_000), 2)).all()


def test_the_name_shows_the_file_that_is_being_built(target: Path) -> None:
    target.write_bytes(OLD)
    with Builder(target) as b:
        assert target.stat().st_size == 0
        assert os.path.samestat(target.stat(), os.fstat(descriptor_of(b)))
        assert names(target.parent) == ["target"]


def test_a_builder_that_cannot_be_made_leaves_the_old_one(target: Path) -> None:
    """The name is taken last of all."""
    target.write_bytes(OLD)
    before = target.stat()
    for make in Builder, MessageBuilder:
        with pytest.raises((OSError, ValueError)):
            make(target, capacity=1 << 62)
    with pytest.raises(OSError):
        Builder(target, capacity=1 << 47)
    assert os.path.samestat(before, target.stat())
    assert target.read_bytes() == OLD
    assert names(target.parent) == ["target"]


def test_discard_removes_the_new_one(target: Path) -> None:
    target.write_bytes(OLD)
    with target.open("rb") as file:
        Builder(target).discard()
        assert names(target.parent) == []
        assert file.read() == OLD


def test_an_empty_file_is_filled_in_place(target: Path) -> None:
    """As one that tempfile has made, which its maker goes on with."""
    with tempfile.NamedTemporaryFile(dir=target.parent) as file:
        with Builder(file.name) as b:
            b.write(b"content")
        assert file.read() == b"content"


def test_a_new_file_of_someone_else_in_the_meantime(target: Path) -> None:
    """The path leads to another file when the lock has been got: that one is replaced."""
    target.write_bytes(OLD)
    for _ in range(3):
        with Builder(target) as b:
            b.write(b"new")
            other = target.with_name("other")
            other.write_bytes(b"other")
            os.replace(other, target)
        assert target.read_bytes() == b"other"
    assert names(target.parent) == ["target"]


# ---- where it cannot be replaced ---------------------------------------------------------


def test_a_file_of_many_names_is_emptied_in_place(target: Path) -> None:
    target.write_bytes(OLD)
    link = target.with_name("link")
    os.link(target, link)
    with Builder(link) as b:
        b.write(b"new")
    assert target.read_bytes() == link.read_bytes() == b"new"
    assert target.stat().st_nlink == 2


def test_a_descriptor_is_emptied_in_place(target: Path) -> None:
    target.write_bytes(OLD)
    with target.open("r+b") as file, Builder(file) as b:
        b.write(b"new")
        assert os.path.samestat(target.stat(), os.fstat(descriptor_of(b)))
    assert target.read_bytes() == b"new"


@linux_only
@pytest.mark.parametrize("kind", [Builder, MessageBuilder])
def test_a_path_that_stands_for_a_descriptor_is_one(target: Path, kind: type) -> None:
    """As /dev/stdout, and what a shell gives for >(program): who has it open sees the content."""
    target.write_bytes(OLD)
    link = target.with_name("link")
    with target.open("r+b") as file:
        link.symlink_to(f"/proc/self/fd/{file.fileno()}")
        for path in f"/proc/self/fd/{file.fileno()}", f"/dev/fd/{file.fileno()}", link:
            b = kind(path)
            assert os.path.samestat(os.fstat(file.fileno()), os.fstat(descriptor_of(b)))
            b.discard() if path == link else b.close()
    assert not target.exists()
    assert link.is_symlink()


UNPRIVILEGED = """
    import os, sys
    from mmapbuilder import Builder
    os.chdir(sys.argv[1])
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with open(sys.argv[2], "rb") as old:
        with Builder(sys.argv[2]) as b:
            b.write(b"new")
        print(os.path.samestat(os.stat(sys.argv[2]), os.fstat(old.fileno())))
    print(*sorted(os.listdir(".")))
"""


@pytest.fixture
def shared_folder() -> Callable[[int], Path]:
    """A folder that others can enter, which tmp_path is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)

        def make(mode: int) -> Path:
            directory = Path(folder, "directory")
            directory.mkdir()
            path = directory / "target"
            path.write_bytes(OLD)
            path.chmod(0o666)
            directory.chmod(mode)
            return path

        yield make
        Path(folder, "directory").chmod(0o755)


def test_a_directory_that_may_not_be_written(shared_folder: Callable[[int], Path]) -> None:
    path = shared_folder(0o555)
    assert python(UNPRIVILEGED, path.parent, "target").ok().out == "True\ntarget\n"
    assert path.read_bytes() == b"new"


@pytest.mark.root
def test_someone_elses_file_in_a_sticky_directory(shared_folder: Callable[[int], Path]) -> None:
    """A new file can be made there, but not take the name: that shows last of all."""
    if os.geteuid() != 0:
        missing("another user's file can be made by root only")
    path = shared_folder(0o1777)
    assert python(UNPRIVILEGED, path.parent, "target").ok().out == "True\ntarget\n"
    assert path.read_bytes() == b"new"


@pytest.mark.root
@linux_only
@pytest.mark.parametrize("kind", [Builder, MessageBuilder])
def test_a_file_that_is_a_mount_of_its_own(target: Path, kind: type) -> None:
    """As containers get single files: nothing can take the place of a mount point."""
    if os.geteuid() != 0:
        missing("mounting needs root")
    mount = tool("mount", "mount")
    source = target.with_name("source")
    source.write_bytes(OLD)
    target.write_bytes(b"covered")
    done = subprocess.run([mount, "--bind", str(source), str(target)], capture_output=True)
    if done.returncode != 0:
        missing(done.stderr.decode())
    try:
        with kind(target) as b:
            if kind is Builder:
                b.write(b"new")
            else:
                b.allocate_segment(1)[0:8] = bytes(8)
        assert names(target.parent) == ["source", "target"]
    finally:
        subprocess.run([tool("umount", "mount"), str(target)], check=True)
    assert source.read_bytes() != OLD
    assert target.read_bytes() == b"covered"


@pytest.mark.parametrize(("mode", "atomic"), [("w", False), ("w", True), ("r+", False)])
def test_a_reader_under_a_lock(target: Path, mode: str, atomic: bool) -> None:
    """It wants that nobody changes the file: one beside it is no change, one in place is."""
    target.write_bytes(OLD)
    with target.open("rb") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        if mode == "r+":
            with pytest.raises(BlockingIOError, match="shared lock"):
                Builder(target, mode)
        else:
            with Builder(target, mode, atomic=atomic) as b:
                b.write(b"new")
                with pytest.raises(BlockingIOError, match="this process"):
                    Builder(target, mode, atomic=atomic)
                assert reader.read() == OLD
        os.link(target, target.with_name("link"))
        with target.open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_SH)
            with pytest.raises(BlockingIOError, match="shared lock"):
                Builder(target)  # of two names: it would be emptied
    assert target.read_bytes() == (OLD if mode == "r+" else b"new")


# ---- what it keeps -----------------------------------------------------------------------


def test_permissions_are_kept(target: Path) -> None:
    for mode in 0o600, 0o640, 0o604, 0o777, 0o200 | 0o400:
        target.write_bytes(OLD)
        target.chmod(mode)
        inode = target.stat().st_ino
        with target.open("rb"), Builder(target) as b:  # open, so that its inode is not used again
            b.write(b"new")
            assert target.stat().st_ino != inode
        assert stat.S_IMODE(target.stat().st_mode) == mode
        target.chmod(0o600)


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real = tmp_path / "there" / "real"
    real.write_bytes(OLD)
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("there/real")
    with real.open("rb") as file:
        with Builder(tmp_path / "one") as b:
            b.write(b"new")
        assert file.read() == OLD
    assert real.read_bytes() == b"new"
    assert names(tmp_path) == ["one", "there", "two"]
    assert names(tmp_path / "there") == ["real"]
    Builder(tmp_path / "one").discard()
    assert names(tmp_path / "there") == []


def test_what_was_left_by_a_killed_builder_is_no_obstacle(target: Path) -> None:
    """Killed after the new file was made, and before it took the name."""
    target.write_bytes(OLD)
    temporary_of(target).write_bytes(b"left")
    with Builder(target) as b:
        b.write(b"new")
    assert target.read_bytes() == b"new"
    assert names(target.parent) == ["target"]
