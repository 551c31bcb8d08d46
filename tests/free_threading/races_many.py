"""Many builders at once: opened, filled and closed by threads that know nothing of each other."""

from __future__ import annotations

import os
import zlib
from functools import partial
from pathlib import Path

from mmapbuilder import Builder, InvalidMessage, MessageBuilder, verify

from .harness import KIB, MIB, generator, race, together
from .records import block

BLOCK = 4 * KIB
THREADS = 8


def _mappings() -> int:
    with open("/proc/self/maps") as lines:
        return sum("/target-" in line for line in lines)


@race
def open_fill_close(place: Path) -> None:
    """Maps come and go, their slots and addresses are used again, faults find the right one."""

    def work(which: int) -> None:
        random = generator()
        path = place / f"target-{which}"
        for turn in range(4):
            blocks = random.sample(range(2048), 20)
            key = which << 20 | turn << 12
            with Builder(path, capacity=16 * MIB, max_growth=2 * MIB) as b:
                with memoryview(b) as view:
                    for n in blocks:
                        view[n * BLOCK : (n + 1) * BLOCK] = block(key | n, BLOCK)
            content = path.read_bytes()
            assert len(content) == (max(blocks) + 1) * BLOCK
            for n in blocks:
                assert content[n * BLOCK : (n + 1) * BLOCK] == block(key | n, BLOCK)
            assert content.count(0) == len(content) - len(blocks) * BLOCK

    before = len(os.listdir("/proc/self/fd"))
    together(*(partial(work, i) for i in range(THREADS)))
    assert len(os.listdir("/proc/self/fd")) == before
    assert _mappings() == 0


@race
def same_path(place: Path) -> None:
    """One path, many builders: one has it, the others hear so, and no content is mixed."""
    path = place / "target-one"
    atomic = generator().random() < 0.5

    def work(which: int) -> None:
        for turn in range(10):
            try:
                b = Builder(path, capacity=16 * MIB, atomic=atomic)
            except BlockingIOError:
                continue
            with b:
                for _ in range(8):
                    b.write(block(which << 8 | turn, BLOCK))
            assert b.closed

    together(*(partial(work, i) for i in range(THREADS)))
    content = path.read_bytes()
    assert len(content) == 8 * BLOCK
    assert content == content[:BLOCK] * 8
    assert os.listdir(place) == [path.name]


@race
def atomic_for_readers(place: Path) -> None:
    """Whoever reads the target meanwhile finds one complete content or another."""
    path = place / "target-read"

    def seal(body: bytes) -> bytes:
        return zlib.crc32(body).to_bytes(4, "little") + body

    path.write_bytes(seal(b""))

    def build(which: int) -> None:
        random = generator()
        for _ in range(8):
            body = bytes([which]) * random.randrange(64 * KIB)
            try:
                b = Builder(path, capacity=16 * MIB, atomic=True)
            except BlockingIOError:
                continue
            with b:
                b.write(seal(body)[:4])
                b.write(body)

    def read() -> None:
        content = path.read_bytes()
        assert content == seal(content[4:])

    together(*(partial(build, i) for i in range(1, 4)), background=(read, read))
    assert os.listdir(place) == [path.name]


@race
def messages_side_by_side(place: Path) -> None:
    """Messages that are built and closed at once, watched by those who would read them."""

    def build(which: int) -> None:
        for turn in range(3):
            path = place / f"target-{which}-{turn}"
            with MessageBuilder(path, capacity=16 * MIB) as b, b.allocate_segment(4) as segment:
                words = segment.cast("Q")
                words[1] = 100 + which
                words[0] = 1 << 32  # a struct of one data word, which follows
                words.release()
            report = verify(path)
            assert report.segments == 1
            assert path.read_bytes()[-8:] == (100 + which).to_bytes(8, "little")

    def watch(which: int) -> None:
        for turn in range(3):
            try:
                report = verify(place / f"target-{which}-{turn}")
            except (FileNotFoundError, InvalidMessage):
                continue
            assert report.words == 2

    together(
        *(partial(build, i) for i in range(4)),
        background=tuple(partial(watch, i) for i in range(2)),
    )
