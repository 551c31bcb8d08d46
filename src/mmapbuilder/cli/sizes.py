"""Numbers of bytes as people read them."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_bytes(number: float) -> str:
    """Write a number of bytes with the unit that suits it: ``1.5 GiB``."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return f"{number:,.0f} bytes" if unit == 0 else f"{number:.4g} {_UNITS[unit]}"
