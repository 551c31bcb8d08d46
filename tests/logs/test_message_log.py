"""MessageLog: what was appended is in the file, and nothing else."""

from __future__ import annotations

import dataclasses
import gc
import os
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("capnp")

from mmapbuilder import Builder, CapacityError, InvalidMessage, MessageLog, open_log
from support import processes
from support.events import (
    EVENT,
    FENCE,
    check,
    fields,
    frame,
    index_of,
    read_by_others,
    times,
    write,
)
from support.readers import ADDRESS_BOOK

KIB, MIB = 1 << 10, 1 << 20


def test_append_takes_builders_readers_dicts_and_fields(target: Path) -> None:
    builder = EVENT.schema.new_message(**fields(0))
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.append(builder) == 0
        assert log.append(EVENT.schema.new_message(**fields(1)).as_reader()) == 1
        assert log.append(fields(2)) == 2
        assert log.append(**fields(3)) == 3
        assert log.append_bytes(frame(4)) == 4
        assert log.append(builder) == 5
        assert len(log) == 6
    assert times(target) == [0, 1, 2, 3, 4, 0]
    builder.to_bytes()  # still without a warning


def test_a_struct_inside_a_message_can_be_appended(target: Path) -> None:
    book = ADDRESS_BOOK.schema.new_message()
    book.init("people", 2)[1].name = "Ada"
    with MessageLog(target) as log:
        log.append(book.people[1])
        log.append(book.as_reader().people[1])
    with open_log(target, _person()) as people:
        assert [person.name for person in people] == ["Ada", "Ada"]


@pytest.mark.parametrize("kind", ["builder", "reader"])
def test_a_group_is_no_message(tmp_path: Path, kind: str) -> None:
    """pycapnp ends the process if it is to make a message of one."""
    (tmp_path / "g.capnp").write_text(
        "@0xb5a1f3c2d4e6f708;\nstruct Row { place :group { x @0 :Int32; } }\n"
    )
    processes.python(
        """
        import os, sys
        import capnp
        from mmapbuilder import MessageLog

        os.chdir(sys.argv[1])
        row = capnp.load("g.capnp").Row.new_message()
        place = row.place if sys.argv[2] == "builder" else row.as_reader().place
        with MessageLog("a.log") as log:
            for append in log.append, lambda message: log.extend([message]):
                try:
                    append(place)
                except TypeError as error:
                    assert "is a group" in str(error), error
                else:
                    raise AssertionError("no error")
            assert len(log) == 0
            log.append(row)
        """,
        tmp_path,
        kind,
    ).ok()


def _person() -> object:
    import capnp

    return capnp.load(str(ADDRESS_BOOK.file)).Person


def test_messages_of_several_segments_are_appended_whole(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        for time in range(20):
            log.append_bytes(frame(time, segment_words=1))
    assert times(target) == list(range(20))
    assert target.read_bytes() == b"".join(frame(time, segment_words=1) for time in range(20))


def test_a_closed_log_is_exactly_its_messages(target: Path) -> None:
    log = MessageLog(target, schema=EVENT.schema)
    for time in range(5000):
        log.append_bytes(frame(time))
    assert target.stat().st_size % (2 * MIB) == 0
    log.close()
    assert target.read_bytes() == b"".join(map(frame, range(5000)))


def test_every_append_is_seen_at_once(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        with (
            open_log(target, EVENT.schema) as reader,
            open_log(target, EVENT.schema, index=False) as hopping,
        ):
            for time in range(3000):
                assert log.append_bytes(frame(time)) == time
                if time % 100 == 0 or 1020 < time < 1030:
                    assert reader.refresh() == hopping.refresh() == time + 1
                    assert reader.committed == hopping.committed == log.committed
                    check(reader[-1], time)
                    check(hopping[-1], time)
            assert reader._reader().indexed == 2901
        assert read_by_others(target) == list(range(3000))


@pytest.mark.slow
def test_the_file_is_never_more_than_the_fence_beyond_its_messages(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        for size in [10, 100_000, 1, 3 * MIB, 5, 70 * KIB, 20 * MIB, 5] * 3:
            message = EVENT.schema.new_message(payload=bytes(size))
            if size > MIB:
                with log.build() as root:
                    root.payload = bytes(size)
            else:
                log.append(message)
            with target.open("rb") as file:
                file.seek(log.committed)
                zero, words = struct.unpack("<II", file.read(8))
            assert zero == 0
            assert words % (4 * MIB // 8) == 0
            assert log.committed + 8 + 8 * words > target.stat().st_size
        before = log.committed
        for _ in range(100_000):
            log.append_bytes(frame(1))
        assert log.committed > before + 4 * MIB
        assert target.stat().st_size - log.committed <= 4 * MIB - 16
        with target.open("rb") as file:
            file.seek(log.committed)
            assert file.read(8) == FENCE


def test_rows_are_encoded_as_pycapnp_does(target: Path) -> None:
    @dataclasses.dataclass
    class Event:
        time: int
        value: float
        name: str | None = None
        payload: bytes | None = None

    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(Event(1, 2.5, "name", b"payload"))
        log.append((1, 2.5, "name", b"payload"))
        log.append(time=1, value=2.5, name="name", payload=b"payload")
        log.append({})
    expected = EVENT.schema.new_message(time=1, value=2.5, name="name", payload=b"payload")
    with open_log(target, EVENT.schema) as reader:
        for number in range(3):
            assert reader.frame(number) == expected.to_bytes()
            expected.clear_write_flag()
        assert reader[3].to_dict() == {"time": 0, "value": 0.0}


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"nope": 1}, ValueError),
        ({"time": -1}, OverflowError),
        ({"time": "x"}, TypeError),
        ({"name": b"\xff"}, (TypeError, ValueError)),
        (7, TypeError),
    ],
)
def test_fields_that_do_not_fit_are_refused(target: Path, bad: Any, error: Any) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
        with pytest.raises(error):
            log.append(bad)
    assert times(target) == [0]


