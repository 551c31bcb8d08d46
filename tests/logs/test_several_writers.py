"""Several writers of one log, and followers, each in a process of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from support import processes
from support.events import EVENT, frame, read_by_others
from support.requirements import missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not hasattr(__import__("fcntl"), "F_OFD_SETLK"), reason="locks of open files are Linux's"
    ),
]

MIB = 1 << 20

# Each writer counts by itself; the value says who it is.
WRITER = """
    import sys
    from mmapbuilder import MessageLog
    from support.events import EVENT, frame
    path, who, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with MessageLog(path, schema=EVENT.schema) as log:
        last = -1
        for time in range(count):
            if time % 50 == 7:
                with log.build() as event:
                    event.time, event.value, event.name = time, who, "built"
                    event.payload = bytes(time % 3000)
            elif time % 50 == 19:
                log.extend({"time": time, "value": who, "name": "row"} for _ in range(1))
            elif time % 300 == 77:
                log.flush(cut=True)
                log.append(time=time, value=who, name="cut")
            else:
                number = log.append(time=time, value=who, name="x" * (time % 90))
                assert number > last
                last = number
"""

FOLLOWER = """
    import sys
    from mmapbuilder import open_log
    from support.events import EVENT
    path, writers, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    times = [0] * writers
    with open_log(path, EVENT.schema) as log:
        for event in log.follow(0, timeout=60):
            who = int(event.value)
            assert event.time == times[who], (who, event.time, times)
            times[who] += 1
            if times == [count] * writers:
                break
    assert times == [count] * writers, times
"""


def check(path: Path, writers: int, count: int) -> None:
    """Each message once, those of each writer in order, by our reader and another."""
    for index in (True, False):
        with open_log(path, EVENT.schema, index=index) as log:
            found = [(int(event.value), event.time) for event in log]
        assert len(found) == writers * count
        for who in range(writers):
            assert [time for by, time in found if by == who] == list(range(count))
    with path.open("rb") as file:
        assert len(list(EVENT.schema.read_multiple(file))) == writers * count


def test_three_writers_and_two_followers(target: Path) -> None:
    count = 3000
    MessageLog(target).close()
    followers = [processes.start(FOLLOWER, target, 3, count) for _ in range(2)]
    writers = [processes.start(WRITER, target, who, count) for who in range(3)]
    for process in [*writers, *followers]:
        processes.end(process, timeout=120).ok()
    check(target, 3, count)
    # The last one has left nothing but the messages, and an index that fits.
    with open_log(target) as log:
        assert log.committed == target.stat().st_size
        assert log._reader().indexed == 3 * count


KILLED = """
    import sys
    from mmapbuilder import MessageLog
    from support.events import EVENT, frame
    path, who, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with MessageLog(path, schema=EVENT.schema) as log:
        print(flush=True)
        time = 0
        while True:
            if time % 100 == seed % 100:
                with log.build() as event:
                    event.time, event.value = time, who
                    event.payload = bytes(200_000)
            else:
                log.append(time=time, value=who, name="x" * (time % 90))
            time += 1
"""


def test_a_writer_that_is_killed_holds_nobody_up(target: Path) -> None:
    """They are killed at random moments, and the lock is theirs for a good part of them."""
    with MessageLog(target, schema=EVENT.schema) as log:
        expected = 0
        for seed in range(25):
            process = processes.start(KILLED, target, 1, seed)
            processes.line(process)
            before = time.monotonic()
            while time.monotonic() < before + 0.01 + 0.001 * seed:
                log.append(time=expected, value=0)
                expected += 1
            processes.stop(process)
            log.append(time=expected, value=0)
            expected += 1
    with open_log(target, EVENT.schema) as reader:
        own = [event.time for event in reader if event.value == 0]
        others = [event.time for event in reader if event.value == 1]
    assert own == list(range(expected))
    assert others.count(0) <= 25
    assert all(b in (a + 1, 0) for a, b in zip(others, others[1:], strict=False))
    with target.open("rb") as file:
        assert len(list(EVENT.schema.read_multiple(file))) == len(own) + len(others)


HOLDER = """
    import sys
    from mmapbuilder import MessageLog
    from support.events import EVENT
    log = MessageLog(sys.argv[1], schema=EVENT.schema)
    log.append(time=1)
    build = log.build()
    event = build.__enter__()
    event.payload = b"x" * (10 << 20)
    print("building", flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "commit":
        event.time = 2
        build.__exit__(None, None, None)
        log.close()
    else:
        import os
        os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["commit", "die"])
def test_others_wait_while_a_message_is_built_in_place(target: Path, how: str) -> None:
    process = processes.start(HOLDER, target, how)
    assert processes.line(process) == "building\n"
    done = threading.Event()

    def append() -> None:
        with MessageLog(target, schema=EVENT.schema) as log:
            log.append(time=3)
        done.set()

    thread = threading.Thread(target=append)
    thread.start()
    assert not done.wait(0.3)
    assert read_times(target) == [1]
    processes.tell(process)
    thread.join(30)
    assert done.is_set()
    process.communicate(timeout=30)
    assert read_times(target) == ([1, 2, 3] if how == "commit" else [1, 3])


def read_times(path: Path) -> list[int]:
    with path.open("rb") as file:
        return [event.time for event in EVENT.schema.read_multiple(file)]


