"""What tests require of a machine: where it lacks that they are skipped, or fail under CI=true."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from support.gil import FREE_THREADED

# Wheels are tested in bare containers and on other systems, under CI=true as well.
EVERYTHING_MUST_RUN = (
    os.environ.get("CI") == "true" and os.environ.get("MMAPBUILDER_WHEEL_TEST") != "1"
)

# What comes with the extra `test`, and with Python itself unless it was built without. Of the
# first three there are wheels for every Python that is tested (or, of pycapnp, the sources and
# what builds them: .ci/build-pycapnp); of the others not for all.
EVERYWHERE = ["capnp", "hypothesis", "numpy"]
WITH_GIL = ["PIL.Image", "_testcapi", "gunicorn", "lzma", "pyarrow.parquet", "rich", "ssl"]
WITH_GIL.append("compression.zstd" if sys.version_info >= (3, 14) else "zstandard")
TEST = EVERYWHERE if FREE_THREADED else EVERYWHERE + WITH_GIL
# What comes with the extra `dev`.
DEVELOPMENT = [
    "attrs",
    "dask.dataframe",
    "distributed",
    "duckdb",
    "fsspec",
    "furo",
    "ipykernel",
    "matplotlib",
    "msgspec",
    "mypy",
    "myst_parser",
    "nbclient",
    "pandas",
    "polars",
    "ruff",
    "sphinx",
    "sphinx_copybutton",
    "tqdm",
]
# All that tests can do without; what the last two are for is in tests/engines, and fails there.
KNOWN = {"compression.zstd", "zstandard", *EVERYWHERE, *WITH_GIL, *DEVELOPMENT, "ray", "torch"}
KNOWN |= {name.partition(".")[0] for name in KNOWN}


def has(name: str) -> bool:
    """Whether there is a package of this name."""
    return importlib.util.find_spec(name) is not None


def needed() -> list[str]:
    """The packages that must not be missing under CI=true.

    An environment with the linter is that of the extra `dev`.
    """
    return TEST + (DEVELOPMENT if has("ruff") else [])


def missing(reason: str) -> NoReturn:
    """Skip the test; under CI=true fail, since nobody would look at the skips."""
    if EVERYTHING_MUST_RUN:
        pytest.fail(f"{reason} (nothing may be skipped under CI=true)", pytrace=False)
    pytest.skip(reason)


def without(*names: str) -> NoReturn:
    """Skip the test for want of packages; under CI=true fail if they must be there."""
    text = f"not installed: {', '.join(names)}"
    if {name.partition(".")[0] for name in needed()} & set(names):
        missing(text)
    pytest.skip(text)


def tool(name: str, package: str) -> str:
    """The path of a program, or `missing`."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not installed (Debian: {package})")
    return found


def need_attributes(directory: Path) -> None:
    """Skip the test where files have no extended attributes of users."""
    try:
        os.setxattr(directory, "user.test", b"")
    except OSError as error:
        missing(f"extended attributes of users: {error}")
