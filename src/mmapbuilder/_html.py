"""How notebooks show builders, messages and reports."""

from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_bytes(count: int) -> str:
    """Write a number of bytes with a unit, and behind it the exact number if it was rounded."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    if unit == 0:
        return f"{count} bytes"
    exactly = "" if count == int(value) << 10 * unit else f" ({count:,} bytes)"
    return f"{value:.4g} {_UNITS[unit]}{exactly}"


def describe(title: str, rows: "Iterable[tuple[str, Any]]") -> str:
    """Make a table of names and values, whatever characters are in them."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"
