"""Unions of a message as unions of Arrow, both ways; hostile ones are errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

import mmapbuilder  # noqa: E402
from mmapbuilder import MessageBuilder, open_message  # noqa: E402

Root = columns_capnp.Root
ROWS: list[dict[str, Any]] = [
    {"nothing": None, "score": 5},
    {"weight": 1.5, "score": None},
    {"label": "x"},
    {"label": None},
    {"points": [{"x": 1}, {"x": 2}]},
    {"both": {"left": 3, "right": "r"}},
    {"weight": 2.5},
]


@pytest.fixture
def b(target: Path) -> Iterator[MessageBuilder]:
    with MessageBuilder(target) as builder:
        builder.init_root(Root)
        yield builder


def dense(b: MessageBuilder, name: str = "@which") -> Any:
    with pytest.warns(UserWarning, match="contains itself"):
        table = pa.table(b.table("items", unions="dense"))
    table.validate(full=True)
    return table.column(name).combine_chunks()


def test_a_union_without_a_name_is_the_column_of_its_tag(b: MessageBuilder) -> None:
    b.fill_rows("items", ROWS)
    found = dense(b)
    names = ["nothing", "weight", "label", "points", "child", "both"]
    assert [field.name for field in found.type] == names
    assert found.to_pylist() == [
        None,
        1.5,
        "x",
        None,
        [{"x": 1, "y": 1.5}, {"x": 2, "y": 1.5}],
        {"left": 3, "right": "r"},
        2.5,
    ]
    # A value that can be null is one, in either way.
    assert pa.table(b.table("items", columns=["score"], unions="dense")).to_pydict() == {
        "score": [5, None, 0, 0, 0, 0, 0]
    }


def test_what_a_table_gives_fill_takes(b: MessageBuilder, tmp_path: Path) -> None:
    b.fill_rows("items", ROWS)
    with MessageBuilder(tmp_path / "other") as other:
        other.init_root(Root)
        with pytest.warns(UserWarning, match="contains itself"):
            other.fill("items", b.table("items", unions="dense"))
            assert pa.table(other.table("items")).equals(pa.table(b.table("items")))
        # One that is there gets other members, and nothing is left of the old ones.
        other.fill(
            "items",
            **{
                "@which": pa.UnionArray.from_dense(
                    pa.array([1] * 7, pa.int8()),
                    pa.array([0] * 7, pa.int32()),
                    [pa.nulls(0), pa.array([9.0])],
                    ["nothing", "weight"],
                )
            },
        )
        assert [item["weight"] for item in other.to_dict()["items"]] == [9.0] * 7


def test_unions_in_lists_of_structs(b: MessageBuilder) -> None:
    b.set_root({"byItem": {"entries": [{"key": "a", "value": ROWS[1]}, {"key": "b"}]}})
    with pytest.warns(UserWarning, match="contains itself"):
        table = pa.table(b.table("byItem", "entries", unions="dense"))
    table.validate(full=True)
    first, second = table.column("value").to_pylist()
    assert first["@which"] == 1.5
    assert second is None


def test_a_member_that_the_schema_does_not_know_is_told(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill_rows("items", [{"weight": 1.0}])
        column = b.array("items")["@which"]
        column[:] = 99
    with open_message(target, Root) as m:
        with pytest.warns(UserWarning, match="contains itself"):
            assert pa.table(m.table("items")).column("@which").to_pylist() == ["@99"]
        with pytest.raises(mmapbuilder.InvalidMessage, match='unions="members"'):
            m.table("items", columns=["@which"], unions="dense")


def test_the_ways_of_unions_are_two(b: MessageBuilder) -> None:
    b.fill_rows("items", ROWS)
    with pytest.raises(ValueError, match='"members" or "dense"'):
        b.table("items", unions="sparse")


# ---- arrays of others -----------------------------------------------------------------------


def union(codes: Any, offsets: Any, children: Any, names: Any, numbers: Any = None) -> Any:
    return pa.UnionArray.from_dense(
        pa.array(codes, pa.int8()), pa.array(offsets, pa.int32()), children, names, numbers
    )


def test_sparse_unions_and_codes_of_any_number(b: MessageBuilder) -> None:
    sparse = pa.UnionArray.from_sparse(
        pa.array([7, 3, 7], pa.int8()),
        [pa.array(["a", "b", "c"]), pa.array([1.0, 2.0, 3.0])],
        ["label", "weight"],
        [7, 3],
    )
    b.fill("items", pa.table({"@which": sparse}))
    assert [(i.get("label"), i.get("weight")) for i in b.to_dict()["items"]] == [
        ("a", None),
        (None, 2.0),
        ("c", None),
    ]
    again = pa.table({"@which": sparse}).slice(1, 2)
    b.set_root({})
    b.fill("items", again)
    assert [(i.get("label"), i.get("weight")) for i in b.to_dict()["items"]] == [
        (None, 2.0),
        ("c", None),
    ]


@pytest.mark.parametrize(
    ("array", "error", "text"),
    [
        (union([0], [0], [pa.array([1])], ["id"]), TypeError, "no member of the union"),
        (union([0], [0], [pa.array([1])], ["size"]), KeyError, "no such field"),
        (union([0], [0], [pa.array(["x"])], ["weight"]), TypeError, "Float64 cannot be made"),
        (union([0], [0], [pa.array([None], pa.float64())], ["weight"]), TypeError, "missing"),
        (union([5], [0], [pa.array([1.0])], ["weight"]), ValueError, "code 5"),
        (union([0], [3], [pa.array([1.0])], ["weight"]), ValueError, "out of bounds"),
        (union([0], [-1], [pa.array([1.0])], ["weight"]), ValueError, "out of bounds"),
    ],
)
def test_wrong_unions_are_errors(
    b: MessageBuilder, array: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        b.fill("items", **{"@which": array})
    with pytest.raises(TypeError, match="cannot be made|no union"):
        b.fill("items", position=array)
    assert b.to_dict() == {}


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("start", [0, 2])
def test_a_union_may_be_beside_columns_that_are_not_arrows(
    b: MessageBuilder, kind: str, start: int
) -> None:
    weights, labels = pa.array([1.5, None, None, 3.0]), pa.array([None, None, "x", None])
    codes, places = pa.array([0, 2, 1, 0], pa.int8()), pa.array([0, 1, 2, 3], pa.int32())
    members, names = [weights, labels, pa.nulls(4)], ["weight", "label", "nothing"]
    if kind == "dense":
        union = pa.UnionArray.from_dense(codes, places, members, names)
    else:
        union = pa.UnionArray.from_sparse(codes, members, names)
    expected = [{"weight": 1.5}, {"nothing": None}, {"label": "x"}, {"weight": 3.0}][start:]
    for column in (union[start:], pa.chunked_array([union[start:3], union[3:]])):
        b.fill("items", {"@which": column, "id": list(range(4 - start))})
        found = [{key: row[key] for key in names if key in row} for row in b.rows("items")]
        assert found == expected