# ---- modes ------------------------------------------------------------------------


def test_a_goes_on_behind_what_is_there(target: Path) -> None:
    for start in range(0, 40, 10):
        with MessageLog(target, "a", schema=EVENT.schema) as log:
            assert len(log) == start
            for time in range(start, start + 10):
                assert log.append(**fields(time)) == time
    assert times(target) == list(range(40))


def test_a_goes_on_behind_what_others_wrote(target: Path) -> None:
    write(target, range(2000))
    with MessageLog(target, "a", schema=EVENT.schema) as log:
        log.append(fields(2000))
    with target.open("ab") as file:
        file.write(frame(2001))
    with MessageLog(target, "a", schema=EVENT.schema) as log:
        assert len(log) == 2002
        log.append(fields(2002))
    assert times(target) == list(range(2003))


@pytest.mark.parametrize("torn", [1, 8, 50])
def test_a_torn_tail_is_dropped_with_a_warning(target: Path, torn: int) -> None:
    write(target, range(10))
    with target.open("ab") as file:
        file.write(frame(10)[:torn])
    with pytest.warns(RuntimeWarning, match=f"last {torn} bytes are no message; they are dropped"):
        log = MessageLog(target, "a", schema=EVENT.schema)
    with log:
        assert log.append(fields(10)) == 10
    assert times(target) == list(range(11))


def test_a_file_of_something_else_is_left_alone(target: Path) -> None:
    target.write_bytes(b"What is this? No log, certainly.")
    with pytest.raises(InvalidMessage, match="target: message 0, at byte 0"):
        MessageLog(target, "a")
    assert target.read_bytes() == b"What is this? No log, certainly."
    with Builder(target, "r+"):  # nothing is locked any more
        pass


def test_w_begins_anew_and_x_refuses(target: Path) -> None:
    for _ in range(2):
        with MessageLog(target, "w", schema=EVENT.schema) as log:
            assert len(log) == 0
            log.append(fields(7))
        assert times(target) == [7]
    with pytest.raises(FileExistsError):
        MessageLog(target, "x")
    with pytest.raises(ValueError, match="mode must be"):
        MessageLog(target, "r+")
    with MessageLog(target.with_name("other"), "x") as log:
        log.append_bytes(frame(1))


def test_without_an_index(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, index=False) as log:
        for time in range(2000):
            log.append_bytes(frame(time))
        assert not index_of(target).exists()
        assert len(open_log(target, EVENT.schema)) == 2000
        assert not index_of(target).exists()
    assert times(target) == list(range(2000))


