"""Where the files are made: file systems, and memory limits."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PLACES = ("ext4", "xfs", "tmpfs")


def kind_of(directory: str) -> str:
    """The type of the file system that holds a directory."""
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", directory], check=True, capture_output=True, text=True
    )
    return {"ext2/ext3": "ext4"}.get(done.stdout.strip(), done.stdout.strip())


@contextlib.contextmanager
def places(base: Path, wanted: list[str], size: int) -> Iterator[dict[str, str]]:
    """Directories by name of their file system, each with room for `size` bytes.

    `base` itself serves for its own kind; the others are mounted below it, which needs
    root. What cannot be had is left out, and said.
    """
    base.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    mounted: list[Path] = []
    for kind in wanted:
        point = base / kind
        point.mkdir(exist_ok=True)
        if kind != kind_of(str(base)):
            problem = _mount(kind, base, point, size)
            if problem:
                print(f"no {kind}: {problem}", file=sys.stderr)
                continue
            mounted.append(point)
        found[kind] = str(point)
    try:
        yield found
    finally:
        for point in mounted:
            subprocess.run(["umount", str(point)], check=False)
        shutil.rmtree(base, ignore_errors=True)


def _mount(kind: str, base: Path, point: Path, size: int) -> str:
    """Mount a fresh file system; return what is in the way, if anything."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if kind == "tmpfs":
        commands = [["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(point)]]
    else:
        image = base / f"{kind}.image"
        with image.open("wb") as file:
            file.truncate(size)
        commands = [
            [f"mkfs.{kind}", "-q", str(image)],
            ["mount", "-o", "loop", str(image), str(point)],
        ]
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            return f"{command[0]} is not installed"
        if done.returncode != 0:
            return done.stderr.strip()
    return ""


class Cgroup:
    """A limit on memory, page cache included, for the processes that join."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        name = f"mmapbuilder-bench-{os.getpid()}"
        old, new = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
        if old.is_dir():
            self._path, setting = old / name, "memory.limit_in_bytes"
        else:
            self._path, setting = new / name, "memory.max"
        self._path.mkdir()
        (self._path / setting).write_text(str(limit))

    def join(self) -> None:
        """Put this process under the limit."""
        (self._path / "cgroup.procs").write_text(str(os.getpid()))

    def remove(self) -> None:
        """Remove the limit; the processes must be gone."""
        with contextlib.suppress(OSError):
            self._path.rmdir()
