"""A device that fails under open builders, in every state that a builder can be in.

Whatever it is, nobody dies: stores complete, calls say what is wrong with an errno and the
name of the file, and what can no longer be written is never passed off as complete.
"""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

import pytest

from mmapbuilder import InvalidMessage, verify
from support.devices import DEVICES
from support.processes import Ended, end, line, start, stop, tell

SCHEMA = Path(__file__).parent / "rows.capnp"

# What the kernel says of a device that failed.
FAILURES = {errno.EIO, errno.EROFS, errno.ENOSPC, errno.ENOTCONN, errno.ECONNABORTED}
if hasattr(errno, "ESHUTDOWN"):
    FAILURES.add(errno.ESHUTDOWN)

# Each prints the errno of every error, and "ok" at its end. `broken()` returns once the device
# has failed.
BEGIN = """
import sys
import numpy as np
from mmapbuilder import Builder, MessageBuilder
import capnp

path, schema = sys.argv[1:]
Rows = capnp.load(schema).Rows
MIB = 1 << 20

def broken():
    print("ready", flush=True)
    sys.stdin.readline()

def told(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except OSError as error:
        assert error.filename == path, error
        print("errno", error.errno, flush=True)
        return True
    return False

def rows_of(b, count=100_000):
    root = b.init_root(Rows)
    b.fill("rows", number=np.arange(count), data=[b"data"] * count)
    return root
"""

STATES = {
    "storing": """
b = Builder(path)
view = memoryview(b)
view[: 4 * MIB] = b"x" * (4 * MIB)
broken()
for at in range(0, 40 * MIB, 4096):
    view[at : at + 8] = b"y" * 8
assert all(view[at : at + 8] == b"y" * 8 for at in range(0, 40 * MIB, 4096))
told(b.flush, True)
view.release()
assert told(b.close)
""",
    "filling": """
b = MessageBuilder(path)
root = rows_of(b)
broken()
for _ in range(20):
    if told(b.fill, "rows", data=[b"other data, which is longer"] * 100_000):
        break
if not told(b.flush, True):
    print("flushed", flush=True)
assert told(b.close)
""",
    "reading": """
b = MessageBuilder(path)
root = rows_of(b)
broken()
looked = [(i, row.number, row.data) for i, row in enumerate(root.rows) if i % 1000 == 0]
lost = [each for each in looked if each != (each[0], each[0], b"data")]
# What the kernel no longer has reads as zeros, and close says so.
for i, number, data in lost:
    assert number in (0, i) and data in (b"data", bytes(4), b""), (i, number, data)
assert told(b.close) or not lost
""",
    # Only a durable builder waits for the device, so only its close must know of a failure.
    "closing": """
b = Builder(path, durable=True)
memoryview(b)[: 4 * MIB] = b"x" * (4 * MIB)
broken()
assert told(b.close)
assert b.closed
""",
    "discarding": """
b = MessageBuilder(path)
root = rows_of(b)
broken()
told(b.discard)
assert b.closed
""",
    "looking-back": """
b = MessageBuilder(path)
root = rows_of(b)
rows = b.array("rows")
b.close()
broken()
assert rows["number"][5] in (0, 5)   # what is not in memory any more reads as zeros
rows["number"][:] = 7
assert (rows["number"] == 7).all()
""",
}


def ended(process: subprocess.Popen[str]) -> Ended:
    tell(process)
    return end(process, timeout=120)


@pytest.mark.root
@pytest.mark.parametrize("name", DEVICES)
def test_a_device_that_fails_kills_nobody(name: str, tmp_path: Path) -> None:
    processes: dict[str, subprocess.Popen[str]] = {}
    with DEVICES[name](tmp_path) as device:
        try:
            for state, code in STATES.items():
                process = start(BEGIN + code + 'print("ok")\n', device.point / state, SCHEMA)
                processes[state] = process
                assert line(process) == "ready\n", (state, end(process).err)
            device.break_it()
            wrong = [wrong_with(state, ended(processes.pop(state))) for state in STATES]
            assert not any(wrong), "\n".join(filter(None, wrong))
            for state in ("filling", "reading"):
                refuse_what_is_incomplete(device.point / state)
        finally:
            for process in processes.values():
                stop(process)


def wrong_with(state: str, result: Ended) -> str | None:
    """Say what is wrong with how a program in this state ended; None if nothing is."""
    if result.code != 0 or result.err or not result.out.endswith("ok\n"):
        return f"{state}: {result}"
    errors = {int(line[6:]) for line in result.out.splitlines() if line.startswith("errno")}
    return f"{state}: {result}" if errors - FAILURES else None


def refuse_what_is_incomplete(path: Path) -> None:
    """What the failed device still gives is no message, or a whole one."""
    try:
        verify(path)
    except InvalidMessage:
        pass
    except OSError as error:
        assert error.errno in FAILURES, error
