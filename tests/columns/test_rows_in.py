"""Rows into a message: from dicts, tuples and objects, judged by pycapnp."""

from __future__ import annotations

import array
import collections
import dataclasses
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pytest.importorskip("hypothesis")

from column_schemas import ITEMS, NUMBERS, columns_capnp  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from nested_schemas import Body, Kind, Member, load, messages  # noqa: E402

from mmapbuilder import CapacityError, MessageBuilder, open_message, verify  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder whose root is made."""
    b.init_root(Root)
    return b


def by_pycapnp(**content: Any) -> Any:
    return Root.new_message(**content).to_dict()


# ---- from where ---------------------------------------------------------------------------


def test_dicts_are_laid_as_pycapnp_lays_them(b: MessageBuilder) -> None:
    assert b.fill_rows("items", ITEMS) == len(ITEMS)
    assert b.to_dict() == by_pycapnp(items=ITEMS)


@pytest.mark.parametrize("read", [False, True])
def test_structs_and_enums_of_pycapnp_are_values(b: MessageBuilder, read: bool) -> None:
    made = Root.new_message(items=ITEMS, numbers=NUMBERS)
    source = made.as_reader() if read else made
    expected = made.to_dict()
    b.set_root(source)
    assert b.to_dict() == expected
    b.fill_rows("items", source.items)
    assert b.to_dict() == expected
    b.fill_rows("items", [*list(source.items)[:4], {"child": source.items[0]}, ITEMS[1]])
    items = b.rows("items")
    assert items[:4] == expected["items"][:4]
    assert items[5] == expected["items"][1]
    assert items[4]["child"] == expected["items"][0]
    b.fill_rows("items", [{"color": item.color} for item in source.items])
    colors = [str(item.color) for item in source.items]
    assert [item["color"] for item in b.rows("items")] == colors
    b.fill("items", color=[item.color for item in reversed(source.items)])
    assert [item["color"] for item in b.rows("items")] == colors[::-1]
    b.fill_rows("rows", [{"colors": source.numbers.colors}])
    assert b.rows("rows") == [{"colors": ["green", "red"]}]


def test_a_whole_message_is_made_of_a_dict(target: Path) -> None:
    content = {"items": ITEMS, "numbers": NUMBERS, "names": {"entries": [{"key": "k"}]}}
    with MessageBuilder(target) as b:
        b.schema = Root
        root = b.set_root(content)
        assert root.numbers.i8[0] == -128
    assert verify(target).objects > 10
    with open_message(target, Root) as m:
        assert m.root.to_dict() == m.to_dict() == by_pycapnp(**content)


def test_a_root_that_is_there_is_replaced(b: MessageBuilder) -> None:
    b.set_root({"points": [{"x": 1}]})
    b.set_root({"items": [{"id": 3}]})
    assert b.to_dict() == by_pycapnp(items=[{"id": 3}])


def test_generic_types_are_filled(b: MessageBuilder) -> None:
    entries = [{"key": "a", "value": b"1"}, {"key": "b"}]
    b.set_root({"names": {"entries": entries}})
    assert b.rows("names", "entries") == entries


def test_tuples_have_the_fields_in_the_order_of_the_schema(b: MessageBuilder) -> None:
    b.fill_rows("points", [(1, 2), [3, 4]])
    assert b.rows("points", as_=tuple) == [(1, 2), (3, 4)]


def test_tuples_have_the_fields_that_are_named(b: MessageBuilder) -> None:
    b.fill_rows("items", [("n", 5, (1, (2, 3)))], fields=["name", "id", "position"])
    item = {"id": 5, "name": "n", "position": {"height": 1, "place": {"x": 2, "y": 3}}}
    assert b.to_dict() == by_pycapnp(items=[item])


def test_a_str_is_no_list_of_fields(b: MessageBuilder) -> None:
    with pytest.raises(TypeError, match=r"fields is a list of names: \['id'\], not 'id'"):
        b.fill_rows("items", [(1,)], fields="id")


@dataclasses.dataclass
class Point:
    x: float
    y: float = 2.5


class NamedPoint(NamedTuple):
    y: float
    x: float


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x: float) -> None:
        self.x = x


def make_attrs() -> Any:
    attrs = pytest.importorskip("attrs")
    return attrs.make_class("P", {"x": attrs.field(), "y": attrs.field(default=2.5)})(1)


def make_struct() -> Any:
    msgspec = pytest.importorskip("msgspec")
    return msgspec.defstruct("P", [("x", float), ("y", float, 2.5)])(1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Point(1),
        lambda: NamedPoint(x=1, y=2.5),
        make_attrs,
        make_struct,
        lambda: types.SimpleNamespace(x=1, y=2.5),
        lambda: collections.ChainMap({"x": 1}, {"y": 2.5}),
        lambda: types.MappingProxyType({"x": 1, "y": 2.5}),
        lambda: (1, 2.5),
        lambda: {"x": np.float32(1), "y": np.float64(2.5)},
    ],
)
def test_objects_of_many_kinds_are_rows(b: MessageBuilder, make: Any) -> None:
    assert b.fill_rows("points", [make(), make()]) == 2
    assert b.rows("points", as_=tuple) == [(1, 2.5)] * 2
    b.fill_rows("rows", [{"boxes": [[make()]]}])
    assert b.rows("rows", 0, "boxes", 0, as_=tuple) == [(1, 2.5)]


def test_attributes_that_are_not_set_are_missing(b: MessageBuilder) -> None:
    b.fill_rows("points", [Slotted(4)])
    assert b.rows("points", as_=tuple) == [(4, 1.5)]


def test_rows_of_several_classes_may_be_mixed(b: MessageBuilder) -> None:
    b.fill_rows("points", [Point(1), NamedPoint(2, 3), Point(4), {"x": 5}, (6, 7)])
    assert [x for x, _ in b.rows("points", as_=tuple)] == [1, 3, 4, 5, 6]


@pytest.mark.parametrize("length", [None, 1000])
def test_a_generator_is_taken(b: MessageBuilder, length: int | None) -> None:
    rows = ({"id": i, "name": f"name {i}"} for i in range(1000))
    assert b.fill_rows("items", rows, length=length) == 1000
    assert b.to_dict() == by_pycapnp(items=[{"id": i, "name": f"name {i}"} for i in range(1000)])


@pytest.mark.parametrize("length", [0, 2, 4])
def test_another_number_of_rows_than_length_is_an_error(b: MessageBuilder, length: int) -> None:
    for rows in ([(1, 2)] * 3, iter([(1, 2)] * 3)):
        with pytest.raises(ValueError, match=f"3 rows, but length is {length}"):
            b.fill_rows("points", rows, length=length)
    assert b.to_dict() == {}


def test_rows_may_be_given_by_name(b: MessageBuilder) -> None:
    assert b.fill_rows("items", rows=[{"id": 1}, {}]) == 2
    assert [row["id"] for row in b.rows("items")] == [1, 7]
    with pytest.raises(TypeError, match="needs rows"):
        b.fill_rows()


def test_no_rows_make_an_empty_list(b: MessageBuilder) -> None:
    assert b.fill_rows("items", []) == 0
    assert b.to_dict() == {"items": []}


def test_lists_of_other_types_are_filled(b: MessageBuilder) -> None:
    b.set_root({"numbers": {}})
    for name, values in NUMBERS.items():
        assert b.fill_rows("numbers", name, values) == len(values)
    assert b.to_dict() == by_pycapnp(numbers=NUMBERS)
    with pytest.raises(ValueError, match="is set"):
        b.fill_rows("numbers", "i8", [1])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("i32", np.arange(5, dtype=np.int32)),
        ("i32", np.arange(10, dtype=np.int32)[::-2]),
        ("i32", np.arange(5, dtype=np.int64)),
        ("u64", array.array("Q", [1, 2**64 - 1])),
        ("f64", np.linspace(0, 1, 7)),
        ("f32", np.linspace(0, 1, 7)),
        ("bools", np.array([True, False, True])),
        ("u16", range(5)),
        ("i8", (number for number in (1, 2))),
        ("matrix", [np.arange(3), [4], ()]),
        ("matrix", np.arange(6, dtype=np.int32).reshape(2, 3)),
        ("cube", [[b"\1\2", bytearray(b"\3")]]),
    ],
)
def test_arrays_are_lists_of_numbers(b: MessageBuilder, name: str, values: Any) -> None:
    expected = [1, 2]
    if not isinstance(values, Iterator):
        expected = [each.tolist() if hasattr(each, "tolist") else each for each in values]
    b.set_root({"numbers": {name: values}})
    assert np.allclose(_flat(b.rows("numbers", name)), _flat(expected))


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple | bytes | bytearray):
        return [each for item in value for each in _flat(item)]
    return [value]


def test_a_uuid_is_data(b: MessageBuilder) -> None:
    number = uuid.uuid4()
    b.fill_rows("items", [{"blob": number}])
    assert b.rows("items")[0]["blob"] == number.bytes


# ---- unions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"label": "x", "weight": None, "nothing": None}, {"label": "x"}),
        ({"label": None}, {"label": ""}),
        ({"nothing": None}, {"nothing": None}),
        ({"weight": None}, {"nothing": None}),
        ({"weight": None, "label": None}, {"nothing": None}),
        ({"@which": "label"}, {"label": ""}),
        ({"@which": "both", "both": {"left": 3}}, {"both": {"left": 3}}),
        ({"score": {"value": None}}, {"nothing": None, "score": {"none": None}}),
        ({"score": {"value": 4, "none": None}}, {"nothing": None, "score": {"value": 4}}),
    ],
)
def test_one_member_of_a_union_becomes_active(
    b: MessageBuilder, row: Any, expected: dict[str, Any]
) -> None:
    b.fill_rows("items", [row])
    assert b.rows("items")[0].items() >= expected.items()


def test_rows_that_were_read_are_rows_to_write(b: MessageBuilder) -> None:
    b.fill_rows("items", ITEMS)
    rows = b.rows("items")
    b.fill_rows("items", rows)
    assert b.rows("items") == rows


# ---- lists that are there -------------------------------------------------------------------


@pytest.mark.parametrize("segment_words", [200, 2**29 - 1])
def test_rows_of_a_list_that_is_set_are_replaced(target: Path, segment_words: int) -> None:
    with MessageBuilder(target, segment_words=segment_words, capacity=1 << 17) as b:
        items = b.init_root(Root).init("items", 6)
        items[0].name = "old"
        filler = b.message.new_orphan(Root)
        filler.get().init("items", 40)
        b.fill_rows("items", ITEMS)
        assert items[0].name == "a"
        assert b.to_dict() == by_pycapnp(items=ITEMS)
        with pytest.raises(ValueError, match="6 elements, but there are 1 rows"):
            b.fill_rows("items", [{}])
        assert b.to_dict() == by_pycapnp(items=ITEMS)
    verify(target)
    with open_message(target, Root) as m:
        assert m.root.to_dict() == by_pycapnp(items=ITEMS)


def test_many_fills_go_through_many_segments(target: Path) -> None:
    with MessageBuilder(target, segment_words=100, capacity=1 << 18) as b:
        rows = b.init_root(Root).init("rows", 40)
        for number in range(40):
            b.fill_rows("rows", number, "texts", [f"text {number}"] * 20)
        assert rows[39].texts[19] == "text 39"
    verify(target)
    with open_message(target, Root) as m:
        assert m.rows("rows", 17, "texts") == ["text 17"] * 20
        assert len(m.segments) > 5


# ---- errors ---------------------------------------------------------------------------------

GOOD = {"id": 1, "name": "good"}


@pytest.mark.parametrize(
    ("row", "kind", "words"),
    [
        ({"id": 2**32}, OverflowError, "row 2, field id: 4294967296 does not fit UInt32"),
        ({"id": -1}, OverflowError, "field id: -1 does not fit"),
        ({"id": 2**100}, OverflowError, "field id"),
        ({"id": 1.0}, TypeError, "field id: UInt32 cannot be made of float"),
        ({"id": "1"}, TypeError, "cannot be made of str"),
        ({"name": 7}, TypeError, "field name: Text cannot be made of int"),
        ({"name": b"\xff"}, ValueError, "not UTF-8"),
        ({"name": "\ud800"}, ValueError, "field name: .*surrogates"),
        ({"blob": 7}, TypeError, "field blob: Data cannot be made of int"),
        ({"color": "pink"}, ValueError, "field color: the enum has no 'pink'"),
        ({"color": 9}, ValueError, "no number 9"),
        ({"flag": 2}, OverflowError, "field flag"),
        ({"flag": "yes"}, TypeError, "field flag"),
        ({"position": {"height": 200}}, OverflowError, r"field position\.height: 200"),
        ({"position": {"place": {"x": 1e300}}}, OverflowError, r"field position\.place\.x"),
        ({"points": [{}, {"x": "a"}]}, TypeError, r"row 2, field points\[1\]\.x: Float32"),
        ({"points": 7}, TypeError, "field points: a list cannot be made of int"),
        ({"points": "abc"}, TypeError, "a list cannot be made of str"),
        ({"points": [None]}, TypeError, r"field points\[0\]: a struct is made of"),
        ({"child": {"child": {"id": -1}}}, OverflowError, r"field child\.child\.id"),
        ({"child": 3}, TypeError, "field child: a struct is made of .* not of int"),
        ({"weight": 1, "label": "x"}, ValueError, "'weight' and 'label' are given"),
        ({"@which": "name"}, ValueError, "no member 'name'"),
        ({"@which": "label", "weight": 1}, ValueError, "are given"),
        ({"nothing": 1}, TypeError, "Void cannot be made of int"),
        ({"nmae": 1}, ValueError, "row 2: the schema has no field 'nmae'"),
        ({7: 1}, ValueError, "no field 7"),
        ((1, 2), ValueError, "row 2: 2 values are given for 14 fields"),
        ("row", TypeError, "row 2: a struct is made of"),
        (None, TypeError, "row 2"),
        (object(), TypeError, "row 2"),
        (dataclasses.make_dataclass("D", ["nmae"])(1), ValueError, "no field 'nmae'"),
    ],
)
def test_an_error_names_the_row_and_the_field_and_writes_nothing(
    b: MessageBuilder, row: Any, kind: type[Exception], words: str
) -> None:
    size = b.size
    with pytest.raises(kind, match=words):
        b.fill_rows("items", [GOOD, GOOD, row])
    assert b.to_dict() == {}
    assert b.size == size


def test_what_no_row_can_hold_is_an_error(b: MessageBuilder) -> None:
    for name in ("any", "service"):
        with pytest.raises(TypeError, match=f"field {name}: .* only be set with pycapnp"):
            b.set_root({name: 7})
    b.set_root({"any": None, "service": None})


def test_extra_keys_can_be_ignored(b: MessageBuilder) -> None:
    rows = [{"x": 1, "z": 2}, dataclasses.make_dataclass("D", ["x", "z"])(3, 4)]
    b.fill_rows("points", rows, extra="ignore")
    assert [x for x, _ in b.rows("points", as_=tuple)] == [1, 3]


def test_missing_fields_can_be_errors(b: MessageBuilder) -> None:
    with pytest.raises(ValueError, match="row 0: the field 'y' is missing"):
        b.fill_rows("points", [{"x": 1}], missing="error")
    with pytest.raises(TypeError, match="field y: None"):
        b.fill_rows("points", [(1, None)], missing="error")
    with pytest.raises(ValueError, match="'y' is missing"):
        b.fill_rows("points", [dataclasses.make_dataclass("D", ["x"])(3)], missing="error")
    b.fill_rows("points", [(1, None)])
    assert b.rows("points", as_=tuple) == [(1, 1.5)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"extra": "maybe"}, "extra must be"),
        ({"missing": "maybe"}, "missing must be"),
        ({"length": -2}, "length must not"),
        ({"fields": ["x", "z"]}, "no 'z'"),
        ({"fields": ["x", "x"]}, "twice"),
    ],
)
def test_wrong_options_are_errors(b: MessageBuilder, options: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        b.fill_rows("points", [(1, 2)], **options)


def test_a_dict_that_contains_itself_is_an_error(b: MessageBuilder) -> None:
    row: dict[str, Any] = {}
    row["child"] = row
    with pytest.raises(ValueError, match="nested too deeply"):
        b.fill_rows("items", [row])


def test_rows_that_find_no_room_are_an_error(target: Path) -> None:
    with MessageBuilder(target, capacity=1 << 16) as b:
        b.init_root(Root)
        with pytest.raises(CapacityError):
            b.fill_rows("items", [{"name": "x" * 70_000}])
        with pytest.raises(OSError):
            b.close()


# ---- by chance -------------------------------------------------------------------------------


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages())
def test_random_messages_are_written_as_pycapnp_writes_them(tmp_path: Path, made: Any) -> None:
    body, content = made
    schema = load(body, tmp_path).Root
    expected = schema.new_message(**content).to_dict()
    with MessageBuilder(tmp_path / "m") as b:
        b.init_root(schema)
        b.set_root(content)
        assert b.to_dict() == expected
    verify(tmp_path / "m")
    with open_message(tmp_path / "m", schema) as m:
        assert m.root.to_dict() == expected
    with MessageBuilder(tmp_path / "m", segment_words=50, capacity=1 << 17) as b:
        b.init_root(schema).init("rows", len(content["rows"]))
        b.fill_rows("rows", content["rows"])
    verify(tmp_path / "m")
    with open_message(tmp_path / "m", schema) as m:
        assert m.root.to_dict().get("rows") == expected["rows"]


def _row_classes() -> dict[str, Any]:
    """For each kind of class what makes one with fields of some names."""
    attrs, msgspec = pytest.importorskip("attrs"), pytest.importorskip("msgspec")
    return {
        "named tuple": lambda names: collections.namedtuple("Row", names),  # noqa: PYI024
        "dataclass": lambda names: dataclasses.make_dataclass("Row", names),
        "dataclass with slots": lambda names: dataclasses.make_dataclass("Row", names, slots=True),
        "attrs": lambda names: attrs.make_class("Row", names, slots=False),
        "attrs with slots": lambda names: attrs.make_class("Row", names, slots=True),
        "msgspec": lambda names: msgspec.defstruct("Row", names),
    }


class Dresser:
    """Makes rows of all kinds of the dicts of a message. Rows of one kind share their class."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.make_class = _row_classes()
        self.classes: dict[Any, Any] = {}
        self.kinds: dict[int, list[str]] = {}

    def kinds_for(self, body: Body) -> list[str]:
        """The kinds of rows that a struct gets: few, since rows in a row are often of one."""
        every = ["dict", "mapping", "tuple", "object", *self.make_class]
        if id(body) not in self.kinds:
            some = st.lists(st.sampled_from(every), min_size=1, max_size=2)
            self.kinds[id(body)] = self.draw(some)
        return self.kinds[id(body)]

    def record(self, body: Body, record: dict[str, Any]) -> Any:
        members = [*body.fields, *body.union]
        given = {each.name: self.member(each, record) for each in members if each.name in record}
        names, values = list(given), list(given.values())
        kind = self.draw(st.sampled_from(self.kinds_for(body)))
        if kind == "object" and not given:  # such an object must have something
            kind = "dict"
        if kind == "tuple" and any(record.get(each.name, 0) is None for each in body.union):
            kind = "dict"
        if kind == "tuple":
            return tuple(given.get(each.name) for each in members)
        if kind == "dict":
            return given
        if kind == "mapping":
            return types.MappingProxyType(given)
        if kind == "object":
            return types.SimpleNamespace(**given)
        key = (kind, *names)
        if key not in self.classes:
            self.classes[key] = self.make_class[kind](names)
        return self.classes[key](*values)

    def member(self, member: Member, record: dict[str, Any]) -> Any:
        value = record[member.name]
        if member.group is not None:
            return self.record(member.group, value)
        assert member.kind is not None
        return self.value(member.kind, value)

    def value(self, kind: Kind, value: Any) -> Any:
        if kind.body is not None:
            return self.record(kind.body, value)
        if kind.element is not None:
            return [self.value(kind.element, each) for each in value]
        return value


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages(), st.data())
def test_random_rows_of_all_kinds_are_written_as_pycapnp_writes_them(
    tmp_path: Path, made: Any, data: Any
) -> None:
    body, content = made
    schema = load(body, tmp_path).Root
    rows = content["rows"] * 3
    expected = schema.new_message(rows=rows).to_dict()
    dresser = Dresser(data.draw)
    given_rows = [dresser.record(body, row) for row in rows]
    with MessageBuilder(tmp_path / "m") as b:
        b.init_root(schema)
        b.fill_rows("rows", given_rows)
        assert b.to_dict() == expected
    verify(tmp_path / "m")
    with open_message(tmp_path / "m", schema) as m:
        assert m.root.to_dict() == expected
