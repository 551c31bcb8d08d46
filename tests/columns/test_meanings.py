"""Times, dates, durations and decimals, which annotations of a schema tell from numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

import mmapbuilder  # noqa: E402
from mmapbuilder import MessageBuilder, open_message  # noqa: E402

HERE = Path(__file__).resolve().parent
meanings_capnp: Any = capnp.load(str(HERE / "meanings.capnp"), imports=[mmapbuilder.schema_path()])
Root = meanings_capnp.Root
UTC = dt.UTC
WHEN = dt.datetime(2024, 5, 6, 7, 8, 9, 123456)
DAY = dt.date(2024, 5, 6)

# What a column gets, as a row and in Arrow, and the type of Arrow that it is given back in.
COLUMNS: dict[str, tuple[Any, Any]] = {
    "ns": (WHEN.replace(tzinfo=UTC), pa.timestamp("ns", "UTC")),
    "ms": (WHEN.replace(microsecond=5000), pa.timestamp("ms")),
    "day": (DAY, pa.date32()),
    "date": (DAY, pa.date64()),
    "seconds": (dt.time(1, 2, 3), pa.time32("s")),
    "time": (dt.time(1, 2, 3, 4), pa.time64("ns")),
    "span": (dt.timedelta(days=-1, microseconds=7), pa.duration("us")),
    "price": (Decimal("-12.50"), pa.decimal128(19, 2)),
    "small": (Decimal("9.9"), pa.decimal128(2, 1)),
    "large": (Decimal("-1234567890123456789012345.6789"), pa.decimal128(38, 4)),
    "huge": (Decimal(10) ** 50, pa.decimal256(60, 0)),
    "stamps": (
        [WHEN.replace(tzinfo=UTC)],
        pa.large_list(pa.field("item", pa.timestamp("us", "Europe/Vienna"), nullable=False)),
    ),
    "maybe": (WHEN.replace(microsecond=0), pa.timestamp("s")),
    "since": (DAY, pa.date32()),
}


@pytest.fixture
def b(target: Path) -> Iterator[MessageBuilder]:
    with MessageBuilder(target) as builder:
        builder.init_root(Root)
        yield builder


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_and_rows_have_what_numbers_mean(b: MessageBuilder, name: str) -> None:
    value, kind = COLUMNS[name]
    b.fill("rows", pa.table({name: pa.array([value, value], kind)}))
    table = pa.table(b.table("rows", columns=[name]))
    assert table.schema.field(name).type == kind
    table.validate(full=True)
    assert table.column(name).to_pylist() == [value, value]
    found = b.rows("rows", as_=lambda **row: row[name])[0]
    assert found == ({"value": value} if name == "maybe" else value)


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("way", ["rows", "list", "arrow"])
def test_what_rows_give_rows_and_columns_take(
    b: MessageBuilder, target: Path, name: str, way: str
) -> None:
    value, kind = COLUMNS[name]
    if way == "rows":
        b.fill_rows("rows", [{name: value}])
    elif way == "list":
        b.fill("rows", **{name: [value]})
    else:
        b.fill("rows", **{name: pa.array([value], kind)})
    b.fill_rows("rows", b.rows("rows"))
    assert pa.table(b.table("rows", columns=[name])).column(name).to_pylist() == [value]


def test_nanoseconds_stay(b: MessageBuilder) -> None:
    nanoseconds = 1_700_000_000_123_456_789
    b.fill("rows", ns=[nanoseconds], time=[3_723_000_000_123], span=[5])
    row = b.rows("rows")[0]
    assert (row["ns"].microsecond, row["ns"].nanosecond) == (123456, 789)
    assert row["time"].nanosecond == 123
    assert row["ns"] == dt.datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123456)
    b.fill_rows("rows", [row])
    assert b.array("rows")["ns"].tolist() == [nanoseconds]
    assert b.array("rows")["time"].tolist() == [3_723_000_000_123]


def test_pandas_and_numpy_keep_nanoseconds(b: MessageBuilder) -> None:
    pd = pytest.importorskip("pandas")
    moment = pd.Timestamp(1_700_000_000_123_456_789, tz="UTC")
    b.fill_rows("rows", [{"ns": moment, "span": pd.Timedelta(microseconds=3)}])
    b.fill("rows", pd.DataFrame({"ns": [moment]}))
    assert b.array("rows")["ns"].tolist() == [1_700_000_000_123_456_789]
    b.fill("rows", ms=np.array(["2024-05-06T07:08:09.005"], "M8[us]"))
    assert b.rows("rows")[0]["ms"] == WHEN.replace(microsecond=5000)
    b.fill("rows", day=np.array(["2024-05-06"], "M8[D]"), span=np.array([3], "m8[s]"))
    assert b.rows("rows")[0]["day"] == DAY
    assert b.rows("rows")[0]["span"] == dt.timedelta(seconds=3)
    b.fill("rows", maybe=np.array(["NaT"], "M8[s]"))
    assert b.rows("rows")[0]["maybe"] == {"none": None}


def test_times_of_pandas_are_values_though_they_have_an_attribute_value(b: MessageBuilder) -> None:
    pd = pytest.importorskip("pandas")
    moment = pd.Timestamp(-5, unit="s")
    for values in (
        [moment, None],
        pd.Series([moment, pd.NaT]),
        pd.Series([moment, pd.NaT], dtype=object),
    ):
        b.fill("rows", maybe=values)
        assert b.column("rows", "maybe.value").astype("i8").tolist() == [-5, 0]
    b.fill_rows("rows", [{"maybe": moment}, {"maybe": None}])
    assert b.column("rows", "maybe.value").astype("i8").tolist() == [-5, 0]
    for name in ("maybe", "ms"):
        with pytest.raises(TypeError, match=f"row 0, field {name}.*NaT is no value"):
            b.fill_rows("rows", [{name: pd.NaT}, {}])
    b.fill("rows", day=pd.Series([pd.Timestamp(DAY)] * 2))
    assert b.rows("rows")[0]["day"] == DAY


def test_columns_of_pandas_that_are_arrows_lose_nothing(b: MessageBuilder) -> None:
    pd = pytest.importorskip("pandas")
    kind = pa.time64("ns")
    times = pd.Series(
        pa.array([3_723_000_000_123], pa.int64()).cast(kind), dtype=pd.ArrowDtype(kind)
    )
    for given in ({"time": times}, pd.DataFrame({"time": times})):
        b.fill("rows", given)
        assert b.array("rows")["time"].tolist() == [3_723_000_000_123]


def test_polars_and_duckdb_both_ways(b: MessageBuilder) -> None:
    pl = pytest.importorskip("polars")
    duckdb = pytest.importorskip("duckdb")
    names = ["ms", "day", "time", "span", "price"]
    b.fill_rows("rows", [{name: COLUMNS[name][0] for name in names}])
    found = b.table("rows", columns=names)
    frame = pl.DataFrame(found)
    assert frame.row(0) == tuple(COLUMNS[name][0] for name in names)
    assert duckdb.sql("select day, price from found").fetchall() == [(DAY, Decimal("-12.50"))]
    b.fill("rows", frame)
    b.fill("rows", duckdb.sql("select day, price from found"))
    assert pa.table(b.table("rows", columns=names)).equals(pa.table(found))


def test_column_gives_numpys_times_and_pythons_decimals(b: MessageBuilder) -> None:
    b.fill_rows("rows", [{name: value for name, (value, _) in COLUMNS.items()}])
    assert b.column("rows", "ns")[0] == np.datetime64("2024-05-06T07:08:09.123456000")
    assert b.column("rows", "ms").dtype == np.dtype("M8[ms]")
    assert b.column("rows", "day").tolist() == [DAY]
    assert b.column("rows", "date").dtype == np.dtype("M8[ms]")
    assert b.column("rows", "span").tolist() == [COLUMNS["span"][0]]
    assert b.column("rows", "seconds").tolist() == [dt.time(1, 2, 3)]
    assert b.column("rows", "price").tolist() == [Decimal("-12.50")]
    assert b.column("rows", "large").tolist() == [COLUMNS["large"][0]]
    assert b.column("rows", "plain").tolist() == [0]


def test_lists_of_lists_and_lists_in_the_root_mean_something(b: MessageBuilder) -> None:
    prices = [[[Decimal("1.250")], []], None]
    b.fill("rows", prices=prices)
    kind = pa.list_(pa.list_(pa.decimal128(10, 3)))
    b.fill("rows", prices=pa.array(prices, kind))
    assert pa.table(b.table("rows", columns=["prices"])).column(0).to_pylist() == prices
    b.fill_rows("days", [DAY, 3])
    assert b.rows("days") == [DAY, dt.date(1970, 1, 4)]
    assert b.column("days").tolist() == [DAY, dt.date(1970, 1, 4)]
    assert pa.table(b.table("days")).column(0).to_pylist() == [DAY, dt.date(1970, 1, 4)]


def test_a_default_means_the_same(b: MessageBuilder) -> None:
    b.fill("rows", plain=[1])
    assert b.rows("rows")[0]["since"] == dt.date(1971, 1, 1)
    assert pa.table(b.table("rows", columns=["since"])).to_pylist() == [
        {"since": dt.date(1971, 1, 1)}
    ]


def test_counts_are_taken_as_they_are_and_integers_as_decimals(b: MessageBuilder) -> None:
    b.fill("rows", pa.table({"ns": [5], "day": pa.array([3], pa.int32()), "price": [7]}))
    row = b.rows("rows")[0]
    assert (row["ns"].nanosecond, row["day"], row["price"]) == (5, dt.date(1970, 1, 4), 7)
    b.fill("rows", ns=np.array([6]), price=np.array([8]))
    b.fill_rows("rows", [{"ns": 6, "price": 8}])
    assert b.array("rows")[["ns", "price"]].tolist() == [(6, 800)]


def test_what_python_cannot_hold_stays_a_count(b: MessageBuilder) -> None:
    b.fill("rows", ms=[2**62], day=[2**30], seconds=[90000], date=[1], span=[1])
    row = b.rows("rows")[0]
    assert row["ms"] == 2**62
    assert row["day"] == 2**30
    assert row["seconds"] == 90000
    assert row["date"] == 1
    b.fill_rows("rows", [row])
    assert b.rows("rows")[0] == row


SHOULD_FAIL = [
    ("ns", WHEN, pa.timestamp("ns"), TypeError, "time zone"),
    ("ms", WHEN.replace(tzinfo=UTC), pa.timestamp("us", "UTC"), TypeError, "time zone"),
    ("ms", WHEN, pa.timestamp("us"), ValueError, "smaller than the field's unit"),
    ("day", WHEN, pa.timestamp("us"), TypeError, "date cannot be made|needs .Arrow.timestamp"),
    ("seconds", dt.time(1, 2, 3, 4), pa.time64("us"), ValueError, "smaller than"),
    ("time", dt.timedelta(1), pa.duration("us"), TypeError, "time cannot|needs .Arrow.duration"),
    ("price", Decimal("1.125"), pa.decimal128(9, 3), ValueError, "more digits after the point"),
    ("price", 1.5, pa.float64(), TypeError, "float|cannot be made of Arrow's type"),
    ("small", Decimal("10.1"), pa.decimal128(9, 1), OverflowError, "digits"),
    ("large", Decimal(10) ** 36, pa.decimal256(60, 0), OverflowError, "digits"),
    ("plain", WHEN, pa.timestamp("us"), TypeError, "Arrow.timestamp"),
    ("plain", DAY, pa.date32(), TypeError, "Arrow.(timestamp|date32)"),
    ("plain", dt.time(1), pa.time64("us"), TypeError, "Arrow.(timestamp|time)"),
    ("plain", dt.timedelta(1), pa.duration("s"), TypeError, "Arrow.(timestamp|duration)"),
    ("plain", Decimal("1.5"), pa.decimal128(5, 1), TypeError, "Arrow.(timestamp|decimal)"),
]


@pytest.mark.parametrize(("name", "value", "kind", "error", "text"), SHOULD_FAIL)
def test_what_does_not_fit_is_an_error_that_names_column_and_row(
    b: MessageBuilder, name: str, value: Any, kind: Any, error: type[Exception], text: str
) -> None:
    b.fill("rows", plain=[1])
    before = b.to_dict()
    with pytest.raises(error, match=text) as caught:
        b.fill("rows", **{name: pa.array([value], kind)})
    assert name in str(caught.value)
    with pytest.raises(error, match=text) as caught:
        b.fill_rows("rows", [{name: value}])
    assert f"row 0, field {name}" in str(caught.value)
    assert b.to_dict() == before


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        (np.array(["2024-05-06"], "M8[D]"), TypeError, "Arrow.timestamp"),
        (np.array([5], "m8[ns]"), TypeError, "Arrow.timestamp"),
    ],
)
def test_times_of_numpy_are_no_plain_numbers(
    b: MessageBuilder, values: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        b.fill("rows", plain=values, stamps=[[]])
    with pytest.raises(error):
        b.fill("rows", plain=values)


@pytest.mark.parametrize(
    "values",
    [[WHEN], [DAY], [dt.time(1)], [dt.timedelta(1)], [Decimal(1)], np.array([5], "m8[ns]")],
)
def test_flat_columns_of_times_say_which_annotation_is_missing(
    b: MessageBuilder, values: Any
) -> None:
    with pytest.raises(TypeError, match=r"'plain'.*\$Arrow.timestamp"):
        b.fill("rows", plain=values)


def test_times_of_numpy_must_fit_their_field(b: MessageBuilder) -> None:
    with pytest.raises(ValueError, match="row 1"):
        b.fill("rows", ms=np.array([0, 1], "M8[us]"))
    with pytest.raises(TypeError, match="cannot be made"):
        b.fill("rows", span=np.array([0, 1], "M8[us]"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("WrongKind", "'text': it is for Int32, not text"),
        ("WrongUnit", "'rows': the unit must be"),
        ("TwoMeanings", "two annotations"),
        ("WrongScale", "a decimal has a precision"),
    ],
)
def test_an_annotation_that_makes_no_sense_names_the_field(
    target: Path, name: str, text: str
) -> None:
    with MessageBuilder(target) as b:
        b.init_root(getattr(meanings_capnp, name))
        with pytest.raises(TypeError, match=text):
            b.to_dict()


def test_a_column_can_have_another_name_than_its_field(b: MessageBuilder) -> None:
    table = pa.table({"user_id": [5], "home_town.zip_code": [6], "home_town.name": ["x"]})
    b.fill("rows", table)
    assert b.rows("rows")[0]["userId"] == 5
    assert b.rows("rows")[0]["homeTown"] == {"zipCode": 6, "name": "x"}
    assert pa.table(b.table("rows", columns=table.column_names)).equals(
        table.cast(pa.table(b.table("rows", columns=table.column_names)).schema)
    )
    b.fill("rows", user_id=[7])
    b.fill("rows", userId=[8])
    assert b.rows("rows")[0]["userId"] == 8
    with pytest.raises(ValueError, match="twice"):
        b.fill("rows", userId=[8], user_id=[8])


def test_a_decimal_of_another_width_is_damage(target: Path) -> None:
    with MessageBuilder(target) as b:
        row = b.init_root(Root).init("rows", 1)[0]
        row.large = b"short"
    with open_message(target, Root) as m:
        with pytest.raises(mmapbuilder.InvalidMessage, match="another length"):
            m.table("rows")
        with pytest.raises(ValueError, match="5 bytes are no decimal"):
            m.rows("rows")


def test_views_of_times_stay_in_the_file(target: Path) -> None:
    moments = [[WHEN.replace(tzinfo=UTC)], None, []]
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("rows", stamps=moments)
    with open_message(target, Root) as m:
        table = m.table("rows", columns=["stamps"], views=True)
        assert pa.table(table).column(0).to_pylist() == moments


@pytest.mark.parametrize("kind", ["array", "dictionary", "runs", "capsule", "polars", "pandas"])
def test_columns_of_arrow_lose_nothing_beside_others(b: MessageBuilder, kind: str) -> None:
    counts = {"time": [3_723_000_000_123], "ns": [1_700_000_000_123_456_789], "span": [-7]}
    for name, number in counts.items():
        column: Any = pa.array(number, pa.int64()).cast(COLUMNS[name][1])
        if kind == "dictionary":
            column = column.dictionary_encode()
        elif kind == "runs":
            import pyarrow.compute

            column = pyarrow.compute.run_end_encode(column)
        elif kind == "capsule":
            column = type("Column", (), {"__arrow_c_array__": column.__arrow_c_array__})()
        elif kind == "polars":
            column = pytest.importorskip("polars").from_arrow(column)
        elif kind == "pandas":
            pd = pytest.importorskip("pandas")
            column = pd.Series(column, dtype=pd.ArrowDtype(column.type))
        b.fill("rows", {name: column, "plain": [1]})
        assert b.array("rows")[name].tolist() == number


def test_times_beside_other_columns_must_fit_their_field(b: MessageBuilder) -> None:
    late = pa.array([2**62], pa.timestamp("s", "UTC"))
    fine = pa.array([1], pa.int64()).cast(pa.time64("ns"))
    for name, column, words in [
        ("ns", late, "column 'ns': .*out of bounds|column 'ns'.*overflow"),
        ("seconds", fine, "column 'seconds': .*lose data"),
    ]:
        with pytest.raises(ValueError, match=words):
            b.fill("rows", {name: column, "plain": [1]})
    with pytest.raises(TypeError, match="time zone"):
        b.fill("rows", {"ms": pa.array([1], pa.timestamp("ms", "UTC")), "plain": [1]})
