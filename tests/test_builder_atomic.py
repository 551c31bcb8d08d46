"""atomic and durable: the name points at the old content until the new one is whole."""

from __future__ import annotations

import gc
import os
import stat
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support import processes
from support.mounts import no_room

MIB = 1 << 20


class OurError(Exception):
    """Raised in the body of a with statement."""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("durable", [False, True])
def test_the_target_is_replaced_at_close(target: Path, tmp_path: Path, durable: bool) -> None:
    target.write_bytes(b"old")
    with Builder(target, atomic=True, durable=durable) as b:
        b.write(b"new content")
        with memoryview(b) as view:
            view[40 * MIB] = 1
            view[40 * MIB] = 0  # grown, but no content
        b.flush(durable=durable)
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new content"
    assert names(tmp_path) == ["target"]


def test_a_new_target_appears_at_close(target: Path, tmp_path: Path) -> None:
    with Builder(target, atomic=True) as b:
        b.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["target"]


def test_x_finds_out_at_close_as_well(target: Path, tmp_path: Path) -> None:
    b = Builder(target, "x", atomic=True)
    b.write(b"ours")
    target.write_bytes(b"theirs, made meanwhile")
    with pytest.raises(FileExistsError):
        b.close()
    assert b.closed
    assert target.read_bytes() == b"theirs, made meanwhile"
    assert names(tmp_path) == ["target"]


