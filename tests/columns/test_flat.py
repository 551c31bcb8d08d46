"""fill(): whole columns, checked before anything is changed."""

from __future__ import annotations

import errno
import gc
import os
import resource
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import NUMBERS, arrays_capnp, new_capnp, old_capnp  # noqa: E402

from mmapbuilder import CapacityError, MessageBuilder  # noqa: E402
from support.requirements import missing  # noqa: E402

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


# ---- memory -------------------------------------------------------------------------------


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        missing("what is mapped is known on Linux only")

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


# ---- values that lie in the message itself -------------------------------------------------


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
