"""What a Builder refuses to open: at once, clearly, and without a trace."""

from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support import processes
from support.requirements import missing

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        Builder(tmp_path)
    assert caught.value.filename == str(tmp_path)
    number = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError):
            Builder(number)
    finally:
        os.close(number)


@pytest.mark.parametrize("atomic", [False, True])
def test_an_address_of_an_object_store(atomic: bool) -> None:
    with pytest.raises(FileNotFoundError, match="local file system: upload") as caught:
        Builder("s3://bucket/file", atomic=atomic)
    assert caught.value.filename == "s3://bucket/file"


def test_a_pipe() -> None:
    ends = os.pipe()
    try:
        for number in ends:
            with pytest.raises((OSError, ValueError), match=r".{10}"):
                Builder(number)
    finally:
        for number in ends:
            os.close(number)


def test_a_fifo_is_refused_at_once(target: Path) -> None:
    os.mkfifo(target)
    # In a process of its own: an open that waits for a reader would wait for ever.
    code = """
        import sys
        from mmapbuilder import Builder
        for mode in "w", "r+":
            try:
                Builder(sys.argv[1], mode)
            except (OSError, ValueError) as error:
                print(type(error).__name__)
    """
    assert len(processes.python(code, target, timeout=30).ok().out.splitlines()) == 2
    assert stat.S_ISFIFO(target.stat().st_mode)


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device(device: str) -> None:
    with pytest.raises((OSError, ValueError), match=r".{10}"):
        Builder(device)


def test_a_descriptor_that_cannot_be_written(target: Path) -> None:
    target.write_bytes(b"old")
    for flags in (os.O_RDONLY, os.O_WRONLY):
        number = os.open(target, flags)
        try:
            with pytest.raises((OSError, ValueError), match=r".{10}"):
                Builder(number)
        finally:
            os.close(number)
    assert target.read_bytes() == b"old"


def test_a_descriptor_that_appends(target: Path) -> None:
    target.write_bytes(b"old")
    number = os.open(target, os.O_RDWR | os.O_APPEND)
    try:
        with pytest.raises((OSError, ValueError), match="append"):
            Builder(number)
    finally:
        os.close(number)
    assert target.read_bytes() == b"old"


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system has no O_DIRECT")
def test_a_descriptor_for_direct_io(target: Path) -> None:
    target.write_bytes(b"old")
    try:
        number = os.open(target, os.O_RDWR | os.O_DIRECT)
    except OSError as error:
        missing(f"the file system here has no direct I/O: {error}")
    try:
        with pytest.raises(OSError, match="O_DIRECT") as caught:
            Builder(number)
    finally:
        os.close(number)
    assert caught.value.errno == errno.EINVAL
    assert target.read_bytes() == b"old"


def test_a_descriptor_that_is_not_open(target: Path) -> None:
    number = os.open(target, os.O_RDWR | os.O_CREAT)
    os.close(number)
    with pytest.raises(OSError):
        Builder(number)
    with pytest.raises((OSError, ValueError)):
        Builder(-1)


def test_a_file_object_without_a_descriptor() -> None:
    for file in (io.BytesIO(), io.StringIO(), io.BufferedRandom(io.BytesIO())):  # type: ignore[type-var]
        with pytest.raises(
            io.UnsupportedOperation, match=rf"no file.*behind this {type(file).__name__}"
        ):
            Builder(file)


def test_a_file_without_permission(target: Path) -> None:
    target.write_bytes(b"old")
    target.chmod(0o444)
    code = """
        import os, sys
        from mmapbuilder import Builder
        os.chdir(sys.argv[1])  # while we may
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        for atomic in False, True:
            try:
                Builder("target", atomic=atomic)
            except PermissionError as error:
                print(error.filename)
    """
    target.parent.chmod(0o555)
    try:
        lines = processes.python(code, target.parent).ok().out.splitlines()
    finally:
        target.parent.chmod(0o755)
    assert len(lines) == 2
    assert lines[0] == "target"
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["target"]


@pytest.mark.root
@linux_only
def test_hugetlbfs(tmp_path: Path) -> None:
    point = tmp_path / "huge"
    point.mkdir()
    done = subprocess.run(
        ["mount", "-t", "hugetlbfs", "none", str(point)], capture_output=True, text=True
    )
    if done.returncode != 0:
        missing(f"hugetlbfs cannot be mounted: {done.stderr.strip()}")
    try:
        for atomic in (False, True):
            with pytest.raises((OSError, ValueError), match=r".{10}"):
                Builder(point / "file", atomic=atomic)
        assert list(point.iterdir()) == []
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_a_refusal_opens_nothing(tmp_path: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        missing("descriptors cannot be counted here")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(OSError):
            Builder(tmp_path)
        with pytest.raises(OSError):
            Builder(tmp_path / "missing" / "file")
        with pytest.raises(OSError):
            Builder(tmp_path / "file", capacity=1 << 62)
    assert len(os.listdir("/proc/self/fd")) == before
