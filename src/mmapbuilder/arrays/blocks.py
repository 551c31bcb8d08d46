"""Room in a message for what `fill` lays out; see `mmapbuilder.columns.room`."""

from ..columns.memory import Room as Block
from ..columns.room import MOST_WORDS, OVERHEAD, BuilderMemory
from .path import Space


def room_in(space: Space, segment: int) -> int:
    """Return the words that the next block can have if it is to be in `segment`."""
    assert space.builder is not None
    return BuilderMemory(space.builder).room_in(segment)


def most_words(space: Space) -> int:
    """Return the most words that a block should have, unless one string needs more."""
    assert space.builder is not None
    return max(1, min(MOST_WORDS, space.builder._segment_words - OVERHEAD))


def allocate(space: Space, words: int) -> tuple[Space, Block]:
    """Take `words` words, in the last segment or in a new one.

    Returns the memory as it is then, and the block.

    Raises:
        CapacityError, OSError: the file has no room.
    """
    assert space.builder is not None
    room = BuilderMemory(space.builder).make_room(words)
    return space.builder._space(), room


__all__ = ["MOST_WORDS", "OVERHEAD", "Block", "allocate", "most_words", "room_in"]
