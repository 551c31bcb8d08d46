"""Rows of values that run code when they are read, beside those that run none."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pytest.importorskip("hypothesis")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402
from support.gil import FREE_THREADED  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder whose root is made."""
    b.init_root(Root)
    return b


class Index:
    def __init__(self, act: Any) -> None:
        self.act = act

    def __index__(self) -> int:
        self.act()
        return 3


@pytest.mark.skipif(FREE_THREADED, reason="without the GIL lists are copied before they are read")
@pytest.mark.parametrize("change", ["clear", "append"])
def test_a_list_that_changes_while_it_is_read_is_an_error(b: MessageBuilder, change: str) -> None:
    def changes(values: list[Any]) -> Any:
        return values.clear if change == "clear" else lambda: values.append(values[-1])

    inner: list[Any] = [1, 2, 3]
    inner[0] = Index(changes(inner))
    with pytest.raises(RuntimeError, match="changed while"):
        b.set_root({"numbers": {"i32": inner}})
    b.fill_rows("items", [{"id": 7}])
    rows: list[Any] = [{"id": 1}, {"id": 2}]
    rows[0] = {"id": Index(changes(rows))}
    with pytest.raises(RuntimeError, match="changed while"):
        b.fill_rows("items", rows)
    assert [row["id"] for row in b.rows("items")] == [7]


def test_a_dict_that_changes_while_it_is_read_is_no_danger(b: MessageBuilder) -> None:
    row: dict[str, Any] = {"name": "n" * 100}
    row["id"] = Index(row.clear)
    b.fill_rows("items", [row])
    few: dict[str, Any] = {"flag": False}
    few["id"] = Index(few.clear)
    b.fill_rows("items", [few])
    assert b.rows("items")[0]["id"] == 3


