"""Schemas that are written for tables: loaded, filled and read, they give the tables back."""

from __future__ import annotations

import collections
import datetime as dt
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
pa = pytest.importorskip("pyarrow")
pytest.importorskip("hypothesis")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import mmapbuilder  # noqa: E402
from mmapbuilder import MessageBuilder, open_message, schema_from, verify  # noqa: E402

WHEN = dt.datetime(2024, 5, 6, 7, 8, 9, 123456)


# What a parser has loaded dies with it, in use or not.
_parsers: collections.deque[Any] = collections.deque(maxlen=60)


def load(text: str, where: Path) -> Any:
    """The module of a schema, of a parser of its own: the same schema may come twice."""
    where.write_text(text)
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(where), imports=[mmapbuilder.schema_path()])


def around(table: Any, where: Path) -> Any:
    """Write a table into a message of its own schema; return the table that it gives."""
    schema = load(schema_from(table, "Things"), where / "things.capnp").Things
    with MessageBuilder(where / "things.bin") as b:
        b.init_root(schema)
        b.fill("rows", table)
    assert not verify(where / "things.bin").unfinished
    with open_message(where / "things.bin", schema) as m:
        found = m.table("rows")
        # What it gives, it takes; so it does with views, with unions of Arrow, and as rows.
        with MessageBuilder(where / "again.bin") as b:
            b.init_root(schema)
            b.fill("rows", m.table("rows", views=True, unions="dense"))
            assert b.to_dict() == m.to_dict()
            b.fill_rows("rows", m.rows("rows"))
            assert b.to_dict() == m.to_dict()
        pa.table(found).validate(full=True)
        return pa.table(found)


