"""How notebooks show builders, messages and reports."""

from html import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def with_unit(number: float) -> str:
    """Write a number of bytes with the unit that suits it: ``1.5 GiB``."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    if unit == 0:
        return "1 byte" if round(number) == 1 else f"{round(number)} bytes"
    return f"{number:.4g} {_UNITS[unit]}"


def in_bytes(count: int) -> str:
    """Write a number of bytes with a unit, and behind it the exact number."""
    return f"{with_unit(count)} ({count:,} bytes)" if count >= 1024 else with_unit(count)


def describe(title: str, rows: "Iterable[tuple[str, Any]]") -> str:
    """Make a table of names and values, whatever characters are in them."""
    body = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th>"
        f"<td style='text-align:left'>{escape(str(value))}</td></tr>"
        for name, value in rows
        if value is not None
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{body}</tbody></table>"
