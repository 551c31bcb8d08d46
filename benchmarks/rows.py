"""Rows and nested columns of a message, against pycapnp and other formats on the same rows.

    python benchmarks/rows.py [--dir DIR] [--rounds 9] [--rows 20000] [--json FILE]

Ways take turns in every round, and the best time of each is shown, wall and processor, in
nanoseconds a row: on a busy machine the best is the nearest to what the code takes. Other
formats (msgspec's MessagePack, fastavro, pyarrow) are shown if they are installed: they
write to memory, the ways of a message to a file.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import capnp

from mmapbuilder import MessageBuilder, open_message

SCHEMA = """
@0xb5c1d3e9f7a28407;
struct Point { x @0 :Float32; y @1 :Float32; }
struct Flat { id @0 :UInt64; x @1 :Float64; flag @2 :Bool; n @3 :Int32; name @4 :Text;
  city @5 :Text; }
struct Nested { id @0 :UInt64; values @1 :List(Int32); points @2 :List(Point); }
struct Root { flat @0 :List(Flat); nested @1 :List(Nested); }
"""

Way = Callable[[], Any]


def optional(name: str) -> Any:
    """A package, or None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def make_rows(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of six fields, two of them strings, and rows of two lists."""
    flat = [
        {"id": i, "x": i / 2, "flag": i % 2 == 0, "n": -i, "name": f"name {i}", "city": "Grenoble"}
        for i in range(count)
    ]
    nested = [
        {
            "id": i,
            "values": list(range(i, i + 10)),
            "points": [{"x": i / 4, "y": 1.0}, {"x": 2.0, "y": 3.0}],
        }
        for i in range(count)
    ]
    return flat, nested


class Ways:
    """What is measured: names and calls."""

    def __init__(self, directory: Path, count: int) -> None:
        schema = directory / "rows.capnp"
        schema.write_text(SCHEMA)
        self.root = capnp.load(str(schema)).Root
        self.path = directory / "rows.bin"
        self.read = directory / "read.bin"
        self.flat, self.nested = make_rows(count)
        with MessageBuilder(self.read) as b:
            b.init_root(self.root)
            b.fill_rows("flat", self.flat)
            b.fill_rows("nested", self.nested)
        self.message = open_message(self.read, self.root)

    def fill(self, name: str, rows: Any) -> Way:
        """Rows into a message of its own; making and closing the file is counted."""

        def way() -> None:
            with MessageBuilder(self.path) as b:
                b.init_root(self.root)
                b.fill_rows(name, rows)

        return way

    def loop(self) -> None:
        """pycapnp, attribute by attribute."""
        with MessageBuilder(self.path) as b:
            made = b.init_root(self.root).init("flat", len(self.flat))
            for row, to in zip(self.flat, made, strict=True):
                to.id, to.x, to.flag, to.n = row["id"], row["x"], row["flag"], row["n"]
                to.name, to.city = row["name"], row["city"]

    def from_dicts(self) -> None:
        """pycapnp, from dicts."""
        with MessageBuilder(self.path) as b:
            b.init_root(self.root, nested=self.nested)

    def arrow(self, pa: Any, name: str) -> Way:
        table = pa.table({name: self.message.table("nested", columns=[name]).column(name)})
        columns = {name: table.column(name)}

        def way() -> None:
            with MessageBuilder(self.path) as b:
                b.init_root(self.root)
                b.fill("nested", columns)

        return way

    def ways(self) -> dict[str, Way]:
        """All of them, by name."""
        kind = make_dataclass("Row", list(self.flat[0]))
        tuples = [tuple(row.values()) for row in self.flat]
        objects = [kind(**row) for row in self.flat]
        message = self.message
        ways: dict[str, Way] = {
            "flat in, pycapnp attribute by attribute": self.loop,
            "flat in, dicts": self.fill("flat", self.flat),
            "flat in, tuples": self.fill("flat", tuples),
            "flat in, dataclasses": self.fill("flat", objects),
            "nested in, pycapnp from dicts": self.from_dicts,
            "nested in, dicts": self.fill("nested", self.nested),
            "flat out, pycapnp to_dict": lambda: [row.to_dict() for row in message.root.flat],
            "flat out, dicts": lambda: message.rows("flat"),
            "flat out, tuples": lambda: message.rows("flat", as_=tuple),
            "nested out, pycapnp to_dict": lambda: [row.to_dict() for row in message.root.nested],
            "nested out, dicts": lambda: message.rows("nested"),
            "ragged Int32 out, table": lambda: message.table("nested", columns=["values"]),
            "List(Point) out, table": lambda: message.table("nested", columns=["points"]),
            "Text out, table": lambda: message.table("flat", columns=["name"]),
        }
        pa = optional("pyarrow")
        if pa is not None:
            ways["ragged Int32 in, fill from Arrow"] = self.arrow(pa, "values")
            ways["List(Point) in, fill from Arrow"] = self.arrow(pa, "points")
            ways["flat in, pyarrow from_pylist"] = lambda: pa.Table.from_pylist(self.flat)
            table = pa.Table.from_pylist(self.flat)
            ways["flat out, pyarrow to_pylist"] = table.to_pylist
        msgspec = optional("msgspec")
        if msgspec is not None:
            encoded = msgspec.msgpack.encode(self.flat)
            ways["flat in, msgspec msgpack"] = lambda: msgspec.msgpack.encode(self.flat)
            ways["flat out, msgspec msgpack"] = lambda: msgspec.msgpack.decode(encoded)
        fastavro = optional("fastavro")
        if fastavro is not None:
            types = {"id": "long", "x": "double", "flag": "boolean", "n": "int"}
            fields = [{"name": name, "type": types.get(name, "string")} for name in self.flat[0]]
            avro = fastavro.parse_schema({"type": "record", "name": "Flat", "fields": fields})
            ways["flat in, fastavro"] = lambda: fastavro.writer(io.BytesIO(), avro, self.flat)
        return ways


def measure(ways: dict[str, Way], rounds: int, count: int) -> dict[str, tuple[float, float]]:
    """The best wall and processor times, in nanoseconds a row."""
    best = {name: (float("inf"), float("inf")) for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            wall, busy = time.perf_counter(), time.process_time()
            way()
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            best[name] = (min(best[name][0], wall), min(best[name][1], busy))
    return {name: (wall / count * 1e9, busy / count * 1e9) for name, (wall, busy) in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, help="where the files are made")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", type=Path, help="write the times there as well")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as directory:
        ways = Ways(Path(directory), args.rows)
        times = measure(ways.ways(), args.rounds, args.rows)
    print(f"{'ns a row':45} {'wall':>9} {'processor':>9}")
    for name, (wall, busy) in sorted(times.items()):
        print(f"{name:45} {wall:9.0f} {busy:9.0f}")
    if args.json:
        args.json.write_text(json.dumps(times, indent=1))


if __name__ == "__main__":
    main()
