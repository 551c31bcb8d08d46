"""Devices that fail while files on them are open, each in a way of its own.

A *failing device* is a mounted file system and a function that breaks it: from then on the
kernel refuses to write, or to read, or both.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.mounts import MIB, mounted
from support.requirements import missing, tool

# _IOR('X', 125, __u32): EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are the same number.
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = 2


@dataclass(frozen=True)
class FailingDevice:
    """A mounted file system, and what breaks it."""

    point: Path
    break_it: Callable[[], None]


def _shut_down(point: Path) -> None:
    fd = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_LOG.to_bytes(4, "little"))
    finally:
        os.close(fd)


def _loop_device(point: Path) -> str:
    device = os.stat(point).st_dev
    link = os.readlink(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    return os.path.basename(link)


@contextlib.contextmanager
def ext4_read_only(directory: Path) -> Iterator[FailingDevice]:
    """An ext4 that finds an error and turns read-only, as most of them are set up to."""
    with mounted("ext4", directory, 256 * MIB, "errors=remount-ro") as point:

        def find_error() -> None:
            name = _loop_device(point)
            Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("1")

        yield FailingDevice(point, find_error)


@contextlib.contextmanager
def shut_down(directory: Path, kind: str) -> Iterator[FailingDevice]:
    """An ext4 or XFS that is shut down, as after an error in its journal."""
    with mounted(kind, directory, 400 * MIB) as point:
        yield FailingDevice(point, lambda: _shut_down(point))


@contextlib.contextmanager
def thin(directory: Path) -> Iterator[FailingDevice]:
    """An ext4 on an image for whose blocks the disk below has no room any more."""
    below = directory / "below"
    below.mkdir()
    with (
        mounted("tmpfs", below, 80 * MIB) as disk,
        mounted("ext4", disk, 64 * MIB, "errors=remount-ro") as point,
    ):

        def take_the_room() -> None:
            with contextlib.suppress(OSError), (disk / "others").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(MIB))

        yield FailingDevice(point, take_the_room)


@contextlib.contextmanager
def dead_device(directory: Path) -> Iterator[FailingDevice]:
    """An ext4 on a device that answers every read and every write with an error.

    The device is a loop image on a FUSE file system whose connection is aborted.
    """
    with (
        fuse_aborted(directory) as below,
        mounted("ext4", directory, 256 * MIB, images=below.point) as point,
    ):
        yield FailingDevice(point, below.break_it)


@contextlib.contextmanager
def fuse_aborted(directory: Path) -> Iterator[FailingDevice]:
    """A FUSE file system whose connection is aborted, as when its daemon dies."""
    bindfs = tool("bindfs", "bindfs")
    if not os.path.exists("/dev/fuse"):
        missing("there is no /dev/fuse")
    below, point = directory / "below", directory / "fuse-mount"
    below.mkdir()
    point.mkdir()
    done = subprocess.run([bindfs, below, point], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        missing(f"bindfs: {done.stderr.strip()}")
    control = Path("/sys/fs/fuse/connections")
    try:
        number = os.minor(os.stat(point).st_dev)
        if not (control / str(number)).exists():
            subprocess.run(["mount", "-t", "fusectl", "fusectl", control], check=True, timeout=30)
        yield FailingDevice(point, lambda: _write(control / str(number) / "abort"))
    finally:
        subprocess.run([tool("umount", "mount"), "-l", str(point)], check=True, timeout=60)


@contextlib.contextmanager
def dm_error(directory: Path) -> Iterator[FailingDevice]:
    """An ext4 on a device of the device mapper, all of whose sectors turn into errors."""
    dmsetup = tool("dmsetup", "dmsetup")
    losetup = tool("losetup", "mount")
    if not os.path.exists("/dev/mapper/control") or not _has_target(dmsetup, "error"):
        pytest.skip("this kernel has no device mapper")
    image, name, point = directory / "dm.image", f"mmapbuilder-{os.getpid()}", directory / "dm"
    with image.open("wb") as file:
        file.truncate(256 * MIB)
    point.mkdir()
    loop = _output_of(losetup, "--find", "--show", str(image))
    sectors = 256 * MIB // 512
    try:
        _output_of(dmsetup, "create", name, "--table", f"0 {sectors} linear {loop} 0")
        device = f"/dev/mapper/{name}"
        _output_of(tool("mkfs.ext4", "e2fsprogs"), "-q", "-F", device)
        _output_of(tool("mount", "mount"), device, str(point))

        def fail() -> None:
            _output_of(dmsetup, "suspend", "--noflush", "--nolockfs", name)
            _output_of(dmsetup, "load", name, "--table", f"0 {sectors} error")
            _output_of(dmsetup, "resume", name)

        yield FailingDevice(point, fail)
    finally:
        for command in (
            [tool("umount", "mount"), "-l", str(point)],
            [dmsetup, "remove", "--deferred", name],
            [losetup, "--detach", loop],
        ):
            subprocess.run(command, capture_output=True, timeout=60, check=False)


def _has_target(dmsetup: str, target: str) -> bool:
    done = subprocess.run([dmsetup, "targets"], capture_output=True, text=True, timeout=30)
    return done.returncode == 0 and target in done.stdout


def _output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout.strip()


def _write(path: Path) -> None:
    path.write_text("1")


DEVICES: dict[str, Callable[[Path], contextlib.AbstractContextManager[FailingDevice]]] = {
    "ext4-read-only": ext4_read_only,
    "ext4-shut-down": lambda directory: shut_down(directory, "ext4"),
    "xfs-shut-down": lambda directory: shut_down(directory, "xfs"),
    "thin-device-full": thin,
    "fuse-aborted": fuse_aborted,
    "dead-device": dead_device,
    "dm-error": dm_error,
}
