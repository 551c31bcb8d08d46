"""Logs after the machine has gone down: what had not reached the device is anything by now."""

from __future__ import annotations

import os
import random
import shutil
import struct
import warnings
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, Log, LogReport, MessageLog, open_log, recover, verify
from support.events import EVENT, fields, frame, read_by_others

pytestmark = pytest.mark.slow

PAGE = 4096


def boot_place(index: bytes) -> int:
    """Where the index names the boot."""
    named = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    return index.index(bytes.fromhex(named), 0, PAGE)


def cut_power(path: Path, chance: random.Random, synced: int) -> int:
    """Lose some pages that were not synced, of the log and of its index; start again."""
    data = bytearray(path.read_bytes())
    lost = 0
    share = chance.choice([0.0, 0.02, 0.3, 1.0])
    for start in range(synced // PAGE * PAGE, len(data), PAGE):
        if chance.random() < share:
            begin = max(start, synced)
            data[begin : start + PAGE] = bytes(len(data[begin : start + PAGE]))
            lost += 1
    before = path.stat()
    path.write_bytes(data)
    if chance.random() < 0.5:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    path_of_index = Path(f"{path}.idx")
    index = bytearray(path_of_index.read_bytes())
    place = boot_place(bytes(index))
    index[place : place + 16] = bytes(16 * [7])
    for start in range(PAGE, len(index), PAGE):
        if chance.random() < share / 4:
            index[start : start + PAGE] = bytes(len(index[start : start + PAGE]))
    with path_of_index.open("r+b") as file:
        file.write(index)
    return lost


@pytest.mark.parametrize("seed", range(4))
def test_what_is_left_is_a_valid_prefix_with_all_that_was_synced(target: Path, seed: int) -> None:
    chance = random.Random(seed)
    complete = 0
    for round_ in range(60):
        target.unlink(missing_ok=True)
        Path(f"{target}.idx").unlink(missing_ok=True)
        count = chance.randrange(1, 6000)
        log = MessageLog(target, schema=EVENT.schema)
        if count > 3000:
            log.extend(map(fields, range(count // 2)))
        synced = len(log)
        if chance.random() < 0.8:
            log.sync()
        else:
            synced = 0
        place = log.synced
        log.extend(map(fields, range(len(log), count)))
        frames = target.read_bytes()[: log.committed]
        if chance.random() < 0.3:
            log.close()
        else:
            abandon(log)
        lost = cut_power(target, chance, place)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            if round_ % 2:
                recover(target)
            else:
                MessageLog(target, "a").close()
        whole = target.read_bytes()
        times = read_by_others(target)
        assert times == list(range(len(times)))
        assert synced <= len(times) <= count
        assert whole == frames[: len(whole)]
        if lost == 0 and len(times) == count:
            complete += 1
        with open_log(target, EVENT.schema) as reader:
            assert len(reader) == len(times)
    assert complete > 0


def abandon(log: MessageLog) -> None:
    """Leave the files of a log as they are, as when its process dies."""
    assert log._output is not None
    if log._syncer is not None:
        log._syncer.stop()
    log._finish(False)
    log._output.keep()


def start_again(path: Path) -> None:
    """Let the index name another boot than the present one."""
    index = Path(f"{path}.idx")
    before = index.read_bytes()
    place = boot_place(before)
    index.write_bytes(before[:place] + bytes(16 * [7]) + before[place + 16 :])


def lose_a_page(path: Path) -> tuple[int, int]:
    """Leave a log that has lost a page; return up to where it was synced, and the page."""
    log = MessageLog(path, schema=EVENT.schema)
    log.extend(map(fields, range(3000)))
    log.sync()
    synced = log.committed
    log.extend(map(fields, range(3000, 6000)))
    lost = log.committed - 20_000
    abandon(log)
    with path.open("r+b") as file:
        file.seek(lost)
        file.write(bytes(PAGE))
    return synced, lost


def test_it_says_what_was_dropped(target: Path) -> None:
    synced, lost = lose_a_page(target)
    start_again(target)
    with pytest.warns(RuntimeWarning, match="the machine went down"):
        log = MessageLog(target, schema=EVENT.schema)
    with log:
        assert synced <= log.committed < lost
        count = len(log)
        assert log.append(fields(count)) == count
    assert read_by_others(target) == list(range(count + 1))


@pytest.mark.parametrize("number", [3000, 4500, 5999])
@pytest.mark.parametrize("way", ["append", "recover"])
def test_a_message_with_wrong_bytes_is_dropped(target: Path, number: int, way: str) -> None:
    """Its frame is in order, and only the checksum tells."""
    log = MessageLog(target, schema=EVENT.schema)
    log.extend(map(fields, range(3000)))
    log.sync()
    log.extend(map(fields, range(3000, 6000)))
    with open_log(target) as reader:
        start = int(reader.offsets[number])
    abandon(log)
    with target.open("r+b") as file:
        file.seek(start + 16)  # behind the table and the root pointer
        file.write(b"\xff")
    start_again(target)
    with pytest.warns(RuntimeWarning, match="the machine went down"):
        MessageLog(target, "a").close() if way == "append" else open_log(target).close()
    if way == "recover":
        recover(target)
    assert 3000 <= len(read_by_others(target)) <= number


def test_without_an_index_the_pointers_are_all_there_is(target: Path) -> None:
    target.write_bytes(b"".join(map(frame, range(2000))))
    report = recover(target)
    assert isinstance(report, LogReport)
    assert (report.messages, report.log_size) == (2000, target.stat().st_size)
    assert (report.dropped, report.unchecked) == (0, True)
    with target.open("r+b") as file:
        file.seek(target.stat().st_size // 2 // PAGE * PAGE)
        file.write(bytes(PAGE))
    Path(f"{target}.idx").unlink()
    size = target.stat().st_size
    report = recover(target)
    assert isinstance(report, LogReport)
    assert report.unchecked
    assert report.log_size + report.dropped == size
    assert 900 < report.messages < 1100
    with open_log(target, EVENT.schema) as log:
        assert [event.time for event in log[:900]] == list(range(900))


def test_verify_names_the_message_that_is_wrong(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(map(fields, range(100)))
        report = verify(target)
        assert isinstance(report, LogReport)
        assert (report.messages, report.tail) == (100, "fence")
    report = verify(target)
    assert isinstance(report, LogReport)
    assert (report.messages, report.log_size) == (100, target.stat().st_size)
    assert (report.tail, report.dropped, report.unchecked) == ("none", 0, False)
    assert (report.size, report.trailing) == (len(frame(0)), target.stat().st_size - len(frame(0)))
    assert "messages=100" in repr(report)
    with open_log(target) as reader:
        start = int(reader.offsets[70])
    with target.open("r+b") as file:
        file.seek(start + 8)
        file.write(struct.pack("<Q", 7))
    with pytest.raises(InvalidMessage, match=f"target: message 70, at byte {start}: "):
        verify(target)


def test_recover_waits_for_nobody(target: Path) -> None:
    with MessageLog(target) as log:
        log.append_bytes(frame(0))
        with pytest.raises(BlockingIOError):
            recover(target)
    report = recover(target)
    assert isinstance(report, LogReport)
    assert (report.messages, report.dropped, report.unchecked) == (1, 0, False)


def test_what_a_killed_writer_left_is_recovered(target: Path) -> None:
    log = MessageLog(target, schema=EVENT.schema)
    log.extend(map(fields, range(10)))
    copy = target.with_name("copy")
    shutil.copy(target, copy)  # as a kill leaves it
    log.close()
    report = recover(copy)
    assert isinstance(report, LogReport)
    assert (report.messages, report.dropped) == (10, 0)
    assert copy.read_bytes() == target.read_bytes()


def test_what_others_have_appended_to_a_closed_log_stays(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(map(fields, range(1500)))
    start_again(target)
    with target.open("ab") as file:
        file.write(b"".join(map(frame, range(1500, 4000))))
    with MessageLog(target, schema=EVENT.schema) as log:
        assert len(log) == 4000
    assert read_by_others(target) == list(range(4000))


@pytest.mark.parametrize("closed", [False, True])
def test_readers_stop_before_what_was_lost_and_leave_it_to_writers(
    target: Path, closed: bool
) -> None:
    synced, lost = lose_a_page(target)
    if closed:  # as if close had been called before the machine went down
        MessageLog(target).close()
        with target.open("r+b") as file:
            os.utime(target, ns=(0, target.stat().st_mtime_ns))
            file.seek(lost)
            status = target.stat()
            file.write(bytes(PAGE))
            file.flush()
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    start_again(target)
    before = target.read_bytes(), Path(f"{target}.idx").read_bytes()
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match="the machine went down before"):
            log = open_log(target, EVENT.schema)
        with log:
            assert synced <= log.committed < lost
            assert log.torn == len(before[0]) - log.committed
            assert [event.time for event in log] == list(range(len(log)))
            count = log.refresh()
            assert count == len(log)
        assert (target.read_bytes(), Path(f"{target}.idx").read_bytes()) == before
    report = verify(target)
    assert isinstance(report, LogReport)
    assert (report.messages, report.tail) == (count, "lost")
    with open_log_quietly(target) as log:
        with pytest.warns(RuntimeWarning, match="they are dropped"):
            writer = MessageLog(target, schema=EVENT.schema)
        with writer:
            assert writer.append(fields(count)) == count
            assert log.refresh() == count + 1
            assert log[-1].time == count
    with open_log(target) as log:
        assert (len(log), log.torn) == (count + 1, 0)


def open_log_quietly(path: Path) -> Log:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return open_log(path, EVENT.schema)


def test_after_an_orderly_start_of_the_machine_all_is_there(target: Path) -> None:
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(map(fields, range(3000)))
    start_again(target)
    for _ in range(2):
        with open_log(target, EVENT.schema) as reader:
            assert (len(reader), reader.torn) == (3000, 0)
            assert reader[-1].time == 2999


def test_what_was_changed_later_is_found_by_its_checksum(target: Path) -> None:
    """Its pointers are all right, and the machine was not started again."""
    with MessageLog(target, schema=EVENT.schema) as log:
        log.extend(map(fields, range(5000)))
        with open_log(target) as reader:
            start, end = (int(reader.offsets[number]) for number in (3000, 3001))
        with target.open("r+b") as file:
            file.seek(end - 1)
            file.write(b"!")
        with pytest.raises(InvalidMessage, match="messages 2048 to 3071, from byte .* checksum"):
            verify(target)
        abandon(log)
    report = recover(target)
    assert isinstance(report, LogReport)
    assert (report.messages, report.unchecked) == (2048, False)
    assert report.dropped > end - start
    assert read_by_others(target) == list(range(2048))


def test_what_has_no_checksum_is_told(target: Path) -> None:
    target.write_bytes(b"".join(map(frame, range(10))))
    open_log(target).close()  # makes an index
    report = verify(target)
    assert isinstance(report, LogReport)
    assert report.unchecked
    with MessageLog(target, schema=EVENT.schema) as log:
        log.append(fields(10))
        report = verify(target)
        assert isinstance(report, LogReport)
        assert (report.messages, report.unchecked) == (11, True)
