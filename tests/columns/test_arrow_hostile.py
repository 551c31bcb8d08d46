"""Damaged arrays of Arrow, made by hand: each is an error, and nothing of it is written.

They go into a process of their own, which must come to its end: what is read beyond an
array may crash.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")

from support import processes

SCHEMA = Path(__file__).resolve().parent / "columns.capnp"

SETUP = """
    import sys
    import capnp
    from mmapbuilder import MessageBuilder, schema_from
    from support.arrow_arrays import Made, numbers

    columns = capnp.load(sys.argv[2])

    def ints(length=4, *values, name="item"):
        return Made("i", length, None, numbers("i", *(values or (1, 2, 3, 4))), name=name)

    def lists(offsets=(0, 2, 4), child=None, form="+l", length=2, name="i32"):
        letter = "i" if form in ("+l", "+vl") else "q"
        return Made(form, length, None, numbers(letter, *offsets), name=name,
                    children=[child or ints()])

    def texts(offsets=(0, 1, 2), data=b"ab", form="u", length=2, name="name"):
        return Made(form, length, None, numbers("i", *offsets), data, name=name)

    def union(codes, offsets, child=None, form="+ud:0,1", name="@which"):
        children = [child or Made("g", 1, None, numbers("d", 1.5), name="weight"),
                    Made("u", 1, None, numbers("i", 0, 1), b"x", name="label")]
        buffers = [numbers("b", *codes)]
        if form[2] == "d":
            buffers.append(numbers("i", *offsets))
        return Made(form, len(codes), *buffers, name=name, children=children)

    def names(number=0, form="c", dictionary=None):
        inner = dictionary or Made("u", 2, None, numbers("i", 0, 3, 8), b"redgreen")
        return Made(form, 1, None, numbers("b", number), name="color", dictionary=inner)

    def run_ends(*values):
        return Made("i", len(values), None, numbers("i", *values))

    def runs(ends, length=2, children=None):
        x = Made("f", 3, None, numbers("f", 1, 2, 3), name="x")
        inner = Made("+r", 4, children=children or [ends, Made("+s", 3, None, children=[x])])
        return Made("+l", 1, None, numbers("i", 0, length), name="points", children=[inner])

    def changed(made, part="array", **fields):
        for name, value in fields.items():
            setattr(getattr(made, part), name, value)
        return made

    def fill(path, made):
        with MessageBuilder(sys.argv[1]) as b:
            b.init_root(columns.Root)
            table = Made("+s", made.array.length if made.array.length > 0 else 1, None,
                         children=[made])
            try:
                b.fill(path, table)
            finally:
                wrote = path in b.to_dict()
            return b.to_dict()[path]

    def refused(path, made):
        try:
            found = fill(path, made)
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            assert type(error) is not KeyError or "no such field" in str(error), error
            print(type(error).__name__, error)
        else:
            raise SystemExit(f"it was taken: {found}")
        table = Made("+s", 1, None, children=[made])
        try:
            schema_from(table, "Things")  # which looks at fewer things
        except (TypeError, ValueError):
            pass
"""

SOUND = """
    assert fill("rows", lists()) == [{"i32": [1, 2]}, {"i32": [3, 4]}]
    assert fill("rows", lists((0, 2, 4), form="+L")) == [{"i32": [1, 2]}, {"i32": [3, 4]}]
    view = Made("+vl", 2, None, numbers("i", 2, 0), numbers("i", 2, 1), name="i32",
                children=[ints()])
    assert fill("rows", view) == [{"i32": [3, 4]}, {"i32": [1]}]
    assert [row["name"] for row in fill("items", texts())] == ["a", "b"]
    points = fill("items", runs(run_ends(1, 2, 4), 4))[0]["points"]
    assert [point["x"] for point in points] == [1, 2, 3, 3]
    assert fill("items", names(1))[0]["color"] == "green"
    both = fill("items", union((0, 1), (0, 0)))
    assert (both[0]["weight"], both[1]["label"]) == (1.5, "x")
