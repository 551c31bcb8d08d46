"""Record a drive as a log of events, and ask the log.

    pip install mmapbuilder[capnp,numpy,arrow]
    python examples/drive_log.py [directory [events]]

A car's log has events of many kinds, each with its time: CAN frames, sensors, the state of the car.
A million of them are appended; the index is made again, as for a log that comes from elsewhere; a
moment is found by its time; and the speed of the car becomes a table.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import capnp

from mmapbuilder import MessageLog, open_log

HERE = Path(__file__).resolve().parent
drive_capnp = capnp.load(str(HERE / "drive.capnp"))

NANOSECONDS = 1_000_000_000
EVENTS_A_SECOND = 400


def drive(count: int) -> Iterator[dict[str, Any]]:
    """Make the events of a drive, in the order of their times."""
    yield {
        "logMonoTime": 0,
        "initData": {
            "version": "1.0",
            "dongleId": "c0ffee",
            "params": [{"key": "IsMetric", "value": b"1"}],
        },
    }
    for number in range(1, count):
        moment = number * NANOSECONDS // EVENTS_A_SECOND
        yield {"logMonoTime": moment, **what_happens(number, moment / NANOSECONDS)}


def what_happens(number: int, seconds: float) -> dict[str, Any]:
    """Return the data of one event."""
    speed = 20 + 10 * math.sin(seconds / 30)
    if number % 4 == 0:
        return {
            "carState": {
                "vEgo": speed,
                "steeringAngleDeg": 5 * math.cos(seconds),
                "gasPressed": math.cos(seconds / 30) > 0,
                "gearShifter": "drive",
                "wheelSpeeds": {"fl": speed, "fr": speed, "rl": speed, "rr": speed},
            }
        }
    if number % 4 == 1:
        frames = [{"address": 0x100 + k, "dat": bytes([k] * 8), "src": k % 3} for k in range(3)]
        return {"can": frames}
    if number % 4 == 2:
        vector = {"v": [0.1, 0.2, 9.8], "status": 1}
        return {"accelerometer": {"timestamp": number, "acceleration": vector}}
    if number % 400 == 3:
        return {"logMessage": f"event {number}"}
    if number % 400 == 7:
        return {"deviceState": {"cpuUsagePercent": [10, 20, 30, 40], "started": True}}
    return {
        "gpsLocation": {
            "latitude": 48 + seconds / 1e5,
            "longitude": 11 + seconds / 1e5,
            "speed": speed,
            "hasFix": True,
        }
    }


def report(what: str, start: float, found: str) -> None:
    """Print what was found, and how long that took."""
    print(f"{what:9} {found}, in {1000 * (time.perf_counter() - start):,.1f} ms")


def main() -> None:
    """Record, index, find, read."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    path = directory / "drive.log"

    start = time.perf_counter()
    with MessageLog(path, "w", schema=drive_capnp.Event, key="logMonoTime") as log:
        log.extend(drive(count))
    report("recorded", start, f"{count:,} events, {path.stat().st_size:,} bytes")

    os.unlink(f"{path}.idx")  # as if another program had written the log
    start = time.perf_counter()
    log = open_log(path, drive_capnp.Event)
    report("indexed", start, f"{len(log):,} events")

    moment = count // 2 * NANOSECONDS // EVENTS_A_SECOND
    start = time.perf_counter()
    number = log.seek(moment, "logMonoTime")
    report("found", start, f"event {number:,} at {log[number].logMonoTime / NANOSECONDS:,.1f} s")

    start = time.perf_counter()
    table = log.table(columns=["logMonoTime", "valid", "@which"])
    report("read", start, f"a table of {table.num_rows:,} rows and {table.num_columns} columns")
    kinds = Counter(table.column("@which").to_pylist())
    print("kinds    ", ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common()))

    start = time.perf_counter()
    speeds = log.table(columns=["@which", "carState.vEgo"])
    moving = speeds.filter([kind == "carState" for kind in speeds.column("@which").to_pylist()])
    fastest = max(moving.column("carState.vEgo").to_pylist())
    report("speeds", start, f"{moving.num_rows:,}, up to {fastest:.1f} m/s")


if __name__ == "__main__":
    main()
