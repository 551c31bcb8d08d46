"""Bytes from strangers: arrays and columns stay inside the message or raise."""

from __future__ import annotations

import functools
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pytest.importorskip("hypothesis")

from array_schemas import NUMBERS, arrays_capnp  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmapbuilder import InvalidMessage, MessageBuilder, open_message  # noqa: E402

Root = arrays_capnp.Root

PATHS: list[tuple[Any, ...]] = [
    *(("numbers", name) for name in NUMBERS),
    ("numbers", "colors"),
    ("numbers", "matrix", 1),
    ("numbers", "text"),
    ("numbers", "data"),
    ("rows",),
    ("rows", 1, "child", "blob"),
    ("ones",),
    ("left",),
]
COLUMNS: list[tuple[Any, ...]] = [
    ("numbers", "bools"),
    ("numbers", "texts"),
    ("numbers", "datas"),
    ("rows", "name"),
    ("rows", "blob"),
    ("rows", "note"),
    ("rows", "flag"),
    ("rows", "position", "unit"),
    ("rows", "shape", "label"),
    ("rows", "shape", "box", "kind", "remark"),
    ("ones", "value"),
]


def build(path: Path, **options: Any) -> None:
    with MessageBuilder(path, **options) as b:
        root = b.init_root(Root)
        numbers = root.init("numbers")
        for name, dtype in NUMBERS.items():
            b.fill("numbers", name, np.arange(5, dtype=dtype))
        b.fill("numbers", "colors", ["red"])
        b.fill("numbers", "bools", [True] * 9)
        b.fill("numbers", "texts", ["a", "bc", None])
        b.fill("numbers", "datas", [b"a", b"bc"])
        matrix = numbers.init("matrix", 2)
        matrix.init(1, 3)
        numbers.text = "text"
        numbers.data = b"data"
        b.fill("rows", name=["x", "y"], blob=[b"1", b"2"], note=["n", "m"])
        root.rows[1].init("child").blob = b"blob"
        b.fill("ones", value=[1, 2])
        b.fill("left", [1, 2, 3])


@functools.cache
def sample(segments: bool) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "sample"
        if segments:
            build(path, capacity=100 * 8 * 30, segment_words=30)
        else:
            build(path)
        return path.read_bytes()


def touch(path: Path) -> int:
    """Read all there is; how much could be read."""
    good = 0
    try:
        m = open_message(path, Root)
    except InvalidMessage:
        return 0
    size = path.stat().st_size
    with m:
        for steps in PATHS:
            try:
                array = m.array(*steps)
            except (InvalidMessage, KeyError, IndexError):
                continue
            assert array.nbytes <= size or array.dtype.itemsize == 0
            array.tobytes()
            good += 1
        for steps in COLUMNS:
            try:
                m.column(*steps)
            except (InvalidMessage, KeyError, IndexError):
                continue
            good += 1
    return good


@pytest.mark.parametrize("segments", [False, True])
def test_the_sample_is_good(tmp_path: Path, segments: bool) -> None:
    path = tmp_path / "message"
    path.write_bytes(sample(segments))
    assert touch(path) == len(PATHS) + len(COLUMNS)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0), st.integers(0, 2**64 - 1)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0), st.integers(0, 63)), max_size=6),
)
def test_changed_words(
    tmp_path: Path, segments: bool, words: list[tuple[int, int]], bits: list[tuple[int, int]]
) -> None:
    content = bytearray(sample(segments))
    start = 8 + struct.unpack_from("<I", content)[0] * 4 // 8 * 8
    count = (len(content) - start) // 8
    for place, word in words:
        struct.pack_into("<Q", content, start + place % count * 8, word)
    for place, bit in bits:
        content[start + place % count * 8 + bit // 8] ^= 1 << bit % 8
    path = tmp_path / "message"
    path.write_bytes(content)
    touch(path)


def one_segment(path: Path, *words: int) -> None:
    path.write_bytes(struct.pack(f"<II{len(words)}Q", 0, len(words), *words))


def pointer(kind: int, offset: int, low: int, high: int) -> int:
    """A struct's (data words, pointers) or a list's (element size, count)."""
    word = kind | (offset & 0x3FFFFFFF) << 2
    if kind == 0:
        return word | low << 32 | high << 48
    return word | low << 32 | high << 35


# Root: 1 word of data is enough; its pointers are numbers, rows, ...
ROOT = pointer(0, 0, 0, 2)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([ROOT, 0, pointer(1, 0, 7, 100)], "beyond its segment"),
        ([ROOT, 0, pointer(1, 5, 7, 0)], "outside its segment"),
        ([ROOT, 0, pointer(1, 0, 7, 1), pointer(0, 2, 2, 0), 0], "more words than it has"),
        ([ROOT, 0, pointer(0, 0, 1, 0), 0], "something else than a list"),
        ([ROOT, 0, pointer(1, 0, 1, 8), 0], "a list of bits stands for one of structs"),
        ([ROOT, 0, 6 | 9 << 3 | 5 << 32], "names a segment that is not there"),
        ([ROOT, 0, 3 | 1 << 2], "no known kind"),
        ([pointer(1, 0, 2, 1), 0], "something else than a struct"),
    ],
)
def test_lists_of_structs_that_are_wrong(target: Path, words: list[int], text: str) -> None:
    one_segment(target, *words)
    with open_message(target, Root) as m:
        for call in (m.array, m.column):
            with pytest.raises(InvalidMessage, match=text) as caught:
                call("rows")
        assert caught.value.segment == 0
        assert caught.value.word is not None
        assert caught.value.reason


