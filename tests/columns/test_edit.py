"""Changing a finished message in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from column_schemas import ITEMS, NUMBERS, columns_capnp  # noqa: E402

from mmapbuilder import (  # noqa: E402
    InvalidMessage,
    MessageBuilder,
    edit_message,
    open_message,
    verify,
)

Root = columns_capnp.Root
defaults_capnp: Any = capnp.load(str(Path(__file__).resolve().parent / "defaults.capnp"))


@pytest.fixture
def path(target: Path) -> Path:
    with MessageBuilder(target) as b:
        b.init_root(Root, items=ITEMS, numbers=NUMBERS, points=[{"x": 1}, {"x": 2}])
    return target


def changed(path: Path, *steps: Any) -> Any:
    """Set the last of `steps` at the others, and read the message with pycapnp."""
    with edit_message(path, Root) as m:
        m.set(*steps)
    verify(path)
    with open_message(path, Root) as m:
        return m.root.to_dict()


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", 9), ("id", 0), ("flag", True), ("color", "red"), ("color", 1), ("weight", -1.5)],
)
def test_fields_are_set(path: Path, field: str, value: Any) -> None:
    before = changed(path, "items", 5, "id", 5)["items"]
    after = changed(path, "items", 0, field, value)["items"]
    before[0][field] = "green" if (field, value) == ("color", 1) else value
    assert after == before


def test_fields_of_groups_are_set(path: Path) -> None:
    items = changed(path, "items", 1, "position", "height", 7)["items"]
    assert items[1]["position"] == {"height": 7, "place": {"x": 1.0, "y": -1.0}}
    items = changed(path, "items", 1, "position", "place", "x", 5)["items"]
    assert items[1]["position"]["place"] == {"x": 5.0, "y": -1.0}


def test_a_member_that_is_set_becomes_the_active_one(path: Path) -> None:
    items = changed(path, "items", 1, "weight", 2.0)["items"]
    assert items[1]["weight"] == 2.0
    assert "label" not in items[1]
    assert changed(path, "items", 1, "score", "value", 3)["items"][1]["score"] == {"value": 3}


@pytest.mark.parametrize(
    ("name", "index", "value"),
    [
        ("bools", 3, True),
        ("bools", 0, False),
        ("i8", 1, -1),
        ("u64", 0, 2**63),
        ("f32", 0, 1.5),
        ("colors", -1, "blue"),
        ("texts", 2, "shorter"),
        ("blobs", 1, b"abcdefgh"),
    ],
)
def test_elements_of_lists_are_set(path: Path, name: str, index: int, value: Any) -> None:
    expected = list(NUMBERS[name])
    expected[index] = value
    assert changed(path, "numbers", name, index, value)["numbers"][name] == expected


def test_text_can_have_the_words_that_it_has(path: Path) -> None:
    assert changed(path, "items", 0, "name", "seven77")["items"][0]["name"] == "seven77"
    assert changed(path, "items", 0, "name", "")["items"][0]["name"] == ""
    assert changed(path, "items", 0, "name", "é")["items"][0]["name"] == "é"
    with pytest.raises(ValueError, match=r"items\[0\].name has room for 7 bytes, not for 8"):
        changed(path, "items", 0, "name", "eight888")
    assert "name" not in changed(path, "items", 0, "name", None)["items"][0]


def test_text_in_another_segment_is_set(target: Path) -> None:
    with MessageBuilder(target, segment_words=60, capacity=1 << 16) as b:
        rows = b.init_root(Root).init("rows", 1)
        rows[0].texts = ["a" * 30] * 20
    with open_message(target, Root) as m:
        assert len(m.segments) > 1
    with edit_message(target, Root) as m:
        for number in range(20):
            m.set("rows", 0, "texts", number, f"text {number}")
    verify(target)
    with open_message(target, Root) as m:
        assert list(m.root.rows[0].texts) == [f"text {number}" for number in range(20)]


def test_arrays_are_writable(path: Path) -> None:
    with edit_message(path, Root) as m:
        m.array("points")["x"] += 10
        m.array("numbers", "i8")[:] = [3, 4]
        assert m.root.numbers.i8[1] == 4
    with open_message(path, Root) as m:
        assert [row["x"] for row in m.rows("points")] == [11.0, 12.0]
        assert m.rows("numbers", "i8") == [3, 4]


@pytest.mark.parametrize(
    ("steps", "kind", "words"),
    [
        (("items", 0, "id", -1), OverflowError, "field id: -1 does not fit"),
        (("items", 0, "id", "x"), TypeError, "field id"),
        (("items", 0, "color", "pink"), ValueError, "no 'pink'"),
        (("items", 0, "nix", 1), KeyError, "has no 'nix'"),
        (("items", 9, "id", 1), IndexError, "6 elements"),
        (("items", 0, "position", {}), TypeError, "is a group"),
        (("items", 0, {}), TypeError, "set its fields one by one"),
        (("items", 0, "label", "x"), KeyError, "weight is"),
        (("items", [{}]), ValueError, "take new room: .* build the message anew"),
        (("numbers", "i32", 0, 2**31), OverflowError, "does not fit Int32"),
        (("tower", "value", "x"), ValueError, "tower is not set"),
        (("items", 0, "name", 5), TypeError, r"items\[0\].name: Text cannot be made of int"),
        (("items",), TypeError, "a path and a value"),
    ],
)
def test_what_cannot_be_set_changes_nothing(
    path: Path, steps: Any, kind: type[Exception], words: str
) -> None:
    before = path.read_bytes()
    with edit_message(path, Root) as m, pytest.raises(kind, match=words):
        m.set(*steps)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("steps", "value"),
    [(("numbers",), [1]), (("numbers", 0), 7), (("point", "x"), 7), (("point", "tags", 0), "x")],
)
def test_a_default_of_the_schema_is_not_changed(
    target: Path, steps: tuple[Any, ...], value: Any
) -> None:
    with MessageBuilder(target) as b:
        b.init_root(defaults_capnp.Root)
    before = target.read_bytes()
    with edit_message(target, defaults_capnp.Root) as m:
        with pytest.raises(ValueError, match="is not set.* takes new room"):
            m.set(*steps, value)
        m.set(steps[0], None)
        assert m.array("numbers").tolist() == [1, 2]
    assert target.read_bytes() == before


def test_an_open_message_is_locked(path: Path) -> None:
    with edit_message(path, Root):
        with pytest.raises(BlockingIOError):
            edit_message(path, Root)
        with pytest.raises(BlockingIOError):
            MessageBuilder(path)
    edit_message(path, Root, durable=True).close()


def test_what_is_no_finished_message_is_refused(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(Root)
    b.flush()
    with pytest.raises(BlockingIOError):
        edit_message(target, Root)
    b.discard()
    target.write_bytes(b"\xff" * 64)
    with pytest.raises(InvalidMessage):
        edit_message(target, Root)


def test_a_closed_message_is_not_changed(path: Path) -> None:
    m = edit_message(path, Root)
    m.flush()
    m.flush(durable=True)
    m.close()
    m.close()
    with pytest.raises(ValueError, match="closed"):
        m.set("items", 0, "id", 1)
    with pytest.raises(ValueError, match="closed"):
        m.flush()
