"""What a machine may lack: a reason to skip, but not where everything must run."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

# Wheels are tested in bare containers and on other systems, under CI=true as well.
EVERYTHING_MUST_RUN = (
    os.environ.get("CI") == "true" and os.environ.get("MMAPBUILDER_WHEEL_TEST") != "1"
)


def missing(reason: str) -> NoReturn:
    """Skip the test; under CI=true fail, since nobody would look at the skips."""
    if EVERYTHING_MUST_RUN:
        pytest.fail(f"{reason} (nothing may be skipped under CI=true)", pytrace=False)
    pytest.skip(reason)


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
