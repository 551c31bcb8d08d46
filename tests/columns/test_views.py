"""array(): lists, structs, Text and Data of a message as its own memory."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import NUMBERS, arrays_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402

Root = arrays_capnp.Root


def limits(dtype: str) -> list[Any]:
    if dtype.startswith("float"):
        info = np.finfo(dtype)
        return [0.0, -0.0, 1.5, float(info.max), float(info.min), float(info.tiny), np.inf]
    return [0, 1, np.iinfo(dtype).min, np.iinfo(dtype).max]


# ---- lists of numbers --------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
def test_a_list_of_numbers_is_written_through_its_array(target: Path, name: str) -> None:
    values = limits(NUMBERS[name])
    with MessageBuilder(target) as b:
        numbers = b.init_root(Root).init("numbers")
        made = numbers.init(name, len(values))
        array = b.array("numbers", name)
        assert array.dtype == np.dtype(NUMBERS[name])
        assert array.flags.writeable
        array[:] = values
        assert list(made) == values
        made[0] = 1
        assert array[0] == 1
        made[0] = 0
    with open_message(target, Root) as m:
        assert list(getattr(m.root.numbers, name)) == values
        array = m.array("numbers", name)
        assert array.tolist() == values
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_enums_are_their_numbers(b: Any) -> None:
    numbers = b.init_root(Root).init("numbers")
    colors = numbers.init("colors", 3)
    array = b.array("numbers", "colors")
    assert array.dtype == np.uint16
    array[:] = [2, 0, 1]
    assert [str(color) for color in colors] == ["blue", "red", "green"]


def test_one_element_and_none(b: Any) -> None:
    numbers = b.init_root(Root).init("numbers")
    numbers.init("f64", 0)
    numbers.init("i8", 1)
    assert b.array("numbers", "f64").shape == (0,)
    assert b.array("numbers", "i8").shape == (1,)


def test_lists_of_lists_take_an_index(b: Any) -> None:
    matrix = b.init_root(Root).init("numbers").init("matrix", 3)
    for i in range(3):
        matrix.init(i, 4)
        b.array("numbers", "matrix", i)[:] = i + np.arange(4)
    assert [list(line) for line in matrix] == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert b.array("numbers", "matrix", -1).tolist() == [2, 3, 4, 5]
    assert b.array("numbers", "matrix", np.int32(1)).tolist() == [1, 2, 3, 4]


def test_the_longest_list(target: Path) -> None:
    """2^29 - 1 elements; sparse, so that it costs nothing."""
    most = 2**29 - 1
    with MessageBuilder(target) as b:
        numbers = b.init_root(Root).init("numbers")
        numbers.init("u8", most)
        array = b.array("numbers", "u8")
        assert array.shape == (most,)
        array[-1] = 7
        data = numbers.init("data", 5)
        assert data == bytes(5)
    with open_message(target, Root) as m:
        assert m.array("numbers", "u8").shape == (most,)
        assert m.root.numbers.u8[most - 1] == 7


# ---- Text and Data ------------------------------------------------------------------


def test_data_is_written_through_its_array(b: Any) -> None:
    numbers = b.init_root(Root).init("numbers")
    numbers.init("data", 5)
    array = b.array("numbers", "data")
    assert array.dtype == np.uint8
    array[:] = list(b"abcde")
    assert numbers.data == b"abcde"


def test_text_comes_without_its_terminator_and_read_only(b: Any) -> None:
    b.init_root(Root).init("numbers").text = "grüße"
    array = b.array("numbers", "text")
    assert bytes(array) == "grüße".encode()
    assert not array.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_a_text_that_is_not_set_reads_as_its_default(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers")
    with open_message(target, Root) as m:
        assert bytes(m.array("numbers", "textWithDefault")) == b"none"
        assert bytes(m.array("numbers", "text")) == b""
        assert bytes(m.array("numbers", "data")) == b""


# ---- lists of structs ---------------------------------------------------------------


def test_the_fields_of_a_struct_list(b: Any) -> None:
    rows = b.init_root(Root).init("rows", 3)
    array = b.array("rows")
    assert array.dtype.names == ("id", "small", "color", "position", "shape", "count", "@which")
    assert array.dtype["position"].names == ("x", "y")
    assert array.dtype["shape"].names == ("circle", "box", "@which")
    assert array.dtype["shape"]["box"].names == ("width", "height", "kind")
    assert array.dtype["shape"]["box"]["kind"].names == ("code", "@which")
    array["id"] = [1, 2, 3]
    array["color"][1] = 2
    array["position"]["y"][:] = [0.5, 1.5, 2.5]
    assert [row.id for row in rows] == [1, 2, 3]
    assert [str(row.color) for row in rows] == ["red", "blue", "red"]
    assert [row.position.y for row in rows] == [0.5, 1.5, 2.5]
    # What has a default is left alone.
    assert [row.ratio for row in rows] == [0.5] * 3


def test_the_stride_is_that_of_the_structs(b: Any) -> None:
    b.init_root(Root).init("rows", 2)
    body = Root.schema.fields["rows"].schema.elementType.node.struct
    array = b.array("rows")
    assert array.strides == (8 * (body.dataWordCount + body.pointerCount),)
    assert array.dtype.itemsize == 8 * body.dataWordCount


def _shuffle(array: Any) -> None:
    np.random.default_rng(1).shuffle(array)


MOVES = {
    "shuffle": _shuffle,
    "shuffle of old": np.random.shuffle,
    "sort": lambda array: array[::-1].sort(order="id"),
    "put": lambda array: np.put(array, range(len(array)), array[::-1].copy()),
    "putmask": lambda array: np.putmask(array, np.ones(len(array), bool), array[::-1].copy()),
    "assignment": lambda array: array.__setitem__(slice(None), array[::-1].copy()),
    "swap": lambda array: array.__setitem__([0, 3], array[[3, 0]]),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_rows_moves_no_pointers(target: Path, name: str) -> None:
    n = 20
    texts = [f"text {i}" for i in range(n)]
    with MessageBuilder(target) as b:
        b.init_root(Root)
        ids = np.arange(n)
        b.fill("rows", id=ids, ratio=ids, flag=ids % 3 == 0, name=texts)
        MOVES[name](b.array("rows"))
    verify(target)
    with open_message(target, Root) as m:
        moved = [row.id for row in m.root.rows]
        assert moved != list(range(n))
        assert sorted(moved) == list(range(n))
        if name.startswith("shuffle"):  # by bytes, so what the dtype does not show goes too
            assert [row.ratio for row in m.root.rows] == moved
            assert [row.flag for row in m.root.rows] == [i % 3 == 0 for i in moved]
        assert [row.name for row in m.root.rows] == texts


def test_members_of_unions_overlap_and_the_tag_tells_which_is_there(b: Any) -> None:
    rows = b.init_root(Root).init("rows", 3)
    rows[0].shape.circle = 2.5
    rows[1].shape.label = "here"
    box = rows[2].shape.init("box")
    box.width = 1.5
    box.kind.code = 7
    rows[1].count = 9
    array = b.array("rows")
    assert array["shape"]["@which"].tolist() == [1, 2, 3]
    assert array["shape"]["circle"][0] == 2.5
    assert array["shape"]["box"]["width"][2] == 1.5
    assert array["shape"]["box"]["kind"]["code"][2] == 7
    assert array["@which"].tolist() == [0, 1, 0]
    array["@which"][2] = 1
    array["count"][2] = 11
    assert rows[2].count == 11


def test_an_empty_list_of_structs(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("rows", 0)
        assert b.array("rows").shape == (0,)
        assert "id" in b.array("rows").dtype.names
    with open_message(target, Root) as m:
        assert m.array("rows").shape == (0,)


def test_structs_of_one_number_lie_side_by_side(b: Any) -> None:
    b.init_root(Root).init("ones", 4)
    column = b.array("ones")["value"]
    assert column.flags.c_contiguous
    column[:] = [1, 2, 3, 4]
    assert [one.value for one in b.message.get_root(Root).ones] == [1, 2, 3, 4]


# ---- paths -----------------------------------------------------------------------------


def test_through_groups_and_unions(b: Any) -> None:
    root = b.init_root(Root)
    root.init("both")
    root.both.init("second", 3)
    b.array("both", "second")[:] = [1, 2, 3]
    assert list(root.both.second) == [1, 2, 3]
    with pytest.raises(KeyError, match=r"left is not the active member of its union: both is"):
        b.array("left")
    root.init("right", 2)
    assert b.array("right").dtype == np.int16


def test_through_the_parameter_of_a_generic_type(b: Any) -> None:
    root = b.init_root(Root)
    holder = root.init("generic").init("next")
    holder.item.blob = b"abc"
    assert bytes(b.array("generic", "next", "item", "blob")) == b"abc"


def test_through_structs_in_lists(b: Any) -> None:
    rows = b.init_root(Root).init("rows", 3)
    rows[2].init("child").init("blob", 4)
    b.array("rows", 2, "child", "blob")[:] = 1
    assert rows[2].child.blob == b"\1\1\1\1"


@pytest.mark.parametrize(
    ("path", "error", "text"),
    [
        (("nothing",), KeyError, "'nothing'; its fields are: numbers, rows, left"),
        (("rows", 5), IndexError, r"rows\[5\]: the list has 3 elements"),
        (("rows", -4), IndexError, r"rows\[-4\]"),
        (("rows", 0, "nothing"), KeyError, r"rows\[0\]\.nothing: rows\[0\] is a Row"),
        (("rows", "id"), KeyError, "with 'id' as a column"),
        ((0,), KeyError, "the root is a Root, which has no 0"),
        (("numbers", "matrix", "x"), KeyError, "an index must follow, not 'x'"),
        (("which", 0), KeyError, "which is of type Int32"),
        (("rows", 1.5), TypeError, "not of 'float'"),
        (("rows", True), TypeError, "not of 'bool'"),
        ((), TypeError, "the root is a struct"),
        (("rows", 0), TypeError, r"rows\[0\] is a struct"),
        (("rows", 0, "position"), TypeError, "is a struct"),
        (("which",), TypeError, "which is a single Int32"),
        (("rows", 0, "shape", "none"), TypeError, "single Void"),
        (("rows", 0, "anything"), TypeError, "AnyPointer"),
        (("numbers", "bools"), TypeError, r"List\(Bool\).*column\('numbers', 'bools'\)"),
        (("numbers", "voids"), TypeError, r"Void has no bytes"),
        (("numbers", "texts"), TypeError, r"fill\('numbers', 'texts', values\)"),
        (("numbers", "datas"), TypeError, "add an index"),
        (("numbers", "matrix"), TypeError, r"array\('numbers', 'matrix', i\)"),
        (("numbers", "f64"), KeyError, r"numbers.f64 is not set.*init\('f64', size\)"),
        (("numbers", "data"), ValueError, "not set"),
        (("rows", 0, "child", "blob"), KeyError, r"rows\[0\].child is not set"),
    ],
)
def test_paths_that_lead_nowhere(b: Any, path: Any, error: type[Exception], text: str) -> None:
    root = b.init_root(Root)
    root.init("rows", 3)
    numbers = root.init("numbers")
    for name in ("bools", "voids", "texts", "datas", "matrix"):
        numbers.init(name, 2)
    with pytest.raises(error, match=text):
        b.array(*path)


def test_no_root_yet(b: Any) -> None:
    with pytest.raises(ValueError, match=r"init_root\(\)"):
        b.array("rows")
    b.schema = Root
    with pytest.raises(KeyError, match="no root yet"):
        b.array("rows")
    b.init_root(Root)


def test_what_is_not_set_reads_as_empty(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
    with open_message(target, Root) as m:
        array = m.array("numbers", "f64")
        assert array.shape == (0,)
        assert array.dtype == np.float64
        assert not array.flags.writeable
        assert m.array("rows").dtype.names[0] == "id"
        with pytest.raises(IndexError, match=r"rows\[0\]"):
            m.array("rows", 0, "blob")
        # What the schema says of a list that is not set.
        assert m.array("numbers", "listWithDefault").tolist() == list(
            m.root.numbers.listWithDefault
        )
        assert len(m.root.numbers.listWithDefault) > 0


# ---- segments ----------------------------------------------------------------------------


@pytest.mark.parametrize("words", [8, 30, 200])
def test_over_far_pointers(target: Path, words: int) -> None:
    with MessageBuilder(target, capacity=500 * 8 * words, segment_words=words) as b:
        root = b.init_root(Root)
        numbers = root.init("numbers")
        for index, (name, dtype) in enumerate(NUMBERS.items()):
            numbers.init(name, 20 + index)
            b.array("numbers", name)[:] = np.arange(20 + index, dtype=dtype)
        rows = root.init("rows", 3)
        for row in rows:
            row.init("child").blob = b"x" * 50
        b.array("rows")["id"] = [7, 8, 9]
        assert [row.id for row in rows] == [7, 8, 9]
        assert bytes(b.array("rows", 1, "child", "blob")) == b"x" * 50
    assert verify(target).segments > 1
    with open_message(target, Root) as m:
        for index, name in enumerate(NUMBERS):
            assert m.array("numbers", name).tolist() == list(range(20 + index))
            assert list(getattr(m.root.numbers, name)) == list(range(20 + index))
        assert m.array("rows")["id"].tolist() == [7, 8, 9]


# ---- life --------------------------------------------------------------------------------


def test_an_array_stays_while_the_message_grows(b: Any) -> None:
    root = b.init_root(Root)
    root.init("numbers").init("f64", 10)
    array = b.array("numbers", "f64")
    array[:] = 1.5
    root.numbers.init("u8", 50_000_000)
    b.array("numbers", "u8")[:] = 1
    array[3] = 2.5
    assert list(root.numbers.f64) == [1.5, 1.5, 1.5, 2.5, *[1.5] * 6]


def test_after_close_an_array_is_a_private_snapshot(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers").init("f64", 10)
        array = b.array("numbers", "f64")
        array[:] = 1.5
    before = target.read_bytes()
    assert array.tolist() == [1.5] * 10
    array[:] = 2.5
    assert target.read_bytes() == before
    del b
    gc.collect()
    assert array.tolist() == [2.5] * 10
    with open_message(target, Root) as m:
        assert list(m.root.numbers.f64) == [1.5] * 10


def test_an_array_outlives_the_message_that_it_reads(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers").init("f64", 10)
    with open_message(target, Root) as m:
        array = m.array("numbers", "f64")
    del m
    gc.collect()
    target.unlink()
    assert array.tolist() == [0] * 10


def test_a_closed_builder_gives_no_arrays(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers").init("f64", 1)
    with pytest.raises(ValueError, match="closed"):
        b.array("numbers", "f64")
    m = open_message(target, Root)
    m.close()
    with pytest.raises(ValueError, match="closed"):
        m.array("numbers", "f64")


def test_a_message_of_pycapnps_own_over_our_segments(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = Root.new_message(allocate_seg_callable=b.allocate_segment)
        root.init("numbers").init("i32", 4)
        b.schema = Root
        b.array("numbers", "i32")[:] = [1, 2, 3, 4]
        b.fill("numbers", "i32", [4, 3, 2, 1])
        with pytest.raises(ValueError, match="holds another message: make another builder"):
            b.fill("numbers", "f64", [1.5])
    with open_message(target, Root) as m:
        assert list(m.root.numbers.i32) == [4, 3, 2, 1]
