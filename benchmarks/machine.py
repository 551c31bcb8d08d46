"""What the figures were measured on."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import mmapbuilder
from benchmarks.places import kind_of


def _first_line(path: str, start: str) -> str:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(start):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return "unknown"


def _version(package: str) -> str:
    if package == "mmapbuilder":  # which may be used from its source tree
        return str(mmapbuilder.__version__)
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


def _commit(root: Path) -> str:
    if shutil.which("git") is None:
        return "unknown"
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"


def _mount_of(directory: str) -> str:
    """Device and options of the file system that holds a directory."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        device, point, kind, options = line.split()[:4]
        inside = directory == point or directory.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best[0]):
            best = (point, f"{kind} on {os.path.basename(device)} ({options})")
    return best[1]


def describe(root: Path, places: dict[str, str]) -> dict[str, object]:
    """Machine, kernel, file systems and versions, as JSON takes them."""
    thp = "/sys/kernel/mm/transparent_hugepage"
    return {
        "processor": _first_line("/proc/cpuinfo", "model name"),
        "processors": os.cpu_count(),
        "virtual": "hypervisor" in _first_line("/proc/cpuinfo", "flags"),
        "memory": _first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "huge pages": _setting(f"{thp}/enabled"),
        "dirty_background_ratio": _setting("/proc/sys/vm/dirty_background_ratio"),
        "dirty_ratio": _setting("/proc/sys/vm/dirty_ratio"),
        "file systems": {
            kind: _mount_of(os.path.realpath(path))
            for kind, path in places.items()
            if kind_of(path)
        },
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
        "commit": _commit(root),
        "versions": {
            name: _version(name)
            for name in (
                "mmapbuilder",
                "numpy",
                "pyarrow",
                "pycapnp",
                "fastavro",
                "mcap",
                "msgspec",
                "orjson",
                "protobuf",
            )
        },
    }
