"""What several processes have of one message: lanes, and messages in memory.

    python benchmarks/sharing.py [--dir DIR] [--rounds 7] [--rows 4000000] [--json FILE]

Two questions, each answered within one run, ways taking turns:

- How much faster do two processes fill a list than one? Each has a half of the rows, numbers and
  a text, from Arrow. Compared by wall time, from the first `fill` to the last, with one process
  that fills two lanes one after the other.
- How long does a message of 1 GiB take from the end of its building to the first read in another
  process? Compared with a file in memory (tmpfs) that is closed and opened, and with sending the
  bytes through a socket.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import capnp
import pyarrow as pa

from mmapbuilder import Lane, MessageBuilder, open_message

SCHEMA = """
@0x9b1f7a3d5c2e8406;
struct Row { id @0 :UInt64; x @1 :Float64; name @2 :Text; }
struct Root { rows @0 :List(Row); values @1 :List(UInt64); }
"""

MIB = 1 << 20

_schema: Any = None


def load(directory: Path) -> Any:
    """Load the schema from a file, so that lanes can tell other processes of it."""
    global _schema
    file = directory / "sharing.capnp"
    file.write_text(SCHEMA)
    _schema = capnp.load(str(file))
    return _schema


# ---- lanes ---------------------------------------------------------------------------------


def table(rows: int) -> pa.Table:
    """Rows of two numbers and a text."""
    ids = pa.array(range(rows), pa.uint64())
    names = pa.array([f"name {i % 1000}" for i in range(rows)])
    return pa.table({"id": ids, "x": pa.array([0.5] * rows), "name": names})


def work(tasks: Any, done: Any, rows: int) -> None:
    """Fill the lanes that come, until None does."""
    data = table(rows)
    done.put("ready")
    while (lane := tasks.get()) is not None:
        lane.fill(data)
        done.put("filled")


def lanes(directory: Path, rows: int, rounds: int) -> dict[str, float]:
    """Return seconds of two processes and of one, medians."""
    fork = multiprocessing.get_context("fork")
    workers = []
    for _ in range(2):
        tasks, done = fork.SimpleQueue(), fork.SimpleQueue()
        process = fork.Process(target=work, args=(tasks, done, rows // 2))
        process.start()
        workers.append((process, tasks, done))
    for _, _, done in workers:
        done.get()

    def fill(parts: list[Lane], together: bool) -> float:
        start = time.perf_counter()
        for number, part in enumerate(parts):
            workers[number if together else 0][1].put(part)
        for number in range(2):
            workers[number if together else 0][2].get()
        return time.perf_counter() - start

    seconds: dict[str, list[float]] = {"one process": [], "two processes": []}
    for _ in range(rounds):
        for name, together in (("one process", False), ("two processes", True)):
            with MessageBuilder(directory / "lanes.bin") as b:
                b.init_root(_schema.Root).init("rows", rows)
                seconds[name].append(fill(b.lanes("rows", n=2), together))
    for process, tasks, _ in workers:
        tasks.put(None)
        process.join()
    return {name: statistics.median(each) for name, each in seconds.items()}


# ---- handing a message over ---------------------------------------------------------------------


def build(b: MessageBuilder, size: int) -> None:
    """Fill a list of numbers."""
    b.init_root(_schema.Root).init("values", size // 8)
    b.array("values")[:] = 7


def reader(channel: socket.socket) -> None:
    """Read one number of what comes, and answer with the time."""
    while True:
        what, fds, _, _ = socket.recv_fds(channel, 100, 1)
        if not what:
            return
        if what == b"fd":
            with open_message(fds[0], _schema.Root, require_seals=True) as m:
                assert m.root.values[-1] == 7
            os.close(fds[0])
        elif what.startswith(b"/"):
            with open_message(what.decode(), _schema.Root) as m:
                assert m.root.values[-1] == 7
        else:
            size = int(what)
            content = bytearray(size)
            channel.sendall(b"go")
            view = memoryview(content)
            while view:
                view = view[channel.recv_into(view) :]
            with open_message(content, _schema.Root) as m:
                assert m.root.values[-1] == 7
        channel.sendall(time.perf_counter_ns().to_bytes(8, "little"))


def hand_over(size: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return milliseconds of ending the building and of handing over, medians."""
    ours, theirs = socket.socketpair()
    process = multiprocessing.get_context("fork").Process(target=reader, args=(theirs,))
    process.start()
    found: dict[str, dict[str, list[float]]] = {}

    def note(name: str, start: int, ended: int) -> None:
        read = int.from_bytes(ours.recv(8), "little")
        each = found.setdefault(name, {"end of building": [], "to the first read": []})
        each["end of building"].append((ended - start) / 1e6)
        each["to the first read"].append((read - ended) / 1e6)

    def sealed() -> None:
        b = MessageBuilder.in_memory(size_hint=size)
        build(b, size)
        start = time.perf_counter_ns()
        fd = b.seal()
        ended = time.perf_counter_ns()
        socket.send_fds(ours, [b"fd"], [fd])
        note("sealed in memory", start, ended)
        os.close(fd)

    def in_tmpfs() -> None:
        path = f"/dev/shm/sharing-{os.getpid()}.bin"
        b = MessageBuilder(path, size_hint=size)
        build(b, size)
        start = time.perf_counter_ns()
        b.close()
        ended = time.perf_counter_ns()
        ours.sendall(path.encode())
        note("file on tmpfs", start, ended)
        os.unlink(path)

    def bytes_through_a_socket() -> None:
        message = _schema.Root.new_message()
        message.init("values", min(size // 8, (1 << 29) - 16))
        start = time.perf_counter_ns()
        content = message.to_bytes()
        ended = time.perf_counter_ns()
        last = memoryview(bytearray(content))
        last[-8:] = (7).to_bytes(8, "little")
        ended = time.perf_counter_ns()
        ours.sendall(str(len(last)).encode())
        ours.recv(2)
        ours.sendall(last)
        note("pycapnp's bytes through a socket", start, ended)

    ways: list[Callable[[], None]] = [sealed, in_tmpfs, bytes_through_a_socket]
    for _ in range(rounds):
        for way in ways:
            way()
    ours.close()
    theirs.close()
    process.terminate()
    process.join()
    return {
        name: {step: statistics.median(times) for step, times in steps.items()}
        for name, steps in found.items()
    }


def main() -> None:
    """Measure, print, and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--dir", default=None, help="where the files are made")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--mib", type=int, default=1024, help="of the message that is handed over")
    parser.add_argument("--json", default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        directory = Path(name)
        load(directory)
        seconds = lanes(directory, arguments.rows, arguments.rounds)
        handed = hand_over(arguments.mib * MIB, arguments.rounds)
    ratio = seconds["one process"] / seconds["two processes"]
    print(f"lanes, {arguments.rows:,} rows of two numbers and a text:")
    for who, each in seconds.items():
        print(f"  {who:34}{1e9 * each / arguments.rows:8.1f} ns a row")
    print(f"  two are {ratio:.2f} times as fast as one")
    print(f"a message of {arguments.mib} MiB, to the first read in another process:")
    for who, steps in handed.items():
        shown = ", ".join(f"{step} {each:.2f} ms" for step, each in steps.items())
        print(f"  {who:34}{shown}")
    if arguments.json:
        result = {"lanes": seconds, "ratio": ratio, "handed over": handed}
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
