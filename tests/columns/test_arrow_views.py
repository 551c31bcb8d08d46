"""Tables that are views of the file: nothing of it is copied, and it stays as long as they do."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message  # noqa: E402

Root = columns_capnp.Root
LONG = "a string that is longer than what a view has room for"
VALUES: dict[str, list[Any]] = {
    "bools": [[True, False, True] * 30, None, [], [False]],
    "i8": [[1, -2, 3], [], None, [4]],
    "i32": [[1, 2], None, [], [3] * 1000],
    "u64": [[2**64 - 1], None, [], [3, 4]],
    "f64": [[0.5], [], None, [1.5, 2.5]],
    "texts": [[LONG, "x"], None, [], [""]],
    "blobs": [[LONG.encode(), b"x"], None, [], [b""]],
    "matrix": [[[1, 2], []], None, [], [[3]]],
    "colors": [["red", "blue"], None, [], ["green"]],
}


def build(target: Path, **how: Any) -> None:
    with MessageBuilder(target, **how) as b:
        b.init_root(Root)
        b.fill("rows", **VALUES)
        b.fill_rows("items", [{"name": LONG}, {"name": "x"}, {}, {"name": ""}])


@pytest.mark.parametrize("how", [{}, {"capacity": 1 << 20, "segment_words": 4096}])
def test_views_have_what_copies_have(target: Path, how: dict[str, Any]) -> None:
    build(target, **how)
    with open_message(target, Root) as m:
        names = list(VALUES)
        table = pa.table(m.table("rows", columns=names, views=True))
        copies = pa.table(m.table("rows", columns=names))
    table.validate(full=True)
    assert table.to_pydict() == VALUES == copies.to_pydict()
    for name in ("bools", "i8", "i32", "u64", "f64"):
        assert pa.types.is_large_list_view(table.schema.field(name).type), name
    assert pa.types.is_string_view(table.schema.field("texts").type.value_type)
    assert pa.types.is_binary_view(table.schema.field("blobs").type.value_type)
    assert pa.types.is_large_list_view(table.schema.field("matrix").type.value_type)


def test_nothing_is_copied(target: Path) -> None:
    build(target)
    with open_message(target, Root) as m:
        table = pa.table(m.table("rows", columns=["i32"], views=True))
        memory = np.frombuffer(m.segments[0], np.uint8)
        child = table.column("i32").chunk(0).values
        assert child.buffers()[1].address == memory.ctypes.data
        names = pa.table(m.table("items", columns=["name"], views=True)).column("name")
        assert memory.ctypes.data in [each.address for each in names.chunk(0).buffers()[2:] if each]


def test_views_live_longer_than_the_message(target: Path) -> None:
    build(target)
    with open_message(target, Root) as m:
        table = m.table("rows", columns=list(VALUES), views=True)
        array = pa.table(table)
    del table, m
    gc.collect()
    assert array.to_pydict() == VALUES


def test_defaults_of_text_are_not_in_the_file(target: Path) -> None:
    build(target)
    with open_message(target, Root) as m:
        table = pa.table(m.table("items", columns=["name", "note", "blob"], views=True))
    table.validate(full=True)
    assert table.to_pydict() == {
        "name": [LONG, "x", None, ""],
        "note": ["none"] * 4,
        "blob": [b"\1\2"] * 4,
    }


def test_lists_that_are_no_plain_numbers_are_copied(target: Path) -> None:
    """A list of numbers that became a list of structs in a newer schema reads as numbers."""
    with MessageBuilder(target) as b:
        root = b.init_root(columns_capnp.Upgraded)
        rows = root.init("rows", 3)
        rows[0].init("numbers", 2)[1].value = 5
        rows[2].init("numbers", 1)[0].value = 7
    with open_message(target, columns_capnp.Plain) as m:
        table = pa.table(m.table("rows", views=True))
        table.validate(full=True)
        assert table.to_pydict() == {"numbers": [[0, 5], None, [7]]}


def test_a_message_that_is_being_built_has_no_views(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("rows", i32=[[1]])
        with pytest.raises(ValueError, match="finished"):
            b.table("rows", views=True)


def test_polars_duckdb_and_pandas_take_views(target: Path) -> None:
    pl = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    pytest.importorskip("pandas")
    build(target)
    with open_message(target, Root) as m:
        found = m.table("items", columns=["name"], views=True)
        assert pl.DataFrame(found)["name"].to_list() == [LONG, "x", None, ""]
        assert duckdb.sql("select name from found").fetchall() == [(LONG,), ("x",), (None,), ("",)]
        assert pa.table(found).to_pandas()["name"].tolist()[:2] == [LONG, "x"]
