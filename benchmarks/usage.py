"""What takes how many bytes of a large message: the time, against a check of its pointers.

    python benchmarks/usage.py [--dir DIR] [--rounds 5] [--mib 1024] [--json FILE]

The message has rows of two numbers, a flag, a union and two texts. Ways take turns in every round;
shown is the best of each, wall and processor, and the ratio of the processor's to that of `usage`:
`verify` follows the same pointers without a schema, pycapnp's `total_size` adds up the words of
all objects. The file is in the
page cache.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import capnp
import numpy as np
import pyarrow as pa

from mmapbuilder import MessageBuilder, open_message, verify

SCHEMA = """
@0xb5c1d3e9f7a28411;
struct Row { id @0 :Int64; value @1 :Float64; flag @2 :Bool; name @3 :Text; note @4 :Text;
  union { none @5 :Void; count @6 :UInt32; } }
struct Root { rows @0 :List(Row); }
"""
BYTES_A_ROW = 104


def build(path: Path, schema: Any, rows: int) -> None:
    """Make the message."""
    numbers = np.arange(rows)
    with MessageBuilder(path) as b:
        b.init_root(schema).init("rows", rows)
        b.fill("rows", id=numbers, value=numbers / 3, flag=numbers % 2 == 0)
        b.fill("rows", name=pa.array([f"name of row {i}" for i in range(rows)]))
        b.fill("rows", note=pa.array([f"a note, {i % 1000}" for i in range(rows)]))


def measure(path: Path, schema: Any, rounds: int) -> dict[str, tuple[float, float]]:
    """The best times of each way, wall and processor, in seconds."""

    def usage() -> None:
        with open_message(path, schema) as m:
            assert m.usage().size == path.stat().st_size

    def total_size() -> None:
        with open_message(path, schema) as m:
            assert m.root.total_size.word_count * 8 <= path.stat().st_size

    ways: dict[str, Callable[[], object]] = {
        "usage": usage,
        "verify": lambda: verify(path),
        "pycapnp total_size": total_size,
    }
    best = dict.fromkeys(ways, (float("inf"), float("inf")))
    for _ in range(rounds):
        for name, way in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            way()
            taken = time.perf_counter() - wall, time.process_time() - processor
            best[name] = min(best[name][0], taken[0]), min(best[name][1], taken[1])
    return best


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dir", default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--json", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as directory:
        source = Path(directory) / "usage.capnp"
        source.write_text(SCHEMA)
        schema = capnp.load(str(source)).Root
        path = Path(directory) / "rows.bin"
        build(path, schema, (options.mib << 20) // BYTES_A_ROW)
        size = path.stat().st_size
        best = measure(path, schema, options.rounds)
    print(f"{size / (1 << 20):,.0f} MiB")
    print(f"{'':20} {'wall':>8} {'processor':>10} {'to usage':>10}")
    for name, (wall, processor) in best.items():
        ratio = processor / best["usage"][1]
        print(f"{name:20} {wall:6.2f} s {processor:8.2f} s {ratio:10.2f}")
    if options.json:
        Path(options.json).write_text(json.dumps({"bytes": size, "seconds": best}, indent=1))


if __name__ == "__main__":
    main()
