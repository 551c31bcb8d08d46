"""Arrow's runs and string views into a message: they are looked up where they lie."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder  # noqa: E402

Root = columns_capnp.Root


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder whose root is made."""
    b.init_root(Root)
    return b


# ---- runs -----------------------------------------------------------------------------------


def runs(ends: list[int], values: Any, width: Any = None) -> Any:
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends, width or pa.int32()), values)


@pytest.mark.parametrize("width", [pa.int16(), pa.int32(), pa.int64()], ids=str)
@pytest.mark.parametrize("cut", [slice(None), slice(1, 4)], ids=["whole", "slice"])
def test_runs_are_taken_in_all_places(b: MessageBuilder, width: Any, cut: slice) -> None:
    """As a column, in structs and in lists; of numbers, strings, lists and structs."""
    ids = runs([2, 5], pa.array([7, 9], pa.uint32()), width)
    names = runs([1, 4, 5], pa.array(["a", None, "é"]), width)
    both = pa.StructArray.from_arrays(
        [
            runs([3, 5], pa.array([1, -1], pa.int8()), width),
            runs([3, 5], pa.array([{"x": 1.0}, None], pa.struct({"x": pa.float32()})), width),
        ],
        ["height", "place"],
    )
    texts = runs([2, 5], pa.array(["r", "g"]).dictionary_encode(), width)
    table = pa.table({"id": ids, "name": names, "position": both, "note": texts})
    b.fill("items", table.slice(cut.start or 0, (cut.stop or 5) - (cut.start or 0)))
    rows = b.rows("items")
    assert [row["id"] for row in rows] == [7, 7, 9, 9, 9][cut]
    assert [row.get("name") for row in rows] == ["a", None, None, None, "é"][cut]
    assert [row["position"]["height"] for row in rows] == [1, 1, 1, -1, -1][cut]
    places = [row["position"].get("place", {}).get("x") for row in rows]
    assert places == [1.0, 1.0, 1.0, None, None][cut]
    assert [row["note"] for row in rows] == ["r", "r", "g", "g", "g"][cut]


def test_runs_in_lists_and_of_lists(b: MessageBuilder) -> None:
    inner = runs([2, 3, 6], pa.array([1, 5, 8], pa.int32()))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 4, 6], pa.int32()), inner)
    matrix = runs([1, 3], pa.array([[[1], [2]], None], pa.list_(pa.list_(pa.int32()))))
    b.fill("rows", i32=lists, matrix=matrix)
    assert b.rows("rows") == [
        {"i32": [1], "matrix": [[1], [2]]},
        {"i32": [1, 5, 8]},
        {"i32": [8, 8]},
    ]


def test_a_null_in_runs_is_the_null_of_a_union_with_void(b: MessageBuilder) -> None:
    b.fill("items", score=runs([1, 3], pa.array([5, None], pa.int32())))
    assert [row["score"] for row in b.rows("items")] == [
        {"value": 5},
        {"none": None},
        {"none": None},
    ]


def test_a_null_in_runs_of_numbers_is_an_error(b: MessageBuilder) -> None:
    with pytest.raises(TypeError, match=r"column 'id', row 1: the value is missing"):
        b.fill("items", id=runs([1, 3], pa.array([5, None], pa.uint32())))


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ([1, 2], "a value is behind the end of the last run"),
        ([2, 2], "the ends of its runs do not rise"),
        ([4, 3], "the ends of its runs do not rise"),
        ([-5, 3], "the ends of its runs do not rise"),
        ([0, 3], "the ends of its runs do not rise"),
    ],
)
def test_runs_with_wrong_ends_are_damaged(b: MessageBuilder, ends: list[int], reason: str) -> None:
    memory = np.array([1, 3], np.int32)
    given = pa.RunEndEncodedArray.from_arrays(
        pa.Array.from_buffers(pa.int32(), 2, [None, pa.py_buffer(memory)]),
        pa.array([5, 6], pa.uint32()),
    )
    memory[:] = ends
    with pytest.raises(ValueError, match=reason):
        b.fill("items", id=given)
    assert "items" not in b.to_dict()


@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "beside a list"])
def test_runs_whose_ends_do_not_rise_are_damaged_where_pyarrow_decodes_them(
    b: MessageBuilder, mixed: bool
) -> None:
    memory = np.array([1, 2, 3], np.int32)
    ends = pa.Array.from_buffers(pa.int32(), 3, [None, pa.py_buffer(memory)])
    given = pa.RunEndEncodedArray.from_arrays(ends, pa.array([5, 6, 7], pa.uint32()))
    memory[:] = [1 << 30, 2, 3]
    b.message.get_root(Root).init("numbers")
    with pytest.raises(ValueError, match="the Arrow array is damaged"):
        if mixed:
            b.fill("items", id=given, name=["a", "b", "c"])
        else:
            b.fill("numbers", "i32", given)


@pytest.mark.parametrize("width", [pa.int16(), pa.int64()], ids=str)
def test_structs_of_a_list_in_runs(b: MessageBuilder, width: Any) -> None:
    """Also behind offsets, and with strings and lists in the structs."""
    point = pa.struct({"x": pa.float32(), "y": pa.float32()})
    points = pa.array([{"x": i, "y": -i} for i in range(-1, 4)], point).slice(1)
    inner = runs([2, 3, 6, 7], points, width)
    lists = pa.ListArray.from_arrays(pa.array([1, 4, 4, 7], pa.int32()), inner)
    b.fill("items", id=[1, 2, 3], points=lists)
    assert [[point["x"] for point in row["points"]] for row in b.rows("items")] == [
        [0, 1, 2],
        [],
        [2, 2, 3],
    ]
    entries = runs([3, 5], pa.array([{"key": "a", "value": b"x"}, {"key": None, "value": b""}]))
    b.fill("maps", entries=pa.ListArray.from_arrays(pa.array([0, 4, 5], pa.int32()), entries))
    assert [[entry.get("key") for entry in row["entries"]] for row in b.rows("maps")] == [
        ["a", "a", "a", None],
        [None],
    ]


