"""Tables of flat lists, and lists that other schemas have written."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import arrays_capnp, new_capnp, old_capnp  # noqa: E402
from test_given import COLUMNS, write  # noqa: E402

from mmapbuilder import MessageBuilder, open_message  # noqa: E402

# What a table cannot hold is left out, with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:left out of the table:UserWarning")

Root = arrays_capnp.Root


def test_a_table_and_back(target: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill(
            "rows",
            COLUMNS
            | {"@which": ["note", "count", "empty"], "note": list("abc"), "count": [1, 2, 3]},
        )
    with open_message(target, Root) as m:
        table = m.table("rows")
        table.validate(full=True)
        assert table.column("color").to_pylist() == COLUMNS["color"]
        assert table.column("inverse").to_pylist() == [True] * 3
        assert table.column("position.unit").null_count == 3
        assert table.column("@which").to_pylist() == ["note", "count", "empty"]
        assert table.column("note").to_pylist() == ["a", None, None]
        assert table.column("count").to_pylist() == [None, 2, None]
        assert table.column("shape.circle").null_count == 3
        assert table.column("tags").to_pylist() == [None] * 3
        assert "child" not in table.column_names
        some = m.table("rows", columns=["name", "position.x", "@which"])
        assert some.column_names == ["name", "position.x", "@which"]
        write(tmp_path / "again", table)
        with open_message(tmp_path / "again", Root) as n:
            assert n.table("rows").equals(table)
        with pytest.raises(TypeError, match="AnyPointer"):
            m.table("rows", columns=["anything"])
        with pytest.raises(TypeError, match="'shape' is a group"):
            m.table("rows", columns=["shape"])
        with pytest.raises(KeyError, match="nix"):
            m.table("rows", columns=["nix"])
        with pytest.raises(TypeError, match="not a list"):
            m.table("which")


def test_what_lies_side_by_side_is_borrowed(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    n = 100_000
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("ones", value=np.arange(n))
        b.fill("left", np.arange(n))
    with open_message(target, Root) as m:
        before = pa.total_allocated_bytes()
        ones, left = m.table("ones"), m.table("left")
        assert pa.total_allocated_bytes() - before < n
        assert ones.column("value").to_pylist() == list(range(n))
        assert left.column_names == ["left"]
        array = m.array("left")
        address = left.column(0).chunk(0).buffers()[1].address
        assert address == array.__array_interface__["data"][0]
    del m
    assert left.column(0)[n - 1].as_py() == n - 1


def test_other_lists_are_tables_of_one_column(target: Path) -> None:
    pytest.importorskip("pyarrow")
    with MessageBuilder(target) as b:
        numbers = b.init_root(Root).init("numbers")
        b.fill("numbers", "bools", [True, False])
        b.fill("numbers", "texts", ["a", None])
        b.fill("numbers", "datas", [b"a", b""])
        b.fill("numbers", "colors", ["blue", "red"])
        numbers.init("matrix", 1)
        b.fill("numbers", "matrix", 0, [1.5])
    with open_message(target, Root) as m:
        assert m.table("numbers", "bools").to_pydict() == {"bools": [True, False]}
        assert m.table("numbers", "texts").to_pydict() == {"texts": ["a", None]}
        assert m.table("numbers", "datas").to_pydict() == {"datas": [b"a", b""]}
        assert m.table("numbers", "colors").to_pydict() == {"colors": ["blue", "red"]}
        assert m.table("numbers", "matrix", 0).to_pydict() == {"matrix": [1.5]}
        assert m.table("numbers", "f64").to_pydict() == {"f64": []}
        assert m.table("rows").num_rows == 0
        assert m.table("numbers", "matrix").to_pydict() == {"matrix": [[1.5]]}


def test_an_enumerant_that_the_schema_does_not_know(target: Path) -> None:
    pytest.importorskip("pyarrow")
    with MessageBuilder(target) as b:
        b.init_root(Root).init("rows", 2)
        b.array("rows")["color"] = [1, 9]
    with open_message(target, Root) as m:
        assert m.table("rows").column("color").to_pylist() == ["green", "@9"]
        assert m.column("rows", "color").tolist() == [1, 9]


# ---- layouts of other schemas ----------------------------------------------------------------


def test_what_an_older_schema_wrote(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(old_capnp.Root)
        b.fill("numbers", [1, 2, 3])
        b.fill("rows", id=[4, 5])
        b.fill("names", ["a", None, "c"])
        assert len(root.names) == 3
    with open_message(target, new_capnp.Root) as m:
        assert m.array("numbers").dtype.names == ("value",)
        assert m.array("numbers")["value"].tolist() == [1, 2, 3]
        assert m.column("numbers", "weight").tolist() == [0, 0, 0]
        assert m.array("rows").dtype.names == ("id",)
        assert m.column("rows", "name").tolist() == ["", ""]
        assert m.column("rows", "flag").tolist() == [False, False]
        assert m.array("names").dtype.names == ()
        assert len(m.array("names")) == 3
        assert m.column("names", "text").tolist() == ["a", "", "c"]
        assert m.column("names", "rank").tolist() == [0, 0, 0]
        assert m.array("extra").tolist() == []
        pytest.importorskip("pyarrow")
        table = m.table("names")
        assert table.to_pydict() == {"text": ["a", None, "c"], "rank": [0, 0, 0]}


def test_what_a_newer_schema_wrote(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(new_capnp.Root)
        b.fill("numbers", value=[1, 2, 3], weight=[0.5] * 3)
        b.fill("rows", id=[4, 5], score=[1.5, 2.5], name=["x", "y"])
        b.fill("names", text=["a", "b", None], rank=[1, 2, 3])
    with open_message(target, old_capnp.Root) as m:
        assert m.array("numbers").tolist() == [1, 2, 3] == list(m.root.numbers)
        assert m.array("numbers").strides == (16,)
        assert m.array("rows").dtype.names == ("id",)
        assert m.array("rows")["id"].tolist() == [4, 5]
        assert m.column("names").tolist() == ["a", "b", ""] == list(m.root.names)
        assert bytes(m.array("names", 1)) == b"b"