COLUMNS = {
    "integers": [pa.array([1, -2], kind) for kind in (pa.int8(), pa.int16(), pa.int32())],
    "unsigned": [
        pa.array([1, 2], kind) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    ],
    "floats": [pa.array([1.5, 2], kind) for kind in (pa.float32(), pa.float64())],
    "null": [pa.nulls(2)],
    "nullable": [pa.array([1, None]), pa.array([None, True]), pa.array([None, 1.5])],
    "strings": [
        pa.array(["a", None], kind) for kind in (pa.string(), pa.large_string(), pa.string_view())
    ],
    "binaries": [
        pa.array([b"abc", None], kind)
        for kind in (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(3))
    ],
    "timestamps": [
        pa.array([WHEN.replace(microsecond=0), None], pa.timestamp(unit, zone))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Vienna", "+02:00")
    ],
    "dates": [pa.array([WHEN.date(), None], kind) for kind in (pa.date32(), pa.date64())],
    "times": [
        pa.array([dt.time(1, 2), None], kind)
        for kind in (pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns"))
    ],
    "durations": [
        pa.array([dt.timedelta(1), None], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")
    ],
    "decimals": [
        pa.array([Decimal("1.5"), None], kind)
        for kind in (
            pa.decimal128(5, 1),
            pa.decimal128(18, 1),
            pa.decimal128(38, 3),
            pa.decimal256(70, 2),
        )
    ],
    "dictionaries": [
        pa.array(["red", None]).dictionary_encode(),
        pa.array(["North West", "x"]).dictionary_encode(),
    ],
    "lists": [
        pa.array([[1, 2], None], kind)
        for kind in (
            pa.list_(pa.int32()),
            pa.large_list(pa.int32()),
            pa.list_(pa.int32(), 2),
            pa.list_view(pa.int32()),
            pa.large_list_view(pa.int32()),
        )
    ],
    "nested": [
        pa.array([[["a", None], None], []]),
        pa.array([{"x": 1, "y": {"z": None}}, None]),
        pa.array([[{"p": 1, "q": ["x"]}], None]),
        pa.array([[WHEN], None]),
        pa.array([[True, False], []]),
    ],
    "unions": [
        pa.UnionArray.from_dense(
            pa.array([0, 1], pa.int8()),
            pa.array([0, 0], pa.int32()),
            [pa.array([7]), pa.array([[{"t": "x"}]])],
            ["number", "things"],
        ),
        pa.UnionArray.from_sparse(
            pa.array([9, 5], pa.int8()),
            [pa.array([1.5, 0]), pa.array([None, "x"])],
            ["number", "text"],
            [9, 5],
        ),
    ],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_comes_back_as_it_was(tmp_path: Path, name: str) -> None:
    table = pa.table({f"c{number}": column for number, column in enumerate(COLUMNS[name])})
    found = around(table, tmp_path)
    if name == "unions":
        assert found.column("c0.number").to_pylist() == [7, None]
        assert found.column("c1.@which").to_pylist() == ["number", "text"]
        return
    assert found.to_pylist() == table.to_pylist()
    if name not in ("binaries", "lists", "dictionaries"):
        assert found.cast(table.schema).equals(table)


def test_maps_are_lists_of_keys_and_values(tmp_path: Path) -> None:
    table = pa.table({"m": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int32()))})
    assert around(table, tmp_path).to_pydict() == {"m": [[{"key": "a", "value": 1}], None, []]}


def test_runs_are_what_their_values_are(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    from pyarrow.compute import run_end_encode as encode

    columns = [[1, 1, None], ["a", "a", "b"]]
    table = pa.table({f"c{i}": encode(pa.array(values)) for i, values in enumerate(columns)})
    assert around(table, tmp_path).to_pydict() == {"c0": columns[0], "c1": columns[1]}


def test_names_that_a_schema_cannot_have_stay_the_names_of_columns(tmp_path: Path) -> None:
    names = ["user_id", "userId", "Name", "a b", "ünïcode", "", "1st", "union", 'q"\\', "a.b"]
    table = pa.table([pa.array([1, None])] * len(names), names)
    found = around(table, tmp_path)
    assert found.equals(table)
    nested = pa.table({"s": pa.array([{"x_y": 1, "X": [{"x_y": 2}]}])})
    assert around(nested, tmp_path).to_pylist() == nested.to_pylist()


def test_the_text_depends_on_the_table_alone() -> None:
    table = pa.table({"a": [1], "b": ["x"]})
    text = schema_from(table, "Things")
    assert text == schema_from(pa.table({"a": [2], "b": ["y"]}), "Things")
    assert text.partition(";")[0] != schema_from(table, "Others").partition(";")[0]
    assert "Arrow" not in text


def test_what_can_be_null_is_what_is_null_or_what_is_said(tmp_path: Path) -> None:
    table = pa.table({"a": pa.array([1, 2]), "s": pa.array([{"x": 1}, None])})
    assert ":union" not in schema_from(table, "Things")
    both = schema_from(table, "Things", nullable=["a", "s.x"])
    assert both.count(":union") == 2
    assert ":union" not in schema_from(pa.table({"a": [1, None]}), "Things", nullable=())
    # A schema of Arrow says what can be, not what is.
    assert schema_from(table.schema, "Things").count(":union") == 2


@pytest.mark.parametrize(
    ("table", "error", "text"),
    [
        (pa.table({"l": [[1, None]]}), ValueError, "'l': elements of its lists are missing"),
        (pa.table({"l": [[{"x": 1}, None]]}), ValueError, "'l': elements"),
        (
            pa.table({"i": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
            TypeError,
            "'i': intervals",
        ),
        (pa.array([1]), TypeError, "a table of Arrow"),
        ({"a": [1]}, TypeError, "PyCapsule"),
    ],
)
def test_what_has_no_schema_says_why(table: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        schema_from(table, "Things")
    with pytest.raises(ValueError, match="capital letter"):
        schema_from(pa.table({"a": [1]}), "things")


def test_tables_of_polars_duckdb_and_pandas(tmp_path: Path) -> None:
    pl = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    pd = pytest.importorskip("pandas")
    frame = pl.DataFrame(
        {
            "a_b": [1, None],
            "s": [{"x": 1, "y": "q"}, None],
            "l": [[1.5], None],
            "when": [WHEN, None],
            "cat": pl.Series(["q", "r"], dtype=pl.Categorical),
            "dec": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
        }
    )
    assert around(frame, tmp_path).to_pylist() == frame.to_dicts()
    query = "select 'x' as s, [1, 2] as l, {'a': 1} as st, date '2020-01-02' as d, 1.5 as dec"
    relation = duckdb.sql(query)
    row = around(relation, tmp_path).to_pylist()[0]
    assert tuple(row.values()) == relation.fetchall()[0]
    data = pd.DataFrame({"n": pd.array([1, None], "Int64"), "c": pd.Categorical(["u", "v"])})
    assert around(data, tmp_path).to_pydict() == {"n": [1, None], "c": ["u", "v"]}


# ---- any table ----------------------------------------------------------------------------

TYPES = st.recursive(
    st.sampled_from(
        [
            *(pa.int8(), pa.uint64(), pa.float64(), pa.bool_(), pa.string(), pa.large_binary()),
            *(pa.string_view(), pa.timestamp("us", "UTC"), pa.date32(), pa.duration("ms")),
            *(pa.decimal128(9, 2), pa.decimal128(30, 2), pa.time64("us")),
        ]
    ),
    lambda inner: (
        inner.map(pa.list_)
        | inner.map(pa.large_list)
        | st.dictionaries(st.sampled_from(["x", "y_z", "Z"]), inner, min_size=1).map(pa.struct)
    ),
    max_leaves=5,
)
VALUES = {
    "int8": st.integers(-128, 127),
    "uint64": st.integers(0, 2**64 - 1),
    "double": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "string_view": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    "large_binary": st.binary(max_size=20),
    "timestamp[us, tz=UTC]": st.datetimes(timezones=st.just(dt.UTC)),
    "date32[day]": st.dates(),
    "duration[ms]": st.integers(-(10**12), 10**12).map(lambda n: dt.timedelta(milliseconds=n)),
    "decimal128(9, 2)": st.integers(-(10**9) + 1, 10**9 - 1).map(lambda n: Decimal(n) / 100),
    "decimal128(30, 2)": st.integers(-(10**20), 10**20).map(lambda n: Decimal(n) / 100),
    "time64[us]": st.times(),
}


def values_of(kind: Any, in_list: bool = False) -> st.SearchStrategy[Any]:
    """Values of a type of Arrow; null, but for numbers and structs in lists."""
    if pa.types.is_struct(kind):
        fields = {field.name: values_of(field.type) for field in kind}
        inner: st.SearchStrategy[Any] = st.fixed_dictionaries(fields)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = st.lists(values_of(kind.value_type, True), max_size=3)
        return inner | st.none()
    else:
        inner = VALUES[str(kind)]
    pointer = not in_list or str(kind) in ("string", "string_view", "large_binary")
    return inner | st.none() if pointer else inner


@st.composite
def tables(draw: st.DrawFn) -> Any:
    names = draw(st.lists(st.sampled_from(["a", "b_c", "D", "e1"]), min_size=1, unique=True))
    count = draw(st.integers(0, 4))
    columns = {}
    for name in names:
        kind = draw(TYPES)
        values = draw(st.lists(values_of(kind), min_size=count, max_size=count))
        columns[name] = pa.array(values, kind)
    return pa.table(columns)


@settings(max_examples=60, deadline=None)
@given(table=tables())
def test_any_table_comes_back(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = around(table, tmp_path_factory.mktemp("schemas"))
    assert found.to_pylist() == table.to_pylist()
