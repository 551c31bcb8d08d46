"""Small messages, as many as a test of logs wants, made and checked without our code."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmapbuilder import open_log
from support.readers import SUPPORT, Kind

EVENT = Kind(SUPPORT / "events.capnp", "Event")

FENCE = struct.pack("<II", 0, 60 * 2**20 // 8)


def name_of(time: int) -> str:
    """A name whose length varies with the time."""
    return f"event {time} " + "x" * (time % 23)


def value_of(time: int) -> float:
    """A value that only that time has."""
    return time * 0.5 - 7


def fields(time: int) -> dict[str, Any]:
    """What the event of that time says."""
    return {"time": time, "value": value_of(time), "name": name_of(time)}


def frame(time: int, segment_words: int = 1024) -> bytes:
    """The event as pycapnp frames it; small first segments make several."""
    message = EVENT.schema.new_message(num_first_segment_words=segment_words, **fields(time))
    return bytes(message.to_bytes())


def write(path: Path, times: Iterable[int], segment_words: int = 1024) -> list[bytes]:
    """Write a log as others do; the frames."""
    frames = [frame(time, segment_words) for time in times]
    path.write_bytes(b"".join(frames))
    return frames


def check(event: Any, time: int) -> None:
    """Fail unless it is the event of that time, whole."""
    assert (event.time, event.value, event.name) == (time, value_of(time), name_of(time))


def index_of(path: Path) -> Path:
    """Where the index of a log lies."""
    return path.with_name(path.name + ".idx")


def read_by_others(path: Path) -> list[int]:
    """The times of all events that pycapnp's stream reader finds, each checked."""
    times = []
    with path.open("rb") as file:
        for event in EVENT.schema.read_multiple(file):
            check(event, event.time)
            times.append(event.time)
    return times


def times(path: Path) -> list[int]:
    """The times in a log, each event checked, with and without its index."""
    found = []
    for index in (True, False):
        with open_log(path, EVENT.schema, index=index) as log:
            for event in log:
                check(event, event.time)
            found.append([event.time for event in log])
    assert found[0] == found[1] == read_by_others(path)
    return found[0]
