"""Rows that are objects: what their classes say, and how they change, is respected."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("capnp")

from column_schemas import columns_capnp

from mmapbuilder import MessageBuilder, MessageLog, _core, open_log
from mmapbuilder.columns import room

Root = columns_capnp.Root


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder whose root is made."""
    b.init_root(Root)
    return b


def msgspec_struct(*fields: Any, **options: Any) -> Any:
    return pytest.importorskip("msgspec").defstruct("Row", list(fields), **options)


def test_unset_is_no_value(b: MessageBuilder) -> None:
    msgspec = pytest.importorskip("msgspec")
    kind = msgspec_struct(("id", int), ("name", Any, msgspec.UNSET), ("flag", Any, msgspec.UNSET))
    b.fill_rows("items", [kind(1, "a", False), kind(2)])
    assert [(row["id"], row.get("name"), row["flag"]) for row in b.rows("items")] == [
        (1, "a", False),
        (2, None, True),
    ]
    rows = b.rows("items", as_=kind)
    assert rows == [kind(1, "a", False), kind(2, msgspec.UNSET, True)]
    with pytest.raises(ValueError, match="row 0: the field .* is missing"):
        b.fill_rows("items", [kind(1, "a", False), kind(2)], missing="error")


def test_fields_may_have_another_name_in_the_program(b: MessageBuilder) -> None:
    pytest.importorskip("msgspec")
    kind = msgspec_struct(("number", int), ("name", str), rename={"number": "id"})
    b.fill_rows("items", [kind(5, "a"), kind(6, "b")])
    assert [(row["id"], row["name"]) for row in b.rows("items")] == [(5, "a"), (6, "b")]
    assert b.rows("items", as_=kind) == [kind(5, "a"), kind(6, "b")]
    swapped = msgspec_struct(("name", int), ("id", str), rename={"name": "id", "id": "name"})
    b.fill_rows("items", [swapped(7, "c"), swapped(8, "d")])
    assert [(row["id"], row["name"]) for row in b.rows("items")] == [(7, "c"), (8, "d")]
    assert b.rows("items", as_=swapped) == [swapped(7, "c"), swapped(8, "d")]


def test_a_field_may_have_the_old_name_of_another_one(b: MessageBuilder) -> None:
    msgspec = pytest.importorskip("msgspec")
    moved = msgspec_struct(
        ("id", Any), ("name", Any, msgspec.UNSET), rename={"id": "name", "name": "note"}
    )
    given = [moved("a", "b"), moved("c")]
    b.fill_rows("items", given)
    rows = b.rows("items")
    assert [(row["name"], row.get("note")) for row in rows] == [("a", "b"), ("c", None)]
    assert b.rows("items", as_=moved) == [moved("a", "b"), moved("c", "none")]
    unset = msgspec_struct(("name", Any, msgspec.UNSET), rename={"name": "label"})
    b.fill_rows("items", [{"name": "another"}, {"name": "another", "label": "y"}])
    assert b.rows("items", as_=unset) == [unset(), unset("y")]


def test_a_name_for_others_does_not_hide_the_field(b: MessageBuilder) -> None:
    kind = msgspec_struct(("id", int), ("name", str), rename="upper")
    b.fill_rows("items", [kind(5, "a")])
    assert b.rows("items", as_=kind) == [kind(5, "a")]


@dataclasses.dataclass
class WithSlots:
    __slots__ = ("x", "y")
    x: Any
    y: Any


@pytest.mark.parametrize("container", [list, iter])
def test_classes_that_change_between_rows_are_read_as_they_are(
    b: MessageBuilder, container: Any
) -> None:
    """Also where an attribute was a slot, and the code that changes the class is a value's."""

    class Row(WithSlots):
        pass

    class Changing:
        def __float__(self) -> float:
            Row.x = property(lambda self: 40.0)  # type: ignore[assignment]
            return 3.0

    given = [Row(1, 2), Row(Changing(), 4), Row(5, 6)]
    b.fill_rows("points", container(given))
    assert b.rows("points", as_=tuple) == [(1, 2), (3, 4), (40, 6)]
    Row.y = property(lambda self: 50.0)  # type: ignore[assignment]
    b.fill_rows("points", container([Row.__new__(Row) for _ in range(3)]))
    assert b.rows("points", as_=tuple) == [(40, 50)] * 3


