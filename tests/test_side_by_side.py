"""A Builder and a plain file with NumPy side by side, through all ways in."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmapbuilder import Builder

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
DTYPES = st.sampled_from(["?", "u1", "i2", "<i4", ">i8", "f4", "f8", "c16", "S3", "M8[s]"])


class SideBySide(RuleBasedStateMachine):
    """Whatever is done to the builder is done to `plain`, in a plain file's way."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "built"
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
        os.pwrite(self.plain.fileno(), data, place)
        if data:
            self.declare(place + len(data))

    @rule(place=PLACES, byte=st.integers(0, 255))
    def assign_item(self, place: int, byte: int) -> None:
        self.b[place] = byte
        os.pwrite(self.plain.fileno(), bytes([byte]), place)
        self.declare(place + 1)

    @rule(dtype=DTYPES, index=st.integers(0, 60_000), data=st.binary(max_size=64))
    def store_through_an_array(self, dtype: str, index: int, data: bytes) -> None:
        kind = np.dtype(dtype)
        data = bytes(n & 1 for n in data) if dtype == "?" else data
        values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
        array = np.frombuffer(self.b, kind, CAPACITY // kind.itemsize)
        array[index : index + len(values)] = values
        os.pwrite(self.plain.fileno(), values.tobytes(), index * kind.itemsize)
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
        os.pwrite(self.plain.fileno(), expected.tobytes(), start)
        self.plain.seek(start + expected.nbytes)
        self.declare(start + expected.nbytes)
        self.arrays.append(array)

    @rule(data=st.binary(min_size=1, max_size=3000))
    def readinto_what_is_allocated(self, data: bytes) -> None:
        start = self.plain.tell() + -self.plain.tell() % 8
        with self.b.allocate(len(data)) as view:
            io.BytesIO(data).readinto(view)
        os.pwrite(self.plain.fileno(), data, start)
        self.plain.seek(start + len(data))
        self.declare(start + len(data))

    # ---- elsewhere ----

    @rule(data=st.binary(min_size=1, max_size=100), place=PLACES)
    def fork(self, data: bytes, place: int) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                self.b.write(data)
                self.b[place] = 7
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == 0
        self.plain.write(data)
        self.declare(self.plain.tell())
        os.pwrite(self.plain.fileno(), b"\7", place)
        self.declare(place + 1)

    @rule(atomic=st.booleans())
    def reopen(self, atomic: bool) -> None:
        size = self.size
        self.b.close()
        self.plain.truncate(size)
        content = os.pread(self.plain.fileno(), size, 0)
        assert self.path.read_bytes() == content
        for array in self.arrays:
            array[...] = np.zeros((), array.dtype)  # into the snapshot
        self.arrays.clear()
        assert self.path.read_bytes() == content
        self.b = Builder(self.path, "r+", capacity=CAPACITY, atomic=atomic)
        self.plain.seek(0)
        self.declared = size

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
