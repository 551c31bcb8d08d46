"""open_log: the messages of any file of frames as a sequence."""

from __future__ import annotations

import bz2
import contextlib
import gc
import os
import pickle
import random
import struct
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, Log, MessageLog, open_log
from support import apart
from support.events import EVENT, FENCE, check, fields, frame, write
from support.missing import missing
from support.readers import KINDS

MIB = 1 << 20
N = 3000


def index_of(path: Path) -> Path:
    return path.with_name(path.name + ".idx")


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


# ---- a file that grows ------------------------------------------------------------------


@pytest.mark.parametrize("index", [False, True])
def test_refresh_finds_what_others_appended(target: Path, index: bool) -> None:
    write(target, range(5))
    with open_log(target, EVENT.schema, index=index) as log:
        old, view = log[:], log.frame(0)
        for count in [6, 7, 2000]:
            with target.open("ab") as file:
                for time in range(len(log), count):
                    file.write(frame(time))
            assert len(log) < count
            assert log.refresh() == len(log) == count
            for number in range(0, count, 13):
                check(log[number], number)
            assert [event.time for event in log] == list(range(count))
            assert len(log.offsets) == count
        assert len(old) == 5
        assert view == frame(0)


def test_a_message_that_is_being_written_is_not_there_yet(target: Path) -> None:
    write(target, range(5))
    with open_log(target, EVENT.schema) as log:
        data = frame(5)
        for byte in range(len(data)):
            with target.open("ab") as file:
                file.write(data[byte : byte + 1])
            whole = byte + 1 == len(data)
            assert log.refresh() == (6 if whole else 5)
            assert log.torn == (0 if whole else byte + 1)
        check(log[5], 5)


def test_refresh_leaves_another_file_of_the_same_name_alone(target: Path) -> None:
    write(target, range(5))
    with open_log(target, EVENT.schema) as log:
        target.rename(target.with_name("old"))
        assert log.refresh() == 5
        write(target, range(9))
        assert log.refresh() == 5
        check(log[4], 4)


def test_follow_waits_for_what_is_appended(target: Path) -> None:
    write(target, range(3))
    with open_log(target, EVENT.schema) as log:
        assert [event.time for event in log.follow(0, timeout=0)] == [0, 1, 2]
        assert [event.time for event in log.follow(timeout=0.05)] == []
        code = """
            import sys, time
            from support.events import frame
            for i in range(3, 300):
                with open(sys.argv[1], "ab", 0) as file:
                    data = frame(i)
                    file.write(data[:30])
                    file.write(data[30:])
                if i % 50 == 0:
                    time.sleep(0.02)
        """
        writer = apart.start(code, target)
        follower = log.follow(start=1, timeout=30)
        assert [next(follower).time for _ in range(299)] == list(range(1, 300))
        apart.end(writer).ok()


def test_follow_begins_where_the_log_ends_when_it_is_called(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as writer:
        writer.append(fields(0))
        with open_log(target, EVENT.schema) as log:
            writer.append(fields(1))
            following = log.follow(timeout=0.01)
            writer.append(fields(2))
            writer.append(fields(3))
            assert [event.time for event in following] == [2, 3]


@pytest.mark.parametrize("index", [True, False])
def test_follow_is_woken_by_a_writer(target: Path, index: bool) -> None:
    code = """
        import sys, time
        from mmapbuilder import MessageLog
        from support.events import EVENT, fields
        with MessageLog(sys.argv[1], "a", schema=EVENT.schema) as log:
            print("open", flush=True)
            for number in range(3, 2000):
                log.append(fields(number))
                if number % 100 == 0:
                    time.sleep(0.02)
            input()
    """
    write(target, range(3))
    with open_log(target, EVENT.schema) as log:
        writer = apart.start(code, target)
        apart.line(writer)
        found = []
        with open_log(target, EVENT.schema, index=index) as log:
            for event in log.follow(start=0, timeout=30):
                check(event, event.time)
                found.append(event.time)
                if event.time == 1999:
                    break
            assert [event.time for event in log.follow(timeout=0.1)] == []
            if index:
                assert log._wait_for_news(len(log), 0.001)
        assert found == list(range(2000))
        apart.tell(writer)
        apart.end(writer).ok()
    with open_log(target, EVENT.schema) as log:
        assert not log._wait_for_news(len(log), 0.001)


# ---- the index ---------------------------------------------------------------------------


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
            assert bytes(log.frame(number)) in frames
        except InvalidMessage as error:
            assert "remove it" in str(error)


def test_where_no_index_can_be_made_it_goes_without(target: Path) -> None:
    write(target, range(N))
    index_of(target).mkdir()
    for _ in range(2):
        with open_log(target, EVENT.schema) as log:
            check(log[2000], 2000)
    assert [path.name for path in target.parent.iterdir() if "idx" in path.name] == ["target.idx"]


# ---- tails and hostile files ------------------------------------------------------------


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


# ---- compressed ----------------------------------------------------------------------------


def _zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        packed: bytes = pytest.importorskip("compression.zstd").compress(data)
    else:
        packed = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    return packed


@pytest.mark.parametrize("pack", [bz2.compress, _zstd])
def test_compressed_logs_are_unpacked(target: Path, pack: object) -> None:
    frames = write(target, range(N))
    data = target.read_bytes()
    half = len(b"".join(frames[:1000]))
    target.write_bytes(pack(data[:half]) + pack(data[half:]))  # type: ignore[operator]
    with open_log(target, EVENT.schema) as log:
        assert len(log) == N
        check(log[N - 1], N - 1)
        assert log.refresh() == N
    assert not index_of(target).exists()


@pytest.mark.slow
def test_a_compressed_log_that_ends_early_is_read_as_far_as_it_goes(target: Path) -> None:
    write(target, range(100_000))
    packed = bz2.compress(target.read_bytes())
    target.write_bytes(packed[: len(packed) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        log = open_log(target, EVENT.schema)
    assert 0 < len(log) < 100_000
    check(log[-1], len(log) - 1)


def test_damaged_compressed_logs_are_refused(target: Path) -> None:
    for packed in [bz2.compress(frame(1) * 1000), _zstd(frame(1) * 1000)]:
        target.write_bytes(packed[:8] + b"damaged!" * 20)
        with pytest.raises(OSError, match="cannot unpack it"):
            open_log(target)


def test_fields_of_events_are_what_the_helpers_say() -> None:
    event = EVENT.schema.new_message(**fields(12))
    check(event, 12)


def test_a_follower_of_an_empty_log_is_woken_for_its_first_message(target: Path) -> None:
    """The index tells of it, and the file is looked at no more."""
    with MessageLog(target, schema=EVENT.schema) as writer, open_log(target, EVENT.schema) as log:
        assert log._wait_for_news(0, 0.001)
        writer.append(fields(0))
        assert log._glance() == 1
        assert next(log.follow(0)).time == 0
