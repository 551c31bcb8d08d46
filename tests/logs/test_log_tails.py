"""What can stand behind the messages of a file, and in place of them."""

from __future__ import annotations

import os
import random
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, open_log
from support.events import EVENT, FENCE, check, frame, index_of, write
from support.requirements import missing

MIB = 1 << 20


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 30])
def test_a_torn_tail_is_told_and_the_rest_is_read(target: Path, cut: int) -> None:
    *_, last = write(target, range(10))
    os.truncate(target, target.stat().st_size - len(last) + cut)
    with pytest.warns(RuntimeWarning, match=f"target: the last {cut} bytes are no message"):
        log = open_log(target, EVENT.schema)
    assert len(log) == 9
    assert log.torn == cut
    check(log[8], 8)


def test_zeros_at_the_end_are_told_and_the_rest_is_read(target: Path) -> None:
    write(target, range(10))
    os.truncate(target, target.stat().st_size + 2 * MIB)
    with pytest.warns(RuntimeWarning, match="zeros"):
        log = open_log(target, EVENT.schema)
    assert len(log) == 10
    assert log.torn == 2 * MIB


def bytes_read() -> int:
    """How many bytes this process has asked the kernel to copy by now."""
    try:
        text = Path("/proc/self/io").read_text()
    except OSError:
        missing("the kernel does not count what is read")
    return int(text.split()[1])


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "btrfs"])
def test_holes_are_not_read(mount: Callable[..., Path], kind: str) -> None:
    target = mount(kind, 16 * MIB) / "target"
    write(target, range(10))
    whole = target.stat().st_size
    with target.open("r+b") as file:
        file.truncate(1 << 34)
        file.seek(5 << 30)
        file.write(bytes(MIB))  # zeros that are no hole
    before = bytes_read()
    with pytest.warns(RuntimeWarning, match="zeros"):
        log = open_log(target, EVENT.schema)
    assert bytes_read() - before < 4 * MIB
    assert (len(log), log.torn) == (10, (1 << 34) - whole)
    with target.open("r+b") as file:
        file.seek(7 << 30)
        file.write(b"x")
    before = bytes_read()
    with pytest.raises(InvalidMessage, match=f"target: message 10, at byte {whole}"):
        open_log(target, EVENT.schema)
    assert bytes_read() - before < 16 * MIB  # it looks again, since a writer might be at work


def test_the_fence_of_a_writer_is_no_torn_message(target: Path) -> None:
    write(target, range(10))
    with target.open("ab") as file:
        file.write(FENCE)
        file.truncate(2 * MIB)
    with open_log(target, EVENT.schema) as log:
        assert len(log) == 10
        assert log.torn == 0
    assert not index_of(target).exists()


def test_garbage_is_refused_with_file_number_and_byte(target: Path) -> None:
    frames = write(target, range(10))
    with target.open("ab") as file:
        file.write(struct.pack("<II", 511, 1) + bytes(100))
    size = sum(map(len, frames))
    with pytest.raises(
        InvalidMessage, match=f"target: message 10, at byte {size}: .* more segments"
    ) as e:
        open_log(target, EVENT.schema)
    assert e.value.word == size // 8
    assert e.value.segment is None


def test_an_unfinished_message_is_refused(target: Path) -> None:
    target.write_bytes(b"\xff\xff\xff\xff" + bytes(60))
    with pytest.raises(InvalidMessage, match="message 0, at byte 0: the message is unfinished"):
        open_log(target)


@pytest.mark.parametrize("seed", range(40))
def test_any_bytes_end_in_messages_or_a_clear_error(target: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(b"".join(frame(time, 1 + time % 9) for time in range(50)))
    for _ in range(chance.choice([1, 10, 300])):
        data[chance.randrange(len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
    target.write_bytes(data[: chance.randrange(len(data))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            log = open_log(target, EVENT.schema, index=False)
        except InvalidMessage as error:
            assert "target: message" in str(error)
            return
    assert log.committed + log.torn == target.stat().st_size or log.torn == 0
    assert sum(len(log.frame(number)) for number in range(len(log))) == log.committed


@pytest.mark.parametrize("what", ["directory", "missing"])
def test_what_is_no_file_is_refused(target: Path, what: str) -> None:
    if what == "directory":
        target.mkdir()
    with pytest.raises(OSError, match="target"):
        open_log(target)
