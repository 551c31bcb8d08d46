"""fill(): whole columns, checked before anything is changed."""

from __future__ import annotations

import errno
import gc
import math
import os
import resource
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import NUMBERS, arrays_capnp, new_capnp, old_capnp  # noqa: E402

from mmapbuilder import CapacityError, MessageBuilder, open_message  # noqa: E402

Root = arrays_capnp.Root


@pytest.fixture
def rows(b: Any) -> Any:
    return b.init_root(Root).init("rows", 3)


# ---- columns ------------------------------------------------------------------------


def test_every_kind_of_column(b: Any, rows: Any) -> None:
    b.fill(
        "rows",
        id=[1, 2, 3],
        small=np.array([-128, 0, 127], np.int64),
        ratio=[0.5, 1.5, 2.5],
        color=["blue", "red", "green"],
        flag=[True, False, True],
        inverse=np.array([True, False, True]),
        name=["one", None, "drei"],
        blob=[b"", b"\0\1", None],
        count=[7, 8, 9],
        position={"x": [1, 2, 3], "y": [0.5, 0.25, 0.125]},
        **{"shape.circle": [1.5, 2.5, 3.5]},
    )
    assert [row.id for row in rows] == [1, 2, 3]
    assert [row.small for row in rows] == [-128, 0, 127]
    assert [row.ratio for row in rows] == [0.5, 1.5, 2.5]
    assert [str(row.color) for row in rows] == ["blue", "red", "green"]
    assert [row.flag for row in rows] == [True, False, True]
    assert [row.inverse for row in rows] == [True, False, True]
    assert [row.name for row in rows] == ["one", "", "drei"]
    assert [row._has("name") for row in rows] == [True, False, True]
    assert [row.blob for row in rows] == [b"", b"\0\1", b""]
    assert [row._has("blob") for row in rows] == [True, True, False]
    assert [row.count for row in rows] == [7, 8, 9]
    assert [row.position.y for row in rows] == [0.5, 0.25, 0.125]
    assert [row.shape.circle for row in rows] == [1.5, 2.5, 3.5]


def test_bools_leave_their_neighbours_alone(b: Any, rows: Any) -> None:
    b.fill("rows", flag=[True, True, True], inverse=[False, True, False])
    b.fill("rows", flag=[False, True, False])
    assert [row.inverse for row in rows] == [False, True, False]
    assert [row.flag for row in rows] == [False, True, False]
    assert [row.small for row in rows] == [0, 0, 0]


@pytest.mark.parametrize("name", NUMBERS)
def test_lists_of_numbers(b: Any, name: str) -> None:
    numbers = b.init_root(Root).init("numbers")
    values = np.arange(100).astype(NUMBERS[name])
    b.fill("numbers", name, values)
    assert list(getattr(numbers, name)) == list(range(100))
    b.fill("numbers", name, values[::-1])
    assert list(getattr(numbers, name)) == list(range(99, -1, -1))


def test_other_lists(b: Any) -> None:
    numbers = b.init_root(Root).init("numbers")
    b.fill("numbers", "bools", [True, False] * 10 + [True])
    b.fill("numbers", "colors", np.array(["green", "blue"]))
    b.fill("numbers", "texts", ["a", None, "ccc" * 50])
    b.fill("numbers", "datas", [b"a", bytearray(b"bb"), memoryview(b"ccc")])
    numbers.init("matrix", 2)
    b.fill("numbers", "matrix", 1, [1, 2, 3])
    assert list(numbers.bools) == [True, False] * 10 + [True]
    assert [str(color) for color in numbers.colors] == ["green", "blue"]
    assert list(numbers.texts) == ["a", "", "ccc" * 50]
    assert list(numbers.datas) == [b"a", b"bb", b"ccc"]
    assert list(numbers.matrix[1]) == [1, 2, 3]
    assert b.column("numbers", "bools").tolist() == [True, False] * 10 + [True]
    assert b.column("numbers", "colors").tolist() == [1, 2]
    assert b.column("numbers", "texts").tolist() == ["a", "", "ccc" * 50]
    assert b.column("numbers", "datas").tolist() == [b"a", b"bb", b"ccc"]
    b.fill("numbers", "bools", [False] * 21)
    assert list(numbers.bools) == [False] * 21


