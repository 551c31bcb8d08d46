"""A Builder and a plain file with NumPy side by side, through all ways in."""

from __future__ import annotations

import io
import os
import shutil
import signal
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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

from mmapbuilder import Builder
from support.processes import wait_for

pytestmark = pytest.mark.slow

np = pytest.importorskip("numpy")

MIB = 1 << 20
CAPACITY = 7 * MIB

PLACES = st.one_of(
    st.integers(0, 300),
    st.builds(
        lambda edge, by: max(0, edge + by),
        st.sampled_from([4096, 65536, 2 * MIB, 4 * MIB]),
        st.integers(-20, 20),
    ),
)
DATA = st.one_of(
    st.binary(max_size=60), st.integers(0, 5000).map(bytes), st.just(b"line\n" * 40_000)
)
SOME = st.binary(min_size=1, max_size=100)
DTYPES = st.sampled_from(["?", "u1", "i2", "<i4", ">i8", "f4", "f8", "c16", "S3", "M8[s]"])


def has_attributes(directory: Path) -> bool:
    """Whether a file tells there that it was left by a builder that was killed."""
    try:
        os.setxattr(directory, "user.test", b"")
    except (AttributeError, OSError):
        return False
    return True


def in_a_child(work: Callable[[], object]) -> int:
    """How a forked child has ended that did some work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return wait_for(pid)


class SideBySide(RuleBasedStateMachine):
    """Whatever is done to the builder is done to `plain`, in a plain file's way."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "built"
        self.has_attributes = has_attributes(self.directory)
        self.declared = 0  # what calls have told; the plain file is at least as long
        self.arrays: list[Any] = []

    @initialize()
    def begin(self) -> None:
        self.plain = io.FileIO(self.directory / "plain", "w+")
        self.b = Builder(self.path, capacity=CAPACITY)

    def teardown(self) -> None:
        if hasattr(self, "b"):
            self.b.discard()
            self.plain.close()
        shutil.rmtree(self.directory)

    def declare(self, end: int) -> None:
        self.declared = max(self.declared, end)
        if os.fstat(self.plain.fileno()).st_size < end:
            self.plain.truncate(end)

    def put(self, data: bytes, place: int) -> None:
        os.pwrite(self.plain.fileno(), data, place)

    def write_plainly(self, data: bytes) -> None:
        self.plain.write(data)
        self.declare(self.plain.tell())

    @property
    def size(self) -> int:
        """The definition, by a look at every byte."""
        data = os.pread(self.plain.fileno(), CAPACITY, 0)
        stored = len(data.rstrip(b"\0"))
        return self.declared if stored <= self.declared else min(stored + -stored % 16, CAPACITY)

    # ---- as a file ----

    @rule(data=DATA)
    def write(self, data: bytes) -> None:
        assert self.b.write(data) == self.plain.write(data)
        if data:
            self.declare(self.plain.tell())

    @rule(lines=st.lists(st.binary(max_size=30), max_size=5))
    def writelines(self, lines: list[bytes]) -> None:
        self.b.writelines(lines)
        self.plain.writelines(lines)
        if any(lines):
            self.declare(self.plain.tell())

    @rule(text=st.text(max_size=30), lines=st.integers(0, 300))
    def write_text(self, text: str, lines: int) -> None:
        for file in (self.b, self.plain):
            wrapper = io.TextIOWrapper(file, "utf-8", newline="")  # type: ignore[type-var]
            wrapper.write(f"{text}\n" * lines)
            wrapper.flush()
            wrapper.detach()
        if lines:
            self.declare(self.plain.tell())

    @rule(place=PLACES)
    def seek(self, place: int) -> None:
        assert self.b.seek(place) == self.plain.seek(place)

    @rule(back=st.integers(0, 20))
    def seek_from_the_end(self, back: int) -> None:
        place = max(0, self.size - back)
        assert self.b.seek(place - self.size, 2) == place
        self.plain.seek(place)

    @rule(length=st.integers(0, 9000))
    def read(self, length: int) -> None:
        self.plain.truncate(max(self.size, os.fstat(self.plain.fileno()).st_size))
        length = max(0, min(length, self.size - self.plain.tell()))
        assert self.b.read(length) == self.plain.read(length)

    @rule()
    def readline(self) -> None:
        start, rest = self.plain.tell(), max(0, self.size - self.plain.tell())
        data = os.pread(self.plain.fileno(), rest, start).ljust(rest, b"\0")
        line = data[: data.find(b"\n") + 1] if b"\n" in data else data
        assert self.b.readline() == line
        self.plain.seek(start + len(line))

    @rule(size=PLACES)
    def truncate(self, size: int) -> None:
        assert self.b.truncate(size) == self.plain.truncate(size)
        self.declared = size

    # ---- as memory ----

    @rule(place=PLACES, data=DATA)
    def assign(self, place: int, data: bytes) -> None:
        self.b[place : place + len(data)] = data
        self.put(data, place)
        if data:
            self.declare(place + len(data))

    @rule(place=PLACES, byte=st.integers(0, 255))
    def assign_item(self, place: int, byte: int) -> None:
        self.b[place] = byte
        self.put(bytes([byte]), place)
        self.declare(place + 1)

    @rule(
        start=st.integers(0, 300),
        count=st.integers(1, 40),
        step=st.sampled_from([2, 3, -1, -2, -7]),
        data=st.none() | st.binary(min_size=40, max_size=40),
    )
    def assign_steps(self, start: int, count: int, step: int, data: bytes | None) -> None:
        first = start if step > 0 else start - (count - 1) * step
        stop = first + count * step
        key = slice(first, stop if stop >= 0 else None, step)
        if data is None:  # from itself
            data = os.pread(self.plain.fileno(), count, start).ljust(count, b"\0")
            self.b[key] = self.b[start : start + count]
        else:
            self.b[key] = data[:count]
        places = range(first, stop, step)
        for place, byte in zip(places, data[:count], strict=True):
            self.put(bytes([byte]), place)
        self.declare(max(places) + 1)

    @rule(place=PLACES, number=st.integers(-(1 << 63), (1 << 63) - 1))
    def pack_into(self, place: int, number: int) -> None:
        struct.pack_into("<q", self.b, place, number)
        self.put(struct.pack("<q", number), place)

    @rule(dtype=DTYPES, index=st.integers(0, 60_000), data=st.binary(max_size=64))
    def store_through_an_array(self, dtype: str, index: int, data: bytes) -> None:
        kind = np.dtype(dtype)
        data = bytes(n & 1 for n in data) if dtype == "?" else data
        values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
        array = np.frombuffer(self.b, kind, CAPACITY // kind.itemsize)
        array[index : index + len(values)] = values
        self.put(values.tobytes(), index * kind.itemsize)
        self.arrays.append(array)

    @rule(dtype=DTYPES, shape=st.lists(st.integers(0, 40), max_size=2), fill=st.booleans())
    def zeros(self, dtype: str, shape: list[int], fill: bool) -> None:
        expected = np.zeros(shape, dtype)
        align = expected.dtype.alignment
        start = self.plain.tell() + -self.plain.tell() % align
        if start + expected.nbytes > CAPACITY:
            return
        array = self.b.zeros(shape, dtype)
        assert (array == expected).all()
        if fill:
            array[...] = expected[...] = np.ones((), dtype)
        self.put(expected.tobytes(), start)
        self.plain.seek(start + expected.nbytes)
        self.declare(start + expected.nbytes)
        self.arrays.append(array)

    @rule(data=st.binary(min_size=1, max_size=3000))
    def readinto_what_is_allocated(self, data: bytes) -> None:
        start = self.plain.tell() + -self.plain.tell() % 8
        with self.b.allocate(len(data)) as view:
            io.BytesIO(data).readinto(view)
        self.put(data, start)
        self.plain.seek(start + len(data))
        self.declare(start + len(data))

    # ---- by the kernel ----

    @rule(data=SOME, place=PLACES)
    def read_into_what_is_reserved(self, data: bytes, place: int) -> None:
        self.b.reserve(place + len(data))
        here, there = os.pipe()
        os.write(there, data)
        assert os.readv(here, [self.b[place : place + len(data)]]) == len(data)
        os.close(here)
        os.close(there)
        self.put(data, place)

    @rule(data=SOME, place=PLACES)
    def write_by_descriptor(self, data: bytes, place: int) -> None:
        data = data[: max(0, self.b.stats.backed - place)]  # not beyond the end of the file
        os.pwrite(self.b.descriptor, data, place)
        self.put(data, place)

    @rule()
    def flush(self) -> None:
        self.b.flush()
        with open(self.b.descriptor, "rb", closefd=False, buffering=0) as file:
            assert os.pread(file.fileno(), self.size, 0) == bytes(self.b)

    # ---- in a child ----

    @rule(data=SOME, place=PLACES)
    def fork_to_write(self, data: bytes, place: int) -> None:
        assert in_a_child(lambda: (self.b.write(data), self.b.__setitem__(place, 7))) == 0
        self.write_plainly(data)
        self.put(b"\7", place)
        self.declare(place + 1)

    @rule(data=SOME)
    def fork_to_allocate(self, data: bytes) -> None:
        whole = slice(None)
        assert in_a_child(lambda: self.b.allocate(len(data), 1).__setitem__(whole, data)) == 0
        self.write_plainly(data)

    @rule(data=SOME, place=PLACES)
    def fork_to_store(self, data: bytes, place: int) -> None:
        there = slice(place, place + len(data))
        assert in_a_child(lambda: memoryview(self.b).__setitem__(there, data)) == 0
        self.put(data, place)

    @rule(length=st.integers(0, 5000))
    def fork_to_read(self, length: int) -> None:
        assert in_a_child(lambda: self.b.read(length)) == 0
        self.plain.seek(max(0, min(length, self.size - self.plain.tell())), os.SEEK_CUR)

    @rule()
    def fork_to_end(self) -> None:
        """Only the process that opened it can."""

        def end() -> None:
            with pytest.raises(PermissionError):
                self.b.truncate(0)
            self.b.close(0)

        assert in_a_child(end) == 0

    # ---- again ----

    @precondition(lambda self: self.has_attributes)
    @rule(data=SOME, stored=SOME, place=PLACES, flushed=st.booleans())
    def die(self, data: bytes, stored: bytes, place: int, flushed: bool) -> None:
        """As `reopen`, but another process goes on with the file, and is killed."""
        self.close(None)
        declared = self.declared

        def go_on() -> None:
            b = Builder(self.path, "r+", capacity=CAPACITY)
            b.seek(0, os.SEEK_END)
            b.write(data)
            if flushed:
                b.flush()
            memoryview(b)[place : place + len(stored)] = stored
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_a_child(go_on) == -signal.SIGKILL
        self.plain.seek(0, os.SEEK_END)
        self.write_plainly(data)
        self.put(stored, place)
        most = self.size + -self.size % 16  # what was not flushed counts as if it were stored
        # What was written before there was a memory is known exactly, though it was not flushed.
        stored = len(os.pread(self.plain.fileno(), CAPACITY, 0).rstrip(b"\0"))
        least = max(stored, declared + len(data) * flushed)
        self.b = Builder(self.path, "r+", capacity=CAPACITY)
        assert least <= self.b.size <= most
        # Up to 16 bytes of it are what was stored, which a shorter assignment would take back.
        self.b.truncate(self.b.size)
        self.plain.seek(0)
        self.declared = 0
        self.declare(self.b.size)

    def close(self, size: int | None) -> bytes:
        self.b.close(size)
        size = self.size if size is None else size
        self.plain.truncate(size)
        self.declared = size
        content = os.pread(self.plain.fileno(), size, 0)
        assert self.path.read_bytes() == content
        return content

    @rule(atomic=st.booleans(), size=st.none() | PLACES)
    def reopen(self, atomic: bool, size: int | None) -> None:
        content = self.close(size)
        for array in self.arrays:
            array[...] = np.zeros((), array.dtype)  # into the snapshot
        self.arrays.clear()
        assert self.path.read_bytes() == content
        self.b = Builder(self.path, "r+", capacity=CAPACITY, atomic=atomic)
        self.plain.seek(0)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "b"):
            return
        size = self.size
        assert self.b.size == len(self.b) == size
        assert self.b.tell() == self.plain.tell()
        assert bytes(self.b) == os.pread(self.plain.fileno(), size, 0).ljust(size, b"\0")


SideBySide.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
class TestSideBySide(SideBySide.TestCase):  # type: ignore[misc,name-defined]
    pass
