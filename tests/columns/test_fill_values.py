"""Values that are missing, that a union has, or that have other shapes than columns."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder whose root is made."""
    b.init_root(Root)
    return b


def items(b: MessageBuilder) -> list[dict[str, Any]]:
    return b.to_dict()["items"]


# ---- a number is missing ------------------------------------------------------------------


@pytest.mark.parametrize("ids", [pa.array([3, None], pa.uint32()), [3, None]])
def test_a_number_that_is_missing_is_an_error_unless_the_default_may_stand(
    b: MessageBuilder, ids: Any
) -> None:
    with pytest.raises(TypeError, match="missing|None"):
        b.fill("items", id=ids, missing="error")
    b.fill("items", id=ids, missing="default")
    assert [item["id"] for item in items(b)] == [3, 7]


def test_the_default_may_stand_for_numbers_of_lists_and_of_other_lists(b: MessageBuilder) -> None:
    b.fill("rows", pa.table({"i32": [[1, None]]}), missing="default")
    assert b.to_dict()["rows"][0]["i32"] == [1, 0]
    b.message.get_root(Root).init("numbers")
    b.fill("numbers", "i32", pa.array([1, None], pa.int32()), missing="default")
    assert b.to_dict()["numbers"]["i32"] == [1, 0]
    b.fill(
        "rows",
        i32=[[None, 2]],
        bools=[[True, None]],
        matrix=[[[None, 3], None]],
        colors=[["red", None]],
        missing="default",
    )
    assert b.to_dict()["rows"][0] == {
        "i32": [0, 2],
        "bools": [True, False],
        "matrix": [[0, 3], []],
        "colors": ["red", "red"],
    }
    for values in ([5, None], np.array([5, None], object), np.ma.array([5, 6], mask=[0, 1])):
        b.message.get_root(Root).init("numbers")
        b.fill("numbers", "i32", values, missing="default")
        assert b.to_dict()["numbers"]["i32"] == [5, 0]


@pytest.mark.parametrize("fill", [MessageBuilder.fill, MessageBuilder.fill_rows])
def test_what_lies_below_a_mask_gets_nowhere(b: MessageBuilder, fill: Any) -> None:
    masked = np.ma.array([5, 6], "i4", mask=[0, 1])
    rows = fill is MessageBuilder.fill_rows
    for name, words in [("i32", r"row 0, field i32\[1\]: Int32"), ("matrix", r"matrix\[0\]\[1\]")]:
        value = masked if name == "i32" else [masked]
        with pytest.raises(TypeError, match=words):
            fill(b, "rows", [{name: value}] if rows else {name: [value]})
    with pytest.raises(TypeError, match="row 0.*MaskedArray"):
        fill(b, "items", [{"blob": masked}] if rows else {"blob": [masked]})
    with pytest.raises(TypeError, match="row 0, field weight: Float64|row 0.*cannot be stored"):
        fill(b, "items", [{"weight": masked}] if rows else {"weight": [masked]})
    assert b.to_dict() == {}
    b.fill("rows", i32=[masked], missing="default")
    assert b.to_dict()["rows"][0]["i32"] == [5, 0]


def test_what_is_missing_is_said_in_one_of_two_ways(b: MessageBuilder) -> None:
    with pytest.raises(ValueError, match='must be "default" or "error"'):
        b.fill("items", id=[1], missing="zero")


def test_a_list_that_is_set_gets_the_default_where_a_number_is_missing(b: MessageBuilder) -> None:
    b.fill("items", id=[1, 2], name=["a", "b"])
    b.fill("items", id=[None, 5], missing="default")
    assert [(item["id"], item["name"]) for item in items(b)] == [(7, "a"), (5, "b")]


# ---- numbers that can be null ---------------------------------------------------------------


def masked(values: list[Any]) -> Any:
    gone = [value is None for value in values]
    return np.ma.array([value or 0 for value in values], mask=gone)


def pandas_integers(values: list[Any]) -> Any:
    return pytest.importorskip("pandas").array(values, "Int64")


def polars_series(values: list[Any]) -> Any:
    return pytest.importorskip("polars").Series(values)


@pytest.mark.parametrize("make", [list, pa.array, masked, pandas_integers, polars_series])
def test_nulls_choose_the_void_member(b: MessageBuilder, make: Any) -> None:
    b.fill("items", score=make([5, None, 0]))
    assert [item["score"] for item in items(b)] == [{"value": 5}, {"none": None}, {"value": 0}]
    assert pa.table(b.table("items", columns=["score"])).to_pydict() == {"score": [5, None, 0]}


@dataclass
class Scored:
    score: Any


