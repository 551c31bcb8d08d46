"""Waiting for the device: when, by whom, and what is known afterwards."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from mmapbuilder.log import sync as module
from support import processes
from support.events import EVENT, fields, frame, read_by_others


def wait_until(done: object, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("index", [True, False])
def test_sync_tells_how_far_the_device_is(target: Path, index: bool) -> None:
    with MessageLog(target, index=index) as log:
        assert log.synced == 0
        for number in range(100):
            log.append_bytes(frame(number))
        assert log.synced == log.stats.synced == 0
        log.sync()
        assert log.synced == log.committed
        middle = log.committed
        log.append_bytes(frame(100))
        assert log.synced == middle < log.committed
        with open_log(target, index=index) as reader:
            assert reader.synced == (middle if index else 0)
            log.sync(timeout=30)
            assert reader.refresh() == 101
            assert reader.synced == (reader.committed if index else 0)


def test_what_was_synced_is_known_when_the_log_is_opened_again(target: Path) -> None:
    with MessageLog(target) as log:
        log.append_bytes(frame(0))
        log.sync()
        end = log.committed
        log.append_bytes(frame(1))
    with MessageLog(target) as log:
        assert log.synced == end < log.committed
    with open_log(target) as reader:
        assert reader.synced == end


def test_every_so_many_seconds_a_thread_does_it(target: Path) -> None:
    with MessageLog(target, sync=0.01) as log:
        for number in range(3):
            log.append_bytes(frame(number))
            wait_until(lambda: log.synced == log.committed)
        log.append_bytes(frame(3))
    with open_log(target) as reader:
        assert reader.synced == reader.committed > 0  # close has waited
    assert threading.active_count() == 1


def test_each_append_returns_when_the_device_has_it(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, sync="each") as log:
        assert type(log).__name__ == "MessageLog"
        for number in range(5):
            assert log.append_bytes(frame(number)) == number
            assert log.synced == log.committed
        log.append(time=5)
        assert log.synced == log.committed
        log.extend({"time": time} for time in range(6, 9))
        assert log.synced == log.committed
        with log.build() as event:
            event.time = 9
        assert log.synced == log.committed
    with open_log(target, EVENT.schema) as reader:
        assert [event.time for event in reader] == list(range(10))


def test_all_who_wait_are_served_together(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    device = threading.Semaphore(0)

    def slow(fd: int) -> None:
        asked.append(fd)
        device.acquire()
        os.fdatasync(fd)

    monkeypatch.setattr(module, "_datasync", slow)
    with MessageLog(target, sync="each") as log:
        threads = [
            threading.Thread(target=log.append_bytes, args=(frame(number),)) for number in range(20)
        ]
        threads[0].start()
        wait_until(lambda: asked)
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: len(log) == 20)
        device.release(1000)
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert log.synced == log.committed
        assert len(asked) <= 3 * 2  # the log and the index, for the first and for all others


def test_no_note_claims_what_the_device_has_not(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at any of these steps leaves a log that is as good as its note says."""
    steps: list[object] = []
    datasync = module._datasync
    note, tell = MessageLog._note_synced, MessageLog._tell_synced

    def watch(fd: int) -> None:
        steps.append("data" if os.fstat(fd).st_ino == target.stat().st_ino else "index")
        datasync(fd)

    def watch_note(log: MessageLog, count: int, end: int) -> None:
        steps.append(("note", count))
        note(log, count, end)

    def watch_tell(log: MessageLog, end: int) -> None:
        steps.append(("tell", end))
        tell(log, end)

    monkeypatch.setattr(module, "_datasync", watch)
    monkeypatch.setattr(MessageLog, "_note_synced", watch_note)
    monkeypatch.setattr(MessageLog, "_tell_synced", watch_tell)
    with MessageLog(target) as log:
        for number in range(3):
            log.append_bytes(frame(number))
            log.sync()
            assert steps == ["data", ("note", number + 1), "index", ("tell", log.committed)]
            steps.clear()


def test_a_wait_can_be_limited(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = threading.Event()
    monkeypatch.setattr(module, "_datasync", lambda fd: device.wait())
    with MessageLog(target) as log:
        log.append_bytes(frame(0))
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            log.sync(timeout=0.05)
        assert log.synced == 0
        log.append_bytes(frame(1))  # nobody else waits
        device.set()
        log.sync()
        assert log.synced == log.committed


def test_a_device_that_fails_is_told_by_every_later_call(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    log = MessageLog(target, sync=100)
    log.append_bytes(frame(0))
    monkeypatch.setattr(module, "_datasync", fail)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            log.sync()
    log.append_bytes(frame(1))
    with pytest.raises(OSError, match="Input/output error"):
        log.close()
    assert log.closed
    assert read_by_others(target) == [0, 1]


@pytest.mark.parametrize("seconds", [1e300, float("inf")])
def test_longer_than_threads_can_wait_is_for_ever(target: Path, seconds: float) -> None:
    with MessageLog(target, schema=EVENT.schema, sync=seconds) as log:
        log.append(fields(0))
        log.sync(timeout=seconds)
        assert log.synced == log.committed
        log.append(fields(1))
    assert read_by_others(target) == [0, 1]


@pytest.mark.parametrize(
    ("sync", "error"), [(0, ValueError), (-1, ValueError), ("all", TypeError), (True, TypeError)]
)
def test_other_ways_to_sync_are_refused(target: Path, sync: object, error: type) -> None:
    with pytest.raises(error, match="sync must be"):
        MessageLog(target, sync=sync)  # type: ignore[arg-type]
    assert not target.exists()


def test_a_closed_log_says_so(target: Path) -> None:
    log = MessageLog(target, sync=0.001)
    log.close()
    with pytest.raises(ValueError, match="closed log"):
        log.sync()
    assert log.synced == 0


def test_a_signal_handler_that_closes_just_before_the_wait_ends_it(target: Path) -> None:
    code = """
        import os, signal, sys, threading, time
        from mmapbuilder import MessageLog
        from mmapbuilder.log import sync
        log = MessageLog(sys.argv[1], "w")
        signal.signal(signal.SIGUSR1, lambda *_: log.close())
        look = sync.Syncer._is_over

        def look_and_close(self, mine):
            found = look(self, mine)
            if threading.current_thread() is threading.main_thread():
                os.kill(os.getpid(), signal.SIGUSR1)
            return found

        sync.Syncer._is_over = look_and_close
        sync.bring_to_device = lambda log: time.sleep(0.5)
        try:
            log.sync()
        except ValueError as error:
            print(error)
    """
    assert processes.python(code, target, timeout=30).ok().out == "I/O operation on closed log\n"


def test_a_forked_child_has_nothing_to_do_with_the_thread(target: Path) -> None:
    processes.python(
        """
        import os, sys
        from mmapbuilder import MessageLog
        from support.events import frame
        log = MessageLog(sys.argv[1], sync=0.001)
        for number in range(200):
            log.append_bytes(frame(number))
            if number % 20 == 0:
                child = os.fork()
                if child == 0:
                    sys.exit(0)
                assert os.waitpid(child, 0)[1] == 0
        log.close()
        """,
        target,
    ).ok()
    assert read_by_others(target) == list(range(200))


def test_dropped_without_close_the_thread_ends(target: Path) -> None:
    with pytest.warns(ResourceWarning):
        log = MessageLog(target, sync=0.01)
        log.append_bytes(frame(0))
        del log
    wait_until(lambda: threading.active_count() == 1)
    assert read_by_others(target) == [0]