@pytest.mark.parametrize("changed", range(20))
def test_a_class_may_change_in_any_of_many_rows_that_run_code(
    b: MessageBuilder, changed: int
) -> None:
    class Row(NamedTuple):
        x: Any
        y: float = 0.5

    class Running:
        def __init__(self, number: int) -> None:
            self.number = number

        def __float__(self) -> float:
            if self.number == changed:
                Row.y = property(lambda self: 2.0)  # type: ignore[assignment]
            return float(self.number)

    b.fill_rows("points", [Row(Running(i)) for i in range(40)])
    found = b.rows("points", as_=tuple)
    assert [x for x, _ in found] == list(range(40))
    assert [y for _, y in found[:changed]] == [0.5] * changed
    assert [y for _, y in found[changed + 1 :]] == [2.0] * (39 - changed)


def test_properties_and_getattr_are_asked(b: MessageBuilder) -> None:
    class Asked(WithSlots):
        asked = 0

        @property
        def y(self) -> Any:
            type(self).asked += 1
            return self.asked

        @y.setter
        def y(self, value: Any) -> None:
            pass

    class Dynamic(WithSlots):
        def __getattribute__(self, name: str) -> Any:
            return 9 if name == "y" else super().__getattribute__(name)

    class Late:
        def __getattr__(self, name: str) -> Any:
            return {"x": 7, "y": 8}[name]

    given: list[Any] = [Asked(1, 2), Asked(1, 2), Dynamic(3, 4), Dynamic(3, 4), Late()]
    b.fill_rows("points", given)
    assert b.rows("points", as_=tuple) == [(1, 1), (1, 2), (3, 9), (3, 9), (7, 8)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, MemoryError])
def test_an_error_while_a_class_is_looked_at_reaches_the_caller(
    b: MessageBuilder, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    class Interrupting(type):
        def __getattribute__(cls, name: str) -> Any:
            raise kind

    class Row(metaclass=Interrupting):
        pass

    with pytest.raises(kind):
        b.fill_rows("points", [Row()])

    def fail(name: str) -> Any:
        raise kind

    module = types.ModuleType("msgspec")
    module.__getattr__ = fail  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "msgspec", module)
    with pytest.raises(kind):
        b.fill_rows("points", [WithSlots(1, 2)])
    assert "points" not in b.to_dict()


def test_a_metaclass_does_not_decide_how_attributes_are_read(b: MessageBuilder) -> None:
    class Hiding(type):
        @property
        def __mro__(cls) -> Any:
            raise ValueError("no code of a metaclass is run")

        @property
        def __dict__(cls) -> Any:
            raise ValueError("no code of a metaclass is run")

    class Row(WithSlots, metaclass=Hiding):
        @property
        def y(self) -> float:
            Row.x = 9.0  # type: ignore[assignment]
            return 3.0

        @y.setter
        def y(self, value: Any) -> None:
            pass

    b.fill_rows("points", [Row(1, 2), Row(3, 4)])
    assert b.rows("points", as_=tuple) == [(1, 3), (9, 3)]


def test_named_tuples_are_read_by_their_names(b: MessageBuilder) -> None:
    """In whatever order their items are, and as their class has them by then."""

    class Turned(NamedTuple):
        y: Any
        x: Any

    class Asked(Turned):
        @property
        def x(self) -> Any:  # type: ignore[override]
            return 7

    class Changing:
        def __float__(self) -> float:
            Turned.y = property(lambda self: 8.0)  # type: ignore[assignment]
            return 3.0

    b.fill_rows("points", [Turned(2, 1)] * 3)
    assert b.rows("points", as_=tuple) == [(1, 2)] * 3
    b.fill_rows("points", [Turned(2, 1), Asked(2, 1), Asked(4, 3)])
    assert b.rows("points", as_=tuple) == [(1, 2), (7, 2), (7, 4)]
    b.fill_rows("points", [Turned(2, 1), Turned(Changing(), 5), Turned(9, 6)])
    assert b.rows("points", as_=tuple) == [(1, 2), (5, 3), (6, 8)]
    with pytest.raises(IndexError):
        b.fill_rows("points", [Turned(2, 1), tuple.__new__(Turned, [1])])


