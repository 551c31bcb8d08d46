"""fill() from values that lie in the message itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import arrays_capnp, new_capnp, old_capnp  # noqa: E402

from mmapbuilder import MessageBuilder  # noqa: E402

Root = arrays_capnp.Root


def test_columns_change_places(b: Any) -> None:
    b.init_root(Root)
    b.fill("rows", {"position.x": range(5), "position.y": range(10, 15)})
    position = b.array("rows")["position"]
    b.fill("rows", {"position.x": position["y"], "position.y": position["x"]})
    assert b.column("rows", "position", "x").tolist() == list(range(10, 15))
    assert b.column("rows", "position", "y").tolist() == list(range(5))


def test_a_column_is_reversed(b: Any) -> None:
    b.init_root(Root)
    n = 50_000
    b.fill("rows", id=range(n))
    b.fill("rows", id=b.array("rows")["id"][::-1])
    assert b.column("rows", "id").tolist() == list(range(n))[::-1]


def test_a_list_is_reversed(b: Any) -> None:
    b.init_root(Root).init("numbers")
    b.fill("numbers", "i32", range(1000))
    b.fill("numbers", "i32", b.array("numbers", "i32")[::-1])
    assert b.column("numbers", "i32").tolist() == list(range(1000))[::-1]


@pytest.mark.parametrize("make", [lambda a: a, memoryview, np.asarray])
def test_data_change_places(b: Any, make: Any) -> None:
    b.init_root(Root).init("numbers")
    b.fill("numbers", "datas", [b"one", b"two", None])
    swapped = [make(b.array("numbers", "datas", i)) for i in (1, 0)]
    b.fill("numbers", "datas", [*swapped, np.float64("nan")])
    assert b.column("numbers", "datas").tolist() == [b"two", b"one", b""]


def test_buffers_of_arrow_that_are_the_message(b: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    numbers = b.init_root(Root).init("numbers")
    numbers.data = b"onetwo"
    b.fill("numbers", "datas", [b"-", b"onetwo"])
    offsets = pa.py_buffer(np.array([0, 3, 6], np.int32))
    data = pa.py_buffer(b.array("numbers", "datas", 1))
    b.fill("numbers", "datas", pa.Array.from_buffers(pa.binary(), 2, [None, offsets, data]))
    assert b.column("numbers", "datas").tolist() == [b"one", b"two"]


def test_a_view_of_the_list_that_is_brought_to_a_newer_layout(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(old_capnp.Root)
        b.fill("rows", id=[1, 2, 3])
        b.schema = new_capnp.Root.schema
        b.fill("rows", score=b.array("rows")["id"])
        assert b.column("rows", "score").tolist() == [1, 2, 3]
