"""fill(): Text and Data where room is scarce."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import arrays_capnp  # noqa: E402

from mmapbuilder import CapacityError, MessageBuilder, open_message, verify  # noqa: E402

Root = arrays_capnp.Root


@pytest.mark.parametrize("words", [20, 64, 500])
def test_texts_over_segments(target: Path, words: int) -> None:
    texts = [None if i % 7 == 0 else "ä" * (i % 50) for i in range(120)]
    datas = [b"" if i % 5 == 0 else bytes([i]) * (i % 40) for i in range(120)]
    with MessageBuilder(target, capacity=500 * 8 * words, segment_words=words) as b:
        root = b.init_root(Root)
        b.fill("rows", name=texts, blob=datas)
        root.init("both")
        root.both.init("first", 10)
        b.fill("rows", **{"position.unit": ["m"] * 120})
        first = [(row.name, row.blob, row.position.unit) for row in root.rows]
    want = [(text or "", data, "m") for text, data in zip(texts, datas, strict=True)]
    assert first == want
    report = verify(target)
    assert report.segments > 1
    assert report.trailing == 0
    with open_message(target, Root) as m:
        assert [(row.name, row.blob, row.position.unit) for row in m.root.rows] == want
        assert m.column("rows", "name").tolist() == [text or "" for text in texts]
        assert m.column("rows", "blob").tolist() == datas


def test_texts_use_up_a_segment_before_the_next_begins(target: Path) -> None:
    words = 1 << 21
    texts = [f"{i:02}" * (1 << 17) for i in range(96)]
    with MessageBuilder(target, capacity=1 << 30, segment_words=words) as b:
        b.init_root(Root)
        b.fill("rows", name=texts)
    verify(target)
    with open_message(target, Root) as m:
        sizes = [len(segment) for segment in m.segments]
        assert len(sizes) == 2
        assert sizes[0] > 8 * words - len(texts[0]) - 100
        assert m.column("rows", "name").tolist() == texts


def test_columns_of_arrow_with_strings_are_the_same_as_lists(target: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    columns = {
        "name": [None if i % 7 == 0 else "ä" * (i % 70) for i in range(300)],
        "blob": [bytes([i % 256]) * (i % 41) for i in range(300)],
        "id": list(range(300)),
        "ratio": [i / 4 for i in range(300)],
        "inverse": [i % 3 == 0 for i in range(300)],
    }
    types = {"blob": pyarrow.large_binary(), "ratio": pyarrow.float32()}
    arrow = {
        name: pyarrow.chunked_array(
            [
                pyarrow.array(["x"] * 3 if name == "name" else values[:3], types.get(name))[3:],
                pyarrow.array(values[:100], types.get(name)),
                pyarrow.array(values, types.get(name))[100:],
            ]
        )
        for name, values in columns.items()
    }
    found = []
    for given in (columns, arrow, pyarrow.table(arrow)):
        with MessageBuilder(target) as b:
            b.init_root(Root)
            b.fill("rows", given)
        verify(target)
        with open_message(target, Root) as m:
            found.append([row.to_dict() for row in m.root.rows])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("wrong", ["lengths", "null"])
def test_wrong_columns_of_arrow_with_strings_change_nothing(target: Path, wrong: str) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    ids = [1, 2] if wrong == "lengths" else [1, None, 3]
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        with pytest.raises((TypeError, ValueError), match="id"):
            b.fill("rows", name=pyarrow.array(["a", "b", "c"]), id=pyarrow.array(ids))
        assert len(root.rows) == 0


def test_texts_lie_close_together(target: Path) -> None:
    """A pointer and a word for each text, and one word for the block."""
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers")
        before = b.size
        b.fill("numbers", "texts", ["1234567"] * 1000)
    assert target.stat().st_size - before <= 8 * (2000 + 1 + 40)


def test_strings_of_all_kinds_in_one_list(target: Path) -> None:
    """More than are written at a time, those that are held among those that are not."""

    class Name(str):
        pass

    kinds = ["é", Name("name"), b"bytes", np.bytes_(b"numpy"), np.str_("ü"), None, math.nan,
             np.float64("nan"), bytearray(b"array"), memoryview(b"view"), b""]  # fmt: skip
    values = kinds * 100 + ["plain"] * 300 + kinds
    expected = [
        v.encode() if isinstance(v, str) else b"" if v is None or isinstance(v, float) else bytes(v)
        for v in values
    ]
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("rows", blob=values, name=values)
    with open_message(target, Root) as m:
        assert [bytes(row.blob) for row in m.root.rows] == expected
        assert [row.name.encode() for row in m.root.rows] == expected
    verify(target)


def test_strings_that_are_missing_take_no_room(target: Path) -> None:
    """Not even that for a landing pad, in another segment."""
    with MessageBuilder(target, capacity=1 << 20, segment_words=4096) as b:
        b.init_root(Root).init("numbers").init("texts", 4060)
        b.fill("numbers", "texts", ["1234567"] * 10 + [None] * 4050)
    assert verify(target).segments == 2
    assert target.stat().st_size <= 8 * (4096 + 2 * 10 + 2 + 32)


def test_what_is_written_anew_leaves_nothing_of_the_old(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        rows = root.init("rows", 2)
        rows[0].name = "secret of pycapnp"
        b.fill("rows", name=["one secret", "another secret"])
        b.fill("rows", name=["x", None])
        rows[0].name = "y"
    assert b"secret" not in target.read_bytes()


def test_pycapnp_goes_on_with_what_was_filled(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        b.fill("rows", name=["a" * 10, "b" * 20, "c" * 30], id=[1, 2, 3])
        root.rows[1].name = "changed"
        root.rows[2].init("child").name = "child"
        orphan = root.rows[0].disown("name")
        root.rows[0].child.adopt("name", orphan)
        root.init("numbers").text = "more"
        b.fill("rows", blob=[b"1", b"2", b"3"])
    with open_message(target, Root) as m:
        rows = m.root.rows
        assert [row.name for row in rows] == ["", "changed", "c" * 30]
        assert rows[0].child.name == "a" * 10
        assert rows[2].child.name == "child"
        assert [row.blob for row in rows] == [b"1", b"2", b"3"]
        assert m.root.numbers.text == "more"
    verify(target)


def test_no_room_in_the_file(target: Path) -> None:
    b = MessageBuilder(target, capacity=8192)
    b.init_root(Root).init("rows", 10)
    with pytest.raises(CapacityError):
        b.fill("rows", name=["x" * 2000] * 10)
    with pytest.raises(CapacityError):
        b.close()
