"""Defaults of lists and structs, which lie in the schema, stand for null pointers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message  # noqa: E402

Root = columns_capnp.Defaults
POINT = {"x": 4.0, "y": 1.5}
CHAIN = {"value": 1, "next": {"value": 2}}


@pytest.fixture
def message(target: Path) -> Any:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill_rows(
            "rows",
            [{"numbers": [7]}, {"point": {"x": 1}}, {"points": [], "words": []}, {}],
        )
    with open_message(target, Root) as m:
        yield m


def test_columns_have_them(message: Any) -> None:
    names = ["numbers", "points", "words", "point"]
    for views in (False, True):
        table = pa.table(message.table("rows", columns=names, views=views))
        table.validate(full=True)
        assert table.to_pydict() == {
            "numbers": [[7], [1, 2, 3], [1, 2, 3], [1, 2, 3]],
            "points": [[POINT], [POINT], [], [POINT]],
            "words": [["a", "a word that is longer than a view"]] * 2
            + [[], ["a", "a word that is longer than a view"]],
            "point": [POINT, {"x": 1.0, "y": 1.5}, POINT, POINT],
        }


def test_tuples_and_objects_have_them_and_dicts_as_pycapnp(message: Any) -> None:
    numbers = message.rows("rows", as_=lambda **row: row["numbers"])
    assert numbers == [[7], [1, 2, 3], [1, 2, 3], [1, 2, 3]]
    first = message.rows("rows", as_=tuple)[0]
    assert first[1:4] == ([(4.0, 1.5)], ["a", "a word that is longer than a view"], (4.0, 1.5))
    assert message.to_dict() == message.root.to_dict()
    assert "numbers" not in message.rows("rows")[3]
    # Of a union the active member is there, set or not.
    assert message.rows("rows")[3]["chosen"] == [9]


def test_a_list_that_is_not_set_is_its_default(message: Any) -> None:
    assert message.rows("points") == [POINT]
    table = message.table("points")
    assert pa.table(table).to_pylist() == [POINT]
    assert message.rows("numbers") == [5, 6]
    numbers = message.table("numbers")
    del message
    assert pa.table(numbers).to_pydict() == {"numbers": [5, 6]}


def test_defaults_nest(message: Any) -> None:
    chain = message.rows("rows", as_=lambda **row: row["chain"])[0]
    assert chain == CHAIN
    with pytest.warns(UserWarning, match="contains itself"):
        table = pa.table(message.table("rows"))
    assert table.column("chain").to_pylist()[0] == {"value": 1}


def test_messages_of_older_programs_have_the_defaults_of_newer_ones(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(columns_capnp.Old).init("rows", 2)[1].id = 3
    with open_message(target, columns_capnp.NewDefaults) as m:
        table = pa.table(m.table("rows", columns=["numbers"]))
        assert table.to_pydict() == {"numbers": [[1], [1]]}
        assert m.rows("rows", as_=lambda **row: row["numbers"]) == [[1], [1]]


def test_a_default_of_a_field_within_itself_has_an_end(target: Path, tmp_path: Path) -> None:
    schema = tmp_path / "within.capnp"
    schema.write_text(
        "@0xd1e2f30415263799; struct Root { rows @0 :List(Node); } struct Node "
        "{ value @0 :Int32; one @1 :Node = (value = 1); more @2 :List(Node) = [(value = 2)]; }"
    )
    root = capnp.load(str(schema)).Root
    with MessageBuilder(target) as b:
        b.init_root(root)
        b.fill("rows", value=[7])
    with open_message(target, root) as m:
        more = [(2, None, None)]
        one = (1, None, more)
        assert m.rows("rows", as_=tuple) == [(7, one, [(2, (1, None, None), None)])]
        assert m.rows("rows", as_=lambda **row: row["one"]) == [{"value": 1}]
        assert m.rows("rows", 0, "one", "more", 0, "more") == [{"value": 2}]
        with pytest.warns(UserWarning, match="contains itself"):
            table = m.table("rows", depth=3)
    assert pa.table(table)["one"].to_pylist()[0]["one"]["value"] == 1
