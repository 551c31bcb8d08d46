"""A schema of the shape that logs of robots have: one union of very many kinds of events, each
a struct with structs, lists, groups, enums and unions within each other.

It is written by rules, so that it is as wide and as deep as such schemas are, and all its text
is ours.
"""

from __future__ import annotations

import random
from typing import Any

EVENTS = 130  # members of the union: more than a dense union of Arrow can have
SCALARS = ("Bool", "Int8", "UInt16", "Int32", "UInt64", "Float32", "Float64", "Text", "Data")
STATES = ("idle", "armed", "engaged", "faulted")


def text() -> str:
    """The schema."""
    lines = ["@0xb7c4e1a09d25f683;", "", "struct Log {", "  events @0 :List(Event);", "}", ""]
    lines += ["enum State {", *(f"  {name} @{i};" for i, name in enumerate(STATES)), "}", ""]
    lines += ["struct Event {", "  monotonic @0 :UInt64;", "  valid @1 :Bool = true;", "  union {"]
    lines += [f"    kind{i} @{i + 2} :Kind{i};" for i in range(EVENTS)]
    lines += ["  }", "}", ""]
    for i in range(EVENTS):
        lines += _struct(f"Kind{i}", i, 4)
    return "\n".join(lines)


def _struct(name: str, seed: int, depth: int) -> list[str]:
    """A struct of scalars, lists, a group and a union, with structs in it to some depth."""
    scalar = [SCALARS[(seed + k) % len(SCALARS)] for k in range(4)]
    body = [
        f"a @0 :{scalar[0]};",
        f"b @1 :List({scalar[1]});",
        f"c @2 :List(List({scalar[2]}));",
        "state @3 :State = armed;",
        "pose :group {",
        "  x @4 :Float32;",
        "  y @5 :Float64 = -1.5;",
        "}",
        "union {",
        "  none @6 :Void;",
        f"  single @7 :{scalar[3]};",
        "  named @8 :Text;",
        "}",
    ]
    nested: list[str] = []
    if depth:
        body += ["inner @9 :Inner;", "parts @10 :List(Inner);"]
        nested = _struct("Inner", seed + depth, depth - 1)
    return [f"struct {name} {{", *(f"  {line}" for line in body + nested), "}"]


def _scalar(rng: random.Random, kind: str) -> Any:
    ranges = {"Int8": 7, "UInt16": 16, "Int32": 31, "UInt64": 64}
    if kind in ranges:
        return rng.getrandbits(ranges[kind])
    return {
        "Bool": rng.random() < 0.5,
        "Float32": rng.randrange(1000) / 8,
        "Float64": rng.random(),
        "Text": f"t{rng.randrange(1000)}",
        "Data": rng.randbytes(3),
    }[kind]


def _content(rng: random.Random, seed: int, depth: int) -> dict[str, Any]:
    scalar = [SCALARS[(seed + k) % len(SCALARS)] for k in range(4)]
    content: dict[str, Any] = {
        "a": _scalar(rng, scalar[0]),
        "b": [_scalar(rng, scalar[1]) for _ in range(rng.randrange(3))],
        "c": [[_scalar(rng, scalar[2])], []],
        "state": rng.choice(STATES),
        "pose": {"x": 0.5, "y": rng.random()},
    }
    member = rng.randrange(3)
    if member == 1:
        content["single"] = _scalar(rng, scalar[3])
    elif member == 2:
        content["named"] = "n"
    else:
        content["none"] = None
    if depth:
        content["inner"] = _content(rng, seed + depth, depth - 1)
        content["parts"] = [
            _content(rng, seed + depth, depth - 1) for _ in range(rng.randrange(1, 3))
        ]
    return content


def events() -> list[dict[str, Any]]:
    """An event of each kind, in which each field of the schema has a value."""
    rng = random.Random(7)
    return [
        {"monotonic": i, "valid": i % 2 == 0, f"kind{i}": _content(rng, i, 4)}
        for i in range(EVENTS)
    ]
