"""Numbers as people read them: of bytes, and of other things."""

from .._html import with_unit as in_bytes

__all__ = ["counted", "in_bytes"]


def counted(number: int, noun: str) -> str:
    """Write how many of something there are: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