def test_descriptors_and_file_objects(target: Path) -> None:
    with target.open("w+b") as file:
        with MessageLog(file, "a", schema=EVENT.schema) as log:
            log.append(fields(0))
        with MessageLog(file.fileno(), "a", schema=EVENT.schema) as log:
            log.append(fields(1))
    assert times(target) == [0, 1]


@pytest.mark.parametrize("index", [True, False])
def test_no_builder_gets_a_log_that_is_open(target: Path, index: bool) -> None:
    with MessageLog(target, index=index) as log:
        log.append_bytes(frame(0))
        with pytest.raises(BlockingIOError):
            MessageLog(target, index=False)
        for mode in ("w", "r+"):
            with pytest.raises(BlockingIOError):
                Builder(target, mode)
        with pytest.raises(BlockingIOError):
            MessageLog(target, "w")
        log.append_bytes(frame(1))
    assert times(target) == [0, 1]


# ---- what is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [b"", b"1234567", frame(1)[:-1], frame(1) + b"12345678" * 2, bytes(8)]
)
def test_bytes_that_are_no_whole_message_are_refused(target: Path, bad: bytes) -> None:
    with MessageLog(target) as log:
        log.append_bytes(frame(0))
        with pytest.raises(ValueError):
            log.append_bytes(bad)
        with pytest.raises(TypeError):
            log.append_bytes("text")  # type: ignore[arg-type]
        assert len(log) == 1
    assert times(target) == [0]


def test_two_messages_are_not_one(target: Path) -> None:
    with MessageLog(target) as log:
        with pytest.raises(ValueError, match="2 messages, not one"):
            log.append_bytes(frame(0) + frame(1))


def test_fields_need_a_schema_and_messages_a_struct(target: Path) -> None:
    with MessageLog(target) as log:
        with pytest.raises(TypeError, match="without a schema"):
            log.append(time=1)
        with pytest.raises(TypeError, match="without a schema"):
            log.append(7)
        with pytest.raises(TypeError, match="not both"):
            log.append(EVENT.schema.new_message(), time=1)
        assert len(log) == 0


def test_the_capacity_is_an_error_and_not_the_end(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, capacity=3 * MIB) as log:
        log.append(fields(0))
        with pytest.raises(CapacityError):
            log.append(payload=bytes(3 * MIB))
        with pytest.raises(CapacityError):
            with log.build() as root:
                root.payload = bytes(4 * MIB)
        log.append(fields(1))
    assert times(target) == [0, 1]


def test_a_capacity_that_is_none_is_refused(target: Path) -> None:
    for capacity, error in [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]:
        with pytest.raises(error, match="capacity must"):
            MessageLog(target, capacity=capacity)
    with pytest.raises(OSError, match="target"):
        MessageLog(target, capacity=2**64 + 4096)
    with MessageLog(target, capacity=np.int64(MIB)) as log:
        log.append_bytes(frame(0))


