"""Messages that pycapnp builds: filled, read and closed by many threads.

pycapnp asks for the GIL when it is imported; the races are run with it off all the same. Only the
races themselves import it, so that a Python without pycapnp can have the others.
"""

from __future__ import annotations

import gc
import threading
from functools import partial
from pathlib import Path

from mmapbuilder import InvalidMessage, MessageBuilder, MessageLog, open_log, open_message, verify

from .harness import MIB, generator, race, together

PEOPLE = 300


def _names(writer: int) -> list[str]:
    return [f"name {writer} {'x' * (number % 40)} {number}" for number in range(PEOPLE)]


@race
def messages_of_their_own(place: Path) -> None:
    """Builders that have nothing to do with each other disturb each other in nothing."""
    from support.readers import ADDRESS_BOOK

    def build(writer: int) -> None:
        path, names = place / f"{writer}", _names(writer)
        options = {"segment_words": 1 << 13} if writer % 2 else {}
        with MessageBuilder(path, capacity=16 * MIB, **options) as b:
            b.init_root(ADDRESS_BOOK.schema).init("people", PEOPLE)
            b.fill("people", name=names, id=range(writer, writer + PEOPLE))
        with open_message(path, ADDRESS_BOOK.schema) as m:
            assert list(m.column("people", "name")) == names
            assert list(m.column("people", "id")) == list(range(writer, writer + PEOPLE))
        assert verify(path).objects == 2 + PEOPLE

    together(*(partial(build, writer) for writer in range(4)), background=(gc.collect,))


@race
def fills_of_one_message(place: Path) -> None:
    """Columns that several threads fill are each one thread's, as a whole."""
    from support.readers import ADDRESS_BOOK

    path = place / "message"
    b = MessageBuilder(path, capacity=16 * MIB)
    b.init_root(ADDRESS_BOOK.schema).init("people", PEOPLE)
    candidates = [_names(writer) for writer in range(4)]

    def fill(writer: int) -> None:
        field = "name" if writer % 2 else "email"
        b.fill("people", **{field: candidates[writer]})
        assert list(b.column("people", field)) in candidates

    def ask() -> None:
        assert b.size > 0
        assert len(b.column("people", "id")) == PEOPLE
        b.flush()

    together(*(partial(fill, writer) for writer in range(4)), background=(ask, gc.collect))
    b.close()
    verify(path)
    with open_message(path, ADDRESS_BOOK.schema) as m:
        assert list(m.column("people", "name")) in candidates[1::2]
        assert list(m.column("people", "email")) in candidates[::2]


@race
def fills_and_close(place: Path) -> None:
    """Each fill is done before the close, and in the file, or learns that it came too late."""
    from support.readers import ADDRESS_BOOK

    path = place / "closing"
    b = MessageBuilder(path, capacity=16 * MIB)
    b.init_root(ADDRESS_BOOK.schema).init("people", PEOPLE)
    candidates = [_names(writer) for writer in range(3)]
    begun = threading.Event()

    def fill(writer: int) -> None:
        try:
            for _ in range(20):
                b.fill("people", name=candidates[writer])
                begun.set()
        except ValueError as error:
            assert "closed" in str(error)
            assert b.closed

    def close() -> None:
        begun.wait()
        b.close()

    together(*(partial(fill, writer) for writer in range(3)), close, close)
    verify(path)
    with open_message(path, ADDRESS_BOOK.schema) as m:
        assert list(m.column("people", "name")) in candidates


@race
def builds_and_close(place: Path) -> None:
    """pycapnp builds on while the message is closed: what is published is whole."""
    from support.readers import BLOCKS

    path = place / "torn"
    b = MessageBuilder(path, capacity=64 * MIB, segment_words=1 << 15)
    root = b.init_root(BLOCKS.schema)
    begun = threading.Event()

    def build() -> None:
        random = generator()
        for _ in range(30):
            for one in root.init("blocks", 3):
                one.note = "x" * random.randrange(3000)
                one.init("values", 100)[99] = 7
            begun.set()

    def close() -> None:
        begun.wait()
        try:
            b.close()
        except InvalidMessage:  # a call of pycapnp that was half done, and is in no file
            return
        verify(path)

    together(build, close)
    assert b.closed


@race
def messages_in_one_log(place: Path) -> None:
    """Each row and each frame is appended as a whole, and those of one thread in their order."""
    from support.events import EVENT, check, fields, frame

    path = place / "log"
    log = MessageLog(path, schema=EVENT.schema)
    ways = (lambda time: log.append(fields(time)), lambda time: log.append_bytes(frame(time)))

    def append(writer: int) -> None:
        for time in range(writer, 400, 4):
            ways[writer % 2](time)

    together(*(partial(append, writer) for writer in range(4)), background=(log.flush, gc.collect))
    log.close()
    with open_log(path, EVENT.schema) as reader:
        found = [event.time for event in reader]
        for event in reader:
            check(event, event.time)
    for writer in range(4):
        assert [time for time in found if time % 4 == writer] == list(range(writer, 400, 4))
