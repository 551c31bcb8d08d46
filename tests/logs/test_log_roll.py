"""Logs that go on in a new file."""

from __future__ import annotations

import inspect
import math
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from support import processes
from support.events import EVENT, fields, frame, read_by_others

SIZE = 10_000


def files_of(path: Path) -> list[Path]:
    """All files of the log, in the order of their names."""
    return sorted(each for each in path.parent.glob(f"{path.name}*") if each.suffix != ".idx")


def check(path: Path, count: int) -> list[Path]:
    """Each file is a log, and all together are one."""
    files = files_of(path)
    assert files[0] == path
    assert [each.name for each in files[1:]] == [
        f"{path.name}.{number:06}" for number in range(1, len(files))
    ]
    for each in files[:-1]:
        assert SIZE <= each.stat().st_size < SIZE + 70_000
    for each in files:
        with open_log(each, EVENT.schema) as log:
            assert log._reader().indexed == len(log)
    whole = path.with_name("cat")
    whole.write_bytes(b"".join(each.read_bytes() for each in files))
    assert read_by_others(whole) == list(range(count))
    assert whole.read_bytes() == b"".join(map(frame, range(count)))
    return files


@pytest.mark.parametrize("roll", [SIZE, "10KB", "10 kB", "0.01MB"])
def test_a_new_file_begins_at_a_message(target: Path, roll: int | str) -> None:
    with MessageLog(target, schema=EVENT.schema, roll=roll) as log:
        for number in range(500):
            log.append_bytes(frame(number))
            assert log.stats.committed < SIZE + 200
        assert Path(str(log.name)) == files_of(target)[-1]
    assert len(check(target, 500)) == 4


def test_it_goes_on_in_the_last_file(target: Path) -> None:
    for start in range(0, 500, 100):
        with MessageLog(target, "a", schema=EVENT.schema, roll=SIZE) as log:
            for number in range(start, start + 100):
                log.append(fields(number))
    check(target, 500)
    with MessageLog(target, "w", schema=EVENT.schema, roll=SIZE) as log:
        log.append(fields(0))
    assert files_of(target) == [target]
    assert len(list(target.parent.glob("target*.idx"))) == 1


def test_batches_and_large_messages_roll_as_well(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema, roll=SIZE, sync="each") as log:
        log.extend(map(fields, range(3000)))
        with log.build() as event:
            event.time, event.value, event.name = fields(3000).values()
            event.payload = bytes(SIZE)
        log.append(fields(3001))
        assert len(log) == 1
    times = [time for each in files_of(target) for time in read_by_others(each)]
    assert times == list(range(3002))


