"""Every way to append to a log, on a disk that is full or fails.

Whatever happens, and in which call: the call raises an error that names the file, the log has as
many messages as calls have returned, all of them whole, and it goes on when there is room again.
"""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")
pytest.importorskip("pyarrow")

from support import processes, strace
from support.devices import DEVICES
from support.log_ways import WAYS
from support.mounts import SMALLEST

MIB = 1 << 20

pytestmark = pytest.mark.root

BEGIN = """
    import os, sys
    from pathlib import Path
    from mmapbuilder import MessageLog, open_log
    from support.events import EVENT, fields
    from support.log_ways import *

    path, way, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    filler = path.with_name("filler")

    def opened():
        return MessageLog(path, schema=EVENT.schema)
"""


def run(code: str, *args: object) -> processes.Ended:
    """Run what follows BEGIN in a process of its own."""
    return processes.python(textwrap.dedent(BEGIN) + textwrap.dedent(code), *args, timeout=240).ok()


# ---- no room ---------------------------------------------------------------------------------

FULL = """
    from errno import EDQUOT, ENOSPC

    trial = Trial(opened(), path, way, size)
    assert trial.append()
    for _ in range(2):
        fill_up(filler)
        trial.append_until_it_fails()
        trial.check()
        for _ in range(2):
            trial.append()  # there is no room still, or very little
        trial.check()
        filler.unlink()
        for _ in range(2):
            assert trial.append(), trial.errors[-1]
        trial.check()
    fill_up(filler)
    trial.append_until_it_fails()
    try:
        trial.log.close()  # a shorter file takes no room
    except OSError as error:  # but on btrfs a store into what is there may
        assert error.filename == str(path), error
        trial.errors.append(error)
    else:
        assert path.stat().st_size == open_log(path).committed
    assert trial.log.closed
    trial.check()
    try:
        trial.log = opened()
    except OSError as error:
        assert error.filename == str(path), error
        trial.errors.append(error)
    else:
        trial.append()
    filler.unlink()
    trial.check()
    trial.log = opened() if trial.log.closed else trial.log
    assert trial.append()
    trial.log.close()
    trial.check()
    assert {error.errno for error in trial.errors} <= {ENOSPC, EDQUOT}, trial.errors
"""

# With small messages the index is what needs room first, with large ones the log.
SMALL, LARGE = 1200, 100_000

QUICK = ["fields", "extend arrow", "build"]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *(("tmpfs", way) for way in QUICK),
        ("ext4", "fields"),
        *(
            pytest.param(kind, way, marks=pytest.mark.slow)
            for kind in ["tmpfs", "ext4"]
            for way in WAYS
            if way not in QUICK
        ),
        *(
            pytest.param(kind, way, marks=pytest.mark.slow)
            for kind in ["xfs", "btrfs"]
            for way in QUICK
        ),
    ],
)
def test_no_room(mount: Callable[..., Path], kind: str, way: str, size: int) -> None:
    directory = mount(kind, max(SMALLEST[kind], 40 * MIB))
    run(FULL, directory / "log", way, size)


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_no_room_for_the_next_file(mount: Callable[..., Path], size: int) -> None:
    """Also the file that is full cannot be opened again then, perhaps."""
    code = """
        log = MessageLog(path, schema=EVENT.schema, roll=300_000)
        numbers, failures = [], 0

        def append():
            try:
                log.append(fields(len(numbers)) | {"payload": b"p" * size})
            except OSError as error:
                assert error.filename in {str(log.name), *map(str, names())}, error.filename
                return False
            numbers.append(len(numbers))
            return True

        def names():
            number = int(str(log.name)[len(str(path)) + 1 :] or 0)
            return [path.with_name(f"log.{next:06}") for next in (number + 1,)]

        def check():
            found = []
            for each in sorted(path.parent.glob("log*")):
                if each.suffix != ".idx" and each.stat().st_size:
                    with each.open("rb") as file:
                        found += [event.time for event in EVENT.schema.read_multiple(file)]
            assert found == numbers, (len(found), len(numbers))

        for _ in range(3):
            fill_up(filler)
            while append():
                pass
            for _ in range(3):
                append()
            check()
            filler.unlink()
            for _ in range(2000 if size < 10_000 else 10):
                assert append()
            check()
        log.close()
        check()
    """
    run(code, mount("tmpfs", 40 * MIB) / "log", "", size)


# ---- calls of the system that fail -----------------------------------------------------------

INJECTED = """
    def until_it_works(call):
        for _ in range(20):
            try:
                return call()
            except OSError as error:
                assert error.filename == str(path), error
        raise AssertionError("it never works")

    trial = Trial(until_it_works(opened), path, way, size)
    for round in range(40):
        trial.append()
        if round % 8 == 0:
            trial.check()
        if round % 13 == 5:
            try:
                trial.log.close()
            except OSError as error:
                assert error.filename == str(path), error
                trial.errors.append(error)
            assert trial.log.closed
            trial.check()
            trial.log = until_it_works(opened)
            assert len(trial.log) == trial.count
    assert trial.count > 15
    try:
        trial.log.close()
    except OSError as error:
        assert error.filename == str(path), error
    trial.check()
    print(len(trial.errors), *{error.errno for error in trial.errors})
"""


@pytest.mark.slow
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("call", [strace.PWRITE, "fallocate", "ftruncate"])
def test_calls_that_fail(target: Path, call: str, way: str, size: int) -> None:
    """Every fifth call on the log or its index meets an error of the device."""
    trace = target.with_name("trace")
    printed = strace.run(
        textwrap.dedent(BEGIN) + textwrap.dedent(INJECTED),
        *(str(target), way, str(size)),
        options=[
            *("-P", str(target), "-P", f"{target}.idx"),
            *("-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when=3+5"),
        ],
        log=trace,
        timeout=240,
    )
    told, *which = map(int, printed.split())
    assert which == ([5] if told else [])
    assert "INJECTED" in trace.read_text() or call != "ftruncate"
    assert told or call != "ftruncate"  # the others have a way round, or are seldom called


# ---- devices that fail ------------------------------------------------------------------------

DYING = """
    trial = Trial(opened(), path, way, size)
    for _ in range(3):
        assert trial.append()
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(100):  # in memory much can still be done
        trial.append()
    for call in (trial.log.sync, trial.log.close, trial.log.close):
        try:
            call()
        except OSError as error:
            assert error.filename == str(path), error
            trial.errors.append(error)
    assert trial.log.closed
    try:
        found = read_by_others(path)
    except OSError:
        pass  # a device that cannot even be read from
    else:
        assert found == list(range(trial.count)), (len(found), trial.count)
    print(*{error.errno for error in trial.errors})
"""


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_that_fails(name: str, tmp_path: Path) -> None:
    code = textwrap.dedent(BEGIN) + "from support.events import read_by_others\n"
    code += textwrap.dedent(DYING)
    ways = ["fields", "extend dicts", "extend arrow", "build", "flush and cut"]
    started: dict[str, subprocess.Popen[str]] = {}
    with DEVICES[name](tmp_path) as device:
        try:
            for way in ways:
                started[way] = processes.start(
                    code, device.point / way.replace(" ", "-"), way, LARGE
                )
                assert processes.line(started[way]) == "ready\n", processes.end(
                    started.pop(way)
                ).err
            device.break_it()
            for way in ways:
                processes.tell(started[way])
                ended = processes.end(started.pop(way), timeout=120)
                assert (ended.code, ended.err) == (0, ""), (way, str(ended))
                assert ended.out.split(), way  # some call has said it
        finally:
            for process in started.values():
                processes.stop(process)
