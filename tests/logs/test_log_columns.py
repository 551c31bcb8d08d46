"""One field of all messages of a log: what pycapnp's readers say, at once."""

from __future__ import annotations

import bisect
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("capnp")

import capnp

from mmapbuilder import InvalidMessage, MessageLog, open_log
from support.events import EVENT, fields, frame, name_of, write
from support.messages import fill_kinds, plain
from support.processes import python
from support.readers import KINDS

NUMBERS = [
    "int8", "int16", "int32", "int64", "uInt8", "uInt16", "uInt32", "uInt64", "float32", "float64",
    "bool", "withDefault", "group.left", "inner.int32", "inner.bool",
]  # fmt: skip


def values(log: Any, name: str) -> list[Any]:
    """The same column, field by field from pycapnp."""
    found = []
    for value in log:
        for part in name.split("."):
            value = getattr(value, part)
        found.append(value)
    return found


@pytest.fixture
def kinds(target: Path) -> Any:
    """Messages of every kind of field: set, not set, and of several segments."""
    chance = random.Random(7)
    with target.open("wb") as file:
        for number in range(300):
            root = KINDS.schema.new_message(num_first_segment_words=chance.choice([1, 1000]))
            if number % 3:
                fill_kinds(root, 1)
            if number % 3 == 1:
                root.int64 = chance.randrange(-(2**63), 2**63)
                root.text = "x" * chance.randrange(50) + "é"
                root.choice.number = number
            file.write(root.to_bytes())
    return open_log(target, KINDS.schema)


