"""Tables out of a message: every type, nested, for whoever takes Arrow's capsules."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("hypothesis")

from column_schemas import NUMBERS, columns_capnp, message_of  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from nested_schemas import Body, Kind, load, messages  # noqa: E402

from mmapbuilder import InvalidMessage, MessageBuilder, open_message  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:left out of the table:UserWarning")
Root = columns_capnp.Root


@pytest.fixture
def message(target: Path) -> Iterator[Any]:
    with message_of(
        target,
        names={"entries": [{"key": "k", "value": b"v"}, {"key": "l"}]},
        rows=[NUMBERS, {}, NUMBERS],
    ) as opened:
        yield opened


# ---- types -------------------------------------------------------------------------------


def test_lists_of_every_type_are_columns(message: Any) -> None:
    table = message.table("rows").to_pyarrow()
    table.validate(full=True)
    for name, values in NUMBERS.items():
        assert table.column(name).to_pylist() == [values, None, values], name
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types["bools"] == "large_list<item: bool not null>"
    assert types["texts"] == "large_list<item: large_string>"
    assert types["cube"].count("large_list") == 3
    assert types["colors"].startswith("large_list<item: dictionary<values=string")
    assert types["boxes"].endswith("struct<x: float, y: float> not null>>")


def test_a_list_of_another_type_is_a_table_of_one_column(message: Any) -> None:
    for name, values in NUMBERS.items():
        table = message.table("numbers", name)
        table.validate(full=True)
        assert table.to_pydict() == {name: values}
    assert message.table("numbers", "cube", 0).to_pydict() == {"cube": [[1], []]}


def test_structs_groups_and_unions_are_columns(message: Any) -> None:
    table = message.table("items")
    assert table.column_names == [
        *("id", "name", "note", "blob", "color", "flag"),
        *("position.height", "position.place", "nothing", "weight", "label", "points"),
        *("both.left", "both.right", "score", "@which"),
    ]
    rows = table.to_pylist()
    assert rows[1]["position.place"] == {"x": 1.0, "y": -1.0}
    assert rows[0]["position.place"] is None
    assert [row["@which"] for row in rows] == [
        *("weight", "label", "points", "child", "both", "nothing")
    ]
    assert [row["weight"] for row in rows] == [2.5, None, None, None, None, None]
    assert [row["both.left"] for row in rows] == [None, None, None, None, -1, None]
    assert rows[2]["points"] == [{"x": 1.0, "y": 1.5}, {"x": 0.0, "y": 1.5}]
    assert all(row["nothing"] is None for row in rows)


def test_a_union_of_a_value_and_void_is_a_value_that_can_be_null(message: Any) -> None:
    field = message.table("items").schema.field("score")
    assert (field.type, field.nullable) == (pa.int32(), True)
    assert message.table("items").column("score").to_pylist() == [0, 0, -5, 0, None, 0]


def test_a_struct_within_itself_is_shown_as_deeply_as_is_wanted(message: Any) -> None:
    assert "child" not in message.table("items").column_names
    child = message.table("items", depth=2).column("child").to_pylist()
    assert child[3]["id"] == 3
    assert "child" not in child[3]
    child = message.table("items", depth=3).column("child").to_pylist()
    assert child[3]["child"]["@which"] == "nothing"
    assert child[0] is None
    with pytest.raises(ValueError, match="depth must be at least 1"):
        message.table("items", depth=0)


def test_what_is_left_out_is_named(target: Path, message: Any) -> None:
    with pytest.warns(UserWarning, match=r"left out of the table of items: child: Item contains"):
        message.table("items")
    with pytest.raises(TypeError, match="'child': Item contains itself: depth="):
        message.table("items", columns=["child"])


def test_what_is_left_out_of_a_chosen_column_is_named(message: Any) -> None:
    with pytest.warns(UserWarning, match=r"byItem.entries: value.child: Item contains itself"):
        message.table("byItem", "entries", columns=["value"])
    message.table("byItem", "entries", columns=["key"])  # nothing of this is left out


def test_parameters_of_generic_types_are_columns(message: Any) -> None:
    assert message.table("names", "entries").to_pylist() == [
        {"key": "k", "value": b"v"},
        {"key": "l", "value": None},
    ]


def test_columns_can_be_chosen(message: Any) -> None:
    some = message.table("items", columns=["score", "@which", "position.height"])
    assert some.column_names == ["score", "@which", "position.height"]
    assert message.table("items", columns=[]).num_columns == 0
    with pytest.raises(KeyError, match="no 'nix'; their columns are: id,"):
        message.table("items", columns=["nix"])


def test_a_str_is_no_list_of_names(message: Any) -> None:
    with pytest.raises(TypeError, match=r"columns is a list of names: \['id'\], not 'id'"):
        message.table("items", columns="id")


def test_a_builder_has_tables_too(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root, points=[{"x": 1}])
        assert b.table("points").to_pylist() == [{"x": 1.0, "y": 1.5}]
        with pytest.raises(KeyError, match="not set|has none"):
            b.table("numbers", "i8")


# ---- consumers ----------------------------------------------------------------------------


def test_polars_takes_a_table(message: Any) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(message.table("rows"))
    for name in ("i8", "matrix", "words", "boxes", "texts"):
        assert frame[name].to_list() == [NUMBERS[name], None, NUMBERS[name]]
    frame = pl.DataFrame(message.table("items"))
    assert frame["score"].to_list() == [0, 0, -5, 0, None, 0]


def test_duckdb_takes_a_table(message: Any) -> None:
    duckdb = pytest.importorskip("duckdb")
    items = message.table("items")  # duckdb finds it by its name
    assert items.num_rows == 6
    rows = duckdb.sql("select id, score, points from items order by id, score").fetchall()
    assert len(rows) == 6
    assert (7, -5, [{"x": 1.0, "y": 1.5}, {"x": 0.0, "y": 1.5}]) in rows


def test_pandas_takes_a_table(message: Any) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame.from_arrow(message.table("numbers", "i32"))
    assert frame["i32"].tolist() == NUMBERS["i32"]


def test_a_table_needs_no_arrow_library(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pl = pytest.importorskip("polars")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = message.table("rows")
    assert (table.num_rows, table.num_columns, len(table)) == (3, 15, 3)
    assert table.shape == (3, 15)
    assert pl.DataFrame(table)["i8"].to_list()[0] == NUMBERS["i8"]
    with pytest.raises(ImportError, match="pip install pyarrow"):
        table.to_pylist()
    with pytest.raises(AttributeError):
        table._nothing


def test_flat_tables_are_filled_without_an_arrow_library(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root, points=[{"x": 1}, {"y": 2}])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_message(target, Root) as m, MessageBuilder(tmp_path / "again") as b:
        b.init_root(Root)
        b.fill("points", m.table("points"))
        assert b.rows("points") == m.rows("points")


def test_a_table_can_be_exported_many_times(message: Any) -> None:
    table = message.table("items")
    made = [pa.table(table) for _ in range(3)] + [
        pa.table(pa.RecordBatch.from_struct_array(pa.array(table)))
    ]
    del table
    gc.collect()
    assert all(one.equals(made[0]) for one in made[:3])
    assert made[3].num_rows == 6


def test_a_capsule_that_nobody_takes_is_freed(message: Any) -> None:
    table = message.table("items")
    for make in (table.__arrow_c_stream__, table.__arrow_c_schema__, table.__arrow_c_array__):
        for _ in range(3):
            make()
    assert table.num_rows == 6


def test_borrowed_memory_outlives_the_message(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root, numbers={"f64": [0.5] * 1000})
    with open_message(target, Root) as m:
        column = m.table("numbers", "f64").to_pyarrow().column(0)
        address = column.chunk(0).buffers()[1].address
        (segment,) = m.segments
        import numpy as np

        start = np.frombuffer(segment, "u1").__array_interface__["data"][0]
        assert start <= address < start + len(segment)
    del m, segment
    gc.collect()
    assert column.to_pylist() == [0.5] * 1000
    # Whoever drops it need not be a thread of Python's that knows of it.
    holder = [column]
    del column
    thread = threading.Thread(target=holder.clear)
    thread.start()
    thread.join()


# ---- by chance -------------------------------------------------------------------------------


def _without_defaults(value: Any, kind: Kind) -> Any:
    """What a row has for a value, as a table gives it."""
    if value is None or (kind.element is None and kind.body is None):
        return value
    if kind.element is not None:
        return [_without_defaults(each, kind.element) for each in value]
    assert kind.body is not None
    return _row(value, kind.body)


def _row(row: dict[str, Any], body: Body) -> dict[str, Any]:
    expected: dict[str, Any] = {}
    for member in [*body.fields, *body.union]:
        if member.group is not None:
            expected[member.name] = _row(row[member.name], member.group)
        else:
            assert member.kind is not None
            expected[member.name] = _without_defaults(row.get(member.name), member.kind)
    if body.union:
        expected["@which"] = next(each.name for each in body.union if each.name in row)
    return expected


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """Dotted columns as dicts."""
    nested: dict[str, Any] = {}
    for name, value in row.items():
        inner = nested
        *groups, last = name.split(".")
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return nested


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages())
def test_random_messages_become_tables_and_back(tmp_path: Path, made: Any) -> None:
    body, content = made
    schema = load(body, tmp_path).Root
    with MessageBuilder(tmp_path / "m") as b:
        b.init_root(schema, **content)
    with open_message(tmp_path / "m", schema) as m:
        table = m.table("rows")
        table.validate(full=True)
        rows = m.root.to_dict()["rows"]
        assert [_nested(row) for row in table.to_pylist()] == [_row(row, body) for row in rows]
        for copy in (table, table.to_pyarrow().slice(0), _in_chunks(table.to_pyarrow())):
            with MessageBuilder(tmp_path / "again", segment_words=500, capacity=1 << 18) as b:
                b.init_root(schema)
                b.fill("rows", copy)
            with open_message(tmp_path / "again", schema) as n:
                assert n.root.to_dict()["rows"] == rows


def _in_chunks(table: Any) -> Any:
    """The same table in batches of a row or two."""
    parts = [table.slice(start, 2) for start in range(0, table.num_rows, 2)]
    return pa.concat_tables(parts) if parts else table


# ---- hostile bytes ------------------------------------------------------------------------------


def test_one_list_that_is_pointed_at_many_times_is_an_error(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        matrix = root.init("numbers").init("matrix", 4000)
        matrix.init(3999, 200_000)[0] = 1
    data = bytearray(target.read_bytes())
    first = len(data) // 8 - 100_000 - 4000
    last = int.from_bytes(data[8 * (first + 3999) : 8 * (first + 4000)], "little")
    for number in range(4000):
        at = 8 * (first + number)
        data[at : at + 8] = (last + ((3999 - number) << 2)).to_bytes(8, "little")
    target.write_bytes(data)
    with open_message(target, Root) as m:
        with pytest.raises(InvalidMessage, match="objects overlap"):
            m.table("numbers", "matrix")
