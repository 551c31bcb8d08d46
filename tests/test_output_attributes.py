"""Owner, permissions and attributes of a file that another one replaces."""

from __future__ import annotations

import os
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmapbuilder._output.opening as opening
from mmapbuilder import Builder
from support.processes import python
from support.requirements import missing

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
both_ways = pytest.mark.parametrize("atomic", [False, True])
NOBODY = 65534
ACL = "system.posix_acl_access"
DEFAULT_ACL = "system.posix_acl_default"


@pytest.fixture
def path() -> Iterator[Path]:
    """A file that another user may replace, in a directory that he may enter."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        path = Path(folder, "target")
        path.write_bytes(b"old content")
        yield path


def rebuild(path: Path, atomic: bool) -> None:
    with Builder(path, atomic=atomic) as b:
        b.write(b"new")
    assert path.read_bytes() == b"new"


REBUILD_AS_NOBODY = """
    import os, sys
    from mmapbuilder import Builder
    os.setgroups([int(g) for g in sys.argv[3:]])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    with Builder(sys.argv[1], atomic=sys.argv[2] == "True") as b:
        b.write(b"new")
"""


def rebuild_as_nobody(path: Path, atomic: bool, *groups: int) -> None:
    if os.geteuid() != 0:
        missing("only root can become another user")
    python(REBUILD_AS_NOBODY, path, atomic, *groups).ok()
    assert path.read_bytes() == b"new"


def owner_and_mode(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


@pytest.mark.root
@both_ways
def test_the_owner_stays_the_owner(path: Path, atomic: bool) -> None:
    if os.geteuid() != 0:
        missing("only root can give a file away")
    os.chown(path, NOBODY, 12345)
    path.chmod(0o640)
    rebuild(path, atomic)
    assert owner_and_mode(path) == (NOBODY, 12345, 0o640)


@pytest.mark.root
@both_ways
@pytest.mark.parametrize("mode", [0o4777, 0o6777, 0o2777])
def test_no_rights_of_another_owner_are_gained(path: Path, atomic: bool, mode: int) -> None:
    """A file that comes to another owner runs with nobody's rights."""
    if os.geteuid() != 0:
        missing("only root can become another user")
    path.chmod(mode)
    rebuild_as_nobody(path, atomic)
    assert owner_and_mode(path) == (NOBODY, NOBODY, 0o777)


@pytest.mark.root
@both_ways
def test_what_another_user_gave_root_to_run_stays_his(path: Path, atomic: bool) -> None:
    """The rebuild of root is no program that runs as root."""
    if os.geteuid() != 0:
        missing("only root can give a file away")
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o4777)
    rebuild(path, atomic)
    uid, _, mode = owner_and_mode(path)
    assert not (mode & stat.S_ISUID and uid == 0)
    assert uid == NOBODY


@pytest.mark.root
@both_ways
def test_another_group_gets_no_more_than_everybody(path: Path, atomic: bool) -> None:
    path.chmod(0o666)
    if os.geteuid() != 0:
        missing("only root can give a file away")
    os.chown(path, 0, 12345)
    path.chmod(0o676)
    rebuild_as_nobody(path, atomic)
    assert owner_and_mode(path) == (NOBODY, NOBODY, 0o666)


@pytest.mark.root
@both_ways
def test_a_group_that_one_is_in_is_kept(path: Path, atomic: bool) -> None:
    if os.geteuid() != 0:
        missing("only root can give a file away")
    os.chown(path, 0, 12345)
    path.chmod(0o664)
    rebuild_as_nobody(path, atomic, 12345)
    assert owner_and_mode(path) == (NOBODY, 12345, 0o664)


@both_ways
def test_the_new_file_is_its_owners_alone_until_all_is_set(
    path: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    keep = opening.keep_attributes

    def look_first(old: int, status: os.stat_result, new: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(new).st_mode))
        keep(old, status, new)

    monkeypatch.setattr(opening, "keep_attributes", look_first)
    path.chmod(0o644)
    before = os.umask(0)
    try:
        rebuild(path, atomic)
    finally:
        os.umask(before)
    assert seen == [0o600]


# ---- extended attributes ----------------------------------------------------------------


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        missing(f"no {name} here: {error}")


def acl(*entries: tuple[int, int, int]) -> bytes:
    """An access control list as the kernel takes it: (tag, rights, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xFFFFFFFF
READ_BY_12345 = acl(
    (1, 6, NO_ID), (2, 4, 12345), (4, 0, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)
)  # owner, one user, group, mask, others


@linux_only
@both_ways
def test_attributes_of_programs_are_kept(path: Path, atomic: bool) -> None:
    set_attribute(path, "user.origin", b"here")
    rebuild(path, atomic)
    assert os.getxattr(path, "user.origin") == b"here"


@linux_only
@both_ways
def test_an_access_control_list_is_kept(path: Path, atomic: bool) -> None:
    set_attribute(path, ACL, READ_BY_12345)
    mode = stat.S_IMODE(path.stat().st_mode)
    rebuild(path, atomic)
    assert os.getxattr(path, ACL) == READ_BY_12345
    assert stat.S_IMODE(path.stat().st_mode) == mode


@linux_only
@both_ways
def test_the_list_of_the_directory_opens_the_file_to_nobody(path: Path, atomic: bool) -> None:
    """Every new file there can be read by user 12345: the old one could not."""
    path.chmod(0o660)
    set_attribute(path.parent, DEFAULT_ACL, READ_BY_12345)
    rebuild(path, atomic)
    assert ACL not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


@linux_only
@both_ways
def test_where_the_list_cannot_be_kept_the_group_gets_no_more_than_everybody(
    path: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bits of the group are those of the whole list."""
    set_attribute(path, ACL, READ_BY_12345)

    def refuse(*_: object) -> None:
        raise OSError(1, "not permitted")

    monkeypatch.setattr(os, "setxattr", refuse)
    rebuild(path, atomic)
    assert ACL not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.root
@linux_only
@both_ways
def test_capabilities_are_not_kept(path: Path, atomic: bool) -> None:
    """What the new file would do with them, nobody has looked at."""
    raw = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # to bind to low ports
    set_attribute(path, "security.capability", raw)
    rebuild(path, atomic)
    assert "security.capability" not in os.listxattr(path)
