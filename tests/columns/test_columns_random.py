"""One side writes, the other reads: schemas and values of any kind, pycapnp the judge."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
np = pytest.importorskip("numpy")
pytest.importorskip("hypothesis")

import random_schemas as schemas  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402

common = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Small segments make far pointers; 511 of them is the most.
sizes = st.sampled_from([None, 1, 7, 40, 1000])


def builder(path: Path, segment_words: int | None) -> MessageBuilder:
    if segment_words is None:
        return MessageBuilder(path)
    return MessageBuilder(
        path, capacity=400 * 8 * max(segment_words, 64), segment_words=max(segment_words, 64)
    )


def same(a: Any, b: Any) -> bool:
    if isinstance(b, float) and math.isnan(b):
        return bool(math.isnan(a))
    if isinstance(b, float):
        return float(a) == b and math.copysign(1, a) == math.copysign(1, b)
    return bool(a == b)


def of_color(kind: str, value: Any) -> Any:
    return schemas.COLORS.index(value) if kind == "Color" else value


@st.composite
def cases(draw: st.DrawFn) -> tuple[schemas.Group, list[dict[str, Any]], int | None]:
    body = draw(schemas.structs())
    rows = draw(st.lists(schemas.rows(body), max_size=12))
    return body, rows, draw(sizes)


def is_plain(slot: schemas.Slot) -> bool:
    """Whether array() shows the field."""
    if slot.type in ("Bool", "Text", "Data", "Void"):
        return False
    return of_color(slot.type, schemas.default(slot)) == 0 and not (
        isinstance(slot.default, float) and math.copysign(1, slot.default) < 0
    )


def view(array: Any, name: str) -> Any:
    for step in name.split("."):
        array = array[step]
    return array


@common
@given(cases())
def test_what_pycapnp_wrote_is_read(
    tmp_path: Path, case: tuple[schemas.Group, list[dict[str, Any]], int | None]
) -> None:
    body, rows, segment_words = case
    schema = schemas.load(body, tmp_path)
    path = tmp_path / "message"
    with builder(path, segment_words) as b:
        root = b.init_root(schema.Root)
        made = root.init("rows", len(rows))
        for one, values in zip(made, rows, strict=True):
            one.from_dict(values)
        check_reading(b, body, rows)
    with open_message(path, schema.Root) as m:
        check_reading(m, body, rows)
        check_table(m, body, rows)


def check_reading(m: Any, body: schemas.Group, rows: list[dict[str, Any]]) -> None:
    array = m.array("rows")
    assert len(array) == len(rows)
    for column in schemas.columns(body):
        if column.slot is None:
            assert column.union is not None
            names = schemas.by_tag(column.union)
            got = m.column("rows", column.name).tolist()
            for value, row in zip(got, rows, strict=True):
                want = schemas.expected(row, column, names[0])
                assert names[value] == want
            continue
        slot = column.slot
        if slot.type == "Void":
            with pytest.raises(TypeError, match="Void"):
                m.column("rows", column.name)
            continue
        got = m.column("rows", *column.name.split(".")).tolist()
        raw = view(array, column.name) if is_plain(slot) else None
        for i, row in enumerate(rows):
            want = of_color(slot.type, schemas.expected(row, column, schemas.default(slot)))
            assert same(got[i], want), (column.name, i)
            active = schemas.expected(row, column, None) is not None
            if raw is not None and active:
                assert same(raw[i].item(), want), (column.name, i)
        if raw is None:
            with pytest.raises((KeyError, ValueError)):
                view(array, column.name)


def check_table(m: Any, body: schemas.Group, rows: list[dict[str, Any]]) -> None:
    pytest.importorskip("pyarrow")
    table = m.table("rows")
    table.validate(full=True)
    columns = dict(schemas.table_columns(body))
    assert set(table.column_names) == columns.keys()
    for name, column in columns.items():
        got = table.column(name).to_pylist()
        for value, row in zip(got, rows, strict=True):
            want = schemas.expected(row, column, None)
            assert (value is None and want is None) or same(value, want), name


@common
@given(cases(), st.booleans())
def test_what_was_filled_is_read_by_pycapnp(
    tmp_path: Path,
    case: tuple[schemas.Group, list[dict[str, Any]], int | None],
    after_init: bool,
) -> None:
    body, rows, segment_words = case
    schema = schemas.load(body, tmp_path)
    path = tmp_path / "message"
    filled = {}
    for column in schemas.columns(body):
        if column.slot is not None and column.slot.type == "Void":
            continue
        if column.slot is None:
            assert column.union is not None
            filler = schemas.by_tag(column.union)[0]
        else:
            filler = schemas.default(column.slot)
        filled[column.name] = [schemas.expected(row, column, filler) for row in rows]
    with builder(path, segment_words) as b:
        root = b.init_root(schema.Root)
        root.filler = b"x" * 100
        if after_init:
            root.init("rows", len(rows))
        if filled:
            b.fill("rows", filled)
        else:
            root.init("rows", len(rows))
        compare(root.rows, body, rows)
    report = verify(path)
    assert report.trailing == 0
    with open_message(path, schema.Root) as m:
        compare(m.root.rows, body, rows)
        if filled:
            again = tmp_path / "again"
            with builder(again, segment_words) as b:
                b.init_root(schema.Root)
                b.fill("rows", m.table("rows"))
            with open_message(again, schema.Root) as n:
                compare(n.root.rows, body, rows)


def compare(made: Any, body: schemas.Group, rows: list[dict[str, Any]]) -> None:
    assert len(made) == len(rows)
    for one, row in zip(made, rows, strict=True):
        compare_group(one, body, row)


def compare_group(one: Any, body: schemas.Group, row: dict[str, Any]) -> None:
    if body.union:
        assert str(one.which()) in row
    for member in [*body.fields, *body.union]:
        if member.name not in row:
            continue
        got = getattr(one, member.name)
        if isinstance(member, schemas.Group):
            compare_group(got, member, row[member.name])
        elif member.type == "Color":
            assert str(got) == row[member.name]
        else:
            assert same(got, row[member.name]), member.name
