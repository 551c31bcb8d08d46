"""A *part* of a list: elements that one process fills, while others fill the rest."""

from typing import Any, Protocol

from .fill import fill
from .locate import PathError, Step, find, spell
from .memory import GrowingMemory, MessageMemory
from .schema import BITS, Plan
from .spans import ListSpan, span_at


class PartMemory(GrowingMemory, Protocol):
    """A message of which a part of a list is filled."""

    def back(self, segment: int, word: int, words: int) -> None:
        """Have disk blocks for words of a segment, so that no store finds the disk full."""


def list_span(plan: Plan, memory: MessageMemory, path: tuple[Step, ...]) -> tuple[str, ListSpan]:
    """Return name and place of a list whose parts can be filled: of structs or numbers.

    Raises:
        PathError: it is not set.
        TypeError: it has other elements, or is no list.
    """
    found = find(plan, memory, path)
    kind, element = plan.types[found.type]
    name = spell(path)
    if kind != "list" or (plan.types[element].kind not in BITS | {"struct": 0}):
        raise TypeError(
            f"{name} is a {plan.spell(found.type)}: only lists of structs and of numbers "
            "can be filled in parts"
        )
    span = span_at(memory.segments, found.pointer)
    if span is None:
        raise PathError(
            f"{name} is not set: make it first, with pycapnp's init({found.path[-1]!r}, size)"
        )
    return name, span


def fill_part(
    plan: Plan,
    memory: PartMemory,
    path: tuple[Step, ...],
    data: Any,
    columns: dict[str, Any],
) -> None:
    """Write columns into the part of a list that `memory.part` tells."""
    _, span = list_span(plan, memory, path)
    if memory.part is not None:
        span = span.part(*memory.part)
    bits = span.length * (span.data_bits + 64 * span.pointers)
    memory.back(span.segment, span.word, -(-bits // 64))
    fill(plan, memory, path if data is None else (*path, data), columns)
