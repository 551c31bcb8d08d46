"""What kind of file one is, from its first bytes: the commands do with each what suits it."""

import os
import struct
import warnings
from typing import NamedTuple

from .. import InvalidMessage, Log, open_log
from .ends import Failure
from .inputs import Input

MESSAGE, UNFINISHED, LOG = "message", "unfinished message", "log"
NPY, UNFINISHED_NPY, INDEX = "NumPy array", "unfinished NumPy array", "index of a log"
PACKED, EMPTY, UNKNOWN = "compressed file", "empty file", "unknown"

_MAGICS = {
    b"\x93NUMPY\xff\xff": UNFINISHED_NPY,
    b"\x93NUMPY": NPY,
    b"MMBLOGX": INDEX,
    b"BZh": PACKED,
    b"\x28\xb5\x2f\xfd": PACKED,
    b"\x1f\x8b": PACKED,
    b"\xfd7zXZ\0": PACKED,
}
_MOST_SEGMENTS = 511
_WORD = 8


class Table(NamedTuple):
    """The segment table of a message."""

    start: int
    """Of the message, in its file."""
    words: tuple[int, ...]
    """Of each segment."""

    @property
    def bytes(self) -> int:
        """Bytes of the table itself."""
        return (4 + 4 * len(self.words) + 7) // _WORD * _WORD

    @property
    def end(self) -> int:
        """Where the message ends in its file."""
        return self.start + self.bytes + _WORD * sum(self.words)


def table_at(fd: int, start: int) -> "Table | None":
    """Read the table that stands at a place of a file, if one that readers accept does."""
    head = os.pread(fd, 4 + 4 * _MOST_SEGMENTS, start)
    if len(head) < _WORD:
        return None
    count = struct.unpack_from("<I", head)[0] + 1
    if count > _MOST_SEGMENTS or len(head) < 4 + 4 * count:
        return None
    return Table(start, struct.unpack_from(f"<{count}I", head, 4))


def kind_of(file: Input) -> str:
    """Tell what kind of file it is.

    A file of one message is a message, and a log as well: what `open_log` reads. It is called a
    log if it has an index beside it, or ends as a log that is being written.
    """
    with _opened(file) as fd:
        size = os.fstat(fd).st_size
        head = os.pread(fd, 16, 0)
        if size == 0:
            return EMPTY
        for magic, kind in _MAGICS.items():
            if head.startswith(magic):
                return kind
        if head[:4] == b"\xff\xff\xff\xff":
            return UNFINISHED
        first = table_at(fd, 0)
        if first is None:
            return UNKNOWN
        if first.end > size:  # a fence and nothing before it, or a message that was cut
            return LOG if _is_open_log(file) else UNKNOWN
        if first.end == size:
            return LOG if os.path.exists(f"{file.path}.idx") else MESSAGE
        return LOG if _holds_more(fd, first.end, size) else MESSAGE


def _holds_more(fd: int, place: int, size: int) -> bool:
    """Whether what follows a message is another one, the fence of a log, or zeros of one."""
    table = table_at(fd, place)
    return table is not None and sum(table.words) > 0 and table.words[0] > 0


def _is_open_log(file: Input) -> bool:
    try:
        with opened_log(file, index=False) as log:
            return log.committed == 0 and log.torn == 0
    except (InvalidMessage, Failure, OSError):
        return False


class _opened:  # noqa: N801
    """A context that gives a descriptor of a regular file."""

    def __init__(self, file: Input) -> None:
        self._file = file

    def __enter__(self) -> int:
        from .._output import open_regular

        self._fd: int = open_regular(self._file.path, os.O_RDONLY)
        return self._fd

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def opened(file: Input) -> _opened:
    """Open a file by its descriptor, for a while."""
    return _opened(file)


def opened_log(file: Input, schema: object = None, *, index: bool = True) -> Log:
    """Open a log, without a warning about what stands behind its messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return open_log(file.path, schema, index=index)


def require(kind: str, file: Input, *allowed: str) -> None:
    """Refuse a file of another kind, and say what it is."""
    if kind in allowed:
        return
    hint = {
        UNFINISHED: "its builder has not closed it; `mmapbuilder recover` may finish it",
        EMPTY: "there is nothing in it",
        UNKNOWN: "its bytes are no message; `mmapbuilder verify` says more",
    }.get(kind, f"this needs a {' or '.join(allowed)}")
    raise Failure(f"{file.shown}: {_with_article(kind)}: {hint}")


def _with_article(kind: str) -> str:
    if kind == UNKNOWN:
        return "of no known kind"
    return f"{'an' if kind[0] in 'aeiu' else 'a'} {kind}"
