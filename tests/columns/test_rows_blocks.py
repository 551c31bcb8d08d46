"""Rows that are written a block at a time, against the same rows written one by one.

An iterator gives its rows one by one, so a list must give the message that an iterator gives.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

capnp = pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, _core, open_message  # noqa: E402

SCHEMA = """
@0xb0d1f6f0a7c4e21b;
enum Color { red @0; green @1; }
struct Row {
  id @0 :UInt32 = 7; x @1 :Float64 = 1.5; flag @2 :Bool = true; big @3 :UInt64; name @4 :Text;
  color @5 :Color; blob @6 :Data; small @7 :Int8; other @8 :Bool; note @9 :Text = "none";
}
struct Root { rows @0 :List(Row); }
"""
NAMES = ("id", "x", "flag", "big", "name", "color", "blob", "small", "other", "note")


class Tuple(NamedTuple):
    id: Any
    x: Any
    flag: Any
    big: Any
    name: Any
    color: Any
    blob: Any
    small: Any
    other: Any
    note: Any


Plain: Any = make_dataclass("Plain", NAMES)
Slots: Any = make_dataclass("Slots", NAMES, slots=True)


class Word(str):
    """A str that is not just one."""


class Number(int):
    """An int that is not just one."""


def values(i: int) -> dict[str, Any]:
    text = "ä" * (i % 70) if i % 3 else "Grenoble"
    color, blob = ("red", "green")[i % 2], bytes(range(i % 20))
    return dict(
        zip(
            NAMES,
            (i, i / 3, i % 2 == 0, i << 40, text, color, blob, i % 250 - 125, i % 3 == 0, f"{i}"),
            strict=True,
        )
    )


MAKERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dict": dict,
    "tuple": lambda row: tuple(row.values()),
    "object": lambda row: Plain(**row),
    "named tuple": lambda row: Tuple(**row),
}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "blocks.capnp"
    path.write_text(SCHEMA)
    return path


@pytest.fixture(scope="module")
def root(schema: Path) -> Any:
    return capnp.load(str(schema)).Root


def outcome(root: Any, path: Path, rows: Any, count: int, **options: Any) -> Any:
    """Return the bytes of a message, or the text of the error."""
    with MessageBuilder(path) as b:
        b.init_root(root)
        try:
            b.fill_rows("rows", rows, length=count, **options)
        except Exception as error:
            return type(error), str(error)
    return path.read_bytes()


def check(root: Any, path: Path, rows: list[Any], **options: Any) -> Any:
    found = outcome(root, path, rows, len(rows), **options)
    assert found == outcome(root, path, iter(rows), len(rows), **options)
    return found


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("count", [1, 2, 3, 32, 33, 34, 65, 200])
def test_blocks_give_what_rows_give(root: Any, target: Path, make: Any, count: int) -> None:
    assert isinstance(check(root, target, [make(values(i)) for i in range(count)]), bytes)
    with open_message(target, root) as m:
        assert m.rows("rows") == [values(i) for i in range(count)]


ODD: dict[str, dict[str, Any]] = {
    "None": dict.fromkeys(NAMES),
    "no plain values": {"id": Number(9), "name": Word("word"), "note": b"bytes"},
    "a large number": {"big": (1 << 64) - 1},
    "an int for a float": {"x": 3},
    "a str for bytes": {"blob": "blöb"},
    "too large": {"id": 1 << 32},
    "a wrong type": {"x": "1.5"},
    "no such name": {"color": "blue"},
    "a surrogate": {"name": "\ud800"},
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("missing", ["default", "error"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_block_with_an_odd_row(
    root: Any, target: Path, make: Any, missing: str, odd: dict[str, Any]
) -> None:
    for at in (0, 1, 20, 32, 33, 150, 199):
        rows = [make(values(i) | (odd if i == at else {})) for i in range(200)]
        found = check(root, target, rows, missing=missing)
        assert isinstance(found, bytes) or f"row {at}" in found[1]


@pytest.mark.parametrize("missing", ["default", "error"])
def test_rows_of_different_shapes(root: Any, target: Path, missing: str) -> None:
    def shaped(i: int) -> Any:
        row, kind = values(i), i // 40 % 5
        if kind == 1:
            return dict(reversed(row.items()))
        if kind == 2:
            return {"".join(name): value for name, value in row.items() if name != "flag"}
        return tuple(row.values()) if kind == 3 else Plain(**row) if kind == 4 else row

    rows = [shaped(i) for i in range(400)]
    check(root, target, rows, missing=missing)
    check(root, target, [row for i in range(20) for row in rows[i::20]], missing=missing)


def test_an_unknown_key_in_a_block(root: Any, target: Path) -> None:
    rows = [values(i) | ({"more": 1} if i == 90 else {}) for i in range(100)]
    assert "row 90: the schema has no field 'more'" in check(root, target, rows)[1]
    assert isinstance(check(root, target, rows, extra="ignore"), bytes)


def test_tuples_with_names_and_objects_without_values(root: Any, target: Path) -> None:
    some = [(f"{i}", i) for i in range(100)]
    assert isinstance(check(root, target, some, fields=["note", "id"]), bytes)
    short = [*some[:70], ("x",), *some[70:]]
    assert "row 70: 1 values are given" in check(root, target, short, fields=["note", "id"])[1]
    objects = [Slots(**values(i)) for i in range(100)]
    check(root, target, objects)
    del objects[50].name, objects[51].id
    check(root, target, objects)
    check(root, target, objects, extra="ignore")


@pytest.mark.parametrize("limits", [(60, 400), (5000, 20000)])
def test_blocks_that_are_moved_to_a_file(root: Any, target: Path, limits: tuple[int, int]) -> None:
    rows = [tuple(values(i).values()) for i in range(600)]
    _core.set_stage_limits(*limits)
    try:
        check(root, target, rows)
    finally:
        _core.set_stage_limits(0, 0)
    with open_message(target, root) as m:
        assert m.rows("rows", as_=tuple) == rows


BOUNDED = """
import sys
import capnp
from mmapbuilder import MessageBuilder, _core

