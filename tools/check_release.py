"""Whether a directory holds one whole release: tools/check_release.py DIRECTORY [TAG].

That is an sdist and a wheel for each kind of Python, C library, system and processor that
pyproject.toml promises, all of one version, which is also that of the tag.
"""

from __future__ import annotations

import itertools
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PYTHONS = ("cp311-abi3", "cp314-cp314t", "cp315-cp315t")
# How the platform of each begins and ends; what is between is the age of the C library.
PLATFORMS = (
    ("manylinux", "_x86_64"),
    ("manylinux", "_aarch64"),
    ("musllinux", "_x86_64"),
    ("musllinux", "_aarch64"),
    ("macosx", "_x86_64"),
    ("macosx", "_arm64"),
)


def version() -> str:
    """The version of this tree."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def faults(names: Iterable[str], tag: str = "") -> list[str]:
    """What is wrong with a release of files of these names."""
    left = set(names)
    wanted = f"mmapbuilder-{version()}"
    found = []
    if tag and tag != f"v{version()}":
        found.append(f"the tag is {tag}, the version {version()}")
    if f"{wanted}.tar.gz" not in left:
        found.append(f"there is no {wanted}.tar.gz")
    left.discard(f"{wanted}.tar.gz")
    for python, (begin, end) in itertools.product(PYTHONS, PLATFORMS):
        head = f"{wanted}-{python}-{begin}"
        fits = {name for name in left if name.startswith(head) and name.endswith(f"{end}.whl")}
        if len(fits) != 1:
            found.append(f"there are {len(fits)} wheels {head}*{end}.whl")
        left -= fits
    return found + [f"nobody asked for {name}" for name in sorted(left)]


def main() -> None:
    found = faults((path.name for path in Path(sys.argv[1]).iterdir()), *sys.argv[2:3])
    if found:
        sys.exit("\n".join(found))
    print(f"one whole release of {version()}")


if __name__ == "__main__":
    main()
