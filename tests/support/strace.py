"""What strace is told and tells, so that it is the same for each C library."""

from __future__ import annotations

import re
from pathlib import Path

# glibc's pwrite() is the first of these system calls, and musl's is the second.
PWRITE = "pwrite64,pwritev2"

_VECTOR = re.compile(
    r"\bpwritev2\((\d+(?:<[^>]*>)?), \[\{iov_base=(.*), iov_len=(\d+)\}\], 1, (\d+), [^)]*\)"
)


def lines_of(log: Path) -> list[str]:
    """The lines of a log of strace, with each pwrite() as glibc makes it."""
    return [_VECTOR.sub(r"pwrite64(\1, \2, \3, \4)", line) for line in log.read_text().splitlines()]
