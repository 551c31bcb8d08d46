"""Values as JSON, also those for which JSON has no form of its own.

Data is base64, numbers that are not finite are ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
Times and other values of Arrow are written as ISO 8601 and as text.
"""

import base64
import json
import math
from typing import Any


def to_json(value: Any) -> str:
    """Write a value as JSON in one line."""
    write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_plain).encode
    try:
        return write(value)
    except ValueError:
        return write(_finite(value))


def _plain(value: Any) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    if isinstance(value, (set, tuple)):
        return list(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return value
