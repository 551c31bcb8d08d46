"""Checking logs, and making whole what a crash has left of one."""

import os

from .. import _core
from .._output import lock_to_change, open_regular
from .index_file import hold_index, index_path, make_index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Progress: TypeAlias = "Callable[[int], object] | None"
    # What `_core.verify` says of the first message, as if it were alone, and then the fields of
    # a `LogReport`.
    Found: TypeAlias = tuple[tuple[Any, ...], int, int, str, int, bool]
else:
    Found = tuple  # for those who evaluate annotations

_OFTEN = 8 << 20  # bytes between two calls of progress


def is_log(fd: int, path: "str | bytes") -> bool:
    """Whether the file is taken for a log, because of its index or of what it holds.

    A log holds more than one message, or a fence behind its messages.
    """
    if os.path.exists(index_path(path)):
        return True
    try:
        log = _core.LogReader(fd, -1, "", True)
    except OSError:
        return False
    return len(log) > 1 or log.tail[0] == "fence"


def verify_log(fd: int, path: "str | bytes", progress: "Progress" = None) -> "Found":
    """Check the pointers of all messages; tell `progress` how many bytes that is by now.

    Raises:
        InvalidMessage: one is wrong; the text says which, and where it stands.
        OSError: the file cannot be read.
    """
    name = os.fsdecode(path)
    index = hold_index(path)
    log = _core.LogReader(fd, index.fileno() if index is not None else -1, name)
    good = _count_good(log, progress)
    if good < len(log):
        _raise_at(log, good, name)
    return _report(log, 0, not compare_with_index(log, name))


def compare_with_index(log: _core.LogReader, name: str) -> bool:
    """Compare all messages with the checksums of the index; return whether all have one.

    Raises:
        InvalidMessage: some are not what was appended; the text says which.
    """
    good, checked = _agree_with_index(log)
    if good == len(log):
        return checked
    last = min(good + _core.INDEX_BLOCK, len(log)) - 1
    start, _ = log.place(good)
    reason = (
        f"messages {good} to {last}, from byte {start} on, are not all what was appended: the "
        "index has another checksum of them"
    )
    error = _core.InvalidMessage(f"{name}: {reason}")
    error.reason = reason
    raise error


def compare_file(path: "str | bytes") -> tuple[bool, int]:
    """Compare the log at `path` with the checksums of its index, and change nothing.

    Return whether all messages have a checksum, and how many bytes at the end the machine has
    lost when it went down.

    Raises: as `compare_with_index`, and OSError if the file cannot be read.
    """
    name = os.fsdecode(path)
    fd = open_regular(path, os.O_RDONLY)
    try:
        index = hold_index(path)
        log = _core.LogReader(fd, index.fileno() if index is not None else -1, name)
    finally:
        os.close(fd)
    kind, behind = log.tail
    return compare_with_index(log, name), behind if kind == "lost" else 0


def _agree_with_index(log: _core.LogReader) -> tuple[int, bool]:
    """Return how many messages come before those that the index has another checksum of.

    Also return whether all messages have a checksum.
    """
    found = log.unchecked is False
    if log.unchecked is None:
        found = True
        for first in range(0, len(log), _core.INDEX_BLOCK):
            agrees = log.compare(first)
            if agrees is False:
                return first, found
            found = found and agrees is True
    return len(log), found


def _count_good(log: _core.LogReader, progress: "Progress") -> int:
    """Return how many messages there are before the first whose pointers are wrong."""
    memory = memoryview(log)
    told = 0
    for number in range(len(log)):
        start, size = log.place(number)
        inside = None if progress is None or size < _OFTEN else _behind(start, progress)
        try:
            _core.verify(memory[start : start + size], None, inside)
        except _core.InvalidMessage:
            return number
        if progress is not None and start + size - told >= _OFTEN:
            told = start + size
            progress(told)
    return len(log)


def _behind(start: int, progress: "Callable[[int], object]") -> "Callable[[int], object]":
    """Return a function that tells of the bytes of one message those of the whole log."""
    return lambda done: progress(start + done)


def _raise_at(log: _core.LogReader, number: int, name: str) -> None:
    start, size = log.place(number)
    try:
        _core.verify(memoryview(log)[start : start + size], None, None)
    except _core.InvalidMessage as error:
        error.args = (f"{name}: message {number}, at byte {start}: {error}",)
        raise


def _report(log: _core.LogReader, dropped: int, unchecked: bool) -> "Found":
    kind, behind = log.tail
    memory = memoryview(log)
    first: tuple[Any, ...] = ()
    if len(log) > 0:
        size = log.place(0)[1]
        seen = _core.verify(memory[:size], None, None)
        first = (seen[0], log.committed + behind - size, *seen[2:])
    return (first, len(log), log.committed, kind, dropped, unchecked)


def recover_log(path: "str | bytes", durable: bool = False, progress: "Progress" = None) -> "Found":
    """Cut the log behind its last good message, and make its index anew.

    Raises:
        BlockingIOError: a writer is at work.
        OSError: the file cannot be read or written.
    """
    fd = open_regular(path, os.O_RDWR)
    try:
        lock_to_change(fd, path)
        return _recover(fd, path, durable, progress)
    finally:
        os.close(fd)


def _recover(fd: int, path: "str | bytes", durable: bool, progress: "Progress") -> "Found":
    name = os.fsdecode(path)
    size = os.fstat(fd).st_size
    index = hold_index(path)
    found = _core.LogReader(fd, index.fileno() if index is not None else -1, name, True)
    whole, is_torn = found.committed, found.tail[0] == "torn"
    if found.unchecked is not None:  # the machine went down: these are left
        number, unchecked = len(found), found.unchecked
        all_of_it = _core.LogReader(fd, -1, name, True)
        whole, is_torn = all_of_it.committed, all_of_it.tail[0] == "torn"
    elif found.indexed:
        number, checked = _agree_with_index(found)
        number = number if checked else min(number, _count_good(found, progress))
        unchecked = not checked
    else:
        number, unchecked = _count_good(found, progress), True
    end = found.committed if number == len(found) else found.place(number)[0]
    dropped = (size if is_torn else whole) - end
    if end < size:
        os.ftruncate(fd, end)
    if durable:
        os.fsync(fd)
    log = _core.LogReader(fd, -1, name)
    try:
        make_index(path, fd, log)
    except OSError:
        pass  # no right, or no room, to make one; one that does not fit is not used
    return _report(log, dropped, unchecked)