def test_a_table_goes_on_in_new_files(target: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    rows = [fields(number) for number in range(20_000)]
    with MessageLog(target, schema=EVENT.schema, roll="100KB") as log:
        assert log.extend(arrow.Table.from_pylist(rows)) == range(20_000)
        last = len(log)
    files = files_of(target)
    assert len(files) > 5
    assert all(100_000 <= each.stat().st_size < 200_000 for each in files[:-1])
    assert last < 20_000
    assert [time for each in files for time in read_by_others(each)] == list(range(20_000))


@pytest.mark.parametrize("kind", ["rows", "builders", "columns", "arrow"])
def test_a_file_ends_with_the_message_that_fills_it(target: Path, kind: str) -> None:
    given: Any = [fields(number) | {"payload": bytes(number % 500)} for number in range(1000)]
    size = max(len(EVENT.schema.new_message(**each).to_bytes()) for each in given)
    if kind == "builders":
        given = [EVENT.schema.new_message(**each) for each in given]
    elif kind == "columns":
        given = {name: [each[name] for each in given] for name in given[0]}
    elif kind == "arrow":
        given = pytest.importorskip("pyarrow").Table.from_pylist(given)
    with MessageLog(target, schema=EVENT.schema, roll=SIZE) as log:
        assert log.extend(given) == range(1000)
    files = files_of(target)
    assert all(SIZE <= each.stat().st_size < SIZE + size for each in files[:-1])
    assert [time for each in files for time in read_by_others(each)] == list(range(1000))


@pytest.mark.parametrize("options", [{}, {"roll": SIZE}, {"sync": "each"}])
def test_errors_number_the_rows_of_all_files(target: Path, options: dict[str, Any]) -> None:
    rows = [fields(number) for number in range(777)] + [{"time": "wrong"}]
    with MessageLog(target, schema=EVENT.schema, **options) as log:
        with pytest.raises(TypeError, match="row 777, field time"):
            log.extend(iter(rows))
    assert inspect.signature(type(log)) == inspect.signature(MessageLog)
    assert list(inspect.signature(MessageLog).parameters)[:3] == ["file", "mode", "schema"]


def test_a_class_of_a_program_rolls_and_waits_as_well(target: Path) -> None:
    class Counting(MessageLog):
        count = 0

        def append(self, message: Any = None, /, **values: Any) -> int:
            self.count += 1
            return super().append(message, **values)

    ways: list[dict[str, Any]] = [{"roll": 200}, {"sync": "each"}, {"roll": 200, "sync": "each"}]
    for number, options in enumerate([*ways, *ways]):
        path = target.with_name(f"log{number}")
        log = Counting(path, "w", schema=EVENT.schema, **options)
        with log:
            for time in range(20):
                log.append(fields(time))
            if "sync" in options:
                assert log.synced == log.committed
        assert log.count == 20
        assert isinstance(log, Counting)
        assert type(log).__name__ == "Counting"
        assert (len(files_of(path)) > 1) == ("roll" in options)


def test_threads_and_processes_roll_together(target: Path) -> None:
    code = """
        import sys, threading
        from mmapbuilder import MessageLog
        from support.events import EVENT
        with MessageLog(sys.argv[1], schema=EVENT.schema, roll=10_000) as log:
            def append(who):
                for time in range(400):
                    log.append(time=time, value=who)
            threads = [threading.Thread(target=append, args=(2 * int(sys.argv[2]) + i,))
                       for i in range(2)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
    """
    for process in [processes.start(code, target, who) for who in range(2)]:
        processes.end(process).ok()
    files = files_of(target)
    assert len(files) > 3
    found = []
    for each in files:
        with open_log(each, EVENT.schema) as log:
            found += [(event.value, event.time) for event in log]
    assert len(found) == 1600
    for who in range(4):
        assert sorted(time for by, time in found if by == who) == list(range(400))


def test_what_came_before_is_synced_as_well(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mmapbuilder.log import sync

    seen = set()
    real = sync._datasync

    def note(fd: int) -> None:
        import os

        seen.add(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(sync, "_datasync", note)
    with MessageLog(target, roll=SIZE) as log:
        for number in range(500):
            log.append_bytes(frame(number))
        log.sync()
        assert seen >= {each.stat().st_ino for each in files_of(target)}


def test_after_a_power_cut_earlier_files_have_all_that_was_synced(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mmapbuilder.log import sync

    on_device: dict[int, bytes] = {}
    real = sync._datasync

    def note(fd: int) -> None:
        status = os.fstat(fd)
        on_device[status.st_ino] = os.pread(fd, status.st_size, 0)
        real(fd)

    monkeypatch.setattr(sync, "_datasync", note)
    named = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    log = MessageLog(target, roll=SIZE)
    for number in range(500):
        log.append_bytes(frame(number))
    log.sync()
    files = files_of(target)
    counts = [len(open_log(each)) for each in files]
    for each in files[:-1]:
        index = Path(f"{each}.idx")
        now = index.read_bytes()
        # The kernel may have written the first page of the index at any time.
        first = now[:4096].replace(bytes.fromhex(named), bytes(16 * [7]))
        rest = on_device.get(index.stat().st_ino, bytes(len(now)))[4096:]
        index.write_bytes(first + rest)
    assert [len(open_log(each)) for each in files] == counts
    assert sum(counts) == 500
    log.close()


def test_files_that_nobody_syncs_do_not_use_up_the_descriptors(target: Path) -> None:
    code = """
        import resource, sys
        from mmapbuilder import MessageLog
        from support.events import EVENT, fields
        log = MessageLog(sys.argv[1], schema=EVENT.schema, roll=100)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        for number in range(200):
            log.append(fields(number))
        log.close()
        print(log._file_number)
    """
    assert int(processes.python(code, target).ok().out) > 90


def test_when_no_new_file_can_be_made_the_next_append_tries_again(target: Path) -> None:
    log = MessageLog(target, roll=SIZE)
    obstacle = target.with_name("target.000001")
    for number in range(1000):
        log.append_bytes(frame(number))
        if log.committed >= SIZE:
            break
    obstacle.mkdir()
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            log.append_bytes(frame(number + 1))
        assert len(log) == number + 1
    obstacle.rmdir()
    assert log.append_bytes(frame(number + 1)) == 0
    log.close()


@pytest.mark.parametrize(
    "roll", [0, -5, "", "x", "1 furlong", "-1GiB", "nan", "1e400", 1.5, math.nan, b"1"]
)
def test_what_is_no_size_is_refused(target: Path, roll: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="roll must be"):
        MessageLog(target, roll=roll)
    with target.open("wb") as file, pytest.raises(ValueError, match="roll needs a path"):
        MessageLog(file, roll="1GiB")


def test_no_thread_takes_a_log_for_closed_that_goes_on_in_another_file(target: Path) -> None:
    code = """
        import sys, threading
        from mmapbuilder import MessageLog
        from support.events import EVENT, fields
        sys.setswitchinterval(1e-5)
        over, wrong = threading.Event(), []
        log = MessageLog(sys.argv[1], schema=EVENT.schema, roll=500, sync=0.001)
        uses = [
            lambda: len(log), lambda: log.stats, lambda: log.flush(), lambda: log.flush(cut=True),
            lambda: log.descriptor, lambda: log.sync(), lambda: 1 // (not log.closed),
        ]

        def use(call):
            try:
                while not over.is_set():
                    call()
            except Exception as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=use, args=(call,)) for call in uses]
        for thread in threads:
            thread.start()
        for number in range(1000):
            log.append(fields(number))
        over.set()
        for thread in threads:
            thread.join()
        assert log._syncer._thread.is_alive()
        log.close()
        assert not wrong, wrong
        print(log._file_number)
    """
    assert int(processes.python(code, target, timeout=120).ok().out) > 50


def test_who_closes_a_log_finds_it_closed_also_while_it_rolls(target: Path) -> None:
    code = """
        import signal, sys, threading
        from mmapbuilder import MessageLog
        from support.events import EVENT, fields
        sys.setswitchinterval(1e-5)
        path, by = sys.argv[1:]
        for round in range(60):
            log = MessageLog(f"{path}-{round}", schema=EVENT.schema, roll=100)
            def close(*_):
                log.close()
                assert by == "signal" or log.closed
            if by == "signal":
                signal.signal(signal.SIGALRM, close)
                signal.setitimer(signal.ITIMER_REAL, 0.002 + round * 0.0001)
            else:
                thread = threading.Timer(0.002 + round * 0.0001, close)
                thread.start()
            try:
                while True:
                    log.append(fields(1))
            except ValueError as error:
                assert "closed log" in str(error), error
            assert log.closed
            if by == "thread":
                thread.join()
    """
    for by in ("signal", "thread"):
        processes.python(code, target, by, timeout=120).ok()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_does_not_wait_for_a_thread_that_rolls_in_its_parent(target: Path) -> None:
    code = """
        import os, sys, threading
        from mmapbuilder import MessageLog
        from support import processes
        from support.events import EVENT, fields
        sys.setswitchinterval(1e-5)
        log = MessageLog(sys.argv[1], schema=EVENT.schema, roll=200)
        over = threading.Event()

        def append():
            while not over.is_set():
                log.append(fields(1))

        threads = [threading.Thread(target=append) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            child = os.fork()
            if child == 0:
                try:
                    len(log)
                except ValueError:
                    log.close()
                    os._exit(0)
                os._exit(1)
            assert processes.wait_for(child) == 0
        over.set()
        for thread in threads:
            thread.join()
        log.close()
    """
    processes.python(code, target, timeout=120).ok()
