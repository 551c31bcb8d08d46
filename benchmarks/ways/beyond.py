"""A message larger than memory: Data of almost 512 MiB each, `size` bytes in all."""

import os
from typing import Any

import capnp
import numpy as np

from benchmarks.clock import MIB, Clock
from benchmarks.ways.fill import ARRAY, BLOCK
from mmapbuilder import MessageBuilder

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "..", "people.capnp"))
CHUNK = 511 * MIB


def _lengths(size: int) -> list[int]:
    return [min(CHUNK, size - at) for at in range(0, size, CHUNK)]


def _fill(data: Any) -> None:
    for at in range(0, len(data), MIB):
        data[at : at + MIB] = ARRAY[: len(data) - at]


def _in_place(path: str, size: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    with MessageBuilder(path, **options) as b:
        chunks = b.init_root(SCHEMA.Chunks).init("chunks", len(_lengths(size)))
        for i, length in enumerate(_lengths(size)):
            chunks[i].init("data", length)
            _fill(b.array("chunks", i, "data"))
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}


def builder(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size)


def builder_writeback(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size, writeback=True)


def new_message_write(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    root = SCHEMA.Chunks.new_message()
    chunks = root.init("chunks", len(_lengths(size)))
    for i, length in enumerate(_lengths(size)):
        chunk = chunks[i]
        chunk.init("data", length)
        _fill(np.frombuffer(chunk.get_data_as_view("data"), "u1"))
    clock.mark("stored")
    with open(path, "wb") as f:
        root.write(f)
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}


def os_write(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    view = memoryview(BLOCK)
    for length in _lengths(size):
        for at in range(0, length, MIB):
            os.write(fd, view[: length - at])
    clock.mark("stored")
    os.close(fd)
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}
