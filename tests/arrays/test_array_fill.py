"""fill(): whole columns, checked before anything is changed."""

from __future__ import annotations

import errno
import gc
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from array_schemas import NUMBERS, arrays_capnp, new_capnp, old_capnp  # noqa: E402

from mmapbuilder import CapacityError, MessageBuilder, open_message, verify  # noqa: E402
from mmapbuilder.arrays import blocks, laying  # noqa: E402

Root = arrays_capnp.Root


@pytest.fixture
def b(target: Path) -> Any:
    with MessageBuilder(target) as builder:
        yield builder


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
        ("voids", [None], "cannot write it"),
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
        (("rows",), {"tags": [1] * 3}, TypeError, r"List\(Text\): a list of its own"),
        (("rows",), {"child": [1] * 3}, TypeError, "a struct of its own"),
        (("rows",), {"anything": [1] * 3}, TypeError, "AnyPointer: use pycapnp"),
        (("rows",), {"empty": [1] * 3}, TypeError, "Void has no bytes"),
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


# ---- unions ---------------------------------------------------------------------------------


def test_a_member_becomes_active_everywhere(b: Any, rows: Any) -> None:
    b.fill("rows", note=["x", "y", "z"])
    assert [str(row.which()) for row in rows] == ["note"] * 3
    b.fill("rows", count=[1, 2, 3])
    assert [row.count for row in rows] == [1, 2, 3]
    b.fill("rows", **{"shape.box.kind.code": [4, 5, 6]})
    assert [row.shape.box.kind.code for row in rows] == [4, 5, 6]


def test_two_members_need_a_tag(b: Any, rows: Any) -> None:
    with pytest.raises(ValueError, match="'note'.*shares its place with 'count'.*'@which'"):
        b.fill("rows", count=[1, 2, 3], note=["x", "y", "z"])
    b.fill(
        "rows",
        {
            "count": [1, None, None],
            "note": [5, "y", object()],
            "@which": ["count", "note", "empty"],
        },
    )
    assert [str(row.which()) for row in rows] == ["count", "note", "empty"]
    assert rows[0].count == 1
    assert rows[1].note == "y"
    b.fill("rows", {"@which": np.array([0, 0, 1]), "count": [99, 98, 97]})
    assert [str(row.which()) for row in rows] == ["empty", "empty", "count"]
    assert rows[2].count == 97
    with pytest.raises(ValueError, match="the union has no 'nix'; it has empty, count, note"):
        b.fill("rows", {"@which": ["nix"] * 3})


# ---- Text and Data where room is scarce ---------------------------------------------------