def test_elements_that_are_too_small(target: Path) -> None:
    numbers = pointer(0, 1, 0, 3)
    one_segment(
        target, ROOT, numbers, 0, pointer(1, 2, 2, 8), pointer(1, 1, 2, 8), pointer(1, 0, 6, 1), 0
    )
    with open_message(target, Root) as m:
        assert m.array("numbers", "i8").shape == (8,)
        with pytest.raises(InvalidMessage, match="too small to be Int16"):
            m.array("numbers", "i16")
        with pytest.raises(InvalidMessage, match="too small to be Int32"):
            m.array("numbers", "i32")


def test_structs_without_words_take_no_time(target: Path) -> None:
    one_segment(target, ROOT, 0, pointer(1, 0, 7, 0), pointer(0, 2**29 - 1, 0, 0))
    with open_message(target, Root) as m:
        array = m.array("rows")
        assert len(array) == 2**29 - 1
        assert array.dtype.itemsize == 0
        for call in (
            lambda: m.column("rows", "id"),
            lambda: m.column("rows", "name"),
            lambda: m.column("rows", "flag"),
        ):
            with pytest.raises(InvalidMessage, match="structs without content"):
                call()
    one_segment(target, ROOT, 0, pointer(1, 0, 7, 0), pointer(0, 1000, 0, 0))
    with open_message(target, Root) as m:
        assert m.column("rows", "inverse").tolist() == [True] * 1000


def test_texts_that_overlap_do_not_fill_the_memory(target: Path) -> None:
    texts = 1000
    body = [pointer(0, 0, 0, 1)]
    body += [pointer(0, 0, 0, 14)] + [0] * 13
    body += [pointer(1, 0, 6, texts)]
    for i in range(texts):
        body.append(pointer(1, texts - i - 1, 2, 8000))
    body += [0] * 1000
    one_segment(target, *body)
    with open_message(target, Root) as m:
        with pytest.raises(InvalidMessage, match="objects overlap"):
            m.column("numbers", "texts")


def test_text_without_an_end(target: Path) -> None:
    numbers = pointer(0, 1, 0, 17)
    one_segment(target, ROOT, numbers, 0, *[0] * 16, pointer(1, 0, 2, 3), 0x616161)
    with open_message(target, Root) as m, pytest.raises(InvalidMessage, match="no terminator"):
        m.array("numbers", "text")


def test_building_over_damaged_segments(target: Path) -> None:
    segments: list[memoryview] = []

    def allocate(words: int) -> memoryview:
        segments.append(b.allocate_segment(words))
        return segments[-1]

    with MessageBuilder(target) as b:
        root = Root.new_message(allocate_seg_callable=allocate)
        root.init("numbers")
        b.schema = Root
        memory = segments[0]
        memory[8:16] = struct.pack("<Q", pointer(0, 2**28, 0, 3))
        # The segment is 4 GiB of address space, so that this is in it, and zero.
        with pytest.raises((InvalidMessage, KeyError)):
            b.array("rows", 3)
        memory[0:8] = struct.pack("<Q", 3 | 8)
        with pytest.raises(InvalidMessage):
            b.array("numbers", "i8")
        with pytest.raises(InvalidMessage):
            b.fill("rows", id=[1])
        b.discard()
