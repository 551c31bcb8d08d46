"""Random messages: built in a file and in memory by the same steps, they are equal.

Whatever the segments are: as pycapnp reads them, as we check them, and as they are
recovered from a copy that was made before close.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmapbuilder import MessageBuilder, open_message, recover, verify
from support.gil import FREE_THREADED
from support.messages import plain
from support.readers import KINDS, capnp, from_bytes, read
from support.wire import table_of, without_gap

KIB = 1 << 10

# Words of a segment, and the capacity that goes with them: 511 segments at the most.
LAYOUTS = st.one_of(
    st.just({"capacity": 4 << 30}),
    st.just({"capacity": 64 << 30}),
    st.builds(
        lambda words, count: {"capacity": words * 8 * count, "segment_words": words},
        st.integers(30, 3000),
        st.integers(400, 511),
    ),
)


class Steps:
    """Builds a message; with the same seed always the same one."""

    def __init__(self, message: Any, seed: int) -> None:
        self.source = random.Random(seed)
        self.message = message
        self.root = message.init_root(KINDS.schema)
        self.nodes = [self.root]
        self.words = 0  # roughly, so that every layout has room
        self.orphans: list[Any] = []

    def run(self, count: int) -> None:
        for _ in range(count):
            if self.words > 8000:
                return
            steps = (
                *(self.text, self.data, self.numbers, self.inner, self.inners, self.lists),
                *(self.union, self.orphan, self.adopt, self.texts, self.any, self.scalar),
            )
            self.source.choice(steps)()

    def length(self) -> int:
        length = self.source.choice([0, 1, 7, 8, 9, 60, 300, 1000])
        self.words += length // 8 + 2
        return length

    @property
    def node(self) -> Any:
        return self.source.choice(self.nodes)

    def text(self) -> None:
        self.node.text = "t" * self.length()

    def data(self) -> None:
        self.node.data = self.source.randbytes(self.length())

    def numbers(self) -> None:
        self.node.int16s = [self.source.randrange(-99, 99) for _ in range(self.length() // 4)]

    def inner(self) -> None:
        self.words += 40
        self.nodes.append(self.node.init("inner"))
        if len(self.nodes) > 6:
            # What it held is given up, but parts of that may be among the nodes.
            self.nodes = [self.root]

    def inners(self) -> None:
        count = self.source.randrange(4)
        self.words += 40 * count
        inners = self.root.init("inners", count)
        self.nodes = [self.root, *inners]

    def lists(self) -> None:
        lists = self.root.init("lists", self.source.randrange(5))
        for i in range(len(lists)):
            count = self.length() // 4
            inner = lists.init(i, count)
            if count:
                inner[count - 1] = self.source.randrange(1000)

    def texts(self) -> None:
        self.node.texts = ["x" * (self.length() // 4) for _ in range(self.source.randrange(5))]

    def union(self) -> None:
        choice = self.node.choice
        if self.source.random() < 0.5:
            choice.number = self.source.randrange(1 << 60)
        else:
            choice.name = "n" * self.length()

    def any(self) -> None:
        self.node.any.set_as_text("a" * self.length())

    def scalar(self) -> None:
        node = self.node
        node.withDefault = self.source.randrange(1 << 30)
        node.float64 = self.source.random()
        node.colour = self.source.choice(["red", "green", "blue"])

    def orphan(self) -> None:
        self.words += 60
        orphan = self.message.new_orphan(KINDS.schema.schema)
        orphan.get().text = "o" * self.length()
        self.orphans.append(orphan)

    def adopt(self) -> None:
        if self.orphans:
            self.nodes = [self.root]
            self.root.adopt("inner", self.orphans.pop(0))


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(layout=LAYOUTS, seed=st.integers(0, 2**32), count=st.integers(0, 60), kept=st.booleans())
def test_a_random_message(
    tmp_path: Path, layout: dict[str, int], seed: int, count: int, kept: bool
) -> None:
    target, copy = tmp_path / "target", tmp_path / "copy"
    memory = Steps(capnp.lib.capnp._MallocMessageBuilder(16 * KIB), seed)
    memory.run(count)
    expected = plain(memory.root)

    with MessageBuilder(target, **layout) as b:
        steps = Steps(b.message, seed)
        steps.run(count)
        shutil.copyfile(target, copy)
        root = steps.root
        if not kept:  # orphans that go are wiped out, and what they had is free again
            steps.orphans.clear()
            memory.orphans.clear()
    assert plain(root) == expected  # the snapshot

    for way in (read, from_bytes):
        with way(target, KINDS.schema) as found:
            assert plain(found) == expected
            del found
    with open_message(target, KINDS.schema) as m:
        assert plain(m.root) == expected
    report = verify(target)
    table = table_of(target)
    assert report.size == table.total == target.stat().st_size
    assert report.trailing == 0
    # Without the GIL the sizes come from following the pointers: words that pycapnp has taken, but
    # nothing leads to, may be cut off.
    if "segment_words" not in layout and not FREE_THREADED:
        entries = layout["capacity"] // (4 << 30)
        assert without_gap(target.read_bytes(), entries) == memory.root.to_bytes()

    found_again = recover(copy)
    assert found_again.unfinished
    assert (found_again.objects, found_again.pointers) == (report.objects, report.pointers)
    assert found_again.words == report.words
    assert copy.stat().st_size <= target.stat().st_size
    with read(copy, KINDS.schema) as found:
        assert plain(found) == expected
