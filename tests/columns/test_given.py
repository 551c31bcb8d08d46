"""Tables into a message, and back."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import arrays_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message  # noqa: E402
from support.requirements import missing  # noqa: E402

# What a table cannot hold is left out, with a warning.
pytestmark = pytest.mark.filterwarnings("ignore:left out of the table:UserWarning")

Root = arrays_capnp.Root
COLUMNS: dict[str, Any] = {
    "id": [1, 2, 3],
    "small": [-1, 0, 1],
    "ratio": [0.5, 1.5, 2.5],
    "color": ["red", "blue", "green"],
    "flag": [True, False, True],
    "name": ["eins", "zwei", "größer"],
    "blob": [b"\0", b"", b"abc"],
    "position.x": [1.0, 2.0, 3.0],
}


def read_back(path: Path) -> dict[str, Any]:
    with open_message(path, Root) as m:
        rows = m.root.rows
        return {
            "id": [row.id for row in rows],
            "small": [row.small for row in rows],
            "ratio": [row.ratio for row in rows],
            "color": [str(row.color) for row in rows],
            "flag": [row.flag for row in rows],
            "name": [row.name for row in rows],
            "blob": [row.blob for row in rows],
            "position.x": [row.position.x for row in rows],
        }


def write(path: Path, table: Any) -> None:
    with MessageBuilder(path) as b:
        b.init_root(Root)
        b.fill("rows", table)


def test_a_mapping(target: Path) -> None:
    write(target, COLUMNS)
    assert read_back(target) == COLUMNS


def test_a_structured_array(target: Path) -> None:
    table = np.empty(
        3,
        [
            ("id", ">i8"),
            ("small", "i2"),
            ("ratio", "f8"),
            ("color", "U8"),
            ("flag", "?"),
            ("name", "U10"),
            ("blob", "O"),
            ("position", [("x", "f4")]),
        ],
    )
    for name in COLUMNS:
        if name != "position.x":
            table[name] = COLUMNS[name]
    table["position"]["x"] = COLUMNS["position.x"]
    write(target, table)
    assert read_back(target) == COLUMNS


def test_what_array_gives_is_a_table(target: Path, tmp_path: Path) -> None:
    plain = {name: COLUMNS[name] for name in ("id", "small", "position.x")}
    write(target, plain)
    with open_message(target, Root) as m:
        array = m.array("rows")[["id", "small", "position"]]
        write(tmp_path / "again", array)
    with open_message(tmp_path / "again", Root) as m:
        assert m.array("rows")["id"].tolist() == [1, 2, 3]
        assert m.array("rows")["position"]["x"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("string", ["string", "large_string", "string_view", "dictionary"])
@pytest.mark.parametrize("chunks", [1, 2, 3])
def test_an_arrow_table(target: Path, string: str, chunks: int) -> None:
    pa = pytest.importorskip("pyarrow")
    if string == "dictionary":
        names = pa.array(COLUMNS["name"]).dictionary_encode()
    else:
        names = pa.array(COLUMNS["name"], getattr(pa, string)())
    table = pa.table(
        {
            "id": pa.array(COLUMNS["id"], pa.int16()),
            "small": pa.array(COLUMNS["small"], pa.int64()),
            "ratio": pa.array(COLUMNS["ratio"], pa.float32()),
            "color": pa.array(COLUMNS["color"]).dictionary_encode(),
            "flag": pa.array(COLUMNS["flag"]),
            "name": names,
            "blob": pa.array(COLUMNS["blob"], pa.large_binary()),
            "position": pa.array([{"x": x} for x in COLUMNS["position.x"]]),
        }
    )
    if chunks > 1:
        parts = [table.slice(i, 1) for i in range(chunks - 1)]
        table = pa.concat_tables([*parts, table.slice(chunks - 1)])
    write(target, table)
    assert read_back(target) == COLUMNS
    if chunks == 1:
        write(target, table.to_batches()[0])
        assert read_back(target) == COLUMNS


def test_a_slice_of_an_arrow_table(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    names = [None if i % 5 == 0 else str(i) for i in range(100)]
    write(target, pa.table({"name": names, "id": range(100)}).slice(17, 50))
    with open_message(target, Root) as m:
        assert m.column("rows", "name").tolist() == [name or "" for name in names[17:67]]
        assert m.table("rows").column("name").to_pylist() == names[17:67]
        assert m.array("rows")["id"].tolist() == list(range(17, 67))


def test_arrows_nulls(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"name": ["a", None], "blob": pa.nulls(2), "id": [1, None]})
    with MessageBuilder(target) as b:
        b.init_root(Root)
        with pytest.raises(TypeError, match="column 'id', row 1: the value is missing"):
            b.fill("rows", table)
        b.fill("rows", table.drop_columns("id"))
        rows = b.message.get_root(Root).rows
        assert [row._has("name") for row in rows] == [True, False]
        assert [row._has("blob") for row in rows] == [False, False]


def test_a_pandas_frame(target: Path) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(COLUMNS, index=[10, 20, 30])
    write(target, frame)
    assert read_back(target) == COLUMNS
    frame["color"] = frame["color"].astype("category")
    frame["id"] = frame["id"].astype("Int64")
    frame["name"] = frame["name"].astype(object)
    frame["flag"] = frame["flag"].astype("boolean")
    write(target, frame)
    assert read_back(target) == COLUMNS
    frame.loc[20, "name"] = None
    write(target, frame)
    assert read_back(target)["name"] == ["eins", "", "größer"]
    frame.loc[20, "id"] = pd.NA
    with pytest.raises(TypeError, match="column 'id'.* missing"):
        write(target, frame)


def test_extension_types_are_what_they_are_made_of(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    if not hasattr(pa, "json_"):
        missing("pyarrow has no JSON, which 19 brought")
    names = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["1", None, "2"]))
    table = {
        "name": pa.chunked_array([names[:1], names[1:]]),
        "flag": pa.array([1, 0, 1], pa.bool8()),
    }
    for given in (table, pa.table(table)):
        write(target, given)
        found = read_back(target)
        assert (found["name"], found["flag"]) == (["1", "", "2"], [True, False, True])


def test_fixed_bytes_of_pandas(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    kind = pa.binary(2)
    write(target, pd.DataFrame({"blob": pd.Series([b"ab", None], dtype=pd.ArrowDtype(kind))}))
    assert read_back(target)["blob"] == [b"ab", b""]


def test_a_polars_frame(target: Path) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(COLUMNS)
    write(target, frame)
    assert read_back(target) == COLUMNS
    frame = frame.with_columns(
        pl.col("color").cast(pl.Categorical),
        pl.Series("name", ["eins", None, "größer"]),
    )
    write(target, frame)
    assert read_back(target)["name"] == ["eins", "", "größer"]
    assert read_back(target)["color"] == COLUMNS["color"]
    with pytest.raises(TypeError, match="'id', row 1: the value is missing"):
        write(target, frame.with_columns(pl.Series("id", [1, None, 3])))


def test_masked_arrays(target: Path) -> None:
    masked = np.ma.MaskedArray([1, 2], [False, True])
    with MessageBuilder(target) as b:
        b.init_root(Root)
        with pytest.raises(TypeError, match="'id', row 1: the value is missing"):
            b.fill("rows", id=masked)
        names = np.ma.MaskedArray(["a", "b"], [True, False])
        b.fill("rows", name=names, id=masked[:1].filled(0).repeat(2))
        assert b.column("rows", "name").tolist() == ["", "b"]


def test_two_columns_of_one_name(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table([[1], [2]], ["id", "id"])
    with MessageBuilder(target) as b:
        b.init_root(Root)
        with pytest.raises(ValueError, match="two columns 'id'"):
            b.fill("rows", table)
        pd = pytest.importorskip("pandas")
        with pytest.raises(ValueError, match="two columns 'id'"):
            b.fill("rows", pd.DataFrame([[1, 2]], columns=["id", "id"]))


def test_what_is_no_table(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        for wrong in ([1, 2], np.zeros(3), object(), {1: [2]}):
            with pytest.raises(TypeError):
                b.fill("rows", wrong)
        with pytest.raises(ValueError, match="one dimension"):
            b.fill("rows", np.zeros((2, 2), [("id", int)]))
        with pytest.raises(KeyError, match="no 'nix'"):
            b.fill("rows", {"id": [1], "nix": [2]})
        with pytest.raises(TypeError, match="count in a unit"):
            b.fill("rows", id=np.array([datetime.datetime(2024, 1, 1)], "M8[us]"))


# ---- without the others ----------------------------------------------------------------------


def test_without_pyarrow(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(target, COLUMNS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with open_message(target, Root) as m:
        table = m.table("rows")
        with pytest.raises(ImportError, match="pip install pyarrow"):
            table.to_pydict()
        assert table.num_rows == 3
        pl = pytest.importorskip("polars")
        assert pl.DataFrame(table)["name"].to_list() == COLUMNS["name"]
    write(target, pl.DataFrame(COLUMNS))
    assert read_back(target) == COLUMNS


def test_odd_columns(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    with MessageBuilder(target) as b:
        b.init_root(Root)
        hidden = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array([1.5, None]))
        with pytest.raises(TypeError, match="row 1: the value is missing.*missing=.default"):
            b.fill("rows", {"position.x": hidden})
        runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2]), pa.array([1.5, None]))
        with pytest.raises(TypeError, match="row 1: the value is missing.*missing=.default"):
            b.fill("rows", {"position.x": runs})
        views = pa.array(["a", "b"], pa.string_view())
        b.fill("rows", name=pa.DictionaryArray.from_arrays(pa.array([1, None]), views))
        assert b.column("rows", "name").tolist() == ["b", ""]
        with pytest.raises(ValueError, match="is given twice"):
            b.fill("rows", {"position.x": [1, 2], "position": {"x": [1, 2]}})
        with pytest.raises(ValueError, match="one dimension"):
            b.fill("rows", {"id": pa.table({"a": [1, 2]})})
        b.fill("rows", color=["@77", "blue"])
        assert b.column("rows", "color").tolist() == [77, 2]
        with pytest.raises(ValueError, match="the union has no '@77'"):
            b.fill("rows", {"@which": ["@77", "count"]})
        for name in ("@2", "@65536", "@", "@x"):
            with pytest.raises(ValueError, match="has no"):
                b.fill("rows", color=[name, "red"])


def test_a_pandas_column_of_objects(target: Path) -> None:
    pd = pytest.importorskip("pandas")
    with MessageBuilder(target) as b:
        b.init_root(Root)
        which = ["note", "count"]
        b.fill("rows", {"@which": which, "note": pd.Series(["a", 5], dtype=object)})
        assert b.column("rows", "note").tolist() == ["a", ""]
        with pytest.raises(TypeError, match="row 1"):
            b.fill("rows", name=pd.Series(["a", 5], dtype=object))


def test_categories_of_polars(target: Path) -> None:
    pl = pytest.importorskip("polars")
    with MessageBuilder(target) as b:
        b.init_root(Root)
        for kind in (pl.Categorical, pl.Enum(["a", "b"])):
            b.fill("rows", name=pl.Series(["a", None, "b"], dtype=kind))
            assert b.column("rows", "name").tolist() == ["a", "", "b"]


@pytest.mark.parametrize("kind", ["list", "array", "frame"])
@pytest.mark.parametrize("positions", [[None, {"x": 1.5}], [None, None], []])
def test_a_group_that_is_none_has_its_defaults(
    target: Path, positions: list[Any], kind: str
) -> None:
    given: Any = {"position": positions}
    if kind == "array":
        given["position"] = np.array(positions, object)
    elif kind == "frame":
        given = pytest.importorskip("pandas").DataFrame(given, dtype=object)
    write(target, given)
    with open_message(target, Root) as m:
        found = [row.position.x for row in m.root.rows]
    assert found == [0.0 if each is None else each["x"] for each in positions]
