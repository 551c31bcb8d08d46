"""Columns of a message: NumPy arrays in place and fill() against pycapnp's own loops.

    python benchmarks/columns.py [--dir DIR] [--rounds 7] [--scale 1.0] [--json FILE]

Each way writes the same values into a message of its own. Ways take turns in every
round, and the medians are compared, so that a busy machine slows all of them down. Given
are wall time and processor time; the second is the one to trust on a shared machine.

Before each way a file is written and thrown away, so that all of them find memory which
the machine has at hand: a virtual machine may have to ask its host for every page, and
then the first to come pays for all.

"again" writes the same memory a second time: the first time the kernel has to find and
zero pages for the file, which costs the same whoever writes. The limit is a plain copy
in memory; nothing that copies the values can be faster.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import capnp
import numpy as np

from mmapbuilder import Builder, MessageBuilder

try:
    import pyarrow
except ImportError:
    pyarrow = None

SCHEMA = """
@0xb5c1d3e9f7a28406;
struct Sample { time @0 :Int64; x @1 :Float64; y @2 :Float64; count @3 :Int64; }
struct Entry { name @0 :Text; note @1 :Text; }
struct Root {
  values @0 :List(Float64);
  samples @1 :List(Sample);
  entries @2 :List(Entry);
}
"""

Way = Callable[[], None]


def have_memory_at_hand(directory: Path) -> None:
    """Write a file and throw it away; the kernel gives its pages to who comes next."""
    with Builder(directory / "thrown-away.bin") as b:
        np.frombuffer(b, np.uint8)[: 192 << 20] = 1
        b.discard()


class Timed:
    """Times of one way, a pair of wall and processor seconds for each round."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def run(self, work: Way) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


