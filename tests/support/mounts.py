"""File systems made for a test, and gone with it."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.requirements import missing, tool

MIB = 1 << 20

# The smallest that each mkfs accepts, with a little room.
SMALLEST = {"tmpfs": 0, "ext4": 4 * MIB, "xfs": 304 * MIB, "btrfs": 120 * MIB}

_MKFS = {
    "ext4": (["-q", "-F", "-m", "0"], "e2fsprogs"),
    "xfs": (["-q", "-f"], "xfsprogs"),
    "btrfs": (["-q", "-f"], "btrfs-progs"),
}


@contextlib.contextmanager
def no_room() -> Iterator[pytest.ExceptionInfo[OSError]]:
    """Expect that a disk is full, or a quota used up. C libraries differ in their words for it."""
    with pytest.raises(OSError) as caught:
        yield caught
    assert caught.value.errno in (errno.ENOSPC, errno.EDQUOT)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        missing(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


@contextlib.contextmanager
def mounted(
    kind: str, directory: Path, size: int, options: str = "", images: Path | None = None
) -> Iterator[Path]:
    """Mount a file system of `size` bytes: tmpfs, or another on a loop image.

    `directory` is for the mount point, and for the image if `images` is not. Needs root, or is
    `missing`.
    """
    if sys.platform != "linux":
        missing("mounts are made on Linux only")
    if os.geteuid() != 0:
        missing("mounting needs root")
    mount = tool("mount", "mount")
    size = max(size, SMALLEST[kind])
    point = directory / f"{kind}-mount"
    point.mkdir()
    if kind == "tmpfs":
        settings = ",".join(filter(None, [f"size={size}", options]))
        _run(mount, "-t", "tmpfs", "-o", settings, "tmpfs", str(point))
    else:
        flags, package = _MKFS[kind]
        image = (images or directory) / f"{kind}.image"
        with image.open("wb") as file:
            file.truncate(size)
        _run(tool(f"mkfs.{kind}", package), *flags, str(image))
        settings = ",".join(filter(None, ["loop", options]))
        _run(mount, "-t", kind, "-o", settings, str(image), str(point))
    try:
        yield point
    finally:
        # Lazily: a test that failed may still hold a map there.
        subprocess.run([tool("umount", "mount"), "-l", str(point)], check=True, timeout=60)
