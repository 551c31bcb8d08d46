"""Lists, structs and what annotations say, of all messages of a log."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

import mmapbuilder  # noqa: E402
from mmapbuilder import MessageBuilder, MessageLog, open_log, open_message  # noqa: E402
from support.messages import fill_kinds  # noqa: E402
from support.processes import python  # noqa: E402
from support.readers import KINDS  # noqa: E402

SCHEMA = """
@0xe4f5061728394a5b;
using Arrow = import "/mmapbuilder/arrow.capnp";

struct Point { x @0 :Float32; y @1 :Float32 = 1.5; }
struct Row {
  id @0 :Int32;
  numbers @1 :List(Int32) = [1, 2];
  point @2 :Point = (x = 4);
  grid @3 :List(List(Text));
  points @4 :List(Point);
  at @5 :Int64 $Arrow.timestamp(unit = "ns", timezone = "UTC");
  day @6 :Int32 $Arrow.date32;
  took @7 :Int64 $Arrow.duration(unit = "ms");
  price @8 :Int64 $Arrow.decimal(scale = 2);
  large @9 :Data $Arrow.decimal(precision = 38, scale = 4);
  maybe :union { value @10 :Int64 $Arrow.timestamp(unit = "us", timezone = "UTC"); no @11 :Void; }
  color @12 :Color;
  enum Color { red @0; green @1; }
}
struct Rows { rows @0 :List(Row); }
"""

NOON = dt.datetime(2024, 2, 3, 12, tzinfo=dt.UTC)
ROWS: list[dict[str, Any]] = [
    {"id": 1},
    {
        "id": 2,
        "numbers": [7],
        "point": {"x": 1.0, "y": 2.0},
        "grid": [["a", "b"], []],
        "points": [{"x": 0.5, "y": 0.25}],
        "at": NOON,
        "day": dt.date(2024, 2, 3),
        "took": dt.timedelta(seconds=2),
        "price": Decimal("12.50"),
        "large": Decimal("-1.2345"),
        "maybe": NOON,
        "color": "green",
    },
    {"id": 3, "grid": [], "points": [], "maybe": None},
]


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("schema") / "rows.capnp"
    path.write_text(SCHEMA)
    return capnp.load(str(path), imports=[mmapbuilder.schema_path()])


@pytest.fixture
def log(schema: Any, target: Path) -> Any:
    with MessageLog(target, "w", schema=schema.Row) as log:
        log.extend(ROWS)
    return open_log(target, schema.Row)


@pytest.fixture
def message(schema: Any, tmp_path: Path) -> Any:
    """The same rows as a list of one message."""
    with MessageBuilder(tmp_path / "rows.bin") as b:
        b.init_root(schema.Rows)
        b.fill_rows("rows", ROWS)
    return open_message(tmp_path / "rows.bin", schema.Rows)


FIELDS = [
    "id", "numbers", "point", "grid", "points", "at", "day", "took", "price", "large", "color",
    "maybe.value", "maybe.@which", "maybe",
]  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_columns_are_those_of_a_list_of_the_same_rows(log: Any, message: Any, name: str) -> None:
    found, expected = log.column(name), message.column("rows", *name.split("."))
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
    assert log[::-2].column(name).tolist() == expected[::-2].tolist()


def test_names_of_enums_and_members(log: Any) -> None:
    assert log.column("color", names=True).tolist() == ["red", "green", "red"]
    assert log.column("maybe.@which", names=True).tolist() == ["value", "value", "no"]


def test_a_column_of_numbers_goes_through_the_default_of_a_struct(log: Any) -> None:
    assert log.column("point", "x").tolist() == [4.0, 1.0, 4.0]
    assert [row.point.x for row in log] == [4.0, 1.0, 4.0]


@pytest.mark.parametrize("unions", ["members", "dense"])
def test_a_table_is_that_of_a_list_of_the_same_rows(log: Any, message: Any, unions: str) -> None:
    pa = pytest.importorskip("pyarrow")
    found = pa.table(log.table(unions=unions))
    found.validate(full=True)
    assert found.equals(pa.table(message.table("rows", unions=unions)))
    assert found["price"].to_pylist()[1] == Decimal("12.50")
    assert found["numbers"].to_pylist() == [[1, 2], [7], [1, 2]]


def test_a_table_has_fields_of_structs_by_their_names(log: Any) -> None:
    pytest.importorskip("pyarrow")
    table = log.table(columns=["point.x", "id", "point", "point.y"])
    assert table.to_pydict() == {
        "point.x": [4.0, 1.0, 4.0],
        "id": [1, 2, 3],
        "point": [{"x": 4.0, "y": 1.5}, {"x": 1.0, "y": 2.0}, {"x": 4.0, "y": 1.5}],
        "point.y": [1.5, 2.0, 1.5],
    }


def test_rows_have_defaults_and_may_be_of_a_class(log: Any, message: Any) -> None:
    @dataclass
    class Row:
        id: int
        numbers: list[int]
        at: dt.datetime

    assert log.rows() == message.rows("rows")
    assert log.rows(tuple) == message.rows("rows", as_=tuple)
    assert log.rows(Row) == message.rows("rows", as_=Row)
    assert log[1:2].rows(Row) == [Row(2, [7], NOON)]
    assert log[::-1].rows(Row)[0].numbers == [1, 2]


def test_tables_of_arrow_go_into_a_log_and_come_back(schema: Any, log: Any, tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table(log.table())
    with MessageLog(tmp_path / "copy", "w", schema=schema.Row) as copy:
        copy.extend(table)
    assert pa.table(open_log(tmp_path / "copy", schema.Row).table()).equals(table)


def test_columns_of_any_kind_go_into_structs_and_groups(schema: Any, tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "id": np.array([1, 2]),
        "point.x": [3.0, 4.0],
        "point": {"y": (5.0, 6.0)},
        "maybe.@which": ["no", "value"],
        "maybe.value": [None, NOON],
        "at": np.array(["2024-02-03T12", "1970"], "M8[h]"),
    }
    with MessageLog(tmp_path / "columns", "w", schema=schema.Row) as log:
        log.extend(columns)
    rows = open_log(tmp_path / "columns", schema.Row).rows()
    assert [row["id"] for row in rows] == [1, 2]
    assert [row["point"] for row in rows] == [{"x": 3.0, "y": 5.0}, {"x": 4.0, "y": 6.0}]
    assert [row["maybe"] for row in rows] == [{"no": None}, {"value": NOON}]
    assert rows[0]["at"] == NOON


def test_messages_of_every_type_and_of_several_segments(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    with target.open("wb") as file:
        for number, words in itertools.product(range(200), (1, 1000)):
            root = KINDS.schema.new_message(num_first_segment_words=words)
            if number % 3:
                fill_kinds(root, 1)
            file.write(root.to_bytes())
    log = open_log(target, KINDS.schema)
    with pytest.warns(UserWarning, match="left out"):
        table = pa.table(log.table(depth=2))
    table.validate(full=True)
    for name in ("bools", "int16s", "float64s", "texts", "lists"):
        expected = [event.to_dict().get(name) for event in log]
        assert table[name].to_pylist() == expected
        assert log.column(name).tolist() == expected
    assert [row and row["int32"] for row in table["inner"].to_pylist()] == [
        event.inner.int32 if event._has("inner") else None for event in log
    ]


WITHOUT = """
import sys
from pathlib import Path
sys.modules["pyarrow"] = None
from support.events import EVENT, write
from mmapbuilder import open_log
write(Path(sys.argv[1]), range(5))
table = open_log(sys.argv[1], EVENT.schema).table()
assert table.num_rows == 5 and "time" in table.column_names
assert "arrow_array_stream" in repr(table.__arrow_c_stream__())
"""


def test_a_table_needs_no_arrow_library(target: Path) -> None:
    python(WITHOUT, target).ok()
