"""Rows whose code empties the containers that it is read from. Each program runs apart."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")

from support import processes

START = """
import gc
from column_schemas import columns_capnp
from mmapbuilder import MessageBuilder, MessageLog

class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

def points():
    return [Point(i, i) for i in range(50)]

class Key:
    # It is no str, has the hash of a name, and runs code when the two are compared.
    armed = False
    def __init__(self, name, do):
        self.hash, self.do = hash(name), do
    def __hash__(self):
        return self.hash
    def __eq__(self, other):
        if Key.armed:
            self.do()
        return False

def hostile(do, **values):
    point = Point(0, 0)
    vars(point).clear()
    vars(point)[Key("x", do)] = 1
    vars(point).update(values)
    return point

def fill(*rows):
    with MessageBuilder("f.capnp") as b:
        b.init_root(columns_capnp.Root)
        Key.armed = True
        try:
            b.fill_rows("items", list(rows))
        except (RuntimeError, ValueError, TypeError) as error:
            print(type(error).__name__)

plain = {"points": points()}
"""

PROGRAMS = {
    "a list of objects is emptied": """
given = points()
given[10] = hostile(given.clear, x=1)
fill(plain, {"points": given})
""",
    "a dict of objects is emptied": """
row = {"position": {"place": None}}
def empty():
    row.get("position", {}).clear()
    row.clear()
row["position"]["place"] = hostile(empty)
fill({"position": {"place": Point(1, 2)}}, plain, row)
""",
    "lists in lists are emptied": """
given = [points(), points(), points()]
def empty():
    for each in [*given]:
        each.clear()
    given.clear()
given[1][10] = hostile(empty)
row = {"boxes": given}
with MessageBuilder("f.capnp") as b:
    b.init_root(columns_capnp.Root)
    Key.armed = True
    try:
        b.fill_rows("rows", [{"boxes": [points()]}, row])
    except (RuntimeError, ValueError, TypeError) as error:
        print(type(error).__name__)
""",
    "the dict of the row is emptied": """
row = {"id": 1, "note": "a" * 99}
row["points"] = [hostile(row.clear)]
row["name"] = "b" * 99
fill(plain, row, plain)
""",
    "the cycle collector empties a dict": """
class Last:
    def __del__(self):
        row["name"] = row["note"] = None
with MessageLog("f.log", schema=columns_capnp.Item) as log:
    log.append({"id": 1})
    for i in range(1, 60):
        gc.collect()
        name, note = ("\\ud800" + letter * 50 + str(i) for letter in "ab")
        row = {"name": name, "note": note}
        del name, note
        last = Last()
        last.itself = last
        gc.set_threshold(i)
        del last
        try:
            log.append(row)
        except ValueError as error:
            del error
        gc.set_threshold(700)
""",
    "a generator changes the class of later objects": """
given = points()
def look(self):
    given.clear()
    return 1.0
def messages():
    yield {"points": [Point(1, 2)]}
    yield {"points": [Point(1, 2)]}
    Point.y = property(look, lambda self, value: None)
    yield {"points": given}
with MessageLog("f.log", schema=columns_capnp.Item) as log:
    try:
        log.extend(messages())
    except RuntimeError as error:
        print(type(error).__name__)
""",
    "a property that a class has got changes the dict that is read": """
row = {"position": {"place": Point(1, 2)}, "points": points(), "name": "a" * 99}
def look(self):
    inner = row.get("position", {})
    inner.update({str(i): i for i in range(99)})
    row.get("points", []).clear()
    row.clear()
    return 1.0
def rows(row):
    yield plain
    yield {"position": {"place": Point(1, 2)}}
    Point.x = property(look, lambda self, value: None)
    yield row
for given in (row, {"points": points()}, Point(1, 2)):
    Point.x = 1
    del Point.x
    with MessageBuilder("f.capnp") as b:
        b.init_root(columns_capnp.Root)
        for path in ("items", "points"):
            try:
                b.fill_rows(path, rows(given))
            except (RuntimeError, ValueError, TypeError) as error:
                print(type(error).__name__)
""",
    "the cycle collector empties a list while an attribute is missing": """
def incomplete():
    made = points()
    for each in made:
        del each.x
    return made
class Last:
    def __del__(self):
        given.clear()
        row.clear()
given = incomplete()
row = {"points": given, "name": "b" * 99}
def rows():
    yield plain
    gc.disable()
    global kept
    kept = [[] for _ in range(2000)]  # the collector runs when the next object is made
    last = Last()
    last.itself = last
    del last
    gc.enable()
    yield row
with MessageBuilder("f.capnp") as b:
    b.init_root(columns_capnp.Root)
    b.fill_rows("items", rows())
assert sys.version_info >= (3, 12) or not given
""",
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_containers_may_be_emptied_while_they_are_read(tmp_path: Path, program: str) -> None:
    """Nothing is read that is no longer there."""
    search = "import os, sys; os.chdir(sys.argv[1]); sys.path.insert(0, sys.argv[2])\n"
    freed = ("-X", "dev")  # memory that is freed is overwritten
    processes.python(search + START + program, tmp_path, Path(__file__).parent, options=freed).ok()
