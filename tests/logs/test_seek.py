"""Messages found by a key."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
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