def test_a_struct_of_a_list_cannot_be_null_in_a_run_either(b: MessageBuilder) -> None:
    inner = runs([1, 3], pa.array([{"x": 1.0}, None], pa.struct({"x": pa.float32()})))
    with pytest.raises(TypeError, match=r"column 'points', row 1: an element is missing"):
        b.fill("items", points=pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), inner))


def test_structs_of_a_list_behind_the_last_run_are_damaged(b: MessageBuilder) -> None:
    memory = np.array([1, 3], np.int32)
    ends = pa.Array.from_buffers(pa.int32(), 2, [None, pa.py_buffer(memory)])
    inner = pa.RunEndEncodedArray.from_arrays(ends, pa.array([{"x": 1.0}, {"x": 2.0}]))
    lists = pa.ListArray.from_arrays(pa.array([0, 1, 3], pa.int32()), inner)
    memory[:] = [1, 2]

    class Unchecked:
        """What pyarrow does not look at."""

        def __arrow_c_array__(self, schema: Any = None) -> Any:
            return lists.__arrow_c_array__()

    with pytest.raises(ValueError, match="row 1: .* behind the end of the last run"):
        b.fill("items", points=Unchecked())
    assert "items" not in b.to_dict()


def test_a_group_comes_in_no_runs(b: MessageBuilder) -> None:
    position = runs([2], pa.array([{"height": 1}], pa.struct({"height": pa.int8()})))
    with pytest.raises(TypeError, match="decode them first"):
        b.fill("items", position=position)


# ---- views ----------------------------------------------------------------------------------

STRINGS = ["", "a", None, "twelve bytes", "thirteen byte", "é" * 40, "z" * 5000] * 60


@pytest.mark.parametrize("source", ["pyarrow", "polars", "polars chunks"])
def test_views_are_read_where_they_lie(b: MessageBuilder, source: str) -> None:
    """Strings in the view itself and in its buffers; batches with nulls and without."""
    blobs = [None if text is None else text.encode() for text in STRINGS]
    given: dict[str, Any]
    if source == "pyarrow":
        given = {
            "name": pa.array(STRINGS, pa.string_view()),
            "blob": pa.array(blobs, pa.binary_view()),
            "id": pa.array(range(len(STRINGS)), pa.uint32()),
        }
    else:
        pl = pytest.importorskip("polars")
        given = {
            "name": pl.Series(STRINGS),
            "blob": pl.Series(blobs),
            "id": pl.Series(range(len(STRINGS)), dtype=pl.UInt32),
        }
        if source == "polars chunks":
            given = {key: column[:150].append(column[150:]) for key, column in given.items()}
    b.fill("items", **given)
    rows = b.rows("items")
    assert [row.get("name") for row in rows] == STRINGS
    assert [row.get("blob") for row in rows] == blobs
    assert [row["id"] for row in rows] == list(range(len(STRINGS)))


def test_views_that_are_no_text_are_named(b: MessageBuilder) -> None:
    bad = pa.array([b"good"] * 200 + [b"\xff"], pa.binary_view())
    with pytest.raises(ValueError, match="column 'name', row 200: the string is not UTF-8"):
        b.fill("items", name=bad, points=pa.array([[]] * 201, pa.list_(pa.null())))


@pytest.mark.parametrize(
    "view",
    [(-1, 0, 0), (20, 1, 0), (20, -1, 0), (20, 0, 90), (20, 0, -1), (1 << 30, 0, 0)],
    ids=["negative length", "no buffer", "negative buffer", "beyond", "negative offset", "long"],
)
@pytest.mark.parametrize("is_dictionary", [False, True], ids=["plain", "dictionary"])
def test_views_that_lead_nowhere_are_damaged_in_a_list_that_is_set_too(
    b: MessageBuilder, view: tuple[int, int, int], is_dictionary: bool
) -> None:
    length, buffer, offset = view
    start = int.from_bytes(b"xxxx")
    views = np.array([[20, start, 0, 0], [length, start, buffer, offset]], np.int32)
    parts = [None, pa.py_buffer(views), pa.py_buffer(b"x" * 100)]
    given = pa.Array.from_buffers(pa.string_view(), 2, parts)
    if is_dictionary:
        given = pa.DictionaryArray.from_arrays(pa.array([0, 1]), given)
    b.fill_rows("items", [{"id": 1}, {"id": 2}])
    with pytest.raises(ValueError, match="column 'name'.*the Arrow array is damaged"):
        b.fill("items", name=given)
    assert [row.get("name") for row in b.rows("items")] == [None, None]


def test_strings_beyond_their_bytes_are_damaged_as_names_too(b: MessageBuilder) -> None:
    memory = np.array([0, 1, 2], np.int32)
    given = pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(memory), pa.py_buffer(b"ab")])
    memory[2] = 1 << 28
    with pytest.raises(ValueError, match="column 'color': the Arrow array is damaged"):
        b.fill("items", color=given)
