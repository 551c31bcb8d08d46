"""open_log: the messages of any file of frames as a sequence."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import struct
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("capnp")

from mmapbuilder import Log, MessageLog, open_log
from support.events import EVENT, check, fields, frame, index_of, write
from support.readers import KINDS
from support.requirements import missing

MIB = 1 << 20
N = 3000


@pytest.fixture
def log(target: Path) -> Log:
    write(target, range(N))
    return open_log(target, EVENT.schema)


@pytest.mark.parametrize("index", [False, True])
def test_a_file_that_pycapnp_wrote_is_a_sequence_of_its_messages(target: Path, index: bool) -> None:
    frames = write(target, range(N))
    for _ in range(2):  # the second time there is an index
        with open_log(target, EVENT.schema, index=index) as log:
            assert len(log) == N
            for number in [0, 1, 1023, 1024, 1025, N - 1]:
                check(log[number], number)
                check(log[number - N], number)
                assert log.frame(number) == frames[number]
            assert log.committed == target.stat().st_size
            assert log.torn == 0
    assert index_of(target).exists() == index


def test_it_iterates_forwards_and_backwards(log: Log) -> None:
    assert [event.time for event in log] == list(range(N))
    assert [event.time for event in reversed(log)] == list(range(N))[::-1]
    assert list(iter(log[3:3])) == []


def test_slices_are_views_with_all_that_a_log_has(log: Log) -> None:
    numbers = list(range(N))
    for part in [
        slice(None),
        slice(10, 20),
        slice(-7, None),
        slice(5, 2000, 7),
        slice(2000, 5, -9),
    ]:
        view = log[part]
        assert len(view) == len(numbers[part])
        assert [event.time for event in view] == numbers[part]
        assert [event.time for event in reversed(view)] == numbers[part][::-1]
        assert view[-1].time == numbers[part][-1]
        assert view.frame(0) == log.frame(numbers[part][0])
        assert view.offsets.tolist() == log.offsets[part].tolist()
        assert [event.time for event in view[2:4]] == numbers[part][2:4]


def test_offsets_tell_where_each_message_starts(target: Path) -> None:
    frames = write(target, range(N))
    starts = np.cumsum([0, *map(len, frames)])[:-1]
    for index in [False, True, True]:
        with open_log(target, index=index) as log:
            assert log.offsets.dtype == np.uint64
            assert (log.offsets == starts).all()


def test_messages_of_several_segments(target: Path) -> None:
    write(target, range(100), segment_words=1)
    with open_log(target, EVENT.schema) as log:
        assert struct.unpack("<I", log.frame(0)[:4])[0] > 0
        for number in range(100):
            check(log[number], number)


def test_there_is_no_message_beyond_the_end(log: Log) -> None:
    for number in [N, -N - 1, 2**70]:
        with pytest.raises(IndexError):
            log[number]
        with pytest.raises(IndexError):
            log.frame(number)
    with pytest.raises(IndexError):
        log[10:20][10]


def test_an_empty_file_is_an_empty_log(target: Path) -> None:
    target.touch()
    with open_log(target, EVENT.schema) as log:
        assert len(log) == 0
        assert log.offsets.tolist() == []
        assert list(log) == []
        assert log.committed == 0


def test_without_a_schema_there_are_frames_but_no_roots(target: Path) -> None:
    frames = write(target, range(3))
    with open_log(target) as log:
        assert [log.frame(i) for i in range(3)] == frames
        with pytest.raises(TypeError, match="without a schema"):
            log[0]
    with pytest.raises(TypeError, match="schema must be a struct"):
        open_log(target, EVENT)


def test_the_traversal_limit_is_lifted(target: Path) -> None:
    event = EVENT.schema.new_message(payload=b"x" * (65 * MIB))
    target.write_bytes(event.to_bytes())
    with open_log(target, EVENT.schema) as log:
        for _ in range(2):
            assert len(log[0].payload) == 65 * MIB


def test_messages_nest_as_deeply_as_is_said(target: Path) -> None:
    """Not more deeply than pycapnp reads unless told, since str() of a message recurses in C."""
    with MessageLog(target, schema=KINDS.schema) as log, log.build() as inner:
        for _ in range(200):
            inner = inner.init("inner")
        inner.text = "deep"
    for limit in (None, 300):
        with open_log(target, KINDS.schema, **({"nesting_limit": limit} if limit else {})) as read:
            for root in (read[0], next(iter(read)), pickle.loads(pickle.dumps(read))[0]):
                found = root
                with contextlib.nullcontext() if limit else pytest.raises(Exception, match="nest"):
                    for _ in range(200):
                        found = found.inner
                    assert found.text == "deep"


def test_what_was_read_stays_valid_after_close(log: Log) -> None:
    root, view, iterator = log[7], log.frame(8), iter(log)
    next(iterator)
    expected = frame(8)
    log.close()
    assert log.closed
    del log
    gc.collect()
    check(root, 7)
    assert view == expected
    check(next(iterator), 1)
    assert view.readonly


def test_a_closed_log_says_so(log: Log) -> None:
    log.close()
    log.close()
    for use in [lambda: log[0], lambda: log.refresh(), lambda: log.committed, lambda: iter(log)]:
        with pytest.raises(ValueError, match="closed log"):
            use()


def test_no_descriptor_is_kept(target: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        missing("descriptors cannot be counted here")
    write(target, range(10))
    before = os.listdir("/proc/self/fd")
    logs = [open_log(target, EVENT.schema) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert len(logs[3]) == 10


# ---- pickling -----------------------------------------------------------------------


def _time(log: Log, number: int) -> int:
    time: int = log[number].time
    return time


def test_it_is_pickled_by_its_path(log: Log) -> None:
    again = pickle.loads(pickle.dumps(log))
    assert len(again) == N
    check(again[5], 5)
    assert len(pickle.dumps(log)) < 1000


def test_worker_processes_open_it_again(log: Log) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(_time, log, 17).result(60) == 17


def test_fields_of_events_are_what_the_helpers_say() -> None:
    event = EVENT.schema.new_message(**fields(12))
    check(event, 12)
