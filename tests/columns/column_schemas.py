"""The schemas of these tests, loaded once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import capnp

from mmapbuilder import MessageBuilder, open_message

HERE = Path(__file__).resolve().parent
columns_capnp: Any = capnp.load(str(HERE / "columns.capnp"))

SCHEMAS = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")
"""Where capnp's own schemas are, if they are installed."""

Root = columns_capnp.Root

ITEMS: list[dict[str, Any]] = [
    {"id": 1, "name": "a", "note": "", "color": "blue", "flag": False, "weight": 2.5},
    {"name": "", "label": "é", "position": {"height": 9, "place": {"x": 1, "y": -1}}},
    {"points": [{"x": 1}, {}], "score": {"value": -5}, "blob": b"\0"},
    {"child": {"id": 3, "child": {"nothing": None}}},
    {"both": {"left": -1, "right": "r"}, "score": {"none": None}},
    {},
]
NUMBERS: dict[str, Any] = {
    "bools": [True, False, True] * 5,
    "i8": [-128, 127],
    "u16": [65535],
    "i32": [-(2**31)],
    "u64": [2**64 - 1],
    "f32": [0.5],
    "f64": [1e300],
    "colors": ["green", "red"],
    "voids": [None] * 3,
    "texts": ["a", "", "b" * 30],
    "blobs": [b"", b"x"],
    "matrix": [[1, 2], [], [3]],
    "cube": [[[1], []], []],
    "words": [["a"], ["b", "c"]],
    "boxes": [[{"x": 1.0, "y": 2.0}], []],
}


@contextmanager
def message_of(target: Path, **content: Any) -> Iterator[Any]:
    """A message of ITEMS, NUMBERS and more, open."""
    with MessageBuilder(target) as b:
        b.init_root(Root, items=ITEMS, numbers=NUMBERS, **content)
    with open_message(target, Root) as opened:
        yield opened
