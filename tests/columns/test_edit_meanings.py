"""Values that an annotation is about, changed in place in a finished message."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

from test_meanings import COLUMNS, Root

from mmapbuilder import MessageBuilder, edit_message, open_message

OTHERS: dict[str, Any] = {
    "ns": dt.datetime(2001, 2, 3, tzinfo=dt.UTC),
    "ms": dt.datetime(2001, 2, 3),
    "day": dt.date(2001, 2, 3),
    "date": dt.date(2001, 2, 3),
    "seconds": dt.time(4, 5),
    "time": dt.time(4, 5),
    "span": dt.timedelta(seconds=1),
    "price": Decimal("1.25"),
    "small": Decimal("0.1"),
    "since": dt.date(2001, 2, 3),
}


@pytest.fixture
def path(target: Path) -> Path:
    with MessageBuilder(target) as b:
        b.init_root(Root)
        row = {name: value for name, (value, _) in COLUMNS.items()}
        b.fill_rows("rows", [row, row])
        b.fill_rows("days", [dt.date(2000, 1, 1), dt.date(2000, 1, 2)])
    return target


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_set_means_the_same(path: Path, name: str) -> None:
    with edit_message(path, Root) as m:
        m.set("rows", 1, name, OTHERS[name])
    with open_message(path, Root) as m:
        first, second = m.rows("rows")
    assert second[name] == OTHERS[name]
    assert first[name] == COLUMNS[name][0]
    assert {key: first[key] for key in first if key != name} == {
        key: second[key] for key in second if key != name
    }


def test_elements_and_values_that_can_be_null_are_set(path: Path) -> None:
    with edit_message(path, Root) as m:
        m.set("days", 1, dt.date(2001, 2, 3))
        m.set("rows", 0, "maybe", "value", dt.datetime(2001, 2, 3))
        m.set("rows", 1, "maybe", "none", None)
    with open_message(path, Root) as m:
        assert m.rows("days") == [dt.date(2000, 1, 1), dt.date(2001, 2, 3)]
        assert m.rows("rows")[0]["maybe"] == {"value": dt.datetime(2001, 2, 3)}
        assert m.rows("rows")[1]["maybe"] == {"none": None}


def test_what_does_not_fit_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with edit_message(path, Root) as m:
        for steps, value, error in (
            (("rows", 0, "ns"), dt.datetime(2001, 2, 3), TypeError),
            (("rows", 0, "price"), Decimal("1.255"), ValueError),
            (("rows", 0, "small"), Decimal(100), OverflowError),
            (("rows", 0, "day"), "2001-02-03", TypeError),
            (("days", 0), dt.datetime(2001, 2, 3), TypeError),
        ):
            with pytest.raises(error):
                m.set(*steps, value)
    assert path.read_bytes() == before
