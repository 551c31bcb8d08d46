"""Content that says by itself whether it is whole: records, and blocks in known places."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_HEAD = struct.Struct("<IIIII")  # magic, writer, number, bytes of the payload, CRC of all
_MAGIC = 0xB1D5E7A3


def record(writer: int, number: int, length: int) -> bytes:
    """A record with a payload of `length` bytes, none of them zero."""
    payload = bytes([1 + (writer * 31 + number) % 255]) * length
    check = zlib.crc32(payload, writer << 16 ^ number)
    return _HEAD.pack(_MAGIC, writer, number, length, check) + payload


def records_in(content: bytes) -> Iterator[tuple[int, int]]:
    """Writer and number of each record. Zeros may lie between records, nothing else."""
    at = 0
    while True:
        while at < len(content) and content[at] == 0:
            at += 1
        if at == len(content):
            return
        assert len(content) - at >= _HEAD.size, f"half a head at the end, at {at}"
        magic, writer, number, length, _ = _HEAD.unpack_from(content, at)
        assert magic == _MAGIC, f"no record at {at}: {content[at : at + 20]!r}"
        end = at + _HEAD.size + length
        assert content[at:end] == record(writer, number, length), f"a torn record at {at}"
        yield writer, number
        at = end


def partly(there: bytes | memoryview, wanted: bytes) -> bool:
    """Whether each byte is the wanted one or zero."""
    return there == wanted or all(
        have in (0, want) for have, want in zip(there, wanted, strict=True)
    )


def block(number: int, length: int) -> bytes:
    """What belongs into block `number`: no zero byte, and unlike every other block."""
    digits = bytes(1 + number // 255**place % 255 for place in range(8))
    return digits * (length // 8)
