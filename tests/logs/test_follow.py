"""Logs that grow while they are read: refresh, and follow, which waits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import Log, MessageLog, open_log
from support import processes
from support.events import EVENT, check, fields, frame, write


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
        writer = processes.start(code, target)
        follower = log.follow(start=1, timeout=30)
        assert [next(follower).time for _ in range(299)] == list(range(1, 300))
        processes.end(writer).ok()


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
        writer = processes.start(code, target)
        processes.line(writer)
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
        processes.tell(writer)
        processes.end(writer).ok()
    with open_log(target, EVENT.schema) as log:
        assert not log._wait_for_news(len(log), 0.001)


def test_one_that_sleeps_is_woken(target: Path) -> None:
    """Not by the time, which would be days."""
    code = """
        import sys
        from mmapbuilder import open_log
        with open_log(sys.argv[1]) as log:
            print("waits", flush=True)
            assert log._wait_for_news(1, 1e6)
            print(len(log), flush=True)
    """
    with MessageLog(target, schema=EVENT.schema) as writer:
        writer.append(fields(0))
        sleeper = processes.start(code, target)
        assert processes.line(sleeper) == "waits\n"
        processes.wait_until_asleep(sleeper)
        writer.append(fields(1))
        assert processes.line(sleeper) == "2\n"
        processes.end(sleeper).ok()


def test_a_follower_of_an_empty_log_is_woken_for_its_first_message(target: Path) -> None:
    """The index tells of it, and the file is looked at no more."""
    with MessageLog(target, schema=EVENT.schema) as writer, open_log(target, EVENT.schema) as log:
        assert log._wait_for_news(0, 0.001)
        writer.append(fields(0))
        assert log._glance() == 1
        assert next(log.follow(0)).time == 0


def test_follow_beyond_all_numbers_and_times_waits_and_ends(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []
    real = Log._wait_for_news

    def wait(log: Log, number: int, seconds: float) -> bool:
        waits.append(number)
        return real(log, number, seconds)

    monkeypatch.setattr(Log, "_wait_for_news", wait)
    with MessageLog(target, schema=EVENT.schema) as writer, open_log(target, EVENT.schema) as log:
        writer.append(fields(0))
        for start in [5, sys.maxsize, 2**64, 2**70]:
            assert list(log.follow(start, timeout=0.3)) == []
        assert len(waits) < 1000  # it sleeps
        assert [event.time for event in log.follow(0, timeout=float("nan"))] == [0]


def test_follow_starts_at_whatever_can_be_an_index(target: Path) -> None:
    np = pytest.importorskip("numpy")
    write(target, range(5))
    with open_log(target, EVENT.schema) as log:
        assert [event.time for event in log.follow(np.int64(3), np.float64(0.01))] == [3, 4]
        for start in [1.5, "1", None]:
            with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
                log.follow(start)
