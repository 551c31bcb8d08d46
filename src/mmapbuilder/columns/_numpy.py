"""NumPy, which is imported when arrays are wanted, and its names for numbers of messages."""

try:
    import numpy as np
except ImportError as error:
    raise ImportError("arrays need NumPy: pip install mmapbuilder[numpy]", name="numpy") from error

DTYPES = {
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "<u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "float32": "<f4",
    "float64": "<f8",
    "enum": "<u2",
}
"""The dtypes of the kinds of which an array can be the memory of a message."""

__all__ = ["DTYPES", "np"]
