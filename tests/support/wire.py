"""Cap'n Proto framing read by hand, to know what is in a file without our own code."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

WORD = 8
UNFINISHED = b"\xff\xff\xff\xff"


@dataclass(frozen=True)
class Table:
    """The segment table at the start of a message."""

    sizes: tuple[int, ...]  # in words

    @property
    def bytes(self) -> int:
        """Bytes of the table, padded to a word."""
        return table_bytes(len(self.sizes))

    @property
    def total(self) -> int:
        """Bytes of the table and all segments."""
        return self.bytes + WORD * sum(self.sizes)

    @property
    def used(self) -> tuple[int, ...]:
        """The sizes that are not zero."""
        return tuple(size for size in self.sizes if size)


def table_bytes(entries: int) -> int:
    """Bytes of a table with that many entries."""
    return (4 + 4 * entries + WORD - 1) // WORD * WORD


def set_aside(entries: int) -> int:
    """Bytes that a builder leaves free at the start of the file for such a table."""
    return max(2 * WORD, table_bytes(entries))


def without_gap(content: bytes, entries: int) -> bytes:
    """A finished message of one segment as pycapnp would have written it.

    What was set aside for a table of `entries` is the start of the segment, with the root
    pointer in its first word, and nothing points to the rest.
    """
    last, words, root = struct.unpack_from("<IIQ", content)
    gap = set_aside(entries) // WORD - 1
    assert last == 0
    if root & 3 == 0 and root >> 32:
        root -= gap << 2
    return struct.pack("<IIQ", 0, words - gap, root) + content[set_aside(entries) + WORD :]


def table_of(path: str | Path) -> Table:
    """The table of a finished message."""
    with open(path, "rb") as file:
        (last,) = struct.unpack("<I", file.read(4))
        assert last < 512, f"count {last:#x}"
        return Table(struct.unpack(f"<{last + 1}I", file.read(4 * (last + 1))))


def segments_of(path: str | Path) -> list[bytes]:
    """The segments of a finished message that have a size."""
    table = table_of(path)
    with open(path, "rb") as file:
        file.seek(table.bytes)
        return [file.read(size * WORD) for size in table.used]


def is_unfinished(path: str | Path) -> bool:
    """Whether a file carries the mark of a message that nobody has finished."""
    with open(path, "rb") as file:
        return file.read(4) == UNFINISHED