@pytest.mark.parametrize("name", ["float64", "text", *NUMBERS])
def test_seek_agrees_with_the_values_that_readers_have(target: Path, name: str) -> None:
    least = -120 if name.startswith(("int", "float", "inner.int")) else 0
    keys: list[Any] = [least + n // 3 for n in range(360)]
    if "bool" in name:
        keys = [n > 100 for n in range(360)]
    elif name == "text":
        keys = [f"{n // 3:04}" for n in range(360)]
    with target.open("wb") as file:
        for key in keys:
            root = KINDS.schema.new_message(num_first_segment_words=1)
            *way, last = name.split(".")
            setattr(getattr(root, way[0]) if way else root, last, key)
            file.write(root.to_bytes())
    with open_log(target, KINDS.schema) as log:
        for part in [slice(None), slice(10, 300, 7), slice(5, 5)]:
            here = keys[part]
            for key in {keys[0], keys[7], keys[100], keys[-1]}:
                assert log[part].seek(key, name) == bisect.bisect_left(here, key)
        if "bool" not in name and name != "text":
            beyond = (-(10**30), -0.5, 33.5, 10**30)
            assert [log.seek(key, name) for key in beyond] == [
                bisect.bisect_left(keys, key) for key in beyond
            ]
            with pytest.raises(TypeError, match="cannot be compared"):
                log.seek("x", name)


def test_seek_by_a_member_that_is_not_set_says_so(target: Path) -> None:
    target.write_bytes(KINDS.schema.new_message().to_bytes())
    with open_log(target, KINDS.schema) as log:
        with pytest.raises(capnp.KjException, match="union"):
            log.seek(3, "choice.number")


@pytest.mark.parametrize("name", NUMBERS)
def test_columns_of_numbers_are_what_readers_say(kinds: Any, name: str) -> None:
    column = kinds.column(*name.split("."))
    expected = values(kinds, name)
    assert column.tolist() == expected
    assert kinds.column(name).tolist() == expected
    assert kinds[250:10:-7].column(name).tolist() == expected[250:10:-7]
    assert kinds[5:9].column(name).tolist() == expected[5:9]
    assert len(kinds[5:5].column(name)) == 0


@pytest.mark.parametrize("name", ["text", "data", "group.right", "inner.text"])
def test_columns_of_text_and_data_are_what_readers_say(kinds: Any, name: str) -> None:
    expected = values(kinds, name)
    assert kinds.column(name).tolist() == expected
    assert kinds[::-2].column(name).tolist() == expected[::-2]


def test_enums_and_tags_are_numbers(kinds: Any) -> None:
    assert kinds.column("colour").tolist() == [event.colour.raw for event in kinds]
    members = ["none", "number", "name"]
    expected = [members.index(event.choice.which()) for event in kinds]
    assert kinds.column("choice", "@which").tolist() == expected


def test_members_of_unions_that_are_not_active_have_their_default(kinds: Any) -> None:
    expected = [e.choice.number if e.choice.which() == "number" else 0 for e in kinds]
    assert kinds.column("choice.number").tolist() == expected
    names = [e.choice.name if e.choice.which() == "name" else "" for e in kinds]
    assert kinds.column("choice.name").tolist() == names


def test_a_table_has_a_row_for_each_message(kinds: Any) -> None:
    pytest.importorskip("pyarrow")
    with pytest.warns(UserWarning, match="inner: .*contains itself.*any: "):
        table = kinds.table()
    assert {"int8", "text", "colour", "group.left", "choice.@which", "choice.number"} <= set(
        table.column_names
    )
    assert not {"inner", "inners", "any"} & set(table.column_names)
    rows = table.to_pylist()
    for event, row in zip(kinds, rows, strict=True):
        assert row["int64"] == event.int64
        assert row["colour"] == str(event.colour)
        assert row["text"] == (event.text if event._has("text") else None)
        assert row["choice.@which"] == event.choice.which()
        is_number = event.choice.which() == "number"
        assert row["choice.number"] == (event.choice.number if is_number else None)
    assert kinds[9:2:-3].table(["int64", "inner.text"]).to_pylist() == [
        {"int64": rows[i]["int64"], "inner.text": kinds[i].inner.text or None} for i in (9, 6, 3)
    ]


def test_rows_are_what_to_dict_says(target: Path) -> None:
    write(target, range(300), segment_words=1)
    with open_log(target, EVENT.schema) as log:
        assert log.rows() == [plain(event) for event in log]
        assert log[7:3:-1].rows(tuple)[0] == (*fields(7).values(), None)
        with pytest.raises(TypeError, match="as_ must be dict, tuple or a class"):
            log.rows(7)


@pytest.mark.parametrize("step", [1, -1, 3])
def test_rows_and_tables_of_a_part_are_those_of_a_slice(target: Path, step: int) -> None:
    pytest.importorskip("pyarrow")
    write(target, range(100))
    with open_log(target, EVENT.schema) as log:
        messages = log[20:][::step]
        for start, stop in [(0, 5), (7, None), (-3, None), (5, 2), (0, -9)]:
            assert messages.rows(start=start, stop=stop) == messages.rows()[start:stop]
            part = messages.table(columns=["time"], start=start, stop=stop).to_pylist()
            assert part == messages.table(columns=["time"]).to_pylist()[start:stop]
        assert log.rows(tuple, start=1, stop=2) == [log.rows(tuple)[1]]


def test_fields_that_are_no_columns_are_refused(kinds: Any) -> None:
    with pytest.raises(KeyError, match="has no field 'nope'"):
        kinds.column("nope")
    for path in [("any",), ("void",), ("int8", "more"), ("inners", "int8"), (7,), ()]:
        with pytest.raises(TypeError):
            kinds.column(*path)
    with pytest.raises(TypeError, match="names=True is for enums"):
        kinds.column("int8", names=True)
    with pytest.raises(TypeError, match="contains itself"):
        kinds.table(["inner"])
    with pytest.raises(TypeError, match="any"):
        kinds.table(["any"])
    with pytest.raises(KeyError, match="no 'inner.nope'"):
        kinds.table(["inner.nope"])


def test_columns_need_a_schema(target: Path) -> None:
    write(target, range(3))
    with open_log(target) as log, pytest.raises(TypeError, match="without a schema"):
        log.column("time")


def test_an_empty_log_has_empty_columns(target: Path) -> None:
    with MessageLog(target):
        pass
    with open_log(target, EVENT.schema) as log:
        assert log.column("time").dtype == np.uint64
        assert log.column("name").tolist() == log.rows() == []


def test_a_message_that_is_wrong_is_named(target: Path) -> None:
    data = bytearray(b"".join(frame(time) for time in range(10)))
    start = sum(len(frame(time)) for time in range(4))
    data[start + 8 : start + 16] = b"\xff" * 8
    target.write_bytes(data)
    with open_log(target, EVENT.schema, index=False) as log:
        for name in ["time", "name"]:
            with pytest.raises(InvalidMessage, match="target: message 4: "):
                log.column(name)
            with pytest.raises(InvalidMessage, match="target: message 4: "):
                log[3:].column(name)
        assert log[5:].column("time").tolist() == [5, 6, 7, 8, 9]


@pytest.mark.parametrize("seed", range(30))
def test_any_bytes_in_messages_end_in_values_or_a_clear_error(target: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(b"".join(frame(time, 1 + time % 40) for time in range(100)))
    with target.open("wb") as file:
        file.write(data)
    log = open_log(target, EVENT.schema, index=False)
    places = [int(start) for start in log.offsets]
    for _ in range(chance.choice([1, 10, 100])):  # the tables stay as they are
        start = chance.choice(places)
        at = start + 24 + chance.randrange(40)
        if all(not start <= at < start + 24 for start in places):
            data[at % len(data)] = chance.randrange(256)
    target.write_bytes(data)
    log.close()
    try:
        log = open_log(target, EVENT.schema, index=False)
        for name in ["time", "value", "name", "payload"]:
            assert len(log.column(name)) == len(log)
        log.rows()
    except InvalidMessage:
        pass


DAMAGED = """
import random, sys, warnings
from pathlib import Path
from mmapbuilder import InvalidMessage, open_log
from support.messages import fill_kinds
from support.readers import KINDS

warnings.simplefilter("ignore")
path, found, refused = Path(sys.argv[1]), 0, 0
frames = []
for number in range(12):
    root = KINDS.schema.new_message(num_first_segment_words=(1, 1000)[number % 3 == 0])
    fill_kinds(root, 1)
    frames.append(root.to_bytes())
for seed in range(400):
    chance = random.Random(seed)
    damaged = [bytearray(frame) for frame in frames]
    for frame in chance.choices(damaged, k=3):
        frame[chance.randrange(24, len(frame))] = chance.randrange(256)
    path.write_bytes(b"".join(damaged))
    try:
        log = open_log(path, KINDS.schema, index=False)
    except InvalidMessage:
        continue
    for read in (log.table, log.rows, log[2:9].table, log[::2].rows, lambda: log.rows(tuple)):
        try:
            read()
            found += 1
        except InvalidMessage as error:
            assert f"{path}: message " in str(error), error
            refused += 1
print(found, refused)
"""


def test_damage_is_an_error_that_names_the_message(target: Path) -> None:
    pytest.importorskip("pyarrow")
    ended = python(DAMAGED, target, timeout=120)
    assert ended.code == 0, ended
    found, refused = map(int, ended.out.split())
    assert found > 100
    assert refused > 100


# ---- strings, which are read a batch at a time ------------------------------------------------


def event_named(stored: bytes, behind: bytes = b"") -> bytes:
    """An event whose name is `stored`, its terminator included, with more bytes behind it."""
    words = -(-len(stored + behind) // 8)
    name = 1 << 2 | 1, len(stored) << 3 | 2  # the list begins behind one more pointer
    head = struct.pack("<IIIHHQdIIQ", 0, 5 + words, 0, 2, 2, 7, 0.5, *name, 0)
    return head + (stored + behind).ljust(words * 8, b"\0")


@pytest.mark.parametrize(
    "text", ["", "1234567", "12345678", "é", "é" * 20, "x" * 31, "x" * 33, "x" * 200]
)
@pytest.mark.parametrize("behind", [b"", b"\xff\xfe", b"y"])
def test_what_lies_behind_a_text_is_not_read(target: Path, text: str, behind: bytes) -> None:
    odd = event_named(text.encode() + b"\0", behind)
    target.write_bytes(b"".join([frame(1), odd, odd, frame(2)] * 70))
    with open_log(target, EVENT.schema, index=False) as log:
        assert log[1].name == text
        expected = [name_of(1), text, text, name_of(2)] * 70
        assert list(log.column("name")) == expected
        assert [row["name"] for row in log.rows()] == expected
        assert log.table(columns=["name"]).to_pyarrow()["name"].to_pylist() == expected


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        (b"\xff\0", "not UTF-8"),
        (b"a" * 30 + b"\xed\xa0\x80\0", "not UTF-8"),
        (b"ab\0cdefg", "terminator"),
        (b"", "terminator"),
    ],
)
def test_a_text_that_is_wrong_is_named(target: Path, stored: bytes, words: str) -> None:
    target.write_bytes(b"".join([*map(frame, range(200)), event_named(stored), frame(1)]))
    with open_log(target, EVENT.schema, index=False) as log:
        for read in (log.table, log.rows, lambda: log.column("name")):
            with pytest.raises(InvalidMessage, match=f"message 200: .*{words}"):
                read()


def test_texts_that_are_not_set_are_read_with_the_others(target: Path) -> None:
    unset = bytes(EVENT.schema.new_message(time=9).to_bytes())
    target.write_bytes(b"".join([*map(frame, range(200)), unset, frame(1)]))
    with open_log(target, EVENT.schema, index=False) as log:
        names = log.table(columns=["name"]).to_pyarrow()["name"].to_pylist()
    assert names == [*map(name_of, range(200)), None, name_of(1)]
