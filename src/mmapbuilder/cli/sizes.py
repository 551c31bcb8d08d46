"""Numbers as people read them: of bytes, and of other things."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def in_bytes(number: float) -> str:
    """Write a number of bytes with the unit that suits it: ``1.5 GiB``."""
    unit = 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number /= 1024
        unit += 1
    return counted(round(number), "byte") if unit == 0 else f"{number:.4g} {_UNITS[unit]}"


def counted(number: int, noun: str) -> str:
    """Write how many of something there are: ``1 row``, ``2,000 rows``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
