"""The kind of a file, which its first bytes tell. A command treats each kind in its own way."""

import contextlib
import os
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from .. import InvalidMessage, Log, open_log
from ..dataset.manifest import NAME as MANIFEST
from .ends import Failure
from .inputs import Input

MESSAGE, UNFINISHED, LOG = "message", "unfinished message", "log"
NPY, UNFINISHED_NPY, INDEX = "NumPy array", "unfinished NumPy array", "index of a log"
PACKED, EMPTY, UNKNOWN, DATASET = "compressed file", "empty file", "unknown", "dataset"

_MAGICS = {
    b"\x93NUMPY\xff\xff": UNFINISHED_NPY,
    b"\x93NUMPY": NPY,
    b"MMBLOGX": INDEX,
    b"BZh": PACKED,
    b"\x28\xb5\x2f\xfd": PACKED,
    b"\x1f\x8b": PACKED,
    b"\xfd7zXZ\0": PACKED,
}
SHARDS = "its shards are the files part-*.bin in it; in Python, open_dataset reads all of them"
_MOST_SEGMENTS = 511
_WORD = 8
_STRUCT, _FAR = 0, 2  # kinds of pointers


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
    """Read the segment table at a place of a file. None if no reader would accept it."""
    head = os.pread(fd, 4 + 4 * _MOST_SEGMENTS, start)
    if len(head) < _WORD:
        return None
    count = struct.unpack_from("<I", head)[0] + 1
    if count > _MOST_SEGMENTS or len(head) < 4 + 4 * count:
        return None
    return Table(start, struct.unpack_from(f"<{count}I", head, 4))


def kind_of(file: Input) -> str:
    """Tell what kind of file it is.

    A file of one message can be read as a message, and also as a log, by `open_log`. It is called
    a log if an index stands beside it, or if it ends as a log does that is being written.
    """
    if os.path.exists(os.path.join(file.path, MANIFEST)):
        return DATASET
    with opened(file) as fd:
        size = os.fstat(fd).st_size
        head = os.pread(fd, 16, 0)
        has_index = os.path.exists(f"{file.path}.idx")
        if size == 0:
            return LOG if has_index else EMPTY
        for magic, kind in _MAGICS.items():
            if head.startswith(magic):
                return kind
        if head[:4] == b"\xff\xff\xff\xff":
            return UNFINISHED if _is_begun(head) else UNKNOWN
        first = table_at(fd, 0)
        if first is None:
            return UNKNOWN
        if first.end > size:  # a fence and nothing before it, or a message that was cut
            return LOG if _is_open_log(file) else UNKNOWN
        if has_index:
            return LOG
        if first.end == size:
            return MESSAGE if first.words[0] > 0 else UNKNOWN
        # Zeros and small numbers can be read as a table. What follows must suit it as well.
        if not _has_root(fd, first):
            return UNKNOWN
        return LOG if _holds_more(fd, first.end) else MESSAGE


def _is_begun(head: bytes) -> bool:
    """Whether a head that has the mark says the rest as builders do: see csrc/capnp/layout.h."""
    return len(head) == 16 and head[4:6] != b"\0\0" and head[8] & 7 == 7


def _has_root(fd: int, table: Table) -> bool:
    """Whether the root pointer leads to something in the message."""
    if table.words[0] == 0:
        return False
    pointer = int.from_bytes(os.pread(fd, _WORD, table.start + table.bytes), "little")
    if pointer & 3 == _FAR:
        segment = pointer >> 32
        return segment < len(table.words) and (pointer & 0xFFFFFFFF) >> 3 < table.words[segment]
    if pointer & 3 != _STRUCT or pointer == 0:
        return False
    offset = (pointer & 0xFFFFFFFF) >> 2
    start = 1 + offset - (1 << 30 if offset >> 29 else 0)
    end = start + (pointer >> 32 & 0xFFFF) + (pointer >> 48)
    return start >= 0 and end <= table.words[0]


def _holds_more(fd: int, place: int) -> bool:
    """Whether another message follows, or the fence of a log."""
    table = table_at(fd, place)
    return table is not None and sum(table.words) > 0 and table.words[0] > 0


def _is_open_log(file: Input) -> bool:
    try:
        with opened_log(file, index=False) as log:
            return log.committed == 0 and log.torn == 0
    except (InvalidMessage, Failure, OSError):
        return False


@contextlib.contextmanager
def opened(file: Input) -> Iterator[int]:
    """Open a regular file by its descriptor, for a while."""
    from .._output import open_regular

    fd = open_regular(file.path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


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
        DATASET: SHARDS,
    }.get(kind, f"this needs {' or '.join(map(_with_article, allowed[:2]))}")
    raise Failure(f"{file.shown}: {_with_article(kind)}: {hint}")


def _with_article(kind: str) -> str:
    if kind == UNKNOWN:
        return "of no known kind"
    return f"{'an' if kind[0] in 'aeiu' else 'a'} {kind}"