def test_a_list_that_is_not_set_is_made(b: Any) -> None:
    b.init_root(Root)
    b.fill("rows", id=range(5), name=list("abcde"))
    rows = b.message.get_root(Root).rows
    assert [(row.id, row.name) for row in rows] == list(enumerate("abcde"))
    b.fill("rows", 2, "tags", ["x", "y"])
    b.fill("rows", -1, "tags", ["z"])
    assert list(rows[2].tags) == ["x", "y"]
    assert list(rows[4].tags) == ["z"]


def test_one_column_by_its_path(b: Any, rows: Any) -> None:
    b.fill("rows", "position", "x", [1, 2, 3])
    assert [row.position.x for row in rows] == [1, 2, 3]
    assert b.column("rows", "position", "x").tolist() == [1, 2, 3]
    assert b.column("rows", "position.x").tolist() == [1, 2, 3]


def test_no_rows(b: Any) -> None:
    b.init_root(Root)
    b.fill("rows", id=[], name=[], flag=np.empty(0, bool), color=[])
    assert b.array("rows").shape == (0,)


def test_more_rows_than_a_batch(b: Any) -> None:
    n = 100_000
    b.init_root(Root)
    b.fill(
        "rows",
        id=np.arange(n),
        ratio=np.arange(n, dtype=np.float32),
        flag=np.arange(n) % 3 == 0,
        name=[str(i) for i in range(n)],
    )
    array = b.array("rows")
    assert (array["id"] == np.arange(n)).all()
    assert (b.column("rows", "ratio") == np.arange(n)).all()
    assert (b.column("rows", "flag") == (np.arange(n) % 3 == 0)).all()
    assert b.column("rows", "name").tolist() == [str(i) for i in range(n)]


# ---- numbers that do not fit --------------------------------------------------------


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
        ("texts", ["\ud800"], "surrogates"),
        ("texts", np.array([["a"]]), "one dimension"),
        ("texts", ["a", b"\xff"], "row 1: the string is not UTF-8"),
    ],
)
def test_values_that_cannot_be(b: Any, name: str, values: Any, text: str) -> None:
    b.init_root(Root).init("numbers")
    with pytest.raises(ValueError, match=text):
        b.fill("numbers", name, values)
    assert not b.message.get_root(Root).numbers._has(name)


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


# ---- all or nothing ----------------------------------------------------------------------


def test_nothing_changes_if_one_column_is_wrong(b: Any, rows: Any) -> None:
    b.fill("rows", id=[1, 2, 3], name=["a", "b", "c"])
    size = b.size
    for wrong in (
        {"small": [1, 2, 300]},
        {"color": ["red", "red", "pink"]},
        {"blob": [b"x", b"y", 5]},
        {"nothing": [1, 2, 3]},
        {"tags": [1, 2, 3]},
        {"small": [1, 2]},
    ):
        with pytest.raises((TypeError, ValueError, KeyError, OverflowError)):
            b.fill("rows", id=[7, 8, 9], name=["x", "y", "z"], **wrong)
    assert [(row.id, row.name) for row in rows] == [(1, "a"), (2, "b"), (3, "c")]
    assert b.size == size


@pytest.mark.parametrize(
    ("arguments", "columns", "error", "text"),
    [
        (("rows",), {"id": [1, 2]}, ValueError, "rows has 3 elements, the columns have 2 rows"),
        (("rows",), {"id": [1] * 3, "small": [1]}, ValueError, "'id' has 3 rows, .*'small' has 1"),
        (("rows",), {}, ValueError, "needs columns"),
        (("rows",), {"nothing": [1] * 3}, KeyError, "have no 'nothing'"),
        (("rows",), {"position": [1] * 3}, TypeError, "is a group: name one of its fields"),
        (("rows",), {"position.z": [1] * 3}, KeyError, "have no 'position.z'"),
        (("rows",), {"id.x": [1] * 3}, KeyError, "no 'x'"),
        (("rows",), {"tags": [1] * 3}, TypeError, "a list cannot be made of int"),
        (("rows",), {"child": [1] * 3}, TypeError, "a struct is made of a dict"),
        (("rows",), {"anything": [1] * 3}, TypeError, "AnyPointer: use pycapnp"),
        (("rows",), {"name": "abc"}, TypeError, "a column of values is required, not str"),
        (("rows",), {"id": "123"}, TypeError, "a column of values is required, not str"),
        (("rows",), {"id": 5}, TypeError, "a column of values is required, not int"),
        (("rows", "id"), {}, KeyError, "fill"),
        (("rows", 0), {"id": [1]}, TypeError, "not a list"),
        (("which", [1]), {}, TypeError, "is a Int32, not a list"),
        (("rows", [1, 2, 3]), {}, TypeError, "a table is required"),
        (("rows", {"id": [1] * 3}), {"id": [1] * 3}, ValueError, "given twice"),
        (("numbers", "f64"), {"x": [1]}, TypeError, "values after the path"),
        (("numbers", "f64"), {}, TypeError, "values after the path"),
        (("numbers", "data", [1]), {}, TypeError, "single Data"),
    ],
)
def test_wrong_arguments(
    b: Any, rows: Any, arguments: Any, columns: Any, error: type[Exception], text: str
) -> None:
    b.message.get_root(Root).init("numbers")
    with pytest.raises(error, match=text):
        b.fill(*arguments, **columns)


