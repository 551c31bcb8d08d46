"""Warnings that name what a table, a column or a row cannot hold."""

import sys
import warnings
from collections.abc import Collection, Iterable, Mapping

_PACKAGE = __name__.partition(".")[0]


def warn_of_columns(
    where: str, left_out: Mapping[str, str], chosen: Iterable[str] | None = None
) -> None:
    """Warn if a table lacks fields: `left_out` has the reason for each.

    `chosen` are the columns that the table has; None: all.
    """
    prefixes = ("",) if chosen is None else tuple(f"{name}." for name in chosen)
    reasons = [f"{name}: {why}" for name, why in left_out.items() if name.startswith(prefixes)]
    if reasons:
        _warn(f"left out of the table of {where}: {'; '.join(reasons)}")


def warn_of_values(names: Collection[str] | None) -> None:
    """Warn if fields were set that the values which were read do not have."""
    if names:
        shown = ", ".join(repr(name) for name in sorted(names))
        _warn(
            f"{shown} {'is' if len(names) == 1 else 'are'} left out: a pointer of any type, or a "
            "capability, is nothing that a row can hold; pycapnp reads it"
        )


def _warn(text: str) -> None:
    """Warn where the caller of the package stands: a warning is shown once for each place."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)


def _is_ours(module: str) -> bool:
    return module == _PACKAGE or module.startswith(f"{_PACKAGE}.")