@pytest.mark.parametrize("busy", [False, True], ids=["plain", "with code in values"])
def test_objects_in_objects_are_read_as_they_are(b: MessageBuilder, busy: bool) -> None:
    class Changing:
        def __init__(self, number: int) -> None:
            self.number = number

        def __index__(self) -> int:
            Inner.x = property(lambda self: self.__dict__["x"] + 100)
            return self.number

    class Inner:
        def __init__(self, x: float) -> None:
            self.__dict__["x"] = x

    @dataclasses.dataclass
    class Outer:
        id: Any
        points: list[Inner]

    given = [Outer(i, [Inner(i), Inner(2 * i)]) for i in range(70)]
    if busy:
        given[50].id = Changing(50)
    b.fill_rows("items", given)
    found = [(row["id"], [point["x"] for point in row["points"]]) for row in b.rows("items")]
    more = [100 if busy and i > 50 else 0 for i in range(70)]
    expected = [(i, [i + more[i], 2 * i + more[i]]) for i in range(70)]
    if busy and found[50][1] == [150, 200]:  # the rest of that very row may be read later
        expected[50] = (50, [150, 200])
    assert found == expected


class Changing:
    """An iterable of points. The code that gives them changes their class."""

    def __init__(self, points: list[Any]) -> None:
        self.points = points

    def __iter__(self) -> Any:
        type(self.points[0]).y = property(lambda self: 50.0)
        return iter(self.points)


@pytest.mark.parametrize("depth", [0, 1])
def test_a_class_may_change_while_a_list_is_made_of_an_iterable(
    b: MessageBuilder, depth: int
) -> None:
    class Row(WithSlots):
        pass

    class Height:
        def __index__(self) -> int:
            return 5

    given: dict[str, Any] = {
        "position": {"height": Height(), "place": Row(1, 2)},
        "points": Changing([Row(3, 4), Row(5, 6)]),
    }
    b.fill_rows("items", [{"child": given} if depth else given])
    row = b.rows("items")[0]
    row = row["child"] if depth else row
    assert row["position"]["place"] == {"x": 1, "y": 2}
    assert row["points"] == [{"x": 3, "y": 50}, {"x": 5, "y": 50}]


def test_a_class_may_change_between_messages_of_a_generator(tmp_path: Path) -> None:
    class Row:
        __slots__ = ("id", "name")

        def __init__(self, number: int) -> None:
            self.id = number
            self.name = "before"

    rows = [Row(i) for i in range(20)]

    def messages() -> Any:
        for row in rows:
            if row.id == 10:
                Row.name = "after"  # type: ignore[misc]
            yield row

    with MessageLog(tmp_path / "a.log", schema=columns_capnp.Item) as log:
        log.extend(messages())
    with open_log(tmp_path / "a.log", columns_capnp.Item) as read:
        assert [message.name for message in read] == ["before"] * 10 + ["after"] * 10


def test_an_empty_slot_is_no_value(b: MessageBuilder) -> None:
    row = WithSlots(1, 2)
    del row.y
    b.fill_rows("points", [WithSlots(5, 6), row])
    assert b.rows("points", as_=tuple) == [(5, 6), (1, 1.5)]
    with pytest.raises(ValueError, match="row 1: the field 'y' is missing"):
        b.fill_rows("points", [WithSlots(5, 6), row], missing="error")


def test_instances_may_hide_what_their_class_has(b: MessageBuilder) -> None:
    class Row:
        x = 1.0
        y = 2.0

    row = Row()
    row.y = 5.0
    b.fill_rows("points", [Row(), row])
    assert b.rows("points", as_=tuple) == [(1, 2), (1, 5)]


def test_a_class_may_change_while_rows_are_moved_to_a_file(
    b: MessageBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Row:
        __slots__ = ("id", "name")

        def __init__(self, number: int) -> None:
            self.id = number
            self.name = "before"

    make = room.unnamed_file

    def change(name: Any) -> int:
        monkeypatch.setattr(Row, "name", "after")
        return make(name)

    monkeypatch.setattr(room, "unnamed_file", change)
    _core.set_stage_limits(50, 1000)
    try:
        b.fill_rows("items", [Row(i) for i in range(20)])
    finally:
        _core.set_stage_limits(0, 0)
    names = [row["name"] for row in b.rows("items")]
    assert names[0] == "before"
    assert names[-1] == "after"
    assert names == sorted(names, reverse=True)
