"""A Builder against a plain model: a bytearray, a cursor, and what was declared."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mmapbuilder import Builder, CapacityError

pytestmark = pytest.mark.slow

MIB = 1 << 20
GRANULE = 2 * MIB
CAPACITY = 9 * MIB + 5

# Places where something may go wrong: pages, steps of growth, both ends.
EDGES = [0, 1, 4096, 65536, GRANULE, 2 * GRANULE, 4 * GRANULE, CAPACITY]
PLACES = st.one_of(
    st.integers(0, 200),
    st.builds(lambda edge, by: min(max(edge + by, 0), CAPACITY), st.sampled_from(EDGES),
              st.integers(-9, 9)),
)  # fmt: skip
DATA = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda byte, n: bytes([byte]) * n, st.integers(0, 255), st.integers(1, 3 * GRANULE)),
)


class Model:
    """What a builder is, without a file: bytes, zero where nothing was stored."""

    def __init__(self, content: bytes = b"") -> None:
        self.bytes = bytearray(content)
        self.declared = len(content)
        self.cursor = 0

    def store(self, place: int, data: bytes) -> None:
        if data:
            self.bytes.extend(bytes(max(0, place + len(data) - len(self.bytes))))
            self.bytes[place : place + len(data)] = data

    def assign(self, place: int, data: bytes) -> None:
        self.store(place, data)
        if data:
            self.declared = max(self.declared, place + len(data))

    def read(self, place: int, length: int) -> bytes:
        return bytes(self.bytes[place : place + length]).ljust(length, b"\0")

    @property
    def size(self) -> int:
        stored = len(self.bytes.rstrip(b"\0"))
        return self.declared if stored <= self.declared else min(stored + -stored % 16, CAPACITY)

    def truncate(self, size: int) -> None:
        del self.bytes[size:]
        self.declared = size

    def content(self, size: int | None = None) -> bytes:
        return self.read(0, self.size if size is None else size)


class BuilderAgainstModel(RuleBasedStateMachine):
    """Opens, fills, closes and opens again one file."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "file"
        self.builder: Builder | None = None
        self.model = Model()
        self.atomic = False
        self.on_disk: bytes | None = None  # what the path holds while nobody builds in it
        self.views: list[tuple[memoryview, int]] = []

    def teardown(self) -> None:
        self.drop_views()
        if self.builder is not None:
            self.builder.discard()
        shutil.rmtree(self.directory)

    def drop_views(self) -> None:
        while self.views:
            self.views.pop()[0].release()
        gc.collect(0)

    @property
    def open(self) -> Builder:
        assert self.builder is not None
        return self.builder

    # ---- opening and closing ----

    @initialize(atomic=st.booleans(), before=st.none() | st.binary(max_size=50))
    def begin(self, atomic: bool, before: bytes | None) -> None:
        if before is not None:
            self.path.write_bytes(before)
        self.on_disk = before
        self.start("w", atomic)

    def start(self, mode: str, atomic: bool, max_growth: int = 64 * MIB) -> None:
        self.builder = Builder(
            self.path, mode, capacity=CAPACITY, atomic=atomic, max_growth=max_growth
        )
        self.atomic = atomic
        kept = self.on_disk if mode == "r+" else b""
        assert kept is not None
        self.model = Model(kept)

    @precondition(lambda self: self.builder is None)
    @rule(
        mode=st.sampled_from(["w", "r+", "r+"]),
        atomic=st.booleans(),
        max_growth=st.sampled_from([1, GRANULE, 64 * MIB]),
    )
    def reopen(self, mode: str, atomic: bool, max_growth: int) -> None:
        if mode == "r+" and self.on_disk is None:
            with pytest.raises(FileNotFoundError):
                Builder(self.path, mode, capacity=CAPACITY, atomic=atomic)
        else:
            self.start(mode, atomic, max_growth)

    @precondition(lambda self: self.builder is not None)
    @rule(size=st.none() | PLACES)
    def close(self, size: int | None) -> None:
        self.open.close(size)
        assert self.open.closed
        self.on_disk = self.model.content(size)
        assert self.path.read_bytes() == self.on_disk
        assert os.listdir(self.directory) == ["file"]
        with pytest.raises(ValueError, match="closed"):
            self.open.tell()
        # A snapshot: views show what there is in the file, and no store in them reaches it.
        kept = self.model.size if size is None else size
        for view, place in self.views:
            inside = max(0, min(len(view), kept - place))
            assert view[:inside] == self.model.read(place, inside)
        for view, _ in self.views:
            view[:] = b"\xff" * len(view)
        assert self.path.read_bytes() == self.on_disk
        self.drop_views()
        self.builder = None

    @precondition(lambda self: self.builder is not None)
    @rule()
    def discard(self) -> None:
        mode = self.open.mode
        self.open.discard()
        # A snapshot: views go on showing what was there.
        for view, place in self.views:
            assert view == self.model.read(place, len(view))
        for view, _ in self.views:
            view[:] = b"\xff" * len(view)
        self.drop_views()
        if self.atomic:
            pass
        elif mode == "rb+":
            self.on_disk = self.model.content()
        else:
            self.on_disk = None
        found = self.path.read_bytes() if self.path.exists() else None
        assert found == self.on_disk
        self.builder = None

    @precondition(lambda self: self.builder is not None)
    @rule(mode=st.sampled_from(["w", "r+"]), atomic=st.booleans())
    def second_builder(self, mode: str, atomic: bool) -> None:
        with pytest.raises((BlockingIOError, FileNotFoundError)) as caught:
            Builder(self.path, mode, atomic=atomic)
        if isinstance(caught.value, FileNotFoundError):
            assert self.atomic
            assert mode == "r+"
            assert self.on_disk is None

    # ---- calls ----

    @precondition(lambda self: self.builder is not None)
    @rule(data=DATA)
    def write(self, data: bytes) -> None:
        start = self.model.cursor
        if data and start + len(data) > CAPACITY:
            with pytest.raises(CapacityError):
                self.open.write(data)
            return
        assert self.open.write(data) == len(data)
        self.model.assign(start, data)
        self.model.cursor += len(data)

    @precondition(lambda self: self.builder is not None)
    @rule(place=PLACES, whence=st.sampled_from([0, 1, 2]), back=st.booleans())
    def seek(self, place: int, whence: int, back: bool) -> None:
        base = (0, self.model.cursor, self.model.size)[whence]
        offset = -place if back else place
        if base + offset < 0:
            with pytest.raises((ValueError, OSError)):
                self.open.seek(offset, whence)
        else:
            assert self.open.seek(offset, whence) == base + offset
            self.model.cursor = base + offset

    @precondition(lambda self: self.builder is not None)
    @rule(size=st.none() | PLACES)
    def truncate(self, size: int | None) -> None:
        end = self.model.cursor if size is None else size
        if end > CAPACITY:
            with pytest.raises(CapacityError):
                self.open.truncate(size)
        else:
            assert self.open.truncate(size) == end
            self.model.truncate(end)

    @precondition(lambda self: self.builder is not None)
    @rule(end=PLACES)
    def reserve(self, end: int) -> None:
        self.open.reserve(end)
        assert self.open.stats.backed >= end

    @precondition(lambda self: self.builder is not None)
    @rule(length=st.integers(1, 100_000), align=st.sampled_from([1, 8, 64, 4096]), data=DATA)
    def allocate(self, length: int, align: int, data: bytes) -> None:
        start = -(-self.model.cursor // align) * align
        if start + length > CAPACITY:
            with pytest.raises(CapacityError):
                self.open.allocate(length, align)
            return
        view = self.open.allocate(length, align)
        assert view == self.model.read(start, length)
        data = data[:length]
        view[: len(data)] = data
        self.model.store(start, data)
        self.model.cursor = start + length
        self.model.declared = max(self.model.declared, start + length)
        self.views.append((view, start))

    @precondition(lambda self: self.builder is not None)
    @rule(durable=st.integers(0, 19).map(lambda n: n == 7))
    def flush(self, durable: bool) -> None:
        self.open.flush(durable)
        there = os.pread(self.open.descriptor, len(self.model.bytes), 0)
        assert there.ljust(len(self.model.bytes), b"\0") == self.model.bytes

    # ---- memory ----

    @precondition(lambda self: self.builder is not None)
    @rule(place=PLACES, byte=st.integers(0, 255))
    def set_item(self, place: int, byte: int) -> None:
        if place >= CAPACITY:
            with pytest.raises(IndexError):
                self.open[place] = byte
        else:
            self.open[place] = byte
            self.model.assign(place, bytes([byte]))

    @precondition(lambda self: self.builder is not None)
    @rule(place=PLACES, data=DATA)
    def set_slice(self, place: int, data: bytes) -> None:
        room = max(0, min(len(data), CAPACITY - place))
        if room < len(data):
            with pytest.raises(ValueError):
                self.open[place : place + len(data)] = data
        else:
            self.open[place : place + len(data)] = data
            self.model.assign(place, data)

    @precondition(lambda self: self.builder is not None)
    @rule(place=PLACES, length=st.integers(0, 10_000))
    def get(self, place: int, length: int) -> None:
        length = min(length, CAPACITY - place)
        with self.open[place : place + length] as view:
            assert view == self.model.read(place, length)
        if place < CAPACITY:
            assert self.open[place] == self.model.read(place, 1)[0]

    @precondition(lambda self: self.builder is not None and len(self.views) < 5)
    @rule(place=PLACES, length=st.integers(0, 10_000))
    def take_view(self, place: int, length: int) -> None:
        self.views.append((self.open[place : min(place + length, CAPACITY)], place))

    @precondition(lambda self: bool(self.views))
    @rule(data=st.binary(min_size=1, max_size=20), which=st.integers(0, 4), at=st.integers(0, 9999))
    def store_through_view(self, data: bytes, which: int, at: int) -> None:
        view, place = self.views[which % len(self.views)]
        at = min(at, len(view))
        data = data[: len(view) - at]
        view[at : at + len(data)] = data
        self.model.store(place + at, data)

    @precondition(lambda self: bool(self.views))
    @rule()
    def release_views(self) -> None:
        self.drop_views()

    # ---- always ----

    @invariant()
    def same(self) -> None:
        if self.builder is None:
            return
        assert self.open.size == self.model.size
        assert self.open.tell() == self.model.cursor
        for view, place in self.views:
            assert view == self.model.read(place, len(view))
        stats = self.open.stats
        assert stats.used == self.model.size
        assert stats.backed == os.fstat(self.open.descriptor).st_size
        if self.atomic:
            found = self.path.read_bytes() if self.path.exists() else None
            assert found == self.on_disk


BuilderAgainstModel.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class TestBuilderAgainstModel(BuilderAgainstModel.TestCase):  # type: ignore[misc,name-defined]
    """What pytest collects."""
