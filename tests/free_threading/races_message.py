"""Segments handed out by hand to many threads, and messages closed under their views."""

from __future__ import annotations

import ctypes
import gc
import hashlib
import struct
import threading
from functools import partial
from pathlib import Path

from mmapbuilder import Builder, CapacityError, InvalidMessage, MessageBuilder, verify

from .harness import KIB, MIB, race, together
from .records import block, partly

SEGMENT_WORDS = 512
SEGMENT = SEGMENT_WORDS * 8


def _address(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def _link(root: memoryview, segments: list[memoryview]) -> None:
    """Make a message of them: a root of far pointers, a list of bytes in each segment."""
    words = root.cast("Q")
    words[0] = len(segments) << 48  # a struct without data: only pointers
    for i in range(len(segments)):
        words[1 + i] = (i + 1) << 32 | 2  # far pointer to the first word of segment i + 1
    words.release()
    for segment in segments:
        pad = segment.cast("Q")
        pad[0] = (len(segment) - 8) << 35 | 2 << 32 | 1  # a list of bytes, which follows
        pad.release()


@race
def segments_by_hand(place: Path) -> None:
    """Each segment goes to one thread, and all of them become one valid message."""
    path, wanted, words = place / "segments", 480, 64
    size = words * 8
    b = MessageBuilder(path, capacity=510 * size, segment_words=words)
    root = b.allocate_segment(1 + wanted)
    segments: list[tuple[int, memoryview, bytes]] = []

    def take(which: int) -> None:
        taken = [b.allocate_segment(words) for _ in range(wanted // 6)]
        for number, view in enumerate(taken):
            assert len(view) == size
            assert not any(view)
            content = block(which << 16 | number, size - 8)
            view[8:] = content
            segments.append((_address(view), view, content))

    together(
        *(partial(take, i) for i in range(6)), background=(gc.collect, b.flush, lambda: b.size)
    )
    segments.sort(key=lambda segment: segment[0])
    assert [address for address, _, _ in segments] == [
        _address(root) + len(root) + size * i for i in range(wanted)
    ]
    _link(root, [view for _, view, _ in segments])
    b.close()
    report = verify(path)
    assert report.segments == 1 + wanted
    assert report.objects == 1 + wanted
    data = path.read_bytes()
    start = len(data) - size * wanted
    for i, (_, _, content) in enumerate(segments):
        assert data[start + size * i + 8 : start + size * (i + 1)] == content
    sizes = struct.unpack_from(f"<{1 + wanted}I", data, 4)
    assert sizes == (1 + wanted, *[words] * wanted)


@race
def more_segments_than_fit(place: Path) -> None:
    """Out of room everyone still gets memory; close says so, and the file is no message."""
    path = place / "full"
    b = MessageBuilder(path, capacity=64 * KIB, segment_words=SEGMENT_WORDS)
    views: list[memoryview] = []

    def take(which: int) -> None:
        for number in range(10):
            view = b.allocate_segment(SEGMENT_WORDS)
            view[:SEGMENT] = block(which << 8 | number, SEGMENT)
            assert view[:SEGMENT] == block(which << 8 | number, SEGMENT)
            views.append(view)

    together(*(partial(take, i) for i in range(6)))
    spans = sorted((_address(view), _address(view) + len(view)) for view in views)
    assert all(before[1] <= after[0] for before, after in zip(spans, spans[1:], strict=False))
    try:
        b.close()
    except CapacityError:
        pass
    else:
        raise AssertionError("closed without an error")
    assert b.closed
    try:
        verify(path)
    except InvalidMessage:
        return
    raise AssertionError("an incomplete message was passed off as complete")


@race
def segments_and_close(place: Path) -> None:
    """Taking segments, writing to them and asking, while the message is closed."""
    path = place / "closing"
    b = MessageBuilder(path, capacity=MIB, segment_words=SEGMENT_WORDS)
    root = b.allocate_segment(SEGMENT_WORDS)
    words = root.cast("Q")
    words[1] = 77
    words[0] = 1 << 32
    words.release()
    ready = threading.Barrier(4)
    closed = threading.Event()

    def take() -> None:
        ready.wait()
        for number in range(60):
            view = b.allocate_segment(SEGMENT_WORDS)
            view[:SEGMENT] = block(number, SEGMENT)
            # The root does not lead there, so close may take it away; nothing else may.
            assert partly(view[:SEGMENT], block(number, SEGMENT))
        closed.wait()
        other = b.allocate_segment(SEGMENT_WORDS)  # in no file, but memory
        for memory in (view, other):
            memory[:SEGMENT] = block(1, SEGMENT)
            assert memory[:SEGMENT] == block(1, SEGMENT)

    def close() -> None:
        ready.wait()
        b.close()
        closed.set()

    def ask() -> None:
        try:
            assert b.size > 0
            assert b.descriptor >= 0
            b.flush()
            b.reserve(MIB // 2)
        except ValueError as error:
            assert "closed" in str(error)
            assert b.closed
        assert b.stats.backed > 0
        assert b.capacity == MIB

    together(take, take, take, close, background=(ask, gc.collect))
    report = verify(path)
    assert report.words == 2
    assert report.objects == 1
    assert path.read_bytes()[-8:] == (77).to_bytes(8, "little")


@race
def windows_after_close(place: Path) -> None:
    """Segments outlive their file: stores go on, in memory that is nobody else's."""
    path, length = place / "snapshot", 64 * KIB
    b = MessageBuilder(path, capacity=16 * MIB)
    segment = b.allocate_segment(length // 8 * 5)
    parts = [segment[i * length : (i + 1) * length] for i in range(1, 5)]
    # The segment has all of the capacity; the list of words only what is written.
    head = segment[:8].cast("Q")
    head[0] = (5 * length - 8) // 8 << 35 | 5 << 32 | 1
    head.release()
    under_way = threading.Barrier(5)
    closed = threading.Event()
    digests: list[bytes] = []

    def store(which: int) -> None:
        part = parts[which]
        part[:] = block(which, length)
        under_way.wait()
        for number in range(200):
            part[:] = block(number << 4 | which, length)
            assert part == block(number << 4 | which, length)
        closed.wait()
        for number in range(50):
            part[:] = block(number << 8 | which, length)
            assert part == block(number << 8 | which, length)

    def close() -> None:
        under_way.wait()
        b.close()
        digests.append(hashlib.sha256(path.read_bytes()).digest())
        closed.set()

    together(*(partial(store, i) for i in range(4)), close)
    assert digests == [hashlib.sha256(path.read_bytes()).digest()]
    assert verify(path).objects == 1


@race
def close_and_discard_messages(place: Path) -> None:
    """One of them wins: there is a valid message or there is nothing."""
    path = place / "either"
    b = MessageBuilder(path, capacity=16 * MIB)
    words = b.allocate_segment(2).cast("Q")
    words[1] = 5
    words[0] = 1 << 32
    together(b.close, b.discard, b.close, b.discard, background=(lambda: b.stats, gc.collect))
    assert b.closed
    assert words[1] == 5
    if path.exists():
        assert verify(path).words == 2


@race
def windows_and_dropping(place: Path) -> None:
    """Views of segments dropped in one thread, the builder in another."""
    for number in range(10):
        b = MessageBuilder(place / f"{number}", capacity=16 * MIB)
        held = [b.allocate_segment(64)[i * 64 : (i + 1) * 64] for i in range(4)]
        builders = [b]
        del b

        def drop(held: list[memoryview] = held) -> None:
            view = held.pop()
            view[:] = block(1, 64)
            assert view == block(1, 64)
            view.release()

        def discard(builders: list[MessageBuilder] = builders) -> None:
            builders.pop().discard()

        together(drop, drop, drop, drop, discard, gc.collect)


@race
def builder_beside_message(place: Path) -> None:
    """Faults of two maps at once end up in the right files."""
    with (
        Builder(place / "plain", capacity=64 * MIB, max_growth=2 * MIB) as plain,
        MessageBuilder(place / "message", capacity=64 * MIB, max_growth=2 * MIB) as message,
    ):
        segment = message.allocate_segment(8 * MIB // 8)

        def fill(view: memoryview, seed: int) -> None:
            for at in range(MIB, 8 * MIB, 256 * KIB):
                view[at : at + 4096] = block(seed << 16 | at >> 12, 4096)

        with memoryview(plain) as view:
            together(partial(fill, view, 1), partial(fill, segment, 2))
        words = segment.cast("Q")
        words[0] = (8 * MIB - 8) // 8 << 35 | 5 << 32 | 1
        words.release()
    one = (place / "plain").read_bytes()
    two = (place / "message").read_bytes()[-8 * MIB :]
    for at in range(MIB, 8 * MIB, 256 * KIB):
        assert one[at : at + 4096] == block(1 << 16 | at >> 12, 4096)
        assert two[at : at + 4096] == block(2 << 16 | at >> 12, 4096)
