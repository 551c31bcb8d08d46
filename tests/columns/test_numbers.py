"""Numbers of whatever kind into fields: what fits, and what is an error."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import NUMBERS, arrays_capnp  # noqa: E402
from column_schemas import columns_capnp  # noqa: E402

Root = arrays_capnp.Root


@pytest.mark.parametrize("name", [name for name in NUMBERS if not name.startswith("f")])
def test_integers_that_do_not_fit(b: Any, name: str) -> None:
    b.init_root(Root).init("numbers").init(name, 3)
    info = np.iinfo(NUMBERS[name])
    for bad in (int(info.max) + 1, int(info.min) - 1):
        with pytest.raises(OverflowError, match=rf"numbers.{name}, row 1: {bad} does not fit"):
            b.fill("numbers", name, [0, bad, 2])
        if -(2**63) <= bad < 2**63:
            with pytest.raises(OverflowError, match=f"row 2: {bad} does not fit"):
                b.fill("numbers", name, np.array([0, 1, bad]))
    assert b.array("numbers", name).tolist() == [0, 0, 0]
    b.fill("numbers", name, [int(info.max), int(info.min), 0])
    assert b.array("numbers", name).tolist() == [info.max, info.min, 0]


def test_unsigned_into_signed_and_back(b: Any) -> None:
    b.init_root(Root).init("numbers")
    with pytest.raises(OverflowError):
        b.fill("numbers", "i64", np.array([2**63], np.uint64))
    with pytest.raises(OverflowError):
        b.fill("numbers", "u64", np.array([-1]))
    b.fill("numbers", "u64", [2**64 - 1, 0])
    assert b.array("numbers", "u64").tolist() == [2**64 - 1, 0]


def test_floats(b: Any) -> None:
    b.init_root(Root).init("numbers")
    most = float(np.finfo(np.float32).max)
    values = [math.nan, math.inf, -math.inf, -0.0, 1e-300, 0.1, most]
    b.fill("numbers", "f32", values)
    array = b.array("numbers", "f32")
    assert math.isnan(array[0])
    assert array[1:].tolist() == [math.inf, -math.inf, 0, 0, np.float32(0.1), most]
    with pytest.raises(OverflowError, match=r"row 1: .*1e\+39"):
        b.fill("numbers", "f32", np.array([0, 1e39] + [0] * 5))
    with pytest.raises(OverflowError):
        b.fill("numbers", "f64", [10**400])
    b.fill("numbers", "f64", [10**300, 1, True, np.float32(0.5)])
    assert b.array("numbers", "f64").tolist() == [1e300, 1, 1, 0.5]


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("i32", [1.5], "1.5 cannot be stored as Int32"),
        ("i32", [1.0], "1.0 cannot be stored"),
        ("i32", np.array([1.0]), "float64 values cannot be stored as Int32.*round or truncate"),
        ("i32", [math.nan], "nan"),
        ("i32", [1, None], "row 1: None cannot be stored as Int32: no value may be missing"),
        ("i32", ["1"], "'1' cannot be stored"),
        ("f64", ["1.5"], "'1.5' cannot be stored as Float64"),
        ("f64", np.array(["1.5"]), "cannot be stored as Float64"),
        ("f64", [None], "None cannot"),
        ("f64", [1j], "cannot be stored"),
        ("i64", np.array(["2024-01-01"], "M8[s]"), "count in a unit that you choose"),
        ("i32", b"123", "a column of values is required, not bytes"),
        ("bools", ["x"], "cannot be stored as Bool"),
        ("bools", [0.5], "cannot be stored as Bool"),
        ("colors", [1.5], "takes names or numbers, not 1.5"),
        ("colors", [None], "takes names or numbers, not None"),
        ("texts", [1], "row 0: str, bytes or None is required, not int"),
        ("texts", ["a", 1.5], "row 1: str, bytes or None is required, not float"),
        ("datas", [np.int64(1)], "row 0: str, bytes or None is required, not int64"),
        ("datas", [b"a", np.float64(1.5)], "row 1: str, bytes or None is required, not float64"),
        ("texts", np.arange(3), "str or bytes are required, not int64"),
    ],
)
def test_values_of_the_wrong_kind(b: Any, name: str, values: Any, text: str) -> None:
    b.init_root(Root).init("numbers")
    with pytest.raises(TypeError, match=text):
        b.fill("numbers", name, values)
    assert not b.message.get_root(Root).numbers._has(name)


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("colors", ["red", "pink"], "row 1: Color has no 'pink'; it has red, green, blue"),
        ("colors", np.array(["red", "pink"]), "row 1: Color has no 'pink'"),
        ("colors", [3], "has no 3"),
        ("colors", np.array([0, 9]), "row 1: Color has no number 9"),
        ("i32", np.zeros((2, 2), int), "one dimension is required, not 2"),
        ("texts", ["a", "\ud800"], r"texts, row 1: .*surrogates"),
        ("texts", np.array([["a"]]), "one dimension"),
        ("texts", ["a", b"\xff"], "row 1: the string is not UTF-8"),
    ],
)
def test_values_that_cannot_be(b: Any, name: str, values: Any, text: str) -> None:
    b.init_root(Root).init("numbers")
    with pytest.raises(ValueError, match=text):
        b.fill("numbers", name, values)
    assert not b.message.get_root(Root).numbers._has(name)


@pytest.mark.parametrize(
    ("column", "values", "error", "text"),
    [
        ("weight", [0, 0, 0, 1, "x"], TypeError, "'weight', row 4: 'x' cannot be stored"),
        ("weight", [None, 0, 0, 1, 10**400], OverflowError, "'weight', row 4: an integer does"),
        ("both.left", [0, 0, 70000, 0, 0], OverflowError, "'both.left', row 2: 70000 does not"),
        ("color", np.ma.MaskedArray([1, 1], [0, 1]), TypeError, "'color', row 1: the value of"),
        ("name", ["a", None, "b", "\udfff", "c"], ValueError, "'name', row 3: .*surrogates"),
    ],
)
def test_an_error_names_the_row_of_the_column(
    b: Any, column: str, values: Any, error: type[Exception], text: str
) -> None:
    b.init_root(columns_capnp.Root)
    which = ["nothing", "weight", "both", "weight", "weight"]
    columns = {column: values, "@which": which} if len(values) == 5 else {column: values}
    with pytest.raises(error, match=text):
        b.fill("items", columns)
    assert not b.message.get_root(columns_capnp.Root)._has("items")


def test_an_error_names_the_row_also_behind_the_first_chunk(b: Any) -> None:
    pa = pytest.importorskip("pyarrow")
    b.init_root(columns_capnp.Root)
    binary = pa.chunked_array([[b"a", b"b"], [b"c", b"\xff"]])
    with pytest.raises(ValueError, match="'name', row 3: the string is not UTF-8"):
        b.fill("items", {"name": binary})
    rows = [pa.array([{"id": 1}, {"id": 2}]), pa.array([{"id": 3}, None])]
    table = pa.chunked_array(rows)
    with pytest.raises(TypeError, match="row 3 is missing: structs in a list cannot be null"):
        b.fill("items", table)


def test_bools_of_numbers(b: Any) -> None:
    b.init_root(Root).init("numbers")
    b.fill("numbers", "bools", np.array([0, 1, 1]))
    assert b.column("numbers", "bools").tolist() == [False, True, True]
    with pytest.raises(OverflowError, match="row 2: 2 does not fit Bool"):
        b.fill("numbers", "bools", [0, 1, 2])


def test_byte_order_and_strides_do_not_matter(b: Any) -> None:
    b.init_root(Root).init("numbers")
    b.fill("numbers", "i32", np.arange(10, dtype=">i8")[::2])
    assert b.array("numbers", "i32").tolist() == [0, 2, 4, 6, 8]
    b.fill("numbers", "texts", np.array(["aä", "b", "日本"], ">U5")[::-1])
    assert b.column("numbers", "texts").tolist() == ["日本", "b", "aä"]
    b.fill("numbers", "datas", np.array([b"a", b"bb\0c"]))
    assert b.column("numbers", "datas").tolist() == [b"a", b"bb\0c"]
    b.fill("numbers", "f32", memoryview(np.arange(3.0)))
    assert b.array("numbers", "f32").tolist() == [0, 1, 2]
