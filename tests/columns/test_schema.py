"""Plans: what is compiled of a schema."""

from __future__ import annotations

import gc
from typing import Any

import pytest

pytest.importorskip("capnp")

from column_schemas import columns_capnp

from mmapbuilder import _core
from mmapbuilder.columns import schema
from mmapbuilder.columns.schema import Plan, plan_of


def fields(plan: Plan, *path: str) -> dict[str, str]:
    """The types of the fields of the struct at a path of field names."""
    number = 0
    for step in path:
        while plan.types[number].kind == "list":
            number = plan.types[number].refers_to
        number = plan.structs[plan.types[number].refers_to].fields[step].type
    while plan.types[number].kind == "list":
        number = plan.types[number].refers_to
    found = plan.structs[plan.types[number].refers_to].fields
    return {name: plan.spell(field.type) for name, field in found.items()}


def test_a_plan_names_every_type_that_can_be_reached() -> None:
    plan = plan_of(columns_capnp.Root)
    assert fields(plan, "numbers") | {"bools": "List(Bool)"} == {
        "bools": "List(Bool)",
        "i8": "List(Int8)",
        "u16": "List(UInt16)",
        "i32": "List(Int32)",
        "u64": "List(UInt64)",
        "f32": "List(Float32)",
        "f64": "List(Float64)",
        "colors": "List(Color)",
        "voids": "List(Void)",
        "texts": "List(Text)",
        "blobs": "List(Data)",
        "matrix": "List(List(Int32))",
        "cube": "List(List(List(UInt8)))",
        "words": "List(List(Text))",
        "boxes": "List(List(Point))",
    }
    assert fields(plan, "items")["both"] == "Item.both"
    assert fields(plan)["any"] == "AnyPointer"


def test_fields_stand_in_the_order_of_the_schema() -> None:
    names = list(fields(plan_of(columns_capnp.Item)))
    assert names[5:9] == ["flag", "position", "nothing", "weight"]


def test_parameters_of_generic_types_are_bound() -> None:
    plan = plan_of(columns_capnp.Root)
    assert fields(plan, "names", "entries") == {"key": "Text", "value": "Data"}
    assert fields(plan, "byItem", "entries") == {"key": "Text", "value": "Item"}
    assert fields(plan, "plain") == {"value": "AnyPointer"}
    assert fields(plan, "tower") == {"value": "Text", "next": "Tower"}
    assert fields(plan, "tower", "next") == {"value": "Box", "next": "Tower"}
    assert fields(plan, "tower", "next", "value") == {"value": "Text"}


def test_a_type_that_grows_without_end_ends_in_any_pointer() -> None:
    plan = plan_of(columns_capnp.Root)
    path = ["tower"]
    while fields(plan, *path)["value"] != "AnyPointer":
        path.append("next")
        assert len(path) < 50
    assert len(path) > 10


def test_a_plan_is_made_once() -> None:
    assert plan_of(columns_capnp.Root) is plan_of(columns_capnp.Root.schema)


def test_plans_are_kept_for_a_while_and_then_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_kept", [])
    monkeypatch.setattr(schema, "_MOST_KEPT", 2)
    kinds = [columns_capnp.Root, columns_capnp.Item, columns_capnp.Point, columns_capnp.Chain]
    for kind in kinds:
        plan_of(kind)
    gc.collect()
    assert len(schema._kept) == 2
    assert plan_of(columns_capnp.Chain).structs[0].name == "Chain"


@pytest.mark.parametrize("wrong", [None, 7, "Root", columns_capnp.Color])
def test_only_a_struct_has_a_plan(wrong: Any) -> None:
    with pytest.raises(TypeError, match="a struct of a schema is required"):
        plan_of(wrong)


STRUCT = ("S", 1, 1, -1, 0, False, [])


@pytest.mark.parametrize(
    ("types", "structs", "enums"),
    [
        ([(16, 1)], [STRUCT], []),  # no such struct
        ([(14, 9)], [STRUCT], []),  # a list of no such type
        ([(15, 0)], [STRUCT], []),  # no such enum
        ([(77, 0)], [STRUCT], []),  # no such kind
        ([(19, 0)], [STRUCT], []),  # a group that is no group
        ([(5, 0)], [("S", 1, 0, -1, 0, False, [("f", 0, 64, -1, 0)])], []),  # beyond the data
        ([(5, 0)], [("S", 2, 0, -1, 0, False, [("f", 0, 8, -1, 0)])], []),  # between numbers
        ([(12, 0)], [("S", 1, 1, -1, 0, False, [("f", 0, 1, -1, None)])], []),  # and pointers
        ([(5, 0)], [("S", 1, 0, -1, 0, False, [("f", 3, 0, -1, 0)])], []),  # no such type
        ([(5, 0)], [("S", 1, 0, -1, 0, False, [("f", 0, 0, 2, 0)])], []),  # no such member
        ([(5, 0)], [("S", 1, 0, 64, 2, False, [])], []),  # a tag beyond the data
        ([(19, 0)], [("S", 1, 0, -1, 0, True, [("f", 0, 0, -1, None)])], []),  # in itself
    ],
)
def test_a_schema_that_contradicts_itself_is_refused(types: Any, structs: Any, enums: Any) -> None:
    with pytest.raises(ValueError, match="contradicts itself"):
        _core.Plan(types, structs, enums)