def test_a_generator_cannot_close_the_builder_that_it_is_for(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(Root)

    def rows() -> Iterator[Any]:
        yield {"id": 1}
        b.close()
        yield {"id": 2}

    with pytest.raises(RuntimeError, match=r"close\(\) called while fill_rows\(\)"):
        b.fill_rows("items", rows())
    b.close()
    with open_message(target, Root) as m:
        assert m.to_dict() == {}


def test_a_value_cannot_fill_the_same_list(b: MessageBuilder) -> None:
    def fill() -> None:
        b.fill_rows("items", [{"id": 9}] * 3)

    with pytest.raises(RuntimeError, match=r"fill_rows\(\) called while fill_rows\(\)"):
        b.fill_rows("items", [{"id": Index(fill)}])
    assert b.to_dict() == {}


def test_what_a_value_raises_comes_through(b: MessageBuilder) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    class Attribute:
        @property
        def x(self) -> Any:
            raise ZeroDivisionError

    for path, row in (("items", {"id": Index(fail)}), ("points", Attribute())):
        with pytest.raises(ZeroDivisionError):
            b.fill_rows(path, [row])
    assert b.to_dict() == {}


# ---- beside values that run none ---------------------------------------------------------------


class Busy:
    """An int for those who ask, which does something when it is asked."""

    def __init__(self, value: int, act: Any = None) -> None:
        self.value, self.act = value, act

    def __index__(self) -> int:
        if self.act is not None:
            self.act()
        return self.value


class Word(str):
    """A str that is not just one."""


PLAIN = {"int": 7, "float": 1.5, "text": "tëxt", "flag": True, "ints": [1, -2], "names": ["a", ""]}
SIMPLE = """
@0xd1a3f0b2c4e69788;
struct Inner { int @0 :Int64; text @1 :Text; }
struct Row {
  int @0 :Int64 = 5; float @1 :Float64; text @2 :Text; flag @3 :Bool = true; ints @4 :List(Int16);
  names @5 :List(Text); inner @6 :Inner; inners @7 :List(Inner);
  union { number @8 :UInt8; word @9 :Text; nothing @10 :Void; }
  group :group { left @11 :Int32; right @12 :Text; }
  maybe :union { value @13 :Int32; none @14 :Void; }
  perhaps :group { union { none @15 :Void; value @16 :Inner; } }
}
struct Rows { rows @0 :List(Row); }
"""


@pytest.fixture(scope="module")
def rows_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A struct with a field of each way."""
    path = tmp_path_factory.mktemp("simple") / "simple.capnp"
    path.write_text(SIMPLE)
    return capnp.load(str(path)).Rows


def filled(schema: Any, path: Path, rows: Any, **options: Any) -> list[Any]:
    with MessageBuilder(path) as b:
        b.init_root(schema)
        b.fill_rows("rows", rows, **options)
    verify(path)
    with open_message(path, schema) as m:
        found = m.rows("rows")
    assert found == [row.to_dict() for row in schema.new_message(rows=found).rows]
    return found


def complicate(value: Any) -> Any:
    """Make the same of what runs code."""
    if isinstance(value, dict):
        return types.MappingProxyType({key: complicate(each) for key, each in value.items()})
    if isinstance(value, list):
        return (complicate(each) for each in value)
    if type(value) is int:
        return Busy(value)
    return Word(value) if isinstance(value, str) else value


@pytest.mark.parametrize(
    "which", [None, *PLAIN, "inner", "inners", "number", "word", "group", "maybe", "perhaps"]
)
def test_values_that_run_code_end_like_those_that_do_not(
    rows_schema: Any, target: Path, which: str | None
) -> None:
    rows = []
    for number in range(40):
        row: dict[str, Any] = dict(PLAIN, int=number)
        row["inner"] = {"text": "in", "int": number}
        row["inners"] = [{"int": i, "text": "x" * i} for i in range(number % 4)]
        row["group"] = {"left": -number, "right": "r" * number}
        row["maybe"] = [None, number, {"none": None}, {"value": number}][number % 4]
        row["perhaps"] = [{"value": {"int": number}}, None, {"int": number}][number % 3]
        row.update([("number", number), ("word", "w"), ("nothing", None)][number % 3 :][:1])
        rows.append(dict(sorted(row.items(), key=lambda each: each[0] > "g")))
    expected = filled(rows_schema, target, rows)

    def others() -> list[dict[str, Any]]:
        return [{k: complicate(v) if k == which else v for k, v in row.items()} for row in rows]

    assert filled(rows_schema, target, others()) == expected
    assert filled(rows_schema, target, [complicate(row) for row in rows]) == expected
    order = [
        each.proto.name for each in rows_schema.schema.fields["rows"].schema.elementType.fields_list
    ]
    tuples = [tuple(row.get(name) for name in order) for row in others()]
    assert filled(rows_schema, target, tuples) == expected


def test_a_value_may_change_the_row_that_it_is_in(rows_schema: Any, target: Path) -> None:
    for number in range(64):
        row: dict[str, Any] = dict(PLAIN)

        def act(row: dict[str, Any] = row) -> None:
            row.clear()
            row.update({f"x{i}": i for i in range(100)})

        row = row | {"int": Busy(number, act), "inner": {"int": Busy(1, row.clear)}}
        try:
            found = filled(rows_schema, target, [row])
        except ValueError as error:  # by then there are fields that the schema has not
            assert "'x" in str(error)
        else:
            assert found[0]["int"] == number


def test_rows_of_many_values_that_run_code(target: Path, tmp_path: Path) -> None:
    schema = tmp_path / "wide.capnp"
    fields = " ".join(f"f{i} @{i} :UInt16;" for i in range(60))
    schema.write_text(f"@0xd1a3f0b2c4e69789; struct Row {{ {fields} }}"
                      "struct Rows { rows @0 :List(Row); }")  # fmt: skip
    wide = capnp.load(str(schema)).Rows
    rows = [{f"f{i}": Busy(i + n) if i % 2 else i + n for i in range(60)} for n in range(50)]
    expected = [{f"f{i}": i + n for i in range(60)} for n in range(50)]
    assert filled(wide, target, rows) == expected


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"int": 1 << 70}, "row 2, field int: .* does not fit Int64"),
        ({"ints": [1, 2, 40_000]}, r"row 2, field ints\[2\]: 40000 does not fit Int16"),
        ({"inners": [{}, {"int": "x"}]}, r"row 2, field inners\[1\].int: Int64 cannot be made of"),
        ({"text": "\ud800"}, "row 2, field text: .* surrogates"),
        ({"names": ["a", 7]}, r"row 2, field names\[1\]: Text cannot be made of int"),
        ({"number": 1, "word": "x"}, "row 2: a union has one member"),
        ({"group": {"left": 1 << 40}}, "row 2, field group.left"),
        ({"more": 1}, "row 2: the schema has no field 'more'"),
        ({7: 1}, "row 2: the schema has no field 7"),
    ],
)
def test_what_is_wrong_in_a_simple_row_is_named(
    rows_schema: Any, target: Path, bad: dict[Any, Any], text: str
) -> None:
    with MessageBuilder(target) as b:
        b.init_root(rows_schema)
        with pytest.raises((ValueError, TypeError, OverflowError), match=text):
            b.fill_rows("rows", [dict(PLAIN), dict(PLAIN), PLAIN | bad])
        assert b.to_dict() == {}
