"""One field of all structs in a list, whatever its type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from column_schemas import NUMBERS, columns_capnp, message_of  # noqa: E402

from mmapbuilder import MessageBuilder  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def message(target: Path) -> Iterator[Any]:
    with message_of(
        target,
        rows=[NUMBERS, {}],
        names={"entries": [{"key": "k", "value": b"v"}]},
    ) as opened:
        yield opened


def test_lists_are_lists(message: Any) -> None:
    for name, values in NUMBERS.items():
        assert message.column("rows", name).tolist() == [values, None]
    assert message.column("numbers", "matrix").tolist() == NUMBERS["matrix"]


def test_structs_and_groups_are_dicts(message: Any) -> None:
    children = message.column("items", "child")
    assert children[3]["id"] == 3
    assert children[0] is None
    assert message.column("items", "position")[1] == {"height": 9, "place": {"x": 1.0, "y": -1.0}}
    assert message.column("items", "position", "place")[1] == {"x": 1.0, "y": -1.0}
    assert message.column("items", "position.place", "x").tolist()[:2] == [None, 1.0]


@pytest.mark.parametrize(
    "path",
    [
        ("items", "child", "nope"),
        ("items", "child", "id", "nope"),
        ("items", "child", "child", "nope"),
        ("items", "child", "points", "x"),
        ("items", "points", "x"),
        ("items", "points.x"),
        ("items", "position", "place", "@which"),
        ("items", "child", "@which", "id"),
        ("numbers", "cube", "x"),
    ],
)
def test_fields_that_are_not_there_are_told_also_in_structs(
    message: Any, path: tuple[str, ...]
) -> None:
    with pytest.raises(KeyError, match="has no|have no|is no struct|leads|not"):
        message.column(*path)


def test_the_tag_of_a_struct_in_a_struct_is_its_number(message: Any) -> None:
    tags = message.column("items", "child", "@which")
    assert tags.tolist() == [
        None if item.which() != "child" else item.child.which.raw for item in message.root.items
    ]
    names = message.column("items", "child", "@which", names=True).tolist()
    assert names == [None, None, None, "child", None, None]


def test_enums_in_structs_are_numbers_or_names(message: Any) -> None:
    assert message.column("items", "child", "color").tolist() == [None] * 3 + [1] + [None] * 2
    names = message.column("items", "child.color", names=True).tolist()
    assert names == [None] * 3 + ["green"] + [None] * 2


def test_parameters_of_generic_types_are_read(message: Any) -> None:
    assert message.column("names", "entries", "key").tolist() == ["k"]
    assert message.column("names", "entries", "value").tolist() == [b"v"]


def test_flat_fields_are_arrays_as_before(message: Any) -> None:
    assert message.column("items", "id").dtype == np.uint32
    assert message.column("items", "position", "height").tolist() == [-3, 9, -3, -3, -3, -3]


def test_enums_and_tags_can_have_names(message: Any) -> None:
    assert message.column("items", "color", names=True).tolist()[:2] == ["blue", "green"]
    assert message.column("items", "@which", names=True).tolist() == [
        *("weight", "label", "points", "child", "both", "nothing")
    ]
    score = message.column("items", "score", "@which", names=True).tolist()
    assert score == ["value"] * 4 + ["none", "value"]
    assert message.column("numbers", "colors", names=True).tolist() == ["green", "red"]
    with pytest.raises(TypeError, match="these values are neither"):
        message.column("items", "id", names=True)


def test_a_number_without_a_name_stands_for_itself(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers").init("colors", 3)
        b.array("numbers", "colors")[:] = [0, 2, 9]
        names = b.column("numbers", "colors", names=True)
        assert names.tolist() == ["red", "blue", "@9"]
