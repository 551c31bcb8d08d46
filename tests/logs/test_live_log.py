"""What everybody else's readers find in a log while it is being written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from support import processes
from support.events import EVENT, check, fields, read_by_others
from support.readers import Programs

# Appends for some seconds, in all ways that there are, with growth, aborts, cuts.
WRITER = """
    import sys, time
    from mmapbuilder import MessageLog
    from support.events import EVENT, fields, frame
    end, largest = time.monotonic() + float(sys.argv[2]), int(sys.argv[3])
    with MessageLog(sys.argv[1], schema=EVENT.schema) as log:
        while time.monotonic() < end:
            number = len(log)
            how = number % 97
            if how == 3:
                log.extend(map(fields, range(number, number + 9)))
            elif how == 13:
                with log.build() as root:
                    root.payload = bytes(1 << (number % largest))
                    root.time, root.value, root.name = fields(number).values()
            elif how == 33:
                try:
                    with log.build() as root:
                        root.payload = b"x" * (1 << (number % largest))
                        1 / 0
                except ZeroDivisionError:
                    log.append(fields(number))
            elif how == 53:
                log.flush(cut=True)
                log.append(fields(number))
            else:
                log.append_bytes(frame(number))
            if number % 10 == 0:
                time.sleep(0.001)
        print(len(log))
"""


def by_pycapnp(path: Path, programs: Programs) -> list[int]:
    return read_by_others(path)


def by_cxx(path: Path, programs: Programs) -> list[int]:
    kind = EVENT
    done = subprocess.run(
        [programs.reader, "all", path, kind.file, kind.struct, kind.imports, "time"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Premature" in done.stderr or done.returncode == 0, done.stderr
    return [int(json.loads(line)) for line in done.stdout.splitlines()]


def by_capnp_tool(path: Path, programs: Programs) -> list[int]:
    """What it prints before it complains of the message that it has printed last.

    It goes on after that, in the middle of whatever the file has got since.
    """
    with path.open("rb") as file:
        done = subprocess.run(
            [programs.tool, "decode", "--short", str(EVENT.file), EVENT.struct],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
    before, complaint, _ = done.stdout.partition("*** ERROR CONVERTING PREVIOUS MESSAGE")
    times = [int(time) for time in re.findall(r"\(time = (\d+)", before)]
    if not complaint:
        assert done.returncode == 0
        return times
    assert "Premature EOF" in done.stdout
    return times[:-1]


def by_open_log(path: Path, programs: Programs) -> list[int]:
    times = []
    with open_log(path, EVENT.schema, index=False) as log:
        for event in log:
            check(event, event.time)
            times.append(event.time)
    return times


# Large messages let the log grow by more than what is in anybody's buffer. What a fence claims is
# more still, and the file does not grow beyond that while a reader may have read that fence.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("read", "largest"),
    [(by_pycapnp, 23), (by_cxx, 23), (by_capnp_tool, 23), (by_open_log, 24)],
)
def test_readers_find_whole_messages_while_a_writer_is_at_work(
    target: Path, programs: Programs, read: Callable[[Path, Programs], list[int]], largest: int
) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
    writer = processes.start(WRITER, target, 3, largest)
    found, rounds = 0, 0
    while writer.poll() is None:
        times = read(target, programs)
        assert times == list(range(len(times)))
        assert len(times) >= found
        found = len(times)
        rounds += 1
    count = int(processes.end(writer).ok().out)
    assert rounds >= 2
    assert found > 0
    assert read(target, programs) == list(range(count))
    assert by_pycapnp(target, programs) == list(range(count))


def test_readers_agree_on_a_log_that_is_open_and_idle(target: Path, programs: Programs) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        for count in [0, 1, 2, 500]:
            for time in range(len(log), count):
                log.append(fields(time))
            for read in [by_pycapnp, by_cxx, by_capnp_tool, by_open_log]:
                assert read(target, programs) == list(range(count))


def test_readers_agree_on_a_log_in_which_a_message_is_being_built(
    target: Path, programs: Programs
) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(0))
        with log.build() as root:
            root.time, root.value, root.name = fields(1).values()
            for size in [10, 3 << 20, 40 << 20]:
                root.payload = b"x" * size
                for read in [by_pycapnp, by_cxx, by_capnp_tool, by_open_log]:
                    assert read(target, programs) == [0]
                if size > 1 << 20:
                    break
    for read in [by_pycapnp, by_cxx, by_open_log]:
        assert read(target, programs) == [0, 1]


def test_a_follower_goes_on_while_the_file_grows_and_is_cut(target: Path) -> None:
    """Each growth moves the end of what the follower has mapped and looked at."""
    with MessageLog(target, schema=EVENT.schema) as log:
        with open_log(target, EVENT.schema) as reader:
            following = reader.follow(0)
            for time in range(200):
                log.append(**fields(time), payload=bytes(time % 3 * 40_000))
                if time % 7 == 0:
                    log.flush(cut=True)
                if time % 5 == 0:
                    log.append_bytes(b"\0\0\0\0\1\0\0\0" + bytes(8))  # without a field
                event = next(following)
                check(event, time)
                assert event.payload == bytes(time % 3 * 40_000)
                if time % 5 == 0:
                    assert next(following).time == 0
                if time % 11 == 0:
                    assert reader.refresh() == len(log)
            assert len(reader) == len(log)


def test_a_follower_is_woken_through_an_index_that_replaces_its_own(target: Path) -> None:
    """A writer makes a new one for an empty log, and a reader of a log without one does."""
    index = Path(f"{target}.idx")
    MessageLog(target, schema=EVENT.schema).close()
    with open_log(target, EVENT.schema) as reader:
        for time in range(12):
            index.unlink()
            with MessageLog(target, schema=EVENT.schema) as log:
                log.append(fields(time))
                assert reader.refresh() == time + 1
                # It maps so many, and no more.
                assert reader._wait_for_news(time, 1) == (time < 7), time
                check(reader[time], time)
        assert [event.time for event in reader] == list(range(12))
