"""Lists that are written: made where they are not set, and brought to a newer layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import new_capnp, old_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402

ROWS = [{"id": n, "score": n + 0.5, "name": "abcd"[n], "flag": n % 2 == 0} for n in range(4)]


def from_old(target: Path) -> MessageBuilder:
    """A builder with a message of the older schema in it."""
    old = old_capnp.Root.new_message()
    for row, number in zip(old.init("rows", 4), range(4), strict=True):
        row.id = 10 + number
    b = MessageBuilder(target)
    b.message.set_root(old)
    b.schema = new_capnp.Root
    return b


def fill_columns(b: MessageBuilder) -> None:
    b.fill("rows", {name: [row[name] for row in ROWS] for name in ROWS[0]})


def fill_arrow(b: MessageBuilder) -> None:
    pa = pytest.importorskip("pyarrow")
    b.fill("rows", pa.Table.from_pylist(ROWS), missing="default")


def fill_rows(b: MessageBuilder) -> None:
    assert b.fill_rows("rows", ROWS) == len(ROWS)


@pytest.mark.parametrize("write", [fill_columns, fill_arrow, fill_rows])
def test_structs_of_an_older_schema_become_larger(
    target: Path, write: Callable[[MessageBuilder], None]
) -> None:
    with from_old(target) as b:
        assert b.array("rows").dtype.names == ("id",)
        write(b)
        assert b.array("rows").dtype.names == ("id", "score")
    verify(target)
    with open_message(target, new_capnp.Root) as m:
        assert m.rows("rows") == ROWS


@pytest.mark.parametrize("values", [[1.5], np.array([1.5])])
def test_an_older_root_gets_the_pointer_to_a_new_list(target: Path, values: Any) -> None:
    with from_old(target) as b:
        b.fill("extra", values)
    with open_message(target, new_capnp.Root) as m:
        assert list(m.root.extra) == [1.5]
        assert [row.id for row in m.root.rows] == [10, 11, 12, 13]


def test_it_gets_one_for_rows_as_well(target: Path) -> None:
    with from_old(target) as b:
        assert b.fill_rows("extra", [1.5, 2.5]) == 2
    with open_message(target, new_capnp.Root) as m:
        assert list(m.root.extra) == [1.5, 2.5]


def test_only_the_builder_of_a_message_can_make_lists(target: Path) -> None:
    with MessageBuilder(target) as b:
        new_capnp.Root.new_message(allocate_seg_callable=b.allocate_segment)
        b.schema = new_capnp.Root
        for write in (fill_columns, fill_rows):
            with pytest.raises(ValueError, match="holds another message: make another builder"):
                write(b)