def test_a_wait_for_another_writer_can_be_interrupted(target: Path) -> None:
    waiting = processes.start(
        """
        import sys
        from mmapbuilder import MessageLog
        from support.events import EVENT
        with MessageLog(sys.argv[1], schema=EVENT.schema) as log:
            print("open", flush=True)
            sys.stdin.readline()
            try:
                print("appends", flush=True)
                log.append(time=7)
            except KeyboardInterrupt:
                print("interrupted", flush=True)
                sys.stdin.readline()
            log.append(time=8)
        """,
        target,
    )
    processes.line(waiting)
    holder = processes.start(HOLDER, target, "die")
    processes.line(holder)
    processes.tell(waiting)
    assert processes.line(waiting) == "appends\n"
    processes.wait_until_asleep(waiting)
    waiting.send_signal(signal.SIGINT)
    assert processes.line(waiting) == "interrupted\n"
    processes.stop(holder)
    waiting.communicate("\n", timeout=30)
    assert waiting.returncode == 0
    assert read_times(target) == [1, 8]


def test_two_logs_of_one_process_share_a_file(target: Path) -> None:
    with MessageLog(target) as one, MessageLog(target) as other:
        for time in range(0, 1000, 2):
            assert one.append_bytes(frame(time)) == time
            assert other.append_bytes(frame(time + 1)) == time + 1
            assert len(one) == len(other) == time + 2
        one.close()
        assert target.stat().st_size > other.committed  # the other one is at work
        other.append_bytes(frame(1000))
    assert read_by_others(target) == list(range(1001))
    assert target.read_bytes() == b"".join(map(frame, range(1001)))


def test_a_cut_by_one_writer_is_seen_by_the_other(target: Path) -> None:
    with MessageLog(target) as one, MessageLog(target) as other:
        for time in range(0, 100, 2):
            one.append_bytes(frame(time))
            one.flush(cut=True)
            assert target.stat().st_size == one.committed
            other.append_bytes(frame(time + 1))
    assert read_by_others(target) == list(range(100))


def test_without_the_index_that_others_use_nobody_can_join(target: Path) -> None:
    index = Path(f"{target}.idx")
    with MessageLog(target) as log:
        log.append_bytes(frame(0))
        index.unlink()
        with pytest.raises(BlockingIOError, match="no index any more"):
            MessageLog(target)
        with open_log(target) as reader:  # makes none, since it is the writer's
            assert len(reader) == 1
        assert not index.exists()
        log.append_bytes(frame(1))
    assert read_by_others(target) == [0, 1]


def test_a_forked_child_lets_its_parent_keep_the_log(target: Path) -> None:
    processes.python(
        """
        import os, sys
        from mmapbuilder import MessageLog
        from support.events import frame
        log = MessageLog(sys.argv[1])
        log.append_bytes(frame(0))
        child = os.fork()
        if child == 0:
            with MessageLog(sys.argv[1]) as mine:
                mine.append_bytes(frame(1))
            os._exit(0)
        os.waitpid(child, 0)
        log.append_bytes(frame(2))
        log.close()
        """,
        target,
    ).ok()
    assert read_by_others(target) == [0, 1, 2]


def test_a_forked_child_leaves_its_parent_a_writer(target: Path) -> None:
    """The child shares the open file, and could give back the lock by which others see a writer."""
    processes.python(
        """
        import os, sys
        from mmapbuilder import MessageLog, _core
        from support.events import frame
        with MessageLog(sys.argv[1]) as log:
            log.append_bytes(frame(0))
            child = os.fork()
            if child == 0:
                log.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            fd = os.open(sys.argv[1], os.O_RDWR)
            assert _core.log_has_writers(fd)
        assert not _core.log_has_writers(fd)
        """,
        target,
    ).ok()
    assert read_by_others(target) == [0]


def test_threads_wait_for_each_other_and_for_processes(target: Path) -> None:
    process = processes.start(WRITER, target, 1, 2000)
    with MessageLog(target, schema=EVENT.schema) as log:

        def append(who: int) -> None:
            for time in range(500):
                log.append(time=time, value=who)

        threads = [threading.Thread(target=append, args=(who,)) for who in (2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        processes.end(process, timeout=60).ok()
    with open_log(target, EVENT.schema) as reader:
        for who, count in [(1, 2000), (2, 500), (3, 500)]:
            assert [event.time for event in reader if event.value == who] == list(range(count))


def test_in_a_pid_namespace_of_its_own_a_writer_is_known_as_dead(target: Path) -> None:
    """Its pid says nothing to others, or names another process."""
    if os.geteuid() != 0:
        missing("namespaces are root's")
    code = """
        import ctypes, os, sys
        if ctypes.CDLL(None, use_errno=True).unshare(0x20000000) != 0:
            print("refused")
            sys.exit()
        child = os.fork()
        if child == 0:
            from mmapbuilder import MessageLog
            from support.events import EVENT
            log = MessageLog(sys.argv[1], schema=EVENT.schema)
            assert os.getpid() == 1
            log.append(time=0)
            build = log.build()
            build.__enter__().payload = b"x" * 100_000
            os._exit(9)  # with the lock
        os.waitpid(child, 0)
        print("done")
    """
    with MessageLog(target, schema=EVENT.schema) as log:
        done = processes.python(code, target).ok()
        if done.out == "refused\n":
            missing("namespaces are refused")
        assert log.append(time=1) == 1
    assert read_times(target) == [0, 1]
