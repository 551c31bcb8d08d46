"""The schemas of these tests, loaded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import capnp

HERE = Path(__file__).resolve().parent
arrays_capnp: Any = capnp.load(str(HERE / "arrays.capnp"))
old_capnp: Any = capnp.load(str(HERE / "old.capnp"))
new_capnp: Any = capnp.load(str(HERE / "new.capnp"))

NUMBERS = {
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "f32": "float32",
    "f64": "float64",
}
