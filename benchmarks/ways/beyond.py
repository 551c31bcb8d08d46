"""A message larger than memory: Data of 16 MiB each, `size` bytes in all."""

import os
from typing import Any

import capnp

from benchmarks.clock import Clock
from benchmarks.ways.fill import BLOCK
from mmapbuilder import MessageBuilder

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "..", "people.capnp"))
CHUNK = BLOCK * 16


def _set_all(root: Any, size: int) -> None:
    count = size // len(CHUNK)
    chunks = root.init("chunks", count)
    for i in range(count):
        chunks[i].data = CHUNK


def _in_place(path: str, size: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    with MessageBuilder(path, **options) as b:
        _set_all(b.init_root(SCHEMA.Chunks), size)
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
    _set_all(root, size)
    clock.mark("stored")
    with open(path, "wb") as f:
        root.write(f)
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}


def os_write(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    for _ in range(size // len(CHUNK)):
        os.write(fd, CHUNK)
    clock.mark("stored")
    os.close(fd)
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}
