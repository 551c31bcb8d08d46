"""The index beside a log: what it spares, and when it is not used."""

from __future__ import annotations

import os
import random
import warnings
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, MessageLog, open_log
from support.events import EVENT, check, fields, index_of, times, write

N = 3000


def test_the_index_spares_looking_at_every_message(target: Path) -> None:
    write(target, range(N))
    assert open_log(target)._reader().indexed == 0
    assert open_log(target)._reader().indexed == N
    assert open_log(target, index=False)._reader().indexed == 0


def test_an_index_of_another_state_of_the_file_is_made_anew(target: Path) -> None:
    write(target, range(N))
    open_log(target)
    frames = write(target, range(N, 2 * N + 5))  # the same file, other content
    for indexed in [0, N + 5]:
        with open_log(target, EVENT.schema) as log:
            assert log._reader().indexed == indexed
            assert log.frame(1500) == frames[1500]


def test_an_index_of_another_file_is_not_used(target: Path) -> None:
    write(target, range(N))
    open_log(target)
    other = target.with_name("other")
    write(other, range(N - 1))
    index_of(other).write_bytes(index_of(target).read_bytes())
    with open_log(other, EVENT.schema) as log:
        assert log._reader().indexed == 0
        assert len(log) == N - 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_index_never_gives_a_wrong_message(target: Path, seed: int) -> None:
    chance = random.Random(seed)
    frames = write(target, range(N))
    open_log(target)
    data = bytearray(index_of(target).read_bytes())
    for _ in range(chance.choice([1, 5, 1000])):
        data[chance.randrange(len(data))] = chance.randrange(256)
    index_of(target).write_bytes(data[: chance.choice([len(data), chance.randrange(len(data))])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            log = open_log(target, EVENT.schema)
        except InvalidMessage:
            return
    for number in range(0, len(log), 7):
        try:
            assert log.frame(number) == frames[number]
        except InvalidMessage as error:
            assert "remove it" in str(error)


def test_where_no_index_can_be_made_it_goes_without(target: Path) -> None:
    write(target, range(N))
    index_of(target).mkdir()
    for _ in range(2):
        with open_log(target, EVENT.schema) as log:
            check(log[2000], 2000)
    assert [path.name for path in target.parent.iterdir() if "idx" in path.name] == ["target.idx"]


def test_a_place_that_is_wrong_is_no_place_of_another_message(target: Path) -> None:
    """Each place in the index is checked by where the message there ends."""
    write(target, range(N))
    open_log(target)
    data = bytearray(index_of(target).read_bytes())
    first = 4096 + 32  # the distances of the first block, after its base
    for number in (1, 500, 1023):
        data[first + 4 * number : first + 4 * number + 4] = bytes(4)  # where message 0 is
    index_of(target).write_bytes(data)
    with open_log(target, EVENT.schema) as log:
        assert log._reader().indexed == N
        for number in (1, 500, 1023):
            with pytest.raises(InvalidMessage, match="remove it"):
                log[number]
        check(log[2], 2)


def test_an_index_that_is_emptied_under_a_writer_does_not_cost_the_log(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(map(fields, range(10)))
        frames = target.read_bytes()[: log.committed]
        os.truncate(index_of(target), 0)
        for _ in range(3):
            with pytest.raises(OSError, match="truncated"):
                log.append(fields(10))
        with pytest.raises(OSError, match="truncated"):
            log.close()
    with MessageLog(target, schema=EVENT.schema) as log:
        assert target.read_bytes()[: log.committed] == frames
        assert log.append(fields(10)) == 10
    assert times(target) == list(range(11))