def test_an_exception_leaves_the_target_alone(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    with pytest.raises(OurError), Builder(target, atomic=True) as b:
        b.write(b"half of the n")
        raise OurError
    assert b.closed
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def test_an_exception_while_views_are_alive(target: Path, tmp_path: Path) -> None:
    views = []
    with pytest.raises(OurError), Builder(target, atomic=True) as b:
        views.append(b[0:10])
        raise OurError
    assert names(tmp_path) == []
    views[0][0] = 1


def test_discard_leaves_the_target_alone(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    for mode in ("w", "r+"):
        b = Builder(target, mode, atomic=True)
        b.write(b"new")
        b.discard()
        assert target.read_bytes() == b"old"
        assert names(tmp_path) == ["target"]


def test_dropped_without_close_leaves_the_target_alone(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    b = Builder(target, atomic=True)
    b.write(b"new")
    with pytest.warns(ResourceWarning):
        del b
        gc.collect()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def test_r_plus_works_on_a_copy(target: Path, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB + 5)
    target.write_bytes(content)
    with Builder(target, "r+", atomic=True) as b:
        assert b.size == len(content)
        b[5:8] = b"new"
        assert target.read_bytes() == content
    assert target.read_bytes() == content[:5] + b"new" + content[8:]
    assert names(tmp_path) == ["target"]


def test_r_plus_copies_holes_as_holes(target: Path) -> None:
    with target.open("wb") as file:
        file.truncate(3 << 30)
        file.seek(2 << 30)
        file.write(b"island")
    with Builder(target, "r+", atomic=True) as b:
        b[0] = 1
    assert target.stat().st_size == 3 << 30
    assert target.stat().st_blocks * 512 < 200 * MIB
    with target.open("rb") as file:
        file.seek(2 << 30)
        assert file.read(6) == b"island"


def test_permissions_of_the_target_are_kept(target: Path) -> None:
    target.write_bytes(b"old")
    target.chmod(0o604)
    with Builder(target, atomic=True) as b:
        b.write(b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


def test_a_symbolic_link_is_followed_to_the_target(tmp_path: Path) -> None:
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    (directory / "real").write_bytes(b"old")
    link = tmp_path / "link"
    link.symlink_to(directory / "real")
    with Builder(link, atomic=True) as b:
        b.write(b"new")
        assert names(tmp_path) == ["elsewhere", "link"]
    assert link.is_symlink()
    assert (directory / "real").read_bytes() == b"new"
    assert names(directory) == ["real"]


def test_the_temporary_file_is_beside_the_target_and_hidden(target: Path, tmp_path: Path) -> None:
    with Builder(target, atomic=True) as b:
        (temporary,) = names(tmp_path)
        assert temporary.startswith(".")
        assert os.path.samestat(os.fstat(b.descriptor), (tmp_path / temporary).stat())


def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(
    target: Path, tmp_path: Path
) -> None:
    with Builder(target, atomic=True) as b:
        (temporary,) = names(tmp_path)
        b.discard()
    victim = tmp_path / "victim"
    victim.write_bytes(b"not to be touched")
    (tmp_path / temporary).symlink_to(victim)
    try:
        with Builder(target, atomic=True) as b:
            b.write(b"new")
    except OSError:
        pass  # to refuse is as good as to go round it
    else:
        assert target.read_bytes() == b"new"
    assert victim.read_bytes() == b"not to be touched"


def test_what_a_killed_builder_left_is_no_obstacle(target: Path, tmp_path: Path) -> None:
    code = """
        import os, signal, sys
        from mmapbuilder import Builder
        b = Builder(sys.argv[1], atomic=True)
        b.write(b"half of the n")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    target.write_bytes(b"old")
    assert processes.python(code, target).signal == "SIGKILL"
    assert target.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    with Builder(target, atomic=True) as b:
        b.write(b"new")
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["target"]


def test_two_atomic_builders_on_one_target(target: Path, tmp_path: Path) -> None:
    with Builder(target, atomic=True) as first:
        first.write(b"first")
        with pytest.raises(BlockingIOError):
            Builder(target, atomic=True)
    assert target.read_bytes() == b"first"
    assert names(tmp_path) == ["target"]


def test_an_atomic_builder_keeps_others_off_its_target(target: Path) -> None:
    target.write_bytes(b"old")
    with Builder(target, atomic=True) as b:
        b.write(b"new")
        with pytest.raises(BlockingIOError):
            Builder(target)
    assert target.read_bytes() == b"new"


def test_the_longest_name_works(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with Builder(path, atomic=True) as b:
        b.write(b"new")
    assert path.read_bytes() == b"new"
    assert len(names(tmp_path)) == 1


def test_a_descriptor_cannot_be_replaced(target: Path) -> None:
    with target.open("w+b") as file:
        file.write(b"old")
        file.flush()
        with pytest.raises(ValueError, match="atomic"):
            Builder(file, atomic=True)
    assert target.read_bytes() == b"old"


def test_a_directory_that_cannot_be_replaced(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        Builder(tmp_path, atomic=True)
    assert names(tmp_path.parent).count(tmp_path.name) == 1


@pytest.mark.root
def test_a_full_disk_leaves_the_target_alone(mount, tmp_path: Path) -> None:
    disk = mount("tmpfs", 8 * MIB)
    path = disk / "file"
    path.write_bytes(b"old")
    b = Builder(path, atomic=True)
    with memoryview(b) as view:
        view[0 : 32 * MIB : 4096] = b"x" * (8 * 1024)
    with no_room():
        b.close()
    assert path.read_bytes() == b"old"
    assert names(disk) == ["file"]


def test_a_directory_in_the_place_of_the_target_at_close(target: Path, tmp_path: Path) -> None:
    b = Builder(target, atomic=True)
    b.write(b"new")
    target.mkdir()
    with pytest.raises(OSError):
        b.close()
    assert b.closed
    assert names(tmp_path) == ["target"]


def test_a_temporary_file_that_was_taken_away(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    b = Builder(target, atomic=True)
    b.write(b"new")
    (temporary,) = set(names(tmp_path)) - {"target"}
    (tmp_path / temporary).unlink()
    (tmp_path / temporary).write_bytes(b"not ours")
    with pytest.raises(OSError):
        b.close()
    assert b.closed
    assert target.read_bytes() == b"old"
    assert (tmp_path / temporary).read_bytes() == b"not ours"


def test_close_with_views_gives_the_file_its_name(target: Path, tmp_path: Path) -> None:
    b = Builder(target, atomic=True)
    view = b.allocate(3)
    view[:] = b"new"
    b.close()
    assert target.read_bytes() == view == b"new"
    assert names(tmp_path) == ["target"]


@pytest.mark.parametrize("name", ["", "new/", "no/new"])
def test_errors_name_the_file_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    told = []
    for atomic in (False, True):
        with pytest.raises(OSError) as caught:
            Builder(name, atomic=atomic)
        told.append((type(caught.value), caught.value.filename))
    assert told[0] == told[1]
    assert told[0][1] == name
    assert os.listdir() == []
