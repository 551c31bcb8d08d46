"""Messages found by a key."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log, schema_path
from support.events import EVENT, fields
from support.readers import KINDS


def test_seek_finds_the_first_message_of_a_key(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, key="time") as writer:
        for time in range(0, 3000, 3):
            writer.append(fields(time))
        with open_log(target, EVENT.schema) as live:
            assert live.seek(300) == 100
    for index in [True, False]:
        with open_log(target, EVENT.schema, index=index) as log:
            field = None if index else "time"
            assert [log.seek(key, field) for key in [0, 1, 3, 1500, 2997, 2998]] == [
                0, 1, 1, 500, 999, 1000,
            ]  # fmt: skip
            assert log[100:200].seek(450, field) == 50
            assert log.seek("event 3", "name") > 0
            with pytest.raises(KeyError):
                log.seek(1, "nope")
    with pytest.raises(ValueError, match="names no key"):
        open_log(target, EVENT.schema, index=False).seek(1)
    with pytest.raises(ValueError, match="63 bytes"):
        MessageLog(target, key="x" * 64)
    with MessageLog(target, schema=EVENT.schema) as writer:  # it is kept
        writer.append(fields(3000))
    assert open_log(target, EVENT.schema).seek(3000) == 1000


def test_a_key_of_another_kind_is_told(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, key="time") as writer:
        writer.extend(fields(time) for time in range(3))
    with open_log(target, EVENT.schema) as log:
        with pytest.raises(TypeError, match="key 'time' is a UInt64, with which 'x' cannot be"):
            log.seek("x")
        with pytest.raises(TypeError, match="key 'name' is a Text, with which 5 cannot be"):
            log.seek(5, "name")


def test_names_of_an_enum_are_in_the_order_of_their_numbers(target: Path) -> None:
    colours = ["red", "green", "blue"]
    with MessageLog(target, schema=KINDS.schema, key="colour") as writer:
        writer.extend({"colour": colours[number // 10]} for number in range(30))
    with open_log(target, KINDS.schema) as log:
        assert [log.seek(key) for key in [*colours, 0, 1, 2, 3]] == [0, 10, 20, 0, 10, 20, 30]
        with pytest.raises(ValueError, match="green, blue, but not 'pink'"):
            log.seek("pink")


SCHEMA = """
@0xc1d6a8f0b3e59274;
using Arrow = import "/mmapbuilder/arrow.capnp";
struct Tick {
  at @0 :Int64 $Arrow.timestamp(unit = "us", timezone = "UTC");
  local @1 :Int64 $Arrow.timestamp(unit = "s");
  day @2 :Int32 $Arrow.date32;
  time @3 :Int32 $Arrow.time(unit = "ms");
  span @4 :Int64 $Arrow.duration(unit = "ms");
  price @5 :Int64 $Arrow.decimal(scale = 2);
  union {
    one @6 :Void;
    two @7 :Void;
  }
}
"""


def test_keys_are_what_an_annotation_says(target: Path) -> None:
    capnp = pytest.importorskip("capnp")
    schema = target.with_suffix(".capnp")
    schema.write_text(SCHEMA)
    tick = capnp.load(str(schema), imports=[schema_path()]).Tick
    epoch = dt.datetime(1970, 1, 1)
    aware = epoch.replace(tzinfo=dt.UTC)
    with MessageLog(target, schema=tick, key="at") as log:
        log.extend(
            {
                "at": aware + dt.timedelta(seconds=number),
                "local": epoch + dt.timedelta(seconds=number),
                "day": dt.date(1970, 1, 1 + number),
                "time": dt.time(0, 0, number),
                "span": dt.timedelta(seconds=number),
                "price": number,
            }
            for number in range(20)
        )
    with open_log(target, tick) as log:
        keys: list[tuple[str, object, int]] = [
            ("at", aware + dt.timedelta(seconds=5), 5),
            ("at", dt.datetime(1970, 1, 1, 1, 0, 5, tzinfo=dt.timezone(dt.timedelta(hours=1))), 5),
            ("at", aware + dt.timedelta(seconds=5, microseconds=1), 6),
            ("at", aware - dt.timedelta(days=1), 0),
            ("at", aware + dt.timedelta(days=1), 20),
            ("at", 5_000_000, 5),
            ("at", 4_999_999.5, 5),
            ("local", epoch + dt.timedelta(seconds=5), 5),
            ("local", epoch + dt.timedelta(seconds=5, microseconds=1), 6),
            ("day", dt.date(1970, 1, 6), 5),
            ("time", dt.time(0, 0, 5), 5),
            ("time", dt.time(0, 0, 5, 1), 6),
            ("span", dt.timedelta(seconds=5), 5),
            ("span", dt.timedelta(seconds=5, microseconds=1), 6),
            ("price", Decimal("5.00"), 5),
            ("price", Decimal("5.001"), 6),
            ("price", 5, 5),
            ("price", 5.5, 6),
        ]
        for field, key, number in keys:
            assert log.seek(key, field) == number, (field, key)
        for field, wrong in [("at", epoch), ("local", aware), ("day", epoch), ("price", "5 EUR")]:
            with pytest.raises((TypeError, ValueError)):
                log.seek(wrong, field)
        for number in range(20):
            assert log.seek(log.rows()[number]["at"]) == number
        with pytest.raises(TypeError, match="'@which' is the tag of a union"):
            log.seek(1, "@which")
        numpy = pytest.importorskip("numpy")
        assert log.seek(numpy.datetime64(5, "s"), "at") == 5
        assert log.seek(log.column("span")[7], "span") == 7


@pytest.mark.parametrize("key", ["tme", "time.x", "", "@which"])
def test_a_key_that_is_no_field_is_refused_by_the_writer(target: Path, key: str) -> None:
    with pytest.raises((KeyError, ValueError), match="has no field|a key has up to 63 bytes"):
        MessageLog(target, schema=EVENT.schema, key=key)
    assert not target.exists()
    MessageLog(target, key="not looked up without a schema").close()
