"""Paths as they are written: ``people[3].name``."""

import re

from .ends import USAGE, Failure

_STEP = re.compile(r"\.?([A-Za-z_@][\w@]*)|\[(-?\d+)\]")


def parse(text: str) -> tuple[str | int, ...]:
    """Take a path apart into names of fields and numbers of elements."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or ((at == 0) == (found[0][0] == ".") and at == 0):
            raise Failure(
                f"{text!r} is no path; one is written like people[3].name "
                "(numbers in brackets, fields behind dots)",
                USAGE,
            )
        steps.append(found[1] if found[1] is not None else int(found[2]))
        at = found.end()
    return tuple(steps)
