"""fill() and unions: tags given and implied, and what goes when one changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import arrays_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message  # noqa: E402

Root = arrays_capnp.Root


@pytest.fixture
def rows(b: Any) -> Any:
    return b.init_root(Root).init("rows", 3)


def test_a_member_becomes_active_everywhere(b: Any, rows: Any) -> None:
    b.fill("rows", note=["x", "y", "z"])
    assert [str(row.which()) for row in rows] == ["note"] * 3
    b.fill("rows", count=[1, 2, 3])
    assert [row.count for row in rows] == [1, 2, 3]
    b.fill("rows", **{"shape.box.kind.code": [4, 5, 6]})
    assert [row.shape.box.kind.code for row in rows] == [4, 5, 6]


def test_two_members_need_a_tag(b: Any, rows: Any) -> None:
    with pytest.raises(ValueError, match="one member, but 'count' and 'note' are given"):
        b.fill("rows", count=[1, 2, 3], note=["x", "y", "z"])
    b.fill(
        "rows",
        {
            "count": [1, None, None],
            "note": [5, "y", object()],
            "@which": ["count", "note", "empty"],
        },
    )
    assert [str(row.which()) for row in rows] == ["count", "note", "empty"]
    assert rows[0].count == 1
    assert rows[1].note == "y"
    b.fill("rows", {"@which": np.array([0, 0, 1]), "count": [99, 98, 97]})
    assert [str(row.which()) for row in rows] == ["empty", "empty", "count"]
    assert rows[2].count == 97
    with pytest.raises(ValueError, match="the union has no 'nix'; it has empty, count, note"):
        b.fill("rows", {"@which": ["nix"] * 3})


def test_an_implied_inner_tag_leaves_rows_of_other_members_alone(b: Any) -> None:
    b.init_root(Root)
    everything = (1 << 64) - 1
    b.fill("nests", {"outer.b": [everything] * 3})
    b.fill("nests", {"outer.@which": ["b", "a", "b"], "outer.a.q": [None, 1.5, None]})
    nests = b.message.get_root(Root).nests
    assert [nest.outer.which() for nest in nests] == ["b", "a", "b"]
    assert [nests[0].outer.b, nests[2].outer.b] == [everything] * 2
    assert nests[1].outer.a.which() == "q"
    assert nests[1].outer.a.q == 1.5


def test_the_old_member_goes_when_the_tag_changes(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("nests", id=range(3), **{"outer.text": ["hello", "world", "stays"]})
        b.fill("nests", {"outer.@which": ["one", "ones", "text"]})
        nests = b.message.get_root(Root).nests
        assert nests[0].outer.one.value == 0
        assert len(nests[1].outer.ones.list) == 0
        assert nests[2].outer.text == "stays"
    assert b"hello" not in target.read_bytes()
    with open_message(target, Root) as m:
        assert m.root.nests[0].outer.one.value == 0
        assert [nest.outer.which() for nest in m.root.nests] == ["one", "ones", "text"]


def test_the_bytes_of_the_old_member_are_not_numbers_of_the_new_one(b: Any) -> None:
    b.init_root(Root)
    b.fill("nests", {"id": range(4), "outer.b": [(1 << 64) - 1] * 4})
    b.fill("nests", {"outer.@which": ["a", "b", "c", "a"], "outer.a.k": [7, 0, 0, 8]})
    nests = b.message.get_root(Root).nests
    assert [nest.id for nest in nests] == [0, 1, 2, 3]
    assert [nests[0].outer.a.k, nests[3].outer.a.k] == [7, 8]
    assert nests[0].outer.a.which() == "p"
    assert nests[0].outer.a.p == 0
    assert not nests[0].outer.a.flag
    assert nests[1].outer.b == (1 << 64) - 1
    assert nests[2].outer.c == 0


def test_an_implied_tag_clears_too_and_only_where_it_changes(b: Any) -> None:
    b.init_root(Root)
    b.fill(
        "nests",
        {
            "outer.@which": ["b", "a", "a"],
            "outer.b": [1 << 63, None, None],
            "outer.a.k": [None, 3, 4],
            "outer.a.@which": [None, "p", "q"],
            "outer.a.p": [None, 5, None],
            "outer.a.q": [None, None, 1.5],
            "outer.a.flag": [None, True, True],
        },
    )
    b.fill("nests", {"outer.a.p": [6, 7, 8]})
    nests = b.message.get_root(Root).nests
    assert [nest.outer.a.p for nest in nests] == [6, 7, 8]
    assert [nest.outer.a.k for nest in nests] == [0, 3, 4]
    assert [nest.outer.a.flag for nest in nests] == [False, True, True]