def data_bytes():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmData:"))

class Last:
    def __index__(self):
        taken.append(data_bytes())
        return 1

root, taken = capnp.load(sys.argv[2]).Root, []
rows = [{"name": "x" * 4000}] * 8000 + [{"id": Last()}]  # 32 MB
_core.set_stage_limits(1 << 13, 0)
with MessageBuilder(sys.argv[1]) as b:
    b.init_root(root)
    before = data_bytes()
    b.fill_rows("rows", rows)
assert taken and max(taken) - before < 8 << 20, (taken, before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells how much memory is taken")
def test_blocks_take_no_more_memory_than_rows(schema: Path, target: Path) -> None:
    subprocess.run([sys.executable, "-c", BOUNDED, target, schema], check=True, timeout=60)


@pytest.mark.parametrize("odd", [{}, {"x": "wrong"}], ids=["good", "bad"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_blocks_leave_no_references(root: Any, target: Path, make: Any, odd: Any) -> None:
    shared = {"name": "Greno" + "ble" * len(NAMES), "big": 1 << 50, "x": 1e300}
    rows = [make(values(i) | shared | (odd if i == 150 else {})) for i in range(200)]
    counted = [*shared.values(), rows[0], rows[100]]
    before = [sys.getrefcount(each) for each in counted]
    outcome(root, target, rows, len(rows))
    gc.collect()
    assert [sys.getrefcount(each) for each in counted] == before


CHANGES = """
import gc, sys
import capnp
from mmapbuilder import MessageBuilder

root, kind = capnp.load(sys.argv[2]).Root, sys.argv[3]

class Cycle:
    def __init__(self): self.me = self
    def __del__(self):
        if rows: rows[:] = [{"id": 1}] * int(kind)

for at in range(1, 100, 7):
    name = "n" * 50
    rows = [{"name": name + str(i), "id": i} for i in range(100)]
    rows[at]["name"] = "\\ud800" + "x" * 1000
    gc.disable()
    for _ in range(50): Cycle()
    gc.set_threshold(1)
    with MessageBuilder(sys.argv[1]) as b:
        b.init_root(root)
        gc.enable()
        try:
            b.fill_rows("rows", rows)
        except (ValueError, RuntimeError):
            pass
    rows = None
    gc.set_threshold(700)
    gc.collect()
"""


@pytest.mark.parametrize("left", [0, 50, 100])
def test_the_collector_may_change_the_rows_when_a_block_fails(
    schema: Path, target: Path, left: int
) -> None:
    subprocess.run(
        [sys.executable, "-c", CHANGES, target, schema, str(left)], check=True, timeout=60
    )


KEYS = """
import sys
from dataclasses import make_dataclass
import capnp
from mmapbuilder import MessageBuilder

class Key:  # it is compared with `name`, since their hashes are the same
    change = None
    def __hash__(self): return hash("name")
    def __eq__(self, other):
        if self.change: self.change(rows)
        return False

root, at = capnp.load(sys.argv[2]).Root, int(sys.argv[3])
Row = make_dataclass("Row", ["id", "name"])
for change in list.pop, list.clear, lambda rows: rows.append(rows[0]):
    key, rows = Key(), [Row(i, "name") for i in range(100)]
    vars(rows[at]).clear()
    vars(rows[at]).update({key: None, "id": at, "name": "name"})
    key.change = change
    with MessageBuilder(sys.argv[1]) as b:
        b.init_root(root)
        try:
            b.fill_rows("rows", rows)
        except RuntimeError as error:
            assert str(error) == "the list changed while it was read"
        else:
            raise AssertionError(change)
"""


@pytest.mark.parametrize("at", [3, 34, 60])
def test_a_key_changes_the_rows_while_a_block_is_made(schema: Path, target: Path, at: int) -> None:
    subprocess.run([sys.executable, "-c", KEYS, target, schema, str(at)], check=True, timeout=60)
