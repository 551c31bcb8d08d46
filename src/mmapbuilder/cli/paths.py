"""Paths as they are written: ``people[3].name``."""

import re
from collections.abc import Iterable

from ..columns.schema import Plan
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


def type_at(plan: Plan, number: int, names: Iterable[str]) -> int:
    """Go along names of fields from a type, and return the number of the type there.

    Raises:
        Failure: there is no such field.
    """
    for name in names:
        kind, refers_to = plan.types[number]
        fields = plan.structs[refers_to].fields if kind in ("struct", "group") else {}
        if name not in fields:
            raise Failure(
                f"{plan.spell(number)} has no field {name!r}; it has: {', '.join(fields) or 'none'}"
            )
        number = fields[name].type
    return number
