"""Arrays of Arrow that are made by hand, so that they can be damaged in any way.

The structs of the C data interface are laid out by ctypes; capsules hand them over. What an
array refers to lives as long as the `Made` that it is from.
"""

from __future__ import annotations

import ctypes
import struct
from typing import Any

_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Schema(ctypes.Structure):
    """ArrowSchema."""


Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(Schema))),
    ("dictionary", ctypes.POINTER(Schema)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


class Array(ctypes.Structure):
    """ArrowArray."""


Array._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(Array))),
    ("dictionary", ctypes.POINTER(Array)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]


@_RELEASE
def _release_schema(address: int) -> None:
    Schema.from_address(address).release = None


@_RELEASE
def _release_array(address: int) -> None:
    Array.from_address(address).release = None


def numbers(letter: str, *values: float) -> bytes:
    """Numbers side by side, as `struct` packs them."""
    return struct.pack(f"={len(values)}{letter}", *values)


class Made:
    """An array with its schema: a producer of the PyCapsule interface."""

    def __init__(
        self,
        form: str | None,
        length: int,
        *buffers: bytes | None,
        name: str = "",
        children: list[Made] | None = None,
        dictionary: Made | None = None,
    ) -> None:
        children = children or []
        self.kept: list[Any] = [children, dictionary]
        self.schema, self.array = Schema(), Array()
        self.schema.format = None if form is None else form.encode()
        self.schema.name = name.encode()
        self.schema.flags = 2
        self.array.length = length
        self.array.n_buffers = len(buffers)
        self.array.buffers = self._pointers(ctypes.c_void_p, [self._buffer(b) for b in buffers])
        for of, kind in ((self.schema, Schema), (self.array, Array)):
            part = "schema" if kind is Schema else "array"
            inner = [ctypes.pointer(getattr(child, part)) for child in children]
            of.n_children = len(children)
            of.children = self._pointers(ctypes.POINTER(kind), inner)
            if dictionary is not None:
                of.dictionary = ctypes.pointer(getattr(dictionary, part))
        self.schema.release = ctypes.cast(_release_schema, ctypes.c_void_p).value
        self.array.release = ctypes.cast(_release_array, ctypes.c_void_p).value

    def _buffer(self, content: bytes | None) -> int | None:
        if content is None:
            return None
        held = ctypes.create_string_buffer(content, max(len(content), 1))
        self.kept.append(held)
        return ctypes.addressof(held)

    def _pointers(self, kind: Any, values: list[Any]) -> Any:
        held = (kind * max(len(values), 1))(*values)
        self.kept.append(held)
        return ctypes.cast(held, ctypes.POINTER(kind))

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        """Hand over copies of the outermost structs; what they refer to stays here."""
        self.given = Schema.from_buffer_copy(self.schema), Array.from_buffer_copy(self.array)
        return _capsule(self.given[0], b"arrow_schema"), _capsule(self.given[1], b"arrow_array")


_new = ctypes.pythonapi.PyCapsule_New
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _capsule(content: ctypes.Structure, name: bytes) -> Any:
    return _new(ctypes.addressof(content), name, None)