"""

DAMAGED = {
    "lists": [
        'refused("rows", lists((0, 5, 4)))',
        'refused("rows", lists((0, 2, 5)))',
        'refused("rows", lists((-1, 2, 4)))',
        'refused("rows", lists((0, 2, 2**40), form="+L"))',
        'refused("rows", lists((0, -(2**62), 2**62), form="+L"))',
        'refused("rows", lists(child=ints(-1)))',
        'refused("rows", changed(lists(), n_children=0))',
        'refused("rows", changed(lists(), children=None))',
        'refused("rows", changed(lists(), part="schema", children=None))',
        'refused("rows", changed(lists(), part="schema", n_children=0))',
        'refused("rows", changed(lists(), part="schema", n_children=2))',
        'refused("rows", Made("+vl", 1, None, numbers("i", 3), numbers("i", 2), name="i32", '
        "children=[ints()]))",
        'refused("rows", Made("+vl", 1, None, numbers("i", -1), numbers("i", 1), name="i32", '
        "children=[ints()]))",
        'refused("rows", Made("+vl", 1, None, numbers("i", 0), numbers("i", -1), name="i32", '
        "children=[ints()]))",
        'refused("rows", Made("+vl", 1, None, numbers("i", 0), None, name="i32", '
        "children=[ints()]))",
        'refused("rows", Made("+w:3", 2, None, name="i32", children=[ints()]))',
        'refused("rows", Made("+w:99999999999", 2, None, name="i32", children=[ints()]))',
    ],
    "lengths and buffers": [
        'refused("items", changed(texts(), length=-1))',
        'refused("items", changed(texts(), offset=-1))',
        'refused("items", changed(texts(), offset=2**62))',
        'refused("items", changed(texts(), n_buffers=1))',
        'refused("items", changed(texts(), buffers=None))',
        'refused("items", changed(texts(), release=None))',
        'refused("items", Made("u", 2, None, None, b"ab", name="name"))',
        'refused("items", Made("u", 2, None, numbers("i", 0, 1, 2), None, name="name"))',
        'refused("items", texts((0, 2, 1)))',
        'refused("items", texts((-3, 2, 2)))',
        'refused("items", texts((0, 1, 2), b"a\\xff"))',
        'refused("items", Made("I", 1, None, None, name="id"))',
        'refused("items", Made("b", 1, None, None, name="flag"))',
        'refused("items", Made("vu", 1, None, None, numbers("q"), name="name"))',
        'refused("items", Made("I", 1, None, name="id"))',
        'refused("items", Made(None, 1, None, numbers("I", 1), name="id"))',
        'refused("items", Made("zzz", 1, None, numbers("I", 1), name="id"))',
        'refused("items", Made("", 1, None, numbers("I", 1), name="id"))',
        'refused("items", Made("d:", 1, None, numbers("q", 1, 0), name="id"))',
        'refused("items", Made("d:999,3", 1, None, numbers("q", 1, 0), name="id"))',
        'refused("items", Made("tsx:", 1, None, numbers("q", 1), name="id"))',
        'refused("items", Made("t", 1, None, numbers("q", 1), name="id"))',
    ],
    "views": [
        'refused("items", Made("vu", 1, None, numbers("i", 20, 0, 0, 0), b"short", '
        'numbers("q", 5), name="name"))',
        'refused("items", Made("vu", 1, None, numbers("i", -1, 0, 0, 0), b"short", '
        'numbers("q", 5), name="name"))',
        'refused("items", Made("vu", 1, None, numbers("i", 13, 0, 7, 0), b"short", '
        'numbers("q", 5), name="name"))',
        'refused("items", Made("vu", 1, None, numbers("i", 13, 0, 0, 2**31 - 1), b"short", '
        'numbers("q", 5), name="name"))',
        'refused("items", Made("vu", 1, None, numbers("i", 13, 0, 0, 0), None, None, name="name"))',
    ],
    "dictionaries": [
        'refused("items", names(7))',
        'refused("items", names(-1))',
        'refused("items", changed(names(), dictionary=None))',
        'refused("items", names(dictionary=names()))',
        'refused("items", names(0, dictionary=Made("u", 1, b"\\0", numbers("i", 0, 0), b"")))',
    ],
    "unions": [
        'refused("items", union((0, 5), (0, 0)))',
        'refused("items", union((0, -1), (0, 0)))',
        'refused("items", union((0, 1), (0, 1)))',
        'refused("items", union((0, 1), (-1, 0)))',
        'refused("items", union((0, 1), (0, 2**31 - 1)))',
        'refused("items", union((0,), (0,), form="+ud:0"))',
        'refused("items", union((0,), (0,), form="+ud:0,0"))',
        'refused("items", union((0,), (0,), form="+ud:0,200"))',
        'refused("items", union((0,), (0,), form="+ud:"))',
        'refused("items", union((0, 1), (), form="+us:0,1"))',
        'refused("items", changed(union((0,), (0,)), buffers=None))',
        'refused("items", changed(union((0,), (0,)), n_buffers=1))',
        'refused("items", changed(union((0,), (0,)), n_children=1))',
        'refused("rows", union((0,), (0,), name="i32"))',
    ],
    "runs of structs in a list": [
        'refused("items", runs(run_ends(1, 1, 4)))',
        'refused("items", runs(run_ends(-1, 2, 4)))',
        'refused("items", runs(run_ends(1)))',
        'refused("items", runs(run_ends(1, 2, 3), 4))',
        'refused("items", runs(run_ends(1, 2, 3, 4), 4))',
        'refused("items", runs(run_ends(), 1))',
        'refused("items", runs(changed(run_ends(1, 2, 4), length=-1)))',
        'refused("items", runs(changed(run_ends(1, 2, 4), length=2**62)))',
        'refused("items", runs(changed(run_ends(1, 2, 4), offset=-1)))',
        'refused("items", runs(changed(run_ends(1, 2, 4), offset=2**62)))',
        'refused("items", runs(changed(run_ends(1, 2, 4), release=None)))',
        'refused("items", runs(changed(run_ends(1, 2, 4), buffers=None)))',
        'refused("items", runs(None, children=[run_ends(1)]))',
    ],
    "nesting": [
        """
made = ints(1, 1)
for _ in range(100):
    made = Made("+l", 1, None, numbers("i", 0, 1), children=[made], name="cube")
refused("rows", made)
made = Made("+s", 1, None, name="child")
for _ in range(100):
    made = Made("+s", 1, None, children=[made], name="child")
refused("items", made)
for many in (100, 300_000):
    refused("items", ints(1, 1, name="child." * many + "id"))
""",
    ],
}


def test_sound_arrays_by_hand_are_taken(target: Path) -> None:
    processes.python(SETUP + SOUND, target, SCHEMA).ok()


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_arrays_are_errors(target: Path, kind: str) -> None:
    code = "\n".join(line for line in DAMAGED[kind])
    indented = "\n".join("    " + line for line in code.splitlines())
    ended = processes.python(SETUP + indented + "\n", target, SCHEMA).ok()
    assert len(ended.out.splitlines()) >= 1
