"""Threads that fill one builder: not a byte lost, not a byte in a wrong place."""

from __future__ import annotations

import gc
import importlib.util
import struct
import threading
from functools import partial
from pathlib import Path

from mmapbuilder import Builder

from .harness import KIB, MIB, generator, race, together
from .records import block, record, records_in

THREADS = 8
BLOCK = 4 * KIB


def _check_blocks(path: Path, count: int) -> None:
    content = path.read_bytes()
    assert len(content) == count * BLOCK
    for number in range(count):
        there = content[number * BLOCK : (number + 1) * BLOCK]
        assert there == block(number, BLOCK), f"block {number} of {count}"


def _shares(count: int) -> list[list[int]]:
    """The numbers below `count`, shuffled and dealt out to the threads."""
    numbers = list(range(count))
    generator().shuffle(numbers)
    return [numbers[i::THREADS] for i in range(THREADS)]


@race
def views_in_random_order(place: Path) -> None:
    """Each thread stores its blocks through a view of its own; all of them grow the file."""
    path, count = place / "views", 4096
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:

        def fill(numbers: list[int]) -> None:
            with memoryview(b) as view:
                for n in numbers:
                    view[n * BLOCK : (n + 1) * BLOCK] = block(n, BLOCK)

        together(*(partial(fill, share) for share in _shares(count)))
        assert b.size == count * BLOCK
    _check_blocks(path, count)


@race
def slices_in_random_order(place: Path) -> None:
    """The same by slices and items of the builder itself."""
    path, count = place / "slices", 2048
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:

        def fill(numbers: list[int]) -> None:
            for n in numbers:
                content = block(n, BLOCK)
                b[n * BLOCK : (n + 1) * BLOCK - 1] = content[:-1]
                b[(n + 1) * BLOCK - 1] = content[-1]
                with b[n * BLOCK : (n + 1) * BLOCK] as view:
                    assert view == content

        together(*(partial(fill, share) for share in _shares(count)))
    _check_blocks(path, count)


@race
def arrays_in_random_order(place: Path) -> None:
    """The same through NumPy, which stores without looking at any lock."""
    if importlib.util.find_spec("numpy") is None:
        return
    import numpy as np

    path, count = place / "arrays", 4096
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:

        def fill(numbers: list[int]) -> None:
            array = np.frombuffer(b, "u1")
            for n in numbers:
                array[n * BLOCK : (n + 1) * BLOCK] = np.frombuffer(block(n, BLOCK), "u1")

        together(*(partial(fill, share) for share in _shares(count)))
        gc.collect()
    _check_blocks(path, count)


class _Writers:
    """Threads that put records in by write and allocate, and know which went in."""

    def __init__(self, b: Builder, numbers: int) -> None:
        self.b = b
        self.numbers = numbers
        self.done: set[tuple[int, int]] = set()
        self.bytes = 0
        self.lock = threading.Lock()

    def _note(self, writer: int, number: int, length: int) -> None:
        with self.lock:
            self.done.add((writer, number))
            self.bytes += length

    def write(self, writer: int) -> None:
        random = generator()
        for number in range(self.numbers):
            content = record(writer, number, random.randrange(3000))
            assert self.b.write(content) == len(content)
            self._note(writer, number, len(content))

    def allocate(self, writer: int) -> None:
        random = generator()
        for number in range(self.numbers):
            content = record(writer, number, random.randrange(3000))
            with self.b.allocate(len(content), align=random.choice((1, 8, 64))) as view:
                view[:] = content
            self._note(writer, number, len(content))


@race
def writes_and_allocations(place: Path) -> None:
    """Ranges taken at the cursor are disjoint, whoever takes them and however."""
    path = place / "records"
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:
        writers = _Writers(b, 300)
        kinds = (writers.write, writers.allocate)
        together(*(partial(kinds[i % 2], i) for i in range(THREADS)))
        assert b.tell() == b.size >= writers.bytes
    found = list(records_in(path.read_bytes()))
    assert len(found) == THREADS * 300
    assert set(found) == writers.done


