"""Room in a message that pycapnp counts as used, to lay out what it would set one by one.

pycapnp makes a struct that belongs to nothing yet, an orphan, with a list of words in
it: that is the room. Dropped, the orphan would take the list along and zero it. So its
pointer to the list is cleared first: then nothing but the orphan's one word goes, and
the list lies in the message as an object does whose pointer was set elsewhere.
"""

import errno
import os
from typing import Any, NamedTuple

from .. import _core, _pycapnp
from .path import Space

# The orphan's word, and a landing pad if the list is in another segment.
OVERHEAD = 2

# What one block takes at most: a whole segment.
MOST_WORDS = _core.MAX_SEGMENT_WORDS - OVERHEAD

_LIST, _WORDS = 2, 5  # what the pointer of the list says

_ID = 0xA7C3E1D5B9F08642


class Block(NamedTuple):
    """Zeroed words of one segment."""

    segment: int
    word: int
    words: int


_known: list[Any] = []


def _schema(node_schema: Any) -> Any:
    """Return the schema ``struct Block { words @0 :List(UInt64); }``.

    It is made by hand, as the compiler would: then there is no file to be found.
    """
    if not _known:
        capnp = _pycapnp.load()
        node = capnp._MallocMessageBuilder().init_root(node_schema)
        node.id = _ID
        node.displayName = "mmapbuilder:Block"
        node.displayNamePrefixLength = len("mmapbuilder:")
        body = node.init("struct")
        body.pointerCount = 1
        body.preferredListEncoding = "inlineComposite"
        field = body.init("fields", 1)[0]
        field.name = "words"
        field.discriminantValue = 0xFFFF
        slot = field.init("slot")
        slot.init("type").init("list").init("elementType").uint64 = None
        slot.init("defaultValue").init("list")
        loader = capnp.SchemaLoader()
        _known.extend([loader.load_dynamic(node.as_reader()).as_struct(), loader])
    return _known[0]


def _used_words(space: Space) -> list[int]:
    """Return the used words of each segment.

    Raises:
        OSError: there are no descriptors left to ask pycapnp with.
    """
    builder = space.builder
    assert builder is not None
    assert builder._segments is not None
    used = builder._used_words(builder._segments)
    if not used:  # pycapnp's framing is read through a pipe
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return used


def room_in(space: Space, segment: int) -> int:
    """Return the words that the next block can have if it is to be in `segment`."""
    used = _used_words(space)
    if segment != len(used) - 1:
        return 0  # only the last one is added to
    return max(0, len(space.segments[segment]) // 8 - used[segment] - OVERHEAD)


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
    builder = space.builder
    assert builder is not None
    before = _used_words(space)
    orphan = builder.message.new_orphan(_schema(space.schema.node.schema))
    try:
        orphan.get().init("words", words)
        space = builder._space()  # raises if the capacity is used up
        return space, _cut_off(space, before, words)
    finally:
        # Now, and not when an error that knows this frame is collected: by then the
        # message may be gone, and pycapnp would write into it.
        del orphan


def _cut_off(space: Space, before: list[int], words: int) -> Block:
    """Find the list that was just made, and clear the pointer to it."""
    for segment, end in enumerate(_used_words(space)):
        word = before[segment] if segment < len(before) else 0
        # What was used up to now is followed by the orphan, which is one pointer.
        if end == word or segment >= len(space.segments):
            continue
        kind, there, at, count, size, _, _ = _core.resolve(space.segments, segment, word)
        if (kind, count, size) == (_LIST, words, _WORDS):
            memory = space.segments[segment]
            memory[8 * word : 8 * word + 8] = bytes(8)
            if there != segment:  # the landing pad, which nothing leads to now
                space.segments[there][8 * at - 8 : 8 * at] = bytes(8)
            return Block(there, at, words)
    raise RuntimeError("pycapnp did not put an object where the last one ended")
