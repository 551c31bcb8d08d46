"""Logs whose writer was killed, or met a full disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageLog, open_log
from support import processes
from support.events import EVENT, check, fields, frame, read_by_others

KIB, MIB = 1 << 10, 1 << 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="forks"),
]

# Children append until they are killed, and count what was returned in shared memory.
KILLER = """
    import mmap, os, random, signal, sys, time, warnings
    from mmapbuilder import MessageLog, open_log
    from support.events import EVENT, check, fields, frame, read_by_others

    MANY = 500  # so many are written by a call
    path, (seed, rounds, index) = sys.argv[1], map(int, sys.argv[2:])
    chance = random.Random(seed)
    # One store of eight bytes, which a kill cannot halve. (struct.pack_into clears them first.)
    returned = memoryview(mmap.mmap(-1, 4096)).cast("Q")

    def note(count):
        returned[0] = count

    def append_for_ever(chance):
        with MessageLog(path, schema=EVENT.schema, index=bool(index)) as log:
            while True:
                number = len(log)
                how = chance.random()
                if how < 0.90:
                    log.append_bytes(frame(number))
                elif how < 0.95:
                    log.extend(map(fields, range(number, number + chance.choice([20, MANY]))))
                elif how < 0.97:
                    with log.build() as root:
                        root.payload = bytes(chance.randrange(1 << 20))
                        root.time, root.value, root.name = fields(number).values()
                elif how < 0.98:
                    log.flush(cut=True)
                elif how < 0.99:
                    try:
                        with log.build() as root:
                            root.payload = b"x" * chance.randrange(1 << 20)
                            1 / 0
                    except ZeroDivisionError:
                        pass
                else:
                    log.sync()
                note(len(log))

    note(0)
    for round in range(rounds):
        child = os.fork()
        if child == 0:
            append_for_ever(random.Random(seed * 1000 + round))
        time.sleep(chance.random() ** 3 * 0.1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not os.path.exists(path):
            continue
        least = returned[0]
        with open_log(path, EVENT.schema, index=bool(index)) as log:
            count = len(log)
            assert log.torn == 0
            assert least <= count <= least + MANY, (least, count)
            for number in range(max(0, least - 50), count):
                check(log[number], number)
        note(count)
        if round % 20 == 0:
            from pathlib import Path
            assert read_by_others(Path(path)) == list(range(count))
    print(count)
"""


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_what_was_returned_is_there_after_a_kill(target: Path, seed: int, index: bool) -> None:
    done = processes.python(KILLER, target, seed, 60, int(index), timeout=240).ok()
    count = int(done.out)
    assert count > 100
    assert read_by_others(target) == list(range(count))
    with MessageLog(target, schema=EVENT.schema) as log:
        assert log.append(fields(count)) == count
    assert target.read_bytes()[-len(frame(count)) :] == frame(count)


# ---- a full disk --------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, size) for kind in ["tmpfs", "ext4", "xfs", "btrfs"] for size in [3000, 300_000]),
        ("tmpfs", 56),  # small ones take long where the disk is large
        ("ext4", 56),
    ],
)
def test_on_a_full_disk_the_log_stays_readable_and_goes_on_when_there_is_room(
    mount: Callable[..., Path], kind: str, size: int
) -> None:
    code = """
        import errno, os, sys
        from pathlib import Path
        from mmapbuilder import MessageLog, open_log
        from support.events import EVENT, check, fields
        path, ballast, size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
        may_need_room = sys.argv[4] == "btrfs"  # for a store into what is there

        def append(log, number):
            log.append(fields(number) | {"payload": bytes(size)})

        def fill(log):
            number = len(log)
            while True:
                try:
                    append(log, number)
                except OSError as error:
                    assert error.errno in (errno.ENOSPC, errno.EDQUOT), error
                    assert error.filename == str(path)
                    assert len(log) == number, (len(log), number)
                    return
                number += 1

        def look(count):
            with open_log(path, EVENT.schema) as reader:
                assert len(reader) == count, (len(reader), count)
                for number in range(0, count, 1 + count // 500):
                    check(reader[number], number)

        log = MessageLog(path, schema=EVENT.schema)
        fill(log)
        first = len(log)
        look(first)
        for _ in range(3):  # there is no room still
            try:
                append(log, first)
            except OSError:
                pass
            else:
                first += 1
        look(first)
        ballast.unlink()
        fill(log)
        assert len(log) > first
        count = len(log)
        look(count)
        try:
            log.close()
        except OSError as error:
            assert may_need_room and error.errno == errno.ENOSPC, error
            assert error.filename == str(path)
        look(count)
        print(first, count, path.stat().st_size)
    """
    directory = mount(kind, 24 * MIB)
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 4 * MIB)
        if kind in ("xfs", "btrfs"):  # larger than asked for: leave little
            room = os.statvfs(directory)
            os.posix_fallocate(
                file.fileno(), 0, max(4 * MIB, room.f_bavail * room.f_bsize - 10 * MIB)
            )
    done = processes.python(code, directory / "log", ballast, size, kind, timeout=240).ok()
    _, count, bytes_ = map(int, done.out.split())
    assert bytes_ > 4 * MIB
    assert read_by_others(directory / "log") == list(range(count))


@pytest.mark.root
def test_a_large_message_that_meets_a_full_disk_is_dropped(mount: Callable[..., Path]) -> None:
    path = mount("ext4", 24 * MIB) / "log"
    with MessageLog(path, schema=EVENT.schema) as log:
        log.append(fields(0))
        with pytest.raises(OSError) as raised:
            with log.build() as root:
                root.payload = b"x" * (40 * MIB)
        assert raised.value.errno == errno.ENOSPC
        assert len(log) == 1
        assert read_by_others(path) == [0]
        with log.build() as root:
            root.time, root.value, root.name = fields(1).values()
        log.append(fields(2))
    assert read_by_others(path) == [0, 1, 2]
    with open_log(path, EVENT.schema) as reader:
        check(reader[2], 2)