@pytest.mark.parametrize("words", [20, 64, 500])
@pytest.mark.parametrize("most", [None, 3, 50])
def test_texts_over_segments(
    target: Path, words: int, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if most is not None:
        monkeypatch.setattr(blocks, "MOST_WORDS", most)
        monkeypatch.setattr(laying, "_WORTHWHILE", 10)
    texts = [None if i % 7 == 0 else "ä" * (i % 50) for i in range(120)]
    datas = [b"" if i % 5 == 0 else bytes([i]) * (i % 40) for i in range(120)]
    with MessageBuilder(target, capacity=500 * 8 * words, segment_words=words) as b:
        root = b.init_root(Root)
        b.fill("rows", name=texts, blob=datas)
        root.init("both")
        root.both.init("first", 10)
        b.fill("rows", **{"position.unit": ["m"] * 120})
        first = [(row.name, row.blob, row.position.unit) for row in root.rows]
    want = [(text or "", data, "m") for text, data in zip(texts, datas, strict=True)]
    assert first == want
    report = verify(target)
    assert report.segments > 1
    assert report.trailing == 0
    with open_message(target, Root) as m:
        assert [(row.name, row.blob, row.position.unit) for row in m.root.rows] == want
        assert m.column("rows", "name").tolist() == [text or "" for text in texts]
        assert m.column("rows", "blob").tolist() == datas


def test_texts_lie_close_together(target: Path) -> None:
    """A pointer and a word for each text, and one word for the block."""
    with MessageBuilder(target) as b:
        b.init_root(Root).init("numbers")
        before = b.size
        b.fill("numbers", "texts", ["1234567"] * 1000)
    assert target.stat().st_size - before <= 8 * (2000 + 1 + 40)


def test_strings_of_all_kinds_in_one_list(target: Path) -> None:
    """More than are laid at a time, those that are held among those that are not."""

    class Name(str):
        pass

    kinds = ["é", Name("name"), b"bytes", np.bytes_(b"numpy"), np.str_("ü"), None, math.nan,
             np.float64("nan"), bytearray(b"array"), memoryview(b"view"), b""]  # fmt: skip
    values = kinds * 100 + ["plain"] * 300 + kinds
    expected = [
        v.encode() if isinstance(v, str) else b"" if v is None or isinstance(v, float) else bytes(v)
        for v in values
    ]
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("rows", blob=values, name=values)
    with open_message(target, Root) as m:
        assert [bytes(row.blob) for row in m.root.rows] == expected
        assert [row.name.encode() for row in m.root.rows] == expected
    verify(target)


def test_strings_that_are_missing_take_no_room(target: Path) -> None:
    """Not even that for a landing pad, in another segment."""
    with MessageBuilder(target, capacity=1 << 20, segment_words=4096) as b:
        b.init_root(Root).init("numbers").init("texts", 4060)
        b.fill("numbers", "texts", ["1234567"] * 10 + [None] * 4050)
    assert verify(target).segments == 2
    assert target.stat().st_size <= 8 * (4096 + 2 * 10 + 2 + 32)


def test_what_is_written_anew_leaves_nothing_of_the_old(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        rows = root.init("rows", 2)
        rows[0].name = "secret of pycapnp"
        b.fill("rows", name=["one secret", "another secret"])
        b.fill("rows", name=["x", None])
        rows[0].name = "y"
    assert b"secret" not in target.read_bytes()


def test_pycapnp_goes_on_with_what_was_filled(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(Root)
        b.fill("rows", name=["a" * 10, "b" * 20, "c" * 30], id=[1, 2, 3])
        root.rows[1].name = "changed"
        root.rows[2].init("child").name = "child"
        orphan = root.rows[0].disown("name")
        root.rows[0].child.adopt("name", orphan)
        root.init("numbers").text = "more"
        b.fill("rows", blob=[b"1", b"2", b"3"])
    with open_message(target, Root) as m:
        rows = m.root.rows
        assert [row.name for row in rows] == ["", "changed", "c" * 30]
        assert rows[0].child.name == "a" * 10
        assert rows[2].child.name == "child"
        assert [row.blob for row in rows] == [b"1", b"2", b"3"]
        assert m.root.numbers.text == "more"
    verify(target)


def test_no_room_in_the_file(target: Path) -> None:
    b = MessageBuilder(target, capacity=8192)
    b.init_root(Root).init("rows", 10)
    with pytest.raises(CapacityError):
        b.fill("rows", name=["x" * 2000] * 10)
    with pytest.raises(CapacityError):
        b.close()


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


# ---- values from the same message ---------------------------------------------------


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


# ---- unions in unions ----------------------------------------------------------------


def test_an_implied_inner_tag_leaves_rows_of_other_members_alone(b: Any) -> None:
    b.init_root(Root)
    everything = (1 << 64) - 1
    b.fill("nests", {"outer.b": [everything] * 3})
    b.fill("nests", {"outer.@which": ["b", "a", "b"], "outer.a.q": [None, 1.5, None]})
    nests = b.message.get_root(Root).nests
    assert [nest.outer.which() for nest in nests] == ["b", "a", "b"]
    assert [nests[0].outer.b, nests[2].outer.b] == [everything] * 2
    assert nests[1].outer.a.which() == "q"
    assert nests[1].outer.a.q == 1.5


def test_the_old_member_goes_when_the_tag_changes(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        b.fill("nests", id=range(3), **{"outer.text": ["hello", "world", "stays"]})
        b.fill("nests", {"outer.@which": ["one", "ones", "text"]})
        nests = b.message.get_root(Root).nests
        assert nests[0].outer.one.value == 0
        assert len(nests[1].outer.ones.list) == 0
        assert nests[2].outer.text == "stays"
    assert b"hello" not in target.read_bytes()
    with open_message(target, Root) as m:
        assert m.root.nests[0].outer.one.value == 0
        assert [nest.outer.which() for nest in m.root.nests] == ["one", "ones", "text"]


def test_the_bytes_of_the_old_member_are_not_numbers_of_the_new_one(b: Any) -> None:
    b.init_root(Root)
    b.fill("nests", {"id": range(4), "outer.b": [(1 << 64) - 1] * 4})
    b.fill("nests", {"outer.@which": ["a", "b", "c", "a"], "outer.a.k": [7, 0, 0, 8]})
    nests = b.message.get_root(Root).nests
    assert [nest.id for nest in nests] == [0, 1, 2, 3]
    assert [nests[0].outer.a.k, nests[3].outer.a.k] == [7, 8]
    assert nests[0].outer.a.which() == "p"
    assert nests[0].outer.a.p == 0
    assert not nests[0].outer.a.flag
    assert nests[1].outer.b == (1 << 64) - 1
    assert nests[2].outer.c == 0


def test_an_implied_tag_clears_too_and_only_where_it_changes(b: Any) -> None:
    b.init_root(Root)
    b.fill(
        "nests",
        {
            "outer.@which": ["b", "a", "a"],
            "outer.b": [1 << 63, None, None],
            "outer.a.k": [None, 3, 4],
            "outer.a.@which": [None, "p", "q"],
            "outer.a.p": [None, 5, None],
            "outer.a.q": [None, None, 1.5],
            "outer.a.flag": [None, True, True],
        },
    )
    b.fill("nests", {"outer.a.p": [6, 7, 8]})
    nests = b.message.get_root(Root).nests
    assert [nest.outer.a.p for nest in nests] == [6, 7, 8]
    assert [nest.outer.a.k for nest in nests] == [0, 3, 4]
    assert [nest.outer.a.flag for nest in nests] == [False, True, True]


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


def test_no_descriptors_leave_the_numbers(b: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    b.init_root(Root)
    b.fill("rows", id=[1, 2], name=["a", "b"])

    def no_more() -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("os.pipe", no_more)
        with pytest.raises(OSError, match="Too many open files"):
            b.fill("rows", id=[5, 6], name=["x", "y"])
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