# ---- older layouts -----------------------------------------------------------------------


def test_a_list_of_an_older_schema_is_brought_up_to_date(target: Path) -> None:
    old = old_capnp.Root.new_message()
    for row, number in zip(old.init("rows", 4), range(4), strict=True):
        row.id = number
    with MessageBuilder(target) as b:
        b.message.set_root(old)
        b.schema = new_capnp.Root
        assert b.array("rows").dtype.names == ("id",)
        b.fill("rows", score=[0.5, 1.5, 2.5, 3.5], name=list("abcd"), flag=[True] * 4)
        assert b.array("rows").dtype.names == ("id", "score")
        b.fill("extra", [1.5])
    with open_message(target, new_capnp.Root) as m:
        assert [row.id for row in m.root.rows] == [0, 1, 2, 3]
        assert [row.score for row in m.root.rows] == [0.5, 1.5, 2.5, 3.5]
        assert [row.name for row in m.root.rows] == list("abcd")
        assert list(m.root.extra) == [1.5]


# ---- memory -------------------------------------------------------------------------------


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("what is mapped is known on Linux only")

    def use(path: Path) -> Any:
        with MessageBuilder(path, capacity=1 << 20, segment_words=1000) as b:
            b.init_root(Root)
            b.fill("rows", name=["x" * 100] * 50, blob=[b"y" * 300] * 50, id=range(50))
            array = b.array("rows")
            with pytest.raises(OverflowError):
                b.fill("rows", id=[2**63] * 50)
            return array["id"].copy()

    def mapped() -> int:
        gc.collect()
        return maps.read_text().count(str(tmp_path))

    for number in range(50):
        use(tmp_path / str(number % 3))
    assert mapped() == 0


# ---- what fails leaves the numbers as they were ---------------------------------------


def test_no_room_for_strings_leaves_the_numbers(target: Path) -> None:
    b = MessageBuilder(target, capacity=1 << 16)
    b.init_root(Root)
    b.fill("rows", id=[1, 2], count=[3, 4])
    array = b.array("rows")
    with pytest.raises(CapacityError):
        b.fill("rows", id=[5, 6], note=["x", "y" * (1 << 16)])
    assert array["id"].tolist() == [1, 2]
    assert array["count"].tolist() == [3, 4]
    b.discard()


def test_no_descriptors_leave_the_numbers(b: Any) -> None:
    b.init_root(Root)
    b.fill("rows", id=[1, 2], name=["a", "b"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError) as caught:
            b.fill("rows", id=[5, 6], name=["x", "y"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    assert b.array("rows")["id"].tolist() == [1, 2]
    assert b.column("rows", "name").tolist() == ["a", "b"]


def test_more_elements_than_a_list_can_have(b: Any) -> None:
    b.init_root(Root).init("numbers")
    with pytest.raises(ValueError, match=r"numbers\.u8: such a list has 536870911 elements"):
        b.fill("numbers", "u8", np.broadcast_to(np.uint8(0), 1 << 29))
    with pytest.raises(ValueError, match="ones: such a list has 536870911 elements"):
        b.fill("ones", value=np.broadcast_to(np.float64(0), 1 << 29))
    with pytest.raises(ValueError, match="rows: such a list has"):
        b.fill("rows", id=np.broadcast_to(np.int64(0), 1 << 28))


@pytest.mark.parametrize("make", [np.asarray, memoryview])
def test_data_that_do_not_lie_side_by_side(b: Any, make: Any) -> None:
    b.init_root(Root)
    apart = make(np.arange(10, dtype=np.uint8))[::2]
    with pytest.raises(ValueError, match="'blob', row 1: .*np.ascontiguousarray"):
        b.fill("rows", blob=[b"", apart])
