"""Messages that are built in place, at the end of a log."""

from __future__ import annotations

import json
import struct
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from support.events import EVENT, check, fields, read_by_others, times
from support.readers import Programs

KIB, MIB = 1 << 10, 1 << 20


def test_a_large_message_is_built_in_the_file(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
        with log.build() as root:
            root.time = 1
            root.payload = bytes(range(256)) * (40 * KIB)
            assert len(open_log(target, EVENT.schema)) == 1
        assert len(log) == 2
        with open_log(target, EVENT.schema) as reader:
            assert reader[1].payload == bytes(range(256)) * (40 * KIB)
            assert struct.unpack("<I", reader.frame(1)[:4]) == (0,)
        with log.build() as root:
            root.time, root.value, root.name = fields(2).values()
        log.append(fields(3))
    with target.open("rb") as file:
        events = list(EVENT.schema.read_multiple(file))
    assert [event.time for event in events] == [0, 1, 2, 3]
    check(events[2], 2)


def test_an_exception_in_the_body_drops_the_message(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
        for size in [10, 10 * MIB]:
            with pytest.raises(ZeroDivisionError):
                with log.build() as root:
                    root.payload = b"x" * size
                    1 / 0
        assert len(log) == 1
        with log.build() as root:  # in zeroed memory
            assert (root.time, root.payload) == (0, b"")
            root.time, root.value, root.name = fields(1).values()
        log.append(fields(2))
    assert times(target) == [0, 1, 2]


def test_what_was_built_is_private_afterwards(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        with log.build() as root:
            root.time, root.value, root.name = fields(0).values()
        log.append(fields(1))
        root.time = 99
        root.name = "never in the file" * 1000
        assert root.time == 99
        log.append(fields(2))
    root.time = 100
    assert times(target) == [0, 1, 2]


def test_nothing_else_is_appended_meanwhile(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        with log.build() as root:
            root.time, root.value, root.name = fields(0).values()
            for use in [lambda: log.append(time=1), lambda: log.build().__enter__(), log._cut]:
                with pytest.raises(RuntimeError, match="being built"):
                    use()
    assert times(target) == [0]


def test_a_message_of_several_segments_is_built_in_place(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        with pytest.warns(RuntimeWarning, match="traversal limit"):
            with log.build() as root:
                root.payload = b"1" * (50 * MIB)
                root.name = "2" * (50 * MIB)
                root.time = 5
        log.append(fields(1))
    with open_log(target, EVENT.schema, index=False) as reader:
        assert struct.unpack("<I", reader.frame(0)[:4]) == (6,)
        event = reader[0]
        assert (event.time, len(event.payload), len(event.name)) == (5, 50 * MIB, 50 * MIB)
        check(reader[1], 1)


def test_closing_while_a_message_is_built_drops_it(target: Path) -> None:
    log = MessageLog(target, schema=EVENT.schema)
    log.append(fields(0))
    with pytest.raises(ValueError, match="closed log"):
        with log.build() as root:
            root.time = 1
            log.close()
    assert times(target) == [0]


# What a fence claims in the beginning, and what other readers take, in MiB; and about.
@pytest.mark.parametrize("size", [55, 57, 60, 63])
def test_messages_of_up_to_64_mib_are_taken_by_other_readers(
    target: Path, programs: Programs, size: int
) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
        with log.build() as root:
            root.time, root.value, root.name = fields(1).values()
            root.payload = bytes(size * MIB)
        assert read_by_others(target) == [0, 1]
        log.append(fields(2))
    assert target.stat().st_size < (size + 1) * MIB
    assert read_by_others(target) == [0, 1, 2]
    with open_log(target, EVENT.schema) as reader:
        assert [len(event.payload) for event in reader] == [0, size * MIB, 0]
    kind = EVENT
    done = subprocess.run(
        [programs.reader, "all", target, kind.file, kind.struct, kind.imports, "time"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert [int(json.loads(line)) for line in done.stdout.splitlines()] == [0, 1, 2]
