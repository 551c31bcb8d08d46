"""Contents for messages, and what they read back as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.readers import capnp

BOOK = {
    "people": [
        {
            "id": 123,
            "name": "Alice",
            "email": "alice@example.com",
            "phones": [{"number": "555-1212", "type": "mobile"}],
            "employment": {"school": "MIT"},
        },
        {
            "id": 456,
            "name": "Bob",
            "email": "bob@example.com",
            "phones": [
                {"number": "555-4567", "type": "home"},
                {"number": "555-7654", "type": "work"},
            ],
            "employment": {"unemployed": None},
        },
    ]
}


def fill_book(book: Any) -> None:
    """Write BOOK into an address book, field by field."""
    people = book.init("people", 2)
    alice, bob = people
    alice.id = 123
    alice.name = "Alice"
    alice.email = "alice@example.com"
    phones = alice.init("phones", 1)
    phones[0].number = "555-1212"
    phones[0].type = "mobile"
    alice.employment.school = "MIT"
    bob.id = 456
    bob.name = "Bob"
    bob.email = "bob@example.com"
    phones = bob.init("phones", 2)
    phones[0].number = "555-4567"
    phones[0].type = "home"
    phones[1].number = "555-7654"
    phones[1].type = "work"
    bob.employment.unemployed = None


def fill_kinds(kinds: Any, depth: int = 2) -> None:
    """Give every field of a Kinds a value that is not its default."""
    kinds.bool = True
    kinds.int8 = -(2**7)
    kinds.int16 = -(2**15)
    kinds.int32 = -(2**31)
    kinds.int64 = -(2**63)
    kinds.uInt8 = 2**8 - 1
    kinds.uInt16 = 2**16 - 1
    kinds.uInt32 = 2**32 - 1
    kinds.uInt64 = 2**64 - 1
    kinds.float32 = 0.5
    kinds.float64 = 1e300
    kinds.text = "Käse, 乾酪"
    kinds.data = bytes(range(256))
    kinds.colour = "blue"
    kinds.bools = [True, False, True] * 5
    kinds.int16s = [-1, 0, 1, 2**15 - 1]
    kinds.float64s = [0.1, 0.2, 0.3]
    kinds.texts = ["", "one", "two" * 100]
    kinds.lists = [[1, 2, 3], [], [4]]
    kinds.group.left = 7
    kinds.group.right = "right"
    kinds.choice.name = "chosen"
    kinds.withDefault = 0
    kinds.any.set_as_text("anything")
    if depth:
        fill_kinds(kinds.init("inner"), 0)
        for inner in kinds.init("inners", 3):
            fill_kinds(inner, depth - 1)


def plain(value: Any) -> Any:
    """A message as values that can be compared, what AnyPointer holds being text."""
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.as_text() if hasattr(value, "as_text") else value


def in_memory(schema: Any, fill: Callable[[Any], None], words: int = 1 << 16) -> bytes:
    """The same message as pycapnp makes it, in one first segment that suffices."""
    root = schema.new_message(num_first_segment_words=words)
    fill(root)
    return bytes(root.to_bytes())


def copied_in_memory(reader: Any, words: int = 1 << 16) -> bytes:
    """A message copied with set_root into one first segment that suffices."""
    message = capnp.lib.capnp._MallocMessageBuilder(words)
    message.set_root(reader)
    return bytes(message.get_root(reader.schema).to_bytes())