@pytest.mark.parametrize(
    "row",
    [
        {"score": 5},
        {"score": {"value": 5}},
        {"score": (5, None)},
        Scored(5),
        Scored({"value": 5}),
        Scored(np.int32(5)),
    ],
)
def test_a_row_has_the_value_or_the_group(b: MessageBuilder, row: Any) -> None:
    b.fill_rows("items", [row, {"score": None}, {}])
    assert [item["score"] for item in items(b)] == [{"value": 5}, {"none": None}, {"value": 0}]


# ---- unions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [list, pa.array])
def test_the_member_with_a_value_is_active_and_none_the_void_one(
    b: MessageBuilder, make: Any
) -> None:
    b.fill("items", weight=make([1.5, None, None]), label=make([None, "x", None]))
    assert [(i.get("weight"), i.get("label"), "nothing" in i) for i in items(b)] == [
        (1.5, None, False),
        (None, "x", False),
        (None, None, True),
    ]


def test_members_may_be_columns_of_their_group(b: MessageBuilder) -> None:
    b.fill("items", score={"value": [5, None]}, position={"height": [1, 2], "place": {"x": [3, 4]}})
    assert [item["score"] for item in items(b)] == [{"value": 5}, {"none": None}]
    assert items(b)[1]["position"] == {"height": 2, "place": {"x": 4.0, "y": 1.5}}


def test_one_member_with_nulls_leaves_the_others_to_the_void_one(b: MessageBuilder) -> None:
    b.fill("items", pa.table({"weight": [1.5, None]}))
    assert [("weight" in item, "nothing" in item) for item in items(b)] == [
        (True, False),
        (False, True),
    ]


# ---- numbers and Bools ------------------------------------------------------------------------


@pytest.mark.parametrize("beside", [{}, {"points": pa.array([[], []])}])
def test_bools_are_numbers_and_0_and_1_are_bools(b: MessageBuilder, beside: Any) -> None:
    flags = pa.array([True, False])
    b.fill("items", id=flags, weight=flags, flag=pa.array([0, 1], pa.int8()))
    assert [(i["id"], i["weight"], i["flag"]) for i in items(b)] == [(1, 1, False), (0, 0, True)]
    b.fill("items", id=flags, flag=pa.array([0, 1], pa.uint64()), **beside)
    assert [(item["id"], item["flag"]) for item in items(b)] == [(1, False), (0, True)]
    for wrong in (pa.array([0, 2], pa.int8()), pa.array([0, -1], pa.int16())):
        with pytest.raises(OverflowError, match="row 1.* fit Bool"):
            b.fill("items", flag=wrong, **beside)


def test_a_name_that_is_missing_is_an_error_with_its_row(b: MessageBuilder) -> None:
    with pytest.raises(TypeError, match="column 'color', row 1: .*not None"):
        b.fill("items", color=["red", None])
    names = pa.array(["blue", "red"], pa.string_view()).dictionary_encode()
    b.fill("items", color=names)
    assert [item["color"] for item in items(b)] == ["blue", "red"]


# ---- shapes ---------------------------------------------------------------------------------


def test_bytes_of_a_fixed_width_and_uuids_become_data(b: MessageBuilder) -> None:
    number = uuid.UUID(int=5)
    b.fill("items", pa.table({"blob": pa.array([b"abc", None], pa.binary(3))}))
    for values in ([number, None], np.array([number, None], object)):
        b.fill("items", blob=values)
        assert items(b)[0]["blob"] == number.bytes
    b.fill("items", blob=np.array([b"a\0", b"b"], "V2"))
    assert [item["blob"] for item in items(b)] == [b"a\0", b"b\0"]
    b.fill("items", name=pa.array([b"ab", None], pa.binary(2)))
    assert items(b)[0]["name"] == "ab"
    b.fill("items", blob=pa.array([number.bytes, None], pa.binary(16)))
    assert items(b)[0]["blob"] == number.bytes
    if hasattr(pa, "uuid"):
        b.fill("items", pa.table({"blob": pa.array([number.bytes, None], pa.uuid())}))
        assert items(b)[0]["blob"] == number.bytes


def test_structs_of_numpy_are_structs_by_their_names(b: MessageBuilder) -> None:
    points = np.array([(1, 2), (3, 4)], [("y", "f4"), ("x", "f4")])
    b.fill("rows", boxes=[[points, None], None])
    assert b.to_dict()["rows"][0]["boxes"] == [[{"x": 2, "y": 1}, {"x": 4, "y": 3}], []]
    b.fill_rows("items", [{"points": points}, {"points": []}])
    assert items(b)[0]["points"][1] == {"x": 4, "y": 3}


def test_nan_of_pandas_is_no_text_but_a_number(b: MessageBuilder) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"name": ["a", None], "points": [[], [{"x": float("nan")}]]})
    b.fill("items", frame)
    first, second = items(b)
    assert first["name"] == "a"
    assert "name" not in second
    assert second["points"][0]["x"] != second["points"][0]["x"]