class Case:
    """Ways to do the same; the first named is what the others are compared with."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.ways: dict[str, Timed] = {}

    def time(self, name: str, work: Way) -> None:
        self.ways.setdefault(name, Timed()).run(work)

    def rows(self) -> list[dict[str, Any]]:
        base = next(iter(self.ways.values()))
        rows = []
        for name, timed in self.ways.items():
            wall, cpu = statistics.median(timed.wall), statistics.median(timed.cpu)
            rows.append(
                {
                    "way": name,
                    "wall_ms": 1e3 * wall,
                    "cpu_ms": 1e3 * cpu,
                    "times_faster_wall": statistics.median(base.wall) / wall,
                    "times_faster_cpu": statistics.median(base.cpu) / cpu,
                }
            )
        return rows


def floats(case: Case, schema: Any, directory: Path, scale: float) -> None:
    count = int(10_000_000 * scale)
    source = np.random.default_rng(1).random(count)
    as_list = source.tolist()

    have_memory_at_hand(directory)
    with MessageBuilder(directory / "pycapnp.bin") as b:
        root = b.init_root(schema.Root)
        made = root.init("values", count)

        def loop() -> None:
            for index, value in enumerate(as_list):
                made[index] = value

        case.time("pycapnp, element by element", loop)
        case.time("pycapnp, list assigned", lambda: setattr(root, "values", as_list))
        b.discard()

    (directory / "memmap.bin").unlink(missing_ok=True)
    have_memory_at_hand(directory)
    mapped = np.memmap(directory / "memmap.bin", "<f8", "w+", shape=(count,))
    case.time("numpy.memmap", lambda: mapped.__setitem__(slice(None), source))
    case.time("numpy.memmap, again", lambda: mapped.__setitem__(slice(None), source))

    have_memory_at_hand(directory)
    with MessageBuilder(directory / "array.bin") as b:
        b.init_root(schema.Root).init("values", count)
        array = b.array("values")
        case.time("array()", lambda: array.__setitem__(slice(None), source))
        case.time("array(), again", lambda: array.__setitem__(slice(None), source))
        case.time("fill(), again", lambda: b.fill("values", source))
        b.discard()

    plain = np.zeros(count)
    plain[:] = 1
    case.time("limit: a copy in memory", lambda: plain.__setitem__(slice(None), source))


def structs(case: Case, schema: Any, directory: Path, scale: float) -> None:
    count = int(1_000_000 * scale)
    random = np.random.default_rng(2)
    columns = {
        "time": np.arange(count),
        "x": random.random(count),
        "y": random.random(count),
        "count": random.integers(0, 1 << 40, count),
    }
    lists = [column.tolist() for column in columns.values()]

    have_memory_at_hand(directory)
    with MessageBuilder(directory / "pycapnp.bin") as b:
        made = b.init_root(schema.Root).init("samples", count)

        def loop() -> None:
            for one, when, x, y, number in zip(made, *lists, strict=True):
                one.time = when
                one.x = x
                one.y = y
                one.count = number

        case.time("pycapnp, field by field", loop)
        b.discard()

    have_memory_at_hand(directory)
    with MessageBuilder(directory / "fill.bin") as b:
        b.init_root(schema.Root).init("samples", count)
        case.time("fill()", lambda: b.fill("samples", columns))
        case.time("fill(), again", lambda: b.fill("samples", columns))
        array = b.array("samples")

        def assign() -> None:
            for name, values in columns.items():
                array[name] = values

        case.time("array(), again", assign)
        b.discard()


def texts(case: Case, schema: Any, directory: Path, scale: float) -> None:
    count = int(1_000_000 * scale)
    names = [f"name number {i}" for i in range(count)]
    notes = [f"some other text {7 * i}" for i in range(count)]

    have_memory_at_hand(directory)
    with MessageBuilder(directory / "pycapnp.bin") as b:
        made = b.init_root(schema.Root).init("entries", count)

        def loop() -> None:
            for one, name, note in zip(made, names, notes, strict=True):
                one.name = name
                one.note = note

        case.time("pycapnp, field by field", loop)
        b.discard()

    ways: dict[str, tuple[Any, Any]] = {"fill(), lists of str": (names, notes)}
    if pyarrow is not None:
        ways["fill(), Arrow"] = (pyarrow.array(names), pyarrow.array(notes))
        arrow = ways["fill(), Arrow"]

        have_memory_at_hand(directory)
        with MessageBuilder(directory / "pycapnp.bin") as b:
            again = b.init_root(schema.Root).init("entries", count)

            def loop_over_arrow() -> None:
                lists = [column.to_pylist() for column in arrow]
                for one, name, note in zip(again, *lists, strict=True):
                    one.name = name
                    one.note = note

            case.time("pycapnp, from Arrow", loop_over_arrow)
            b.discard()
    for title, (first, second) in ways.items():
        have_memory_at_hand(directory)
        with MessageBuilder(directory / "fill.bin") as b:
            b.init_root(schema.Root).init("entries", count)
            case.time(title, lambda: b.fill("entries", name=first, note=second))  # noqa: B023
            b.discard()


CASES = {
    "List(Float64) of ten million": floats,
    "a million structs of four numbers": structs,
    "a million rows of two texts": texts,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dir", type=Path, help="where the files are made")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of values")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()

    figures: dict[str, Any] = {
        "machine": platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pycapnp": capnp.__version__,
        "rounds": options.rounds,
        "scale": options.scale,
        "cases": {},
    }
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        directory = Path(name)
        (directory / "benchmark.capnp").write_text(SCHEMA)
        schema = capnp.load(str(directory / "benchmark.capnp"))
        cases = {title: Case(title) for title in CASES}
        for number in range(options.rounds):
            for title, run in CASES.items():
                print(f"round {number + 1}: {title}", file=sys.stderr)
                run(cases[title], schema, directory, options.scale)
    for title, case in cases.items():
        print(f"\n{title}\n")
        print("| way | wall, ms | processor, ms | times as fast (wall) | (processor) |")
        print("|---|---:|---:|---:|---:|")
        for row in case.rows():
            print(
                f"| {row['way']} | {row['wall_ms']:.1f} | {row['cpu_ms']:.1f} "
                f"| {row['times_faster_wall']:.1f} | {row['times_faster_cpu']:.1f} |"
            )
        figures["cases"][title] = case.rows()
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
