"""Build a Cap'n Proto message of `size` structs with two texts each, and keep it."""

import os
from typing import Any

import capnp
import numpy as np

from benchmarks.clock import Clock
from mmapbuilder import MessageBuilder

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "..", "people.capnp"))
NAMES = [f"Person with the number {i}" for i in range(1000)]
EMAILS = [f"person.{i}@example.com" for i in range(1000)]


def _set_all(people: Any, size: int) -> None:
    for i in range(size):
        person = people[i]
        person.id = i
        person.name = NAMES[i % 1000]
        person.email = EMAILS[i % 1000]


def _in_place(path: str, size: int, **options: Any) -> dict[str, float]:
    clock = Clock()
    with MessageBuilder(path, **options) as b:
        _set_all(b.init_root(SCHEMA.People).init("people", size), size)
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}


def builder(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size)


def builder_prefault(path: str, size: int) -> dict[str, float]:
    return _in_place(path, size, prefault=True)


def builder_columns(path: str, size: int) -> dict[str, float]:
    """The same message, but column by column: one call in place of a loop."""
    names, emails = [NAMES[i % 1000] for i in range(size)], [EMAILS[i % 1000] for i in range(size)]
    clock = Clock()
    with MessageBuilder(path) as b:
        b.init_root(SCHEMA.People)
        b.fill("people", id=np.arange(size, dtype="u8"), name=names, email=emails)
        clock.mark("stored")
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}


def new_message_write(path: str, size: int) -> dict[str, float]:
    clock = Clock()
    book = SCHEMA.People.new_message()
    _set_all(book.init("people", size), size)
    clock.mark("stored")
    with open(path, "wb") as f:
        book.write(f)
    clock.mark("closed")
    return clock.marks | {"file": os.path.getsize(path)}