@race
def small_ranges(place: Path) -> None:
    """As many steps of the cursor as possible, with as little between them."""
    path, each = place / "small", 4000
    with Builder(path, capacity=MIB) as b:
        b.reserve(MIB)  # from here on an allocation is not even a system call

        def tokens(writer: int) -> list[bytes]:
            return [struct.pack("<Q", writer << 32 | n) for n in range(1, each + 1)]

        def write(writer: int) -> None:
            for token in tokens(writer):
                b.write(token)

        def allocate(writer: int) -> None:
            for token in tokens(writer):
                b.allocate(8)[:] = token

        together(*(partial(step, i) for i, step in enumerate((write, allocate) * 2)))
        assert b.tell() == b.size == 4 * each * 8
    found = memoryview(path.read_bytes()).cast("Q")
    assert len(found) == len(set(found)) == 4 * each


@race
def written_zeros(place: Path) -> None:
    """Zeros count because write said so; of several that say how many, the most counts."""
    path, bursts = place / "zeros", 40
    with Builder(path, capacity=MIB) as b:
        for burst in range(1, bursts + 1):
            together(*[lambda: [b.write(bytes(8)) for _ in range(4)]] * 4)
            assert b.size == b.tell() == burst * 128
    assert path.read_bytes() == bytes(bursts * 128)


@race
def everything_beside_writes(place: Path) -> None:
    """Asking, flushing, reserving and collecting never disturb those who write."""
    path = place / "busy"
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:
        writers = _Writers(b, 200)
        kinds = (writers.write, writers.allocate)

        def measure() -> None:
            least = writers.bytes
            size, stats = b.size, b.stats
            assert least <= size <= b.tell() + 15 <= b.capacity + 15  # up to a whole element
            assert least <= stats.used
            assert stats.backed >= least

        def reserve() -> None:
            b.reserve(generator().randrange(16 * MIB))

        def look() -> None:
            with memoryview(b) as view:
                assert len(view) == b.capacity >= len(b)
                assert view[0] in (0, 0xA3)
            assert not b.closed
            assert b.writable()
            assert "open" in repr(b)

        together(
            *(partial(kinds[i % 2], i) for i in range(4)),
            background=(measure, reserve, b.flush, look, gc.collect),
        )
    assert set(records_in(path.read_bytes())) == writers.done


@race
def truncation(place: Path) -> None:
    """Truncating wipes what lies beyond, and nothing before; afterwards all is as said."""
    path, kept = place / "cut", 300
    fixed = b"".join(block(n, BLOCK) for n in range(kept))
    tail = block(7, BLOCK)
    with Builder(path, capacity=64 * MIB, max_growth=2 * MIB) as b:
        b.write(fixed)

        def write() -> None:
            for n in range(200):
                b.write(block(n, BLOCK))

        def store(which: int) -> None:
            random = generator()
            with memoryview(b) as view:
                for n in range(200):
                    at = len(fixed) + (random.randrange(4096) * 2 + which) * BLOCK
                    view[at : at + BLOCK] = block(n, BLOCK)

        def truncate() -> None:
            random = generator()
            for _ in range(100):
                b.truncate(len(fixed) + random.randrange(32 * MIB))

        stores = (partial(store, 0), partial(store, 1))
        together(write, write, *stores, truncate, truncate, background=(lambda: b.size,))
        b.truncate(len(fixed))
        assert b.size == len(fixed)
        b.seek(0, 2)
        b.write(tail)
    assert path.read_bytes() == fixed + tail


@race
def one_disk_page(place: Path) -> None:
    """Neighbouring bytes belong to different threads: no store takes another along."""
    path, length = place / "bytes", 64 * KIB
    with Builder(path, capacity=64 * MIB) as b:

        def fill(first: int) -> None:
            with memoryview(b) as view:
                for at in range(first, length, THREADS):
                    view[at] = 1 + first

        together(*(partial(fill, i) for i in range(THREADS)))
    assert path.read_bytes() == bytes(range(1, THREADS + 1)) * (length // THREADS)
