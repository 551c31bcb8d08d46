"""The memory of a message, as columns and rows see it.

A *message memory* is all that they know of a message: its segments, and for one that is
being built, a way to make room in it, and pycapnp's builder of the root. Nothing else of a
builder or of pycapnp is used.
"""

import os
from typing import Any, NamedTuple, Protocol


class Room(NamedTuple):
    """Zeroed words of one segment that belong to nothing yet."""

    segment: int
    word: int
    words: int


class MessageMemory(Protocol):
    """A message that can be read."""

    @property
    def segments(self) -> tuple[memoryview, ...]:
        """All segments as they are now, writable if the message is being built."""

    @property
    def building(self) -> bool:
        """Whether the message is being built: then what is not set can be set."""


class GrowingMemory(MessageMemory, Protocol):
    """A message that is being built."""

    @property
    def part(self) -> tuple[int, int] | None:
        """First and number of the elements that are to be filled; None for whole lists."""

    @property
    def most_words(self) -> int:
        """The most words that a room should have, unless one object needs more."""

    def room_in(self, segment: int) -> int:
        """Return the words that `make_room` can give in `segment`."""

    def make_room(self, words: int) -> Room:
        """Take words out of the last segment, or of a new one.

        Raises:
            CapacityError, OSError: the file has no room.
            ValueError: the message is not one that this builder has made.
        """

    def make_file(self) -> int:
        """Return the descriptor of an empty file without a name, for rows that are many.

        Raises:
            OSError: there is no directory for it.
        """

    def root(self) -> Any:
        """Return pycapnp's builder of the root.

        Raises:
            ValueError: the message is not one that this builder has made.
        """


class ReadMemory(NamedTuple):
    """A message that is only read."""

    segments: tuple[memoryview, ...]
    building: bool = False


def unnamed_file(name: Any) -> int:
    """Make an empty file without a name; return its descriptor.

    It is in the directory of the file `name`, if it can be made there, since there must be
    room for the message as well; else where temporary files are.

    Raises:
        OSError: it cannot be made.
    """
    directory = None
    if isinstance(name, str | bytes) and os.path.lexists(name):
        directory = os.path.dirname(os.fsdecode(name)) or os.curdir
    try:
        return _unnamed_in(directory)
    except OSError:
        if directory is None:
            raise
        return _unnamed_in(None)


def _unnamed_in(directory: str | None) -> int:
    import tempfile

    with tempfile.TemporaryFile(buffering=0, dir=directory) as file:
        return os.dup(file.fileno())
