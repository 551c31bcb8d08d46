"""Columns of Text and Data into a message: room, bytes, pointers."""

from typing import Any, NamedTuple

from . import blocks
from .path import Space
from .strings import Listed, Part

# Less room than this in the segment of the pointers is not worth a block of its own.
_WORTHWHILE = 1 << 20


class Need(NamedTuple):
    """What strings need."""

    words: int
    strings: int
    """How many there are; those in another segment than their pointer need a word more."""
    lent: bool
    """Whether some may lie in memory of others, of which the message may be one."""


def measure(parts: list[Part | Listed], wanted: Any, text: bool, label: str) -> Need:
    """Check strings, and return what they need."""
    words = strings = row = 0
    lent = False
    for part in parts:
        mask = None if wanted is None else wanted[row : row + part.rows]
        try:
            more_words, more_strings, is_lent = part.measure(mask, text)
        except UnicodeError as error:
            error.add_note(f"in {label}")
            raise
        except (ValueError, TypeError) as error:
            raise type(error)(f"{label}, {error}") from None
        words += more_words
        strings += more_strings
        lent = lent or is_lent
        row += part.rows
    return Need(words, strings, lent)


def reserve(space: Space, segment: int, need: Need) -> tuple[Space, blocks.Block]:
    """Take room for strings whose pointers are in `segment`, before any is laid.

    Where one block cannot hold all, it is left to lay().
    """
    if not need.words:
        return space, blocks.Block(segment, 0, 0)
    near = blocks.room_in(space, segment)
    if need.words <= near:
        return blocks.allocate(space, need.words)
    words = need.words + need.strings
    if near >= _WORTHWHILE or words > blocks.most_words(space):
        return space, blocks.Block(segment, 0, 0)
    return blocks.allocate(space, words)


def lay(
    space: Space,
    pointers: tuple[int, int, int, int],
    parts: list[Part | Listed],
    wanted: Any,
    text: bool,
    block: blocks.Block,
) -> Space:
    """Lay strings, which were measured, into the message and set their pointers.

    `pointers` is the segment and word of the first, the words from one to the next, and
    their number; `block` is what reserve() gave. Returns the memory as it is then.
    """
    segment, word, stride, _ = pointers
    row = 0
    for number, part in enumerate(parts):
        mask = None if wanted is None else wanted[row : row + part.rows]
        rows = (segment, word + row * stride, stride, part.rows)
        done = 0
        while True:
            done, at, left = part.lay(space.segments, rows, mask, text, done, block)
            block = block._replace(word=at, words=left)
            if done == part.rows:
                break
            rest = [part.after(done), *parts[number + 1 :]]
            after = None if wanted is None else wanted[row + done :]
            need = measure(rest, after, text, "")
            space, block = _room(space, segment, rest, need, text)
        row += part.rows
    return space


def _room(
    space: Space, segment: int, parts: list[Part | Listed], need: Need, text: bool
) -> tuple[Space, blocks.Block]:
    """Take room for strings, near their pointers if it can be had there."""
    words = need.words
    first = measure([parts[0].head(1)], None, text, "").words
    near = blocks.room_in(space, segment)
    if words > near:
        if near >= max(first, _WORTHWHILE):
            words = near
        else:
            words += need.strings
    return blocks.allocate(space, min(words, max(blocks.most_words(space), first + 1)))
