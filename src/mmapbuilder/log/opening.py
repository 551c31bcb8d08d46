"""Opening the file of a log and its index, for those who append."""

import errno
import operator
import os
import warnings

from .. import _core
from .._lazy import t
from .._output import Output
from .index_file import hold_index, index_path, make_index

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}


def bytes_of(roll: "int | str") -> int:
    """Return a number of bytes that may be spelled with its unit: ``"1GiB"``.

    Raises:
        ValueError: it is no size, or zero.
        TypeError: it is neither an int nor a str.
    """
    if isinstance(roll, str):
        number = roll.strip().rstrip("BbIiKkMmGgTt").strip()
        unit = roll.strip()[len(number) :].strip().upper()
        try:
            roll = int(float(number) * _UNITS[unit])
        except (KeyError, ValueError, OverflowError):
            raise ValueError(f"roll must be a size such as '1GiB', not {roll!r}") from None
    try:
        found = operator.index(roll)
    except TypeError:
        raise TypeError(f"roll must be a number of bytes or a str, not {roll!r}") from None
    if found <= 0:
        raise ValueError("roll must be more than zero")
    return found


# ---- files that follow each other --------------------------------------------------------


def following(path: "str | bytes", number: int) -> "str | bytes":
    """Return the name of the file in which the log at `path` goes on: 0 is itself.

    The names sort in the order of the files.
    """
    suffix = f".{number:06}" if number else ""
    return path + os.fsencode(suffix) if isinstance(path, bytes) else path + suffix


def last_number(path: "str | bytes") -> int:
    """Return the number of the last file of the log at `path` that is there."""
    number = 0
    while os.path.exists(following(path, number + 1)):
        number += 1
    return number


def remove_following(path: "str | bytes") -> None:
    """Remove the files in which the log at `path` went on, the last one first."""
    for number in range(last_number(path), 0, -1):
        old = following(path, number)
        for each in (index_path(old), old):
            try:
                os.unlink(each)
            except FileNotFoundError:
                pass


# ---- the file ----------------------------------------------------------------------------


def open_output(file: "t.FileLike", mode: str, holder: object, beside_others: bool) -> Output:
    """Open and lock the file of a log, which is made if it is not there."""
    if mode not in ("a", "w", "x"):
        raise ValueError(f"mode must be 'a', 'w' or 'x', not {mode!r}")
    if mode != "a":
        return Output.open(file, mode, beside_others=beside_others, holder=holder)
    while True:
        try:
            return Output.open(file, "r+", beside_others=beside_others, holder=holder)
        except FileNotFoundError:
            pass
        try:
            return Output.open(file, "x", beside_others=beside_others, holder=holder)
        except FileExistsError:
            pass


class Gate:
    """A context for opening or closing the log `fd`, which one process at a time enters.

    It gives False if the system has no such lock.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._entered = False

    def __enter__(self) -> bool:
        self._entered = _core.log_enter_gate(self._fd)
        return self._entered

    def __exit__(self, *_: object) -> None:
        if self._entered:
            _core.log_leave_gate(self._fd)


def busy(name: "t.Name", text: str) -> BlockingIOError:
    """Say which program is in the way."""
    return BlockingIOError(errno.EWOULDBLOCK, text, name)


def path_of(name: "t.Name") -> "str | bytes | None":
    """Return the path of the file, None if it was given as a descriptor."""
    return None if isinstance(name, int) else os.path.abspath(name)


def look(output: Output, mode: str, others: bool) -> _core.LogReader:
    """Find the messages that the file holds, and warn if bytes behind them will be dropped.

    If `others` are at work on it, nothing is dropped.
    """
    name = output.name
    fd = output.fileno()
    if mode == "w" and os.fstat(fd).st_size > 0:
        os.ftruncate(fd, 0)
    index = None if isinstance(name, int) else hold_index(name)
    index_fd = index.fileno() if index is not None else -1
    shown = str(name) if isinstance(name, int) else os.fsdecode(name)
    reader = _core.LogReader(fd, index_fd, shown)
    if reader.unchecked is not None and not others:
        _drop_what_was_lost(fd, reader, shown)
        os.unlink(index_path(name))
        reader = _core.LogReader(fd, -1, shown)
    kind, size = reader.tail
    if kind in ("torn", "zeros") and not others:
        _warn(shown, size, "no message; they are dropped")
    return reader


def _drop_what_was_lost(fd: int, left: _core.LogReader, shown: str) -> None:
    """Cut off what was lost when the machine went down; `left` has the messages that are left."""
    end = left.committed
    whole = _core.LogReader(fd, -1, shown, True).committed
    os.ftruncate(fd, end)
    if end < whole:
        _warn(shown, whole - end, "not what was appended, since the machine went down before "
              "the device had them; they are dropped")  # fmt: skip


def _warn(shown: str, size: int, what: str) -> None:
    warnings.warn(f"{shown}: the last {size} bytes are {what}", RuntimeWarning, stacklevel=6)


def open_index(
    path: "str | bytes | None", fd: int, reader: _core.LogReader, others: bool
) -> "_core.File | None":
    """Open the index for writing, and make one if none fits; None if there can be none."""
    if path is None:
        return None
    if not others:
        try:
            if reader.indexed == 0:
                make_index(path, fd, reader)
        except OSError:
            return None  # no right, or no room, to make one
    return hold_index(path, os.O_RDWR)
