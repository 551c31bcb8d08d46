"""What strace is told and tells, so that it is the same for each C library."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

from support.processes import STRICT, environment
from support.requirements import missing, tool

# glibc's pwrite() is the first of these system calls, and musl's is the second.
PWRITE = "pwrite64,pwritev2"

_VECTOR = re.compile(
    r"\bpwritev2\((\d+(?:<[^>]*>)?), \[\{iov_base=(.*), iov_len=(\d+)\}\], 1, (\d+), [^)]*\)"
)


def lines_of(log: Path) -> list[str]:
    """The lines of a log of strace, with each pwrite() as glibc makes it."""
    return [_VECTOR.sub(r"pwrite64(\1, \2, \3, \4)", line) for line in log.read_text().splitlines()]


def run(code: str, *arguments: str, options: list[str], log: Path, timeout: float) -> str:
    """Run a program of Python under strace, which writes `log`; return what the program printed."""
    done = subprocess.run(
        [
            *(tool("strace", "strace"), "-f", "-qq", "-o", str(log), *options),
            *(sys.executable, "-B", *STRICT, "-c", textwrap.dedent(code), *arguments),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if "ptrace" in done.stderr and "not permitted" in done.stderr:
        missing("ptrace is not permitted here")
    assert done.returncode == 0, done.stderr
    return done.stdout