def test_a_closed_log_says_so(target: Path) -> None:
    log = MessageLog(target, schema=EVENT.schema)
    log.append(time=1)
    before = log.stats
    log.close()
    log.close()
    log.discard()
    assert log.closed
    assert log.stats == before
    assert log.committed == target.stat().st_size
    uses: list[Callable[[], object]] = [
        lambda: log.append(time=1),
        lambda: log.append_bytes(frame(1)),
        lambda: log.extend([fields(1)]),
        lambda: log.build().__enter__(),
        lambda: log.flush(),
        lambda: log.sync(),
        lambda: len(log),
        lambda: log.__enter__(),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed log"):
            use()


# ---- flush, sync, the end -------------------------------------------------------------------


def test_flush_cuts_the_file_and_the_log_goes_on(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        for time in range(0, 300, 3):
            log.append(fields(time))
            log.append(fields(time + 1))
            log.flush()
            assert target.stat().st_size > log.committed
            log.flush(cut=True)
            assert target.read_bytes() == b"".join(map(frame, range(time + 2)))
            assert len(open_log(target, EVENT.schema)) == time + 2
            log.append(fields(time + 2))
            log.sync()
    assert times(target) == list(range(300))


def test_what_others_cut_off_does_not_become_zeros(target: Path) -> None:
    log = MessageLog(target, schema=EVENT.schema)
    log.extend(map(fields, range(1000)))
    end = log.committed
    os.truncate(target, 1000)
    uses: list[Callable[[], object]] = [
        lambda: log.extend(map(fields, range(2000))),
        lambda: log.flush(cut=True),
        lambda: log.append(fields(1000)),
        lambda: log.flush(cut=True),
        log.close,
    ]
    for use in uses:
        with pytest.raises(OSError, match="truncated"):
            use()
    assert target.stat().st_size == 1000 < end


def test_discard_removes_what_the_log_made(target: Path) -> None:
    log = MessageLog(target)
    log.append_bytes(frame(0))
    log.discard()
    assert list(target.parent.iterdir()) == []
    write(target, range(3))
    log = MessageLog(target)
    log.append_bytes(frame(3))
    log.discard()
    assert times(target) == [0, 1, 2, 3]


def test_a_log_that_cannot_be_opened_leaves_the_old_one_whole(target: Path) -> None:
    write(target, range(3))
    before = target.read_bytes()
    for mode in ("w", "a"):
        with pytest.raises(OSError, match=r"[Mm]emory"):
            MessageLog(target, mode, capacity=1 << 62)
        assert target.read_bytes() == before
        assert {path.name for path in target.parent.iterdir()} <= {target.name, "target.idx"}


def test_a_log_that_cannot_be_replaced_is_emptied_in_place(target: Path) -> None:
    write(target, range(3))
    other = target.with_name("other")
    os.link(target, other)
    with MessageLog(target, "w", schema=EVENT.schema) as log:
        log.append(fields(7))
    assert times(target) == [7]
    assert other.samefile(target)
    MessageLog(target, "w").discard()
    assert target.read_bytes() == other.read_bytes() == b""


def test_no_memory_and_interruptions_do_not_end_the_process_that_builds(target: Path) -> None:
    """pycapnp would end it, were its allocator to raise."""
    pytest.importorskip("_testcapi")
    processes.python(
        """
        import _testcapi, signal, sys, warnings
        from mmapbuilder import MessageLog, open_log
        from support.events import EVENT
        warnings.simplefilter("ignore")
        log = MessageLog(sys.argv[1], schema=EVENT.schema)
        for failing in range(1, 20):
            with log.build() as root:
                _testcapi.set_nomemory(0, failing)
                try:
                    root.payload = bytes(1)
                except MemoryError:
                    pass
                finally:
                    _testcapi.remove_mem_hooks()
                root.name = "x" * (62 << 20)         # another segment

        def interrupt(*_):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        for round in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (1 + round % 40))
                with log.build() as root:
                    for _ in range(3):
                        root.init("payload", 50 << 20)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            log.append(time=round)
        assert interrupted > 0
        log.close()
        with open_log(sys.argv[1], EVENT.schema) as log:
            assert len(log) >= 319
        """,
        target,
        timeout=120,
    ).ok()


def test_dropped_without_close_it_warns_and_keeps_its_messages(target: Path) -> None:
    log = MessageLog(target)
    log.append_bytes(frame(0))
    with pytest.warns(ResourceWarning, match="never closed"):
        del log
        gc.collect()
    assert target.read_bytes() == frame(0)


def test_threads_append_whole_messages(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:

        def work(first: int) -> None:
            for time in range(first, 4000, 4):
                log.append_bytes(frame(time))

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = times(target)
    assert sorted(found) == list(range(4000))
    assert [time for time in found if time % 4 == 1] == list(range(1, 4000, 4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_in_a_forked_child_the_log_is_closed_and_the_parent_goes_on(target: Path) -> None:
    code = """
        import os, sys
        from mmapbuilder import MessageLog
        from support.events import EVENT, fields
        log = MessageLog(sys.argv[1], schema=EVENT.schema)
        log.append(fields(0))
        child = os.fork()
        if child == 0:
            try:
                log.append(fields(99))
            except ValueError as error:
                assert "closed" in str(error)
                sys.exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        log.append(fields(1))
        log.close()
    """
    processes.python(code, target).ok()
    assert times(target) == [0, 1]


def test_logs_are_not_pickled(target: Path) -> None:
    import pickle

    with MessageLog(target) as log:
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(log)


def test_an_unknown_field_is_told_without_an_option_that_append_does_not_have(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        for append in [lambda: log.append(nope=1), lambda: log.append({"nope": 1})]:
            with pytest.raises(ValueError, match="the schema has no field 'nope'$"):
                append()
        with pytest.raises(ValueError, match="row 1: the schema has no field 'nope'$"):
            log.extend([{}, {"nope": 1}])
