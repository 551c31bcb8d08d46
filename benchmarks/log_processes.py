"""What logs cost where processes share them, and where they are large.

    python benchmarks/log_processes.py [--dir DIR] [--rounds 5] [--messages 10000000] [--json FILE]

- How long does a message take from the call of `append` to a process that sleeps in `follow`?
  Compared with a byte through a pipe to a process that sleeps in `read`, and with a word of shared
  memory that a C program sleeps on (limits/wake.c), in turns with it: that is what waking a process
  costs on this machine.
- How much do two writer processes append together, against one? That depends on what a writer does
  between two appends, outside the lock: with finished frames next to nothing, or a microsecond of
  other work; with fields it makes the message, with builders pycapnp does. Compared with two
  writers of two logs, in turns with them: more than that the machine does not give to two
  processes that share nothing.
- How long does a log of very many messages take to be opened again, by a writer after `kill -9` and
  by a reader, and how much private memory does a reader of it take?
- How much faster is `table` than a loop over pycapnp's `read_multiple_bytes`, for a million
  messages?
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import capnp

from mmapbuilder import MessageLog, open_log

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "rows.capnp")).Event
FORK = multiprocessing.get_context("fork")
PAUSE = 0.002  # between two messages: long enough to fall asleep
APPENDED = {  # by each of two writers, and how many messages
    "frames": 400_000,
    "frames, 1 us of other work": 200_000,
    "fields": 400_000,
    "builders": 100_000,
}


def percentiles(nanoseconds: list[int]) -> dict[str, float]:
    """Return some of them in microseconds."""
    cuts = statistics.quantiles(nanoseconds, n=100)
    return {name: cuts[number - 1] / 1000 for name, number in (("p50", 50), ("p90", 90))}


# ---- following --------------------------------------------------------------------------------


def _followed(path: Path, count: int, taken: Any, ready: Any) -> None:
    with open_log(path, SCHEMA) as log:
        ready.put(None)
        times = []
        for message in log.follow(0, timeout=10):
            now = time.perf_counter_ns()
            times.append(now - message.id)
            if len(times) == count:
                break
    taken.put(times)


def follow(path: Path, count: int) -> dict[str, float]:
    """Return how long messages are on their way to a follower."""
    taken, ready = FORK.SimpleQueue(), FORK.SimpleQueue()
    with MessageLog(path, "w", schema=SCHEMA) as log:
        process = FORK.Process(target=_followed, args=(path, count, taken, ready))
        process.start()
        ready.get()
        for _ in range(count):
            time.sleep(PAUSE)
            log.append(id=time.perf_counter_ns(), name="tick")
        times = taken.get()
        process.join()
    return percentiles(times)


def _piped(end: int, count: int, taken: Any) -> None:
    times = []
    for _ in range(count):
        sent = int.from_bytes(os.read(end, 8), "little")
        times.append(time.perf_counter_ns() - sent)
    taken.put(times)


def pipe(count: int) -> dict[str, float]:
    """Return the same of a pipe."""
    taken = FORK.SimpleQueue()
    reading, writing = os.pipe()
    process = FORK.Process(target=_piped, args=(reading, count, taken))
    process.start()
    for _ in range(count):
        time.sleep(PAUSE)
        os.write(writing, time.perf_counter_ns().to_bytes(8, "little"))
    times = taken.get()
    process.join()
    os.close(reading)
    os.close(writing)
    return percentiles(times)


def build_wake(directory: Path) -> Path:
    """Return the C program that does nothing but wake a process."""
    program = directory / "wake"
    source = Path(__file__).parent / "limits" / "wake.c"
    subprocess.run(["cc", "-O2", "-o", program, source], check=True)
    return program


def wake(program: Path, count: int) -> dict[str, float]:
    """Return the same of a word of shared memory."""
    out = subprocess.run([program, str(count)], check=True, capture_output=True, text=True).stdout
    half, most = out.split()
    return {"p50": int(half) / 1000, "p90": int(most) / 1000}


# ---- writers ------------------------------------------------------------------------------------


def _appending(log: MessageLog, what: str) -> Callable[[], object]:
    """Return what one writer does for each message."""
    frame = SCHEMA.new_message(id=1, x=0.5, name="name 1").to_bytes()

    def work_and_append() -> None:
        end = time.perf_counter_ns() + 1000
        while time.perf_counter_ns() < end:
            pass
        log.append_bytes(frame)

    def build_and_append() -> None:
        message = SCHEMA.new_message()
        message.id, message.x, message.name = 1, 0.5, "name 1"
        log.append(message)

    return {
        "frames": partial(log.append_bytes, frame),
        "frames, 1 us of other work": work_and_append,
        "fields": partial(log.append, id=1, x=0.5, name="name 1"),
        "builders": build_and_append,
    }[what]


def _written(path: Path, count: int, what: str, ready: Any, start: Any) -> None:
    with MessageLog(path, schema=SCHEMA) as log:
        append = _appending(log, what)
        ready.put(None)
        start.wait()
        for _ in range(count):
            append()
        ready.put(time.perf_counter())


def writers(paths: list[Path], count: int, what: str) -> float:
    """Return how many messages a second some writers append together, each to one of these logs."""
    ready, start = FORK.SimpleQueue(), FORK.Event()
    for path in set(paths):
        MessageLog(path, "w").close()
    processes = [
        FORK.Process(target=_written, args=(path, count, what, ready, start)) for path in paths
    ]
    for process in processes:
        process.start()
        ready.get()
    begun = time.perf_counter()
    start.set()
    end = max(ready.get() for _ in processes)
    for process in processes:
        process.join()
    for path in set(paths):
        with open_log(path) as log:
            assert len(log) == paths.count(path) * count
    return len(paths) * count / (end - begun)


# ---- large logs -----------------------------------------------------------------------------


def _killed(path: Path, count: int) -> None:
    log = MessageLog(path, schema=SCHEMA)
    frame = SCHEMA.new_message(id=1, x=0.5, name="name 1").to_bytes()
    for _ in range(count):
        log.append_bytes(frame)
    os.kill(os.getpid(), signal.SIGKILL)


def _private() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def reopen(path: Path, count: int, rounds: int) -> dict[str, float]:
    """Return milliseconds of opening a log whose writer was killed, and KiB of memory."""
    path.unlink(missing_ok=True)
    process = FORK.Process(target=_killed, args=(path, count))
    process.start()
    process.join()
    start = time.perf_counter()
    log = MessageLog(path, schema=SCHEMA)
    first = time.perf_counter() - start
    assert len(log) == count
    before = _private()
    opened = []
    for _ in range(rounds):
        start = time.perf_counter()
        reader = open_log(path, SCHEMA)
        opened.append(time.perf_counter() - start)
        for number in range(0, count, max(1, count // 1000)):
            reader.frame(number)
    memory = _private() - before
    log.close()
    again = []
    for _ in range(rounds):
        start = time.perf_counter()
        log = MessageLog(path, schema=SCHEMA)
        again.append(time.perf_counter() - start)
        log.close()
    return {
        "writer, after kill -9": 1e3 * first,
        "writer, after close": 1e3 * statistics.median(again),
        "reader": 1e3 * statistics.median(opened),
        "private memory of a reader, KiB": memory,
    }


def table(path: Path, count: int, rounds: int) -> dict[str, float]:
    """Return nanoseconds a message of reading three fields of all messages."""
    with MessageLog(path, "w", schema=SCHEMA) as log:
        log.extend({"id": n, "x": n / 2, "name": f"name {n}"} for n in range(count))
    data = path.read_bytes()
    reader = open_log(path, SCHEMA)
    seconds: dict[str, list[float]] = {"table": [], "loop": []}
    for _ in range(rounds):
        start = time.process_time()
        reader.table()
        seconds["table"].append(time.process_time() - start)
        start = time.process_time()
        numbers, xs, names = [], [], []
        for message in SCHEMA.read_multiple_bytes(data):
            numbers.append(message.id)
            xs.append(message.x)
            names.append(message.name)
        seconds["loop"].append(time.process_time() - start)
    return {name: 1e9 * min(each) / count for name, each in seconds.items()}


def main() -> None:
    """Measure, print, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--dir", default=None, help="where the files are made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=10_000_000)
    parser.add_argument("--json", default=None)
    arguments = parser.parse_args()
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        path = Path(name) / "log"
        program = build_wake(Path(name))
        on_their_way = [(wake(program, 500), pipe(500), follow(path, 500)) for _ in range(rounds)]
        together = {
            what: [
                [
                    writers(paths, count, what)
                    for paths in ([path], [path, path], [path, path.with_name("other")])
                ]
                for _ in range(rounds)
            ]
            for what, count in APPENDED.items()
        }
        opened = reopen(path, arguments.messages, rounds)
        tables = table(path, min(1_000_000, arguments.messages), min(3, rounds))
    woken, piped, followed = (
        {each: statistics.median(times[each] for times in ways) for each in ways[0]}
        for ways in zip(*on_their_way, strict=True)
    )
    together = {
        what: [statistics.median(each) for each in zip(*runs, strict=True)]
        for what, runs in together.items()
    }
    print("on its way to a process that sleeps:")
    for who, times in (("wake", woken), ("pipe", piped), ("follow", followed)):
        print(f"  {who:34}{times['p50']:10.0f} us, p90 {times['p90']:.0f} us")
    for what, (one, two, apart) in together.items():
        print(
            f"{what}: one writer {one:,.0f} messages a second, two {two:,.0f}: "
            f"{two / one:.2f} times; two with a log each {apart:,.0f}: {apart / one:.2f} times"
        )
    print(f"opening a log of {arguments.messages:,} messages:")
    for who, figure in opened.items():
        print(f"  {who:34}{figure:10.2f}{'' if 'KiB' in who else ' ms'}")
    print("three fields of a message:")
    for who, each in tables.items():
        print(f"  {who:34}{each:10.0f} ns")
    print(f"  table is {tables['loop'] / tables['table']:.1f} times as fast")
    if arguments.json:
        result = {
            "wake": woken,
            "pipe": piped,
            "follow": followed,
            "writers": together,
            "open": opened,
            "fields": tables,
        }
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
