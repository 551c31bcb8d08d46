"""The descriptors of builders."""

from __future__ import annotations

from typing import Any


def descriptor_of(builder: Any) -> int:
    """The number of the builder's own descriptor."""
    number: int = builder.descriptor if hasattr(builder, "descriptor") else builder.fileno()
    return number
