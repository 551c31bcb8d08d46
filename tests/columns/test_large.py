"""Rows that are more than memory or a segment should hold: they are staged in a file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from column_schemas import columns_capnp

from mmapbuilder import CapacityError, MessageBuilder, _core, open_message, verify
from mmapbuilder.columns import lists, memory
from support.requirements import missing

Root = columns_capnp.Root

# Words that are kept in memory, and words that come into one segment. A row takes up to 120.
LIMITS = [(1, 200), (40, 200), (200, 1000), (300, 1 << 20), (1 << 20, 1 << 21)]


@pytest.fixture(params=LIMITS, ids=lambda limits: f"{limits[0]}-{limits[1]}")
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Less memory and smaller segments than there are."""
    _core.set_stage_limits(*request.param)
    monkeypatch.setattr(lists, "MOST_WORDS", request.param[1])
    yield request.param
    _core.set_stage_limits(0, 0)


@pytest.fixture(params=[(300, 1 << 20), (1 << 20, 1 << 24)], ids=["segments", "one segment"])
def b(request: pytest.FixtureRequest, target: Path, limits: Any) -> Iterator[MessageBuilder]:
    words, capacity = request.param
    with MessageBuilder(target, segment_words=words, capacity=capacity) as builder:
        builder.init_root(Root).init("numbers")
        builder.fill_rows("points", [(1, 2)])
        yield builder


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of which some are long, and some lead to nothing."""
    return [
        {"id": i}
        if i % 7 == 3
        else {
            "id": i,
            "name": "é" * (i % 5 * 90),
            "blob": b"",
            "points": [{"x": float(k), "y": 2.0} for k in range(i % 4)],
        }
        for i in range(count)
    ]


def check(b: MessageBuilder, target: Path, count: int) -> None:
    """Check that a reader finds the rows, and that the whole message is sound."""
    b.close()
    assert verify(target).objects
    with open_message(target, Root) as m:
        found = m.rows("items")
        assert m.root.to_dict()["items"] == found
    assert found == expected_rows(count)


def expected_rows(count: int) -> Any:
    """What pycapnp makes of the rows."""
    return Root.new_message(items=rows(count)).to_dict()["items"]


HOW: dict[str, Callable[[list[Any]], Any]] = {"list": list, "generator": iter}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_rows_of_a_new_list(
    b: MessageBuilder, target: Path, how: Callable[[list[Any]], Any]
) -> None:
    assert b.fill_rows("items", how(rows(60))) == 60
    check(b, target, 60)


def test_rows_of_a_list_that_is_set(b: MessageBuilder, target: Path) -> None:
    b.message.get_root(Root).init("items", 60)
    b.fill_rows("items", iter(rows(60)))
    check(b, target, 60)


def test_columns_of_arrow(b: MessageBuilder, target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    point = pa.struct({"x": pa.float32(), "y": pa.float32()})
    given = rows(500)
    names = ["id", "name", "blob", "points"]
    types = [pa.uint32(), pa.string(), pa.binary(), pa.list_(point)]
    columns = {
        name: pa.array([row.get(name) for row in given], kind)
        for name, kind in zip(names, types, strict=True)
    }
    b.fill("items", pa.table(columns))
    b.close()
    assert verify(target).objects
    with open_message(target, Root) as m:
        found = m.rows("items")
    # A column for the member of a union makes it the active one, also where it is null.
    assert [{name: row.get(name) or 0 for name in names} for row in found] == [
        {name: row.get(name) or 0 for name in names} for row in expected_rows(500)
    ]


def test_a_list_of_lists(b: MessageBuilder, target: Path) -> None:
    matrix = [[i] * (i % 90) if i % 5 else None for i in range(100)]
    b.fill("numbers", "matrix", matrix)
    texts = ["x" * (i * 5) for i in range(100)]
    b.fill_rows("numbers", "texts", texts)
    b.close()
    assert verify(target).objects
    with open_message(target, Root) as m:
        assert m.to_dict()["numbers"] == {"matrix": [row or [] for row in matrix], "texts": texts}
        assert m.root.to_dict() == m.to_dict()


def test_a_list_of_lists_of_arrow(b: MessageBuilder, target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    matrix = [[i] * (i % 90) if i % 5 else None for i in range(100)]
    chunks = [pa.array(part, pa.list_(pa.int32())) for part in (matrix[:41], matrix[41:])]
    b.fill("numbers", "matrix", pa.chunked_array(chunks))
    b.close()
    assert verify(target).objects
    with open_message(target, Root) as m:
        assert m.to_dict()["numbers"]["matrix"] == [row or [] for row in matrix]


def test_a_row_is_named_wherever_the_rows_are(b: MessageBuilder) -> None:
    given = [*rows(50), {"name": 5}]
    with pytest.raises(TypeError, match=r"^row 50, field name: "):
        b.fill_rows("items", iter(given))
    assert "items" not in b.to_dict()


def test_a_row_that_no_segment_can_hold_is_named(b: MessageBuilder, limits: Any) -> None:
    given = [*rows(50), {"name": "x" * 8 * limits[1]}]
    with pytest.raises(CapacityError, match=r"row 50, field name: more than .* one segment"):
        b.fill_rows("items", iter(given))
    assert "items" not in b.to_dict()


@pytest.mark.parametrize("limits", [(200, 1000)], indirect=True)
def test_a_root_that_no_segment_can_hold_is_made_list_by_list(
    b: MessageBuilder, target: Path
) -> None:
    given = {"items": rows(60), "points": [{"x": 3.0}]}
    with pytest.raises(CapacityError, match=r"^field items.*: .* 4 GiB .* calls of their own$"):
        b.set_root(given)
    assert b.to_dict() == {"numbers": {}, "points": [{"x": 1.0, "y": 2.0}]}
    b.set_root({"points": given["points"]})
    b.fill_rows("items", given["items"])
    check(b, target, 60)


def test_the_file_has_no_name_and_is_closed(b: MessageBuilder, target: Path, limits: Any) -> None:
    before = sorted(os.listdir(target.parent)), os.listdir("/dev/fd")
    during = []

    def given() -> Iterator[Any]:
        yield from rows(60)
        during.append((sorted(os.listdir(target.parent)), os.listdir("/dev/fd")))

    b.fill_rows("items", given())
    names, descriptors = during[0]
    assert names == before[0]
    assert len(descriptors) - len(before[1]) == (limits[0] < 1 << 20)
    assert len(os.listdir("/dev/fd")) == len(before[1])


@pytest.mark.parametrize("limits", [(1, 200)], indirect=True)
def test_a_file_that_cannot_be_made_is_an_error(
    b: MessageBuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: Any) -> int:
        raise OSError(28, "full")

    monkeypatch.setattr("mmapbuilder.columns.room.unnamed_file", refuse)
    with pytest.raises(OSError, match="full"):
        b.fill_rows("items", iter(rows(60)))
    assert "items" not in b.to_dict()


@pytest.mark.parametrize("limits", [(1, 200)], indirect=True)
def test_a_full_disk_is_an_error(b: MessageBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        missing("there is no /dev/full")
    monkeypatch.setattr(
        "mmapbuilder.columns.room.unnamed_file", lambda name: os.open(full, os.O_RDWR)
    )
    with pytest.raises(OSError, match="rows are staged") as caught:
        b.fill_rows("items", iter(rows(60)))
    assert caught.value.errno == 28
    assert "items" not in b.to_dict()


@pytest.mark.parametrize("limits", [(40, 200)], indirect=True)
@pytest.mark.parametrize("lost", [0, 0.5])
def test_a_file_that_cannot_be_read_back_is_an_error(
    b: MessageBuilder, monkeypatch: pytest.MonkeyPatch, lost: float
) -> None:
    """Rows that were replaced before may stay so, but none is half replaced."""
    b.fill_rows("items", [{"id": 1, "name": "old"}] * 60)
    make_file, rooms_of = memory.unnamed_file, lists._rooms
    files = []

    def keep(name: Any) -> int:
        files.append(make_file(name))
        return files[-1]

    def lose(*args: Any) -> Any:
        os.ftruncate(files[-1], int(lost * os.fstat(files[-1]).st_size))
        return rooms_of(*args)

    monkeypatch.setattr("mmapbuilder.columns.room.unnamed_file", keep)
    monkeypatch.setattr(lists, "_rooms", lose)
    for name in (None, "new"):
        with pytest.raises(OSError) as caught:
            b.fill_rows("items", [{"id": 2, "name": name}] * 60)
        assert caught.value.errno == errno.EIO
    found = [(row["id"], row.get("name")) for row in b.rows("items")]
    assert found[-1] == (1, "old")
    assert set(found) <= {(1, "old"), (2, None)}


def test_the_file_is_where_the_message_is(tmp_path: Path) -> None:
    target = tmp_path / "message"
    target.touch()
    fd = memory.unnamed_file(str(target))
    assert os.fstat(fd).st_dev == tmp_path.stat().st_dev
    os.close(fd)
    assert os.listdir(tmp_path) == ["message"]


@pytest.mark.parametrize("name", [5, "<no file>", "/proc/self/fd/0"])
def test_the_file_is_elsewhere_where_the_message_has_no_directory(name: Any) -> None:
    fd = memory.unnamed_file(name)
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)
