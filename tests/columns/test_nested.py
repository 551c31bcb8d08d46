"""Columns of types that nest into a message, from everywhere; hostile ones are errors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pa = pytest.importorskip("pyarrow")

from column_schemas import columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402

Root = columns_capnp.Root
ROWS = {
    "i32": [[1, 2], [], None, [3]],
    "bools": [[True], None, [False] * 9, []],
    "texts": [["a", None], ["é"], [], None],
    "blobs": [[b"x"], [], None, [b"", b"yz"]],
    "matrix": [[[1], []], None, [[2, 3]], []],
    "words": [[["a"], []], [], None, [["b", "c"]]],
    "boxes": [[[{"x": 1.0, "y": 2.0}]], [], None, [[]]],
    "f64": [[0.5], [], None, [1.5, 2.5]],
}
TYPES = {
    "i32": pa.list_(pa.int32()),
    "bools": pa.list_(pa.bool_()),
    "texts": pa.list_(pa.string()),
    "blobs": pa.list_(pa.binary()),
    "matrix": pa.list_(pa.list_(pa.int32())),
    "words": pa.list_(pa.list_(pa.string())),
    "boxes": pa.list_(pa.list_(pa.struct({"x": pa.float32(), "y": pa.float32()}))),
    "f64": pa.list_(pa.float64()),
}


@pytest.fixture
def b(target: Path) -> Iterator[MessageBuilder]:
    with MessageBuilder(target) as builder:
        builder.init_root(Root)
        yield builder


def expected() -> list[dict[str, Any]]:
    """What pycapnp reads: there is no null in a list."""

    def plain(values: Any) -> Any:
        return ["" if each is None else each for each in values]

    return [
        {name: plain(column[number]) for name, column in ROWS.items() if column[number] is not None}
        for number in range(4)
    ]


def arrow() -> Any:
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in ROWS.items()})


# ---- from where ----------------------------------------------------------------------------


def test_a_table_of_nested_columns(b: MessageBuilder, target: Path) -> None:
    b.fill("rows", arrow())
    assert b.rows("rows") == expected()
    b.close()
    verify(target)
    with open_message(target, Root) as m:
        assert m.root.to_dict()["rows"] == expected()


@pytest.mark.parametrize("start", [0, 1, 2])
def test_a_slice_of_a_table_in_several_chunks(b: MessageBuilder, start: int) -> None:
    table = pa.concat_tables([arrow(), arrow().slice(1, 2), arrow()]).slice(start)
    b.fill("rows", table)
    assert b.rows("rows") == (expected() + expected()[1:3] + expected())[start:]


def test_columns_with_chunks_of_different_lengths(b: MessageBuilder) -> None:
    first = pa.chunked_array([[[1]], [[2], [3, 4]]], pa.list_(pa.int32()))
    second = pa.chunked_array([[["a"], ["b"]], [], [None]], pa.list_(pa.string()))
    b.fill("rows", i32=first, texts=second)
    assert b.rows("rows") == [
        {"i32": [1], "texts": ["a"]},
        {"i32": [2], "texts": ["b"]},
        {"i32": [3, 4]},
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32()),
        pa.large_list(pa.int32()),
        pa.list_(pa.int8()),
        pa.large_list(pa.uint64()),
        pa.list_(pa.int32(), 2),
        pa.list_view(pa.int32()),
        pa.large_list_view(pa.int32()),
    ],
)
def test_lists_of_every_layout(b: MessageBuilder, kind: Any) -> None:
    values = [[1, 2], [3, 4], None, [5, 6]]
    b.fill("rows", i32=pa.array(values, kind).slice(1))
    assert [row.get("i32") for row in b.rows("rows")] == values[1:]


def test_views_that_lie_in_any_order(b: MessageBuilder) -> None:
    array = pa.ListViewArray.from_arrays([4, 0, 2], [2, 3, 0], pa.array(range(6), pa.int32()))
    b.fill("rows", i32=array)
    assert [row["i32"] for row in b.rows("rows")] == [[4, 5], [0, 1, 2], []]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    ],
)
def test_strings_of_every_layout(b: MessageBuilder, kind: Any) -> None:
    values = ["a", "", "a rather long string, which views keep elsewhere", "a"]
    b.fill("rows", texts=pa.array([values, []], pa.list_(kind)))
    assert b.rows("rows")[0]["texts"] == values


@pytest.mark.parametrize("kind", [pa.binary(3), pa.binary(), pa.binary_view(), pa.large_binary()])
def test_bytes_of_every_layout(b: MessageBuilder, kind: Any) -> None:
    b.fill("rows", blobs=pa.array([[b"abc", b"def"]], pa.list_(kind)))
    assert b.rows("rows")[0]["blobs"] == [b"abc", b"def"]


def test_columns_of_generic_structs(b: MessageBuilder) -> None:
    b.set_root({"names": {}})
    b.fill("names", "entries", pa.table({"key": ["k", "l"], "value": [b"v", None]}))
    assert b.rows("names", "entries") == [{"key": "k", "value": b"v"}, {"key": "l"}]


def test_flat_columns_of_generic_structs(b: MessageBuilder) -> None:
    b.set_root({"names": {}})
    b.fill("names", "entries", key=np.array(["k", "l"]), value=[b"v", None])
    assert b.rows("names", "entries") == [{"key": "k", "value": b"v"}, {"key": "l"}]
    assert b.column("names", "entries", "key").tolist() == ["k", "l"]


def test_a_map_of_arrow_is_a_list_of_entries(b: MessageBuilder) -> None:
    maps = pa.array([[("k", b"v"), ("l", None)], [], None], pa.map_(pa.string(), pa.binary()))
    b.fill("maps", entries=maps)
    assert b.rows("maps") == [
        {"entries": [{"key": "k", "value": b"v"}, {"key": "l"}]},
        {"entries": []},
        {},
    ]


def test_ragged_lists_of_numpy(b: MessageBuilder) -> None:
    columns = {"i32": [np.arange(3), np.arange(0), np.array([7])], "f64": [[0.5], (), [1]]}
    b.fill("rows", columns)
    assert b.rows("rows") == [
        {"i32": [0, 1, 2], "f64": [0.5]},
        {"i32": [], "f64": []},
        {"i32": [7], "f64": [1.0]},
    ]
    b.fill("rows", words=[[["a"]], [], None])
    assert b.rows("rows")[0] == {"i32": [0, 1, 2], "f64": [0.5], "words": [["a"]]}


def test_a_matrix_is_lists_of_its_rows(b: MessageBuilder) -> None:
    b.fill("rows", i32=np.arange(6).reshape(3, 2))
    assert [row["i32"] for row in b.rows("rows")] == [[0, 1], [2, 3], [4, 5]]


def test_polars_frames_with_structs_and_lists(b: MessageBuilder) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "position": [{"height": 5, "place": {"x": 1.0, "y": 2.0}}, {"height": 6}],
            "points": [[{"x": 1.0, "y": 0.0}], []],
            "score": [None, 4],
        }
    )
    b.fill("items", frame)
    rows = b.rows("items")
    assert rows[0]["position"] == {"height": 5, "place": {"x": 1.0, "y": 2.0}}
    assert rows[1]["position"] == {"height": 6}
    assert [row["score"] for row in rows] == [{"none": None}, {"value": 4}]
    assert rows[0]["points"] == [{"x": 1.0, "y": 0.0}]


def test_duckdb_relations(b: MessageBuilder) -> None:
    duckdb = pytest.importorskip("duckdb")
    relation = duckdb.sql(
        "select 3::uinteger as id, [{'x': 1::float, 'y': 2::float}] as points, null::int as score"
    )
    b.fill("items", relation)
    row = b.rows("items")[0]
    assert (row["id"], row["points"]) == (3, [{"x": 1.0, "y": 2.0}])
    assert row["score"] == {"none": None}


def test_pandas_frames_with_lists(b: MessageBuilder) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"id": [1, 2], "points": [[{"x": 1}], []]}, index=[5, 6])
    b.fill("items", frame)
    assert [row["points"] for row in b.rows("items")] == [[{"x": 1.0, "y": 1.5}], []]


def test_structs_by_dotted_names_and_by_dicts(b: MessageBuilder) -> None:
    b.fill("items", {"position.place.x": pa.array([1.0, 2.0]), "id": pa.array([1, 2])})
    assert [row["position"]["place"]["x"] for row in b.rows("items")] == [1.0, 2.0]
    b.fill("items", {"position.place": [{"x": 3}, None], "id": [3, 4]})
    rows = b.rows("items")
    assert rows[0]["position"]["place"] == {"x": 3.0, "y": 1.5}
    assert "place" not in rows[1]["position"]
    assert [row["id"] for row in rows] == [3, 4]


def test_lists_of_lists_by_path(b: MessageBuilder) -> None:
    b.set_root({"numbers": {}})
    b.fill("numbers", "matrix", pa.array([[1], None, [2, 3]], pa.list_(pa.int64())))
    b.fill("numbers", "words", [["a"], []])
    b.fill("numbers", "voids", [None] * 5)
    numbers = b.to_dict()["numbers"]
    assert numbers["matrix"] == [[1], [], [2, 3]]
    assert numbers["words"] == [["a"], []]
    assert len(numbers["voids"]) == 5


def test_only_the_columns_that_are_given_change(b: MessageBuilder) -> None:
    b.fill_rows("items", [{"id": 1, "name": "a", "label": "x"}, {"id": 2, "score": {"value": 3}}])
    b.fill("items", points=pa.array([None, [{"x": 1.0, "y": 1.0}]]), score=pa.array([5, None]))
    rows = b.rows("items")
    assert [row["id"] for row in rows] == [1, 2]
    assert rows[0]["name"] == "a"
    assert [row["score"] for row in rows] == [{"value": 5}, {"none": None}]
    assert rows[0]["points"] == []
    assert rows[1]["points"] == [{"x": 1.0, "y": 1.0}]


# ---- unions ------------------------------------------------------------------------------------


def test_a_column_which_tells_the_active_member(b: MessageBuilder) -> None:
    table = pa.table(
        {
            "@which": ["label", "points", "nothing", "both"],
            "label": ["a", "b", "c", "d"],
            "points": [[], [{"x": 1.0}], None, None],
            "both": [None, None, None, {"left": 4, "right": "r"}],
        }
    )
    b.fill("items", table)
    rows = b.rows("items")
    assert [row.get("label") for row in rows] == ["a", None, None, None]
    assert rows[1]["points"] == [{"x": 1.0, "y": 1.5}]
    assert rows[2]["nothing"] is None
    assert rows[3]["both"] == {"left": 4, "right": "r"}


def test_without_it_the_member_with_a_value_is_active(b: MessageBuilder) -> None:
    b.fill("items", pa.table({"label": ["a", None, None], "points": [None, [{"x": 1.0}], None]}))
    rows = b.rows("items")
    assert rows[0]["label"] == "a"
    assert len(rows[1]["points"]) == 1
    assert rows[2]["nothing"] is None
    with pytest.raises(ValueError, match="row 0: a second member of the union has a value"):
        b.fill("items", pa.table({"label": ["a"] * 3, "points": [[], None, None]}))


@pytest.mark.parametrize(
    ("which", "kind", "words"),
    [
        (["nix"], ValueError, "column '@which', row 0: the union has no such member"),
        ([None], TypeError, "names of members are required"),
        (pa.array([None], pa.string()), TypeError, "missing"),
        ([1], TypeError, "names of members are required"),
    ],
)
def test_wrong_members_are_errors(
    b: MessageBuilder, which: Any, kind: type[Exception], words: str
) -> None:
    points = pa.array([[]], pa.list_(pa.struct({"x": pa.float32()})))
    with pytest.raises(kind, match=words):
        b.fill("items", pa.table({"@which": which, "points": points}))


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "kind", "words"),
    [
        ({"i32": pa.array([[1], [2**40]])}, OverflowError, "column 'i32', row 1: .* Int32"),
        ({"i32": pa.array([[1.5]])}, TypeError, "column 'i32': Int32 cannot be made of"),
        ({"i32": pa.array([[None]], pa.list_(pa.int32()))}, TypeError, "row 0: .* missing"),
        ({"i32": pa.array([1])}, TypeError, "a list cannot be made of"),
        ({"f32": pa.array([[1e300]])}, OverflowError, "Float32"),
        ({"colors": pa.array([["red"], ["pink"]])}, ValueError, "row 1: the enum has no such"),
        ({"colors": pa.array([[7]])}, ValueError, "no such number"),
        ({"boxes": pa.array([[[None]]], TYPES["boxes"])}, TypeError, "an element is missing"),
        ({"boxes": pa.array([[[{"z": 1}]]])}, KeyError, r"boxes\.z.*no such field"),
        ({"texts": pa.array([[b"\xff"]])}, ValueError, "not UTF-8"),
        ({"i32": pa.array([[1]]), "nix": pa.array([1])}, KeyError, "nix"),
        ({"i32": pa.array([[1]]), "texts": pa.array([[], []])}, ValueError, "2 .*1|1 .*2"),
        (
            {"i32": pa.array([[0]], pa.list_(pa.timestamp("ns")))},
            TypeError,
            "the field needs .Arrow.timestamp",
        ),
        ({"i32": [[1], ["x"]]}, TypeError, r"row 1, field i32\[0\]"),
        ({"i32": [[1], [2**40]]}, OverflowError, r"row 1, field i32\[0\]"),
        ({"i32": [[1]], "texts": [[], []]}, ValueError, "1 rows.* has 2"),
    ],
)
def test_an_error_names_the_column_and_the_row_and_writes_nothing(
    b: MessageBuilder, columns: Any, kind: type[Exception], words: str
) -> None:
    size = b.size
    with pytest.raises(kind, match=words):
        b.fill("rows", columns)
    assert b.to_dict() == {}
    assert b.size == size


def test_nulls_in_numbers_are_errors(b: MessageBuilder) -> None:
    with pytest.raises(TypeError, match="column 'id', row 1: the value is missing"):
        b.fill("items", pa.table({"id": [1, None], "points": [[], []]}))
    with pytest.raises(TypeError, match="row 1, field id: None"):
        b.fill("items", {"id": [1, None], "points": [[], []]})


# ---- hostile arrays ------------------------------------------------------------------------------


def offsets(*values: int) -> Any:
    return pa.py_buffer(struct.pack(f"={len(values)}i", *values))


def hostile(kind: Any, length: int, buffers: list[Any], children: list[Any]) -> Any:
    return pa.Array.from_buffers(kind, length, buffers, children=children)


INTS = pa.array(range(4), pa.int32())
STRINGS = pa.list_(pa.string())


@pytest.mark.parametrize(
    ("kind", "length", "buffers"),
    [
        (pa.list_(pa.int32()), 2, [None, offsets(0, 3, 1)]),
        (pa.list_(pa.int32()), 2, [None, offsets(-4, 0, 1)]),
        (pa.list_(pa.int32(), 4), 2, [None]),
        (pa.list_view(pa.int32()), 2, [None, offsets(0, 3), offsets(2, 2)]),
        (pa.list_view(pa.int32()), 2, [None, offsets(0, 3), offsets(2, -1)]),
        (pa.list_view(pa.int32()), 2, [None, offsets(-2, 3), offsets(1, 1)]),
    ],
)
def test_lists_that_reach_out_of_their_child_are_errors(
    b: MessageBuilder, kind: Any, length: int, buffers: list[Any]
) -> None:
    try:
        array = hostile(kind, length, buffers, [INTS])
    except pa.ArrowInvalid:
        return  # this version of pyarrow makes no such array
    with pytest.raises(ValueError, match="the Arrow array is damaged"):
        b.fill("rows", i32=array)
    assert b.to_dict() == {}


@pytest.mark.parametrize(
    ("kind", "buffers"),
    [
        (pa.string(), [None, offsets(0, 2, 1), b"abc"]),
        (pa.string(), [None, offsets(-5, 2, 3), b"abc"]),
        (pa.string(), [None, offsets(0, 2, 3), None]),
        (pa.string_view(), [None, struct.pack("=i4sii", 100, b"abcd", 3, 0) * 2, b"x" * 50]),
        (pa.string_view(), [None, struct.pack("=i4sii", 100, b"abcd", 0, 0) * 2, b"x" * 50]),
        (pa.string_view(), [None, struct.pack("=i4sii", 20, b"abcd", 0, -3) * 2, b"x" * 50]),
        (pa.string_view(), [None, struct.pack("=i4sii", -20, b"abcd", 0, 0) * 2, b"x" * 50]),
    ],
)
def test_strings_that_reach_out_of_their_bytes_are_errors(
    b: MessageBuilder, kind: Any, buffers: list[Any]
) -> None:
    made = [None if each is None else pa.py_buffer(each) for each in buffers]
    try:
        strings = pa.Array.from_buffers(kind, 2, made)
    except pa.ArrowInvalid:
        return  # this version of pyarrow makes no such array
    array = hostile(pa.list_(kind), 1, [None, offsets(0, 2)], [strings])
    with pytest.raises(ValueError, match="the Arrow array is damaged"):
        b.fill("rows", texts=array)
    assert b.to_dict() == {}


def test_numbers_that_are_in_no_dictionary_are_errors(b: MessageBuilder) -> None:
    for number in (-1, 2, 100):
        names = pa.DictionaryArray.from_arrays(
            pa.array([0, number], pa.int32()), pa.array(["a", "b"]), safe=False
        )
        array = hostile(pa.list_(names.type), 1, [None, offsets(0, 2)], [names])
        with pytest.raises(ValueError, match="not in its dictionary"):
            b.fill("rows", texts=array)


def test_a_stream_that_fails_is_an_error(b: MessageBuilder) -> None:
    def batches() -> Iterator[Any]:
        yield pa.record_batch({"i32": pa.array([[1]], pa.list_(pa.int32()))})
        raise RuntimeError("no more")

    schema = pa.schema({"i32": pa.list_(pa.int32())})
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    with pytest.raises((OSError, RuntimeError), match="no more"):
        b.fill("rows", reader)
    assert b.to_dict() == {}


def test_a_stream_may_close_the_builder(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(Root)

    def batches() -> Iterator[Any]:
        b.close()
        yield pa.record_batch({"i32": pa.array([[1]], pa.list_(pa.int32()))})

    schema = pa.schema({"i32": pa.list_(pa.int32())})
    with pytest.raises((ValueError, OSError, RuntimeError)):
        b.fill("rows", pa.RecordBatchReader.from_batches(schema, batches()))
    b.close()
    with open_message(target, Root) as m:
        assert m.to_dict() == {}


def test_a_million_numbers_in_lists(b: MessageBuilder) -> None:
    n = 100_000
    values = pa.array(np.arange(10 * n, dtype=np.int32))
    b.fill("rows", i32=pa.ListArray.from_arrays(np.arange(0, 10 * n + 1, 10), values))
    assert b.rows("rows", start=n - 1)[0]["i32"] == list(range(10 * n - 10, 10 * n))


WAYS: dict[str, Any] = {
    "lists": lambda columns: columns,
    "Arrow": lambda columns: pa.table({name: pa.array(columns[name]) for name in columns}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(
    "columns",
    [
        {"position.height": [1], "position": [{"place": {"x": 1.0}}]},
        {"position.place.x": [1.0], "position.place": [{"y": 1.0}]},
        {"score": [5], "score.value": [6]},
        {"child.id": [1], "child": [{"name": "a"}]},
    ],
)
def test_a_column_that_is_given_whole_and_by_its_fields_is_refused(
    b: MessageBuilder, columns: dict[str, Any], backwards: bool, way: str
) -> None:
    if backwards:
        columns = dict(reversed(columns.items()))
    with pytest.raises(ValueError, match="given twice"):
        b.fill("items", WAYS[way](columns))


@pytest.mark.parametrize("way", WAYS)
def test_a_group_is_the_active_member_where_one_of_its_columns_has_a_value(
    b: MessageBuilder, way: str
) -> None:
    columns = {"both.left": [1, None], "both.right": ["r", None], "label": [None, "l"]}
    b.fill("items", WAYS[way](columns))
    items = b.rows("items")
    assert items[0]["both"] == {"left": 1, "right": "r"}
    assert items[1]["label"] == "l"
    b.fill("items", {"@which": ["both", "label"], **columns}, missing="default")
    assert b.rows("items") == items


class Stream:
    """What has the interface of Arrow and nothing else."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.values.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("f64", [0.5, 1.5]),
        ("u64", [1, 2**64 - 1]),
        ("bools", [True, False]),
        ("texts", ["a", "é"]),
        ("blobs", [b"a", b""]),
        ("colors", ["red", "blue"]),
        ("matrix", [[1], []]),
    ],
)
def test_lists_are_filled_by_the_interface_of_arrow_alone(
    b: MessageBuilder, name: str, values: list[Any]
) -> None:
    whole = pa.array(values, pa.uint64() if name == "u64" else None)
    stream = Stream(pa.chunked_array([whole[:1], whole[1:]]))
    b.message.get_root(Root).init("numbers")
    b.fill("numbers", name, stream)
    assert b.rows("numbers", name) == values
    if name not in ("colors", "matrix"):
        runs = pa.RunEndEncodedArray.from_arrays([2, 3], whole)
        b.message.get_root(Root).init("numbers")
        b.fill("numbers", name, runs)
        assert b.rows("numbers", name) == [values[0], *values]
