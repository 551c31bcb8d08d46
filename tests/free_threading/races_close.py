"""Closing against everything: done or refused, never a crash, and what was taken is there."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from functools import partial
from pathlib import Path

from mmapbuilder import Builder, CapacityError

from .harness import KIB, MIB, generator, race, together
from .records import block, partly, record, records_in

BLOCK = 4 * KIB


def _small(path: Path) -> Builder:
    return Builder(path, capacity=16 * MIB, max_growth=2 * MIB)


def _is_the_closed_one(error: ValueError, b: Builder) -> bool:
    return "closed" in str(error) and b.closed


@race
def close_and_write(place: Path) -> None:
    """A write that returned is in the file, one that raised is not."""
    path = place / "log"
    b = _small(path)
    done: list[set[tuple[int, int]]] = [set() for _ in range(6)]

    def write(writer: int) -> None:
        for number in range(100_000):
            try:
                b.write(record(writer, number, 50))
            except ValueError as error:
                assert _is_the_closed_one(error, b), error
                return
            done[writer].add((writer, number))

    def close() -> None:
        while sum(map(len, done)) < 100:
            pass
        b.close()
        assert b.closed

    together(*(partial(write, i) for i in range(6)), close)
    found = list(records_in(path.read_bytes()))
    assert len(found) == len(set(found))
    assert set(found) == set().union(*done)


@race
def close_and_views(place: Path) -> None:
    """Threads go on storing in views when the builder is closed: into a snapshot, and unhurt."""
    path = place / "views"
    b = _small(path)
    stored = [0] * 4
    done = threading.Event()

    def store(which: int) -> None:
        with memoryview(b) as view:
            for n in range(1, 3000):
                view[which * BLOCK + n] = 1
                stored[which] = n
            done.wait()
            # What was stored in the very moment of the close may be in neither; now all is ours.
            view[which * BLOCK + 1 : which * BLOCK + 3000] = bytes([2]) * 2999
            assert bytes(view[which * BLOCK + 1 : which * BLOCK + 3000]) == bytes([2]) * 2999

    def close() -> None:
        while min(stored) < 100:
            pass
        b.close()
        done.set()

    together(*(partial(store, i) for i in range(4)), close)
    content = path.read_bytes()
    for which in range(4):
        mine = content[which * BLOCK + 1 : which * BLOCK + 3000]
        assert mine.startswith(bytes([1]) * 99)
        assert not mine.lstrip(b"\1").strip(b"\0")


@race
def several_closers(place: Path) -> None:
    """Of many closers one closes; the others find it done, or being done."""
    path = place / "once"
    b = _small(path)
    b.write(block(1, BLOCK))
    together(*[b.close] * 8)
    assert b.closed
    assert path.read_bytes() == block(1, BLOCK)


@race
def close_and_questions(place: Path) -> None:
    """Whoever asks while it closes gets a true answer or hears that it is closed."""
    path, bytes_written = place / "asked", 100 * BLOCK + 3
    b = _small(path)
    b.write(b"\1" * bytes_written)
    with memoryview(b) as view:
        view[bytes_written - 1] = 2

    def ask() -> None:
        while True:
            closed = b.closed  # before the answers that may still come from an open one
            stats = b.stats  # answers when closed as well
            assert stats.used == bytes_written
            assert stats.growths > 0
            assert stats.backed >= bytes_written
            assert b.name == str(path)
            assert b.capacity == 16 * MIB
            assert ("open" in repr(b)) or b.closed
            if closed:
                return
            try:
                assert b.size == bytes_written
                assert b.tell() == bytes_written
                assert b.descriptor >= 0
                assert b.seekable()
                b.flush()
                b.reserve(8 * MIB)
                b.truncate(bytes_written)
                assert b[0] == 1
                assert len(b) <= 16 * MIB
            except ValueError as error:
                assert _is_the_closed_one(error, b), error

    def close() -> None:
        b.close()

    together(*[ask] * 5, close, background=(gc.collect,))
    assert path.read_bytes() == b"\1" * (bytes_written - 1) + b"\2"


@race
def close_and_discard(place: Path) -> None:
    """Either the file is complete or it is gone."""
    path = place / "either"
    b = Builder(path, capacity=16 * MIB, atomic=generator().random() < 0.5)
    b.write(block(1, BLOCK))

    def write() -> None:
        try:
            while True:
                with b.allocate(BLOCK) as view:
                    view[:] = block(2, BLOCK)
        except ValueError as error:
            if not isinstance(error, CapacityError):
                assert _is_the_closed_one(error, b), error

    def close() -> None:
        b.close()

    together(close, b.discard, write)
    assert b.closed
    left = os.listdir(place)
    assert left in ([], ["either"])
    if left:
        content = path.read_bytes()
        whole = max(BLOCK, len(content) - BLOCK)
        assert content[:whole] == block(1, BLOCK) + block(2, BLOCK) * (whole // BLOCK - 1)
        # The last block had its place, and perhaps was not stored when the file was closed.
        last = zip(content[whole:], block(2, BLOCK), strict=False)
        assert all(byte in (0, stored) for byte, stored in last)


@race
def discard_under_views(place: Path) -> None:
    """Views outlive a discarded builder: memory of nobody else, good to read and write.

    What is stored while it is discarded may get lost, but nothing else ever shows.
    """
    b = _small(place / "gone")
    ready = threading.Barrier(5)
    gone = threading.Event()

    def store(which: int) -> None:
        mine = range(which, 1024, 4)
        with memoryview(b) as view:
            ready.wait()
            for n in mine:
                view[n * BLOCK : (n + 1) * BLOCK] = block(n, BLOCK)
            gone.wait()
            for n in mine:
                there = view[n * BLOCK : (n + 1) * BLOCK]
                assert partly(there, block(n, BLOCK))
                there[:] = block(n + 1, BLOCK)
            for n in mine:
                assert view[n * BLOCK : (n + 1) * BLOCK] == block(n + 1, BLOCK)

    def discard() -> None:
        ready.wait()
        b.discard()
        gone.set()

    together(*(partial(store, i) for i in range(4)), discard)
    assert os.listdir(place) == []


@race
def last_reference(place: Path) -> None:
    """The last reference, a view's, a weak one: dropped in any thread, in any order."""
    path = place / "dropped"
    for _ in range(5):
        b = _small(path)
        b.write(b"kept")
        weak = weakref.ref(b)
        views = [(at, memoryview(b)) for at in range(BLOCK, BLOCK + 4)]
        closing = [b]
        del b

        def drop(views: list[tuple[int, memoryview]] = views) -> None:
            at, view = views.pop()
            view[at] = 1
            view.release()

        def look(weak: weakref.ref[Builder] = weak) -> None:
            found = weak()
            if found is not None:
                found.close()

        def close(closing: list[Builder] = closing) -> None:
            closing[0].close()
            closing.clear()

        together(drop, drop, drop, drop, look, look, close, gc.collect)
        gc.collect()
        assert weak() is None
        assert path.read_bytes()[:4] == b"kept"
