"""A *room*: words of a message that pycapnp counts as used, for values that it does not set.

pycapnp makes a struct that belongs to nothing yet, an orphan, with a list of words in it: that is
the room. When pycapnp drops the orphan, it would zero the list as well. So the pointer to the list
is cleared first. Then only the one word of the orphan is zeroed, and the list lies in the message
as an object does whose pointer was set elsewhere.

pycapnp gives room only behind a pointer of its message, and all other pointers are worse. The
root's pointer, borrowed for a moment, would cost the whole message if the process were killed at
that moment. A field of the caller's may be set, or have a type of another size. Data has a view
that tells its address at once, but it ends at 512 MiB, where a list goes on to 4 GiB, and it does
not tell where its pointer is, which would have to be cleared as well.
"""

import errno
import os
from typing import Any

from .. import _core, _pycapnp
from .._list_struct import load_list_struct
from .memory import Room, unnamed_file
from .spans import LIST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# The orphan's word, and a landing pad if the list is in another segment.
OVERHEAD = 2

# What one room takes at most: a whole segment.
MOST_WORDS = _core.MAX_SEGMENT_WORDS - OVERHEAD

_WORDS = 5  # the size of the elements, as the pointer of the list says it
_ID = 0xA7C3E1D5B9F08642
_known: list[Any] = []

_MARK = int.from_bytes(os.urandom(8), "little") >> 1  # sizes beyond 2^63 are all one to _core
_MARK_WORDS = 2  # its pointer, and the number


class BuilderMemory:
    """The memory of a message that pycapnp builds, too, during one call of its builder."""

    building = True
    part = None

    def __init__(
        self,
        core: _core.Map,
        segments: _core.Segments,
        segment_words: int,
        schema: Any,
        message: "Callable[[], Any]",
        used_words: "Callable[[_core.Segments], list[int]]",
    ) -> None:
        """Take the message in `segments` of a map.

        `message` returns pycapnp's message builder, and `used_words` asks it how many words
        of each segment it has used.
        """
        self._map = core
        self._segments = segments
        self._schema = schema
        self._message = message
        self._used_words = used_words
        self._views: tuple[memoryview, ...] = ()
        self._asked: list[int] | None = None  # what `room_in` has found out
        self.most_words = max(1, min(MOST_WORDS, segment_words - OVERHEAD))

    @property
    def segments(self) -> tuple[memoryview, ...]:
        """All segments as they are now, writable. ValueError if the builder is closed."""
        if len(self._views) != len(self._segments):
            self._views = self._segments.views()
        return self._views

    def make_file(self) -> int:
        """Return the descriptor of an empty file without a name."""
        return unnamed_file(self._map.name)

    def root(self) -> Any:
        """Return pycapnp's builder of the root."""
        return self._message().get_root(self._schema)

    def used(self) -> list[int]:
        """Return the used words of each segment.

        Raises:
            OSError: there are no descriptors left to ask pycapnp with.
            ValueError: the message is not pycapnp's of this builder, which could be asked.
        """
        self._message()
        if len(self._segments) == 0:
            return []
        self._segments.make_readable()
        return self._used_words(self._segments)

    def room_in(self, segment: int) -> int:
        """Return the words that the next room can have if it is to be in `segment`."""
        used = self._asked = self.used()
        if segment != len(used) - 1:
            return 0  # only the last one is added to
        return max(0, self._segments.sizes[segment] - used[segment] - OVERHEAD)

    def make_room(self, words: int) -> Room:
        """Take `words` words, in the last segment or in a new one.

        Raises:
            CapacityError, OSError: the file has no room.
        """
        if words > MOST_WORDS:
            raise _core.CapacityError(
                errno.EFBIG,
                f"{8 * words} bytes of one list or struct: more than the 4 GiB of one segment; "
                "fill its lists by calls of their own",
                self._map.name,
            )
        before, self._asked = self._asked, None
        if before is None:
            before = self.used()
        orphan = self._message().new_orphan(_schema(self._schema.node.schema))
        try:
            orphan.get().init("words", words)
            self._map.tell()  # raises if the capacity is used up
            return self._cut_off(before, words)
        finally:
            # Now, and not when an error that knows this frame is collected: by then the
            # message may be gone, and pycapnp would write into it.
            del orphan

    def _cut_off(self, before: list[int], words: int) -> Room:
        """Find the list that was just made, and clear the pointer to it."""
        segments = self.segments
        last = len(before) - 1
        # The orphan is mostly in the last segment. A look there takes less time than asking
        # pycapnp.
        if last >= 0 and 8 * before[last] < len(segments[last]):
            room = _cut_off_at(segments, last, before[last], words)
            if room is not None:
                return room
        for segment, end in enumerate(self.used()):
            word = before[segment] if segment < len(before) else 0
            if end != word and segment < len(segments):
                room = _cut_off_at(segments, segment, word, words)
                if room is not None:
                    return room
        raise RuntimeError("pycapnp did not put an object where the last one ended")


def _cut_off_at(
    segments: tuple[memoryview, ...], segment: int, word: int, words: int
) -> Room | None:
    """Clear the pointer to a list of `words` words, if the orphan, which is one pointer, is there.

    It begins where the segment ended before.
    """
    kind, there, at, count, size, _, _ = _core.resolve(segments, segment, word)
    if (kind, count, size) != (LIST, words, _WORDS):
        return None
    segments[segment][8 * word : 8 * word + 8] = bytes(8)
    if there != segment:  # the landing pad, which nothing leads to now
        segments[there][8 * at - 8 : 8 * at] = bytes(8)
    return Room(there, at, words)


def used_at_end(
    message: Any,
    schema: Any,
    segments: _core.Segments,
    ask: "Callable[[_core.Segments], list[int]]",
) -> list[int]:
    """Return the used words of each segment of a message that is sealed.

    pycapnp makes a new object, the mark, where the last one ended. In a sealed message it is not in
    the file, but in memory, and mostly right behind the last word that is not zero. If it is not
    found there, `ask` asks pycapnp, which takes ten times as long for a large message.
    """
    if len(segments) != 1:
        return ask(segments)
    orphan = message.new_orphan(_schema(schema.node.schema))
    orphan.get().init("words", 1)[0] = _MARK
    end = segments.find_mark(_MARK)
    if end is not None:
        return [end]
    used = ask(segments)
    if len(used) == 1:  # the mark is in that segment, and not in another one
        used[0] -= _MARK_WORDS
    return used


def _schema(schema_of_nodes: Any) -> Any:
    """Return the schema ``struct Room { words @0 :List(UInt64); }``."""
    if not _known:
        loader = _pycapnp.load().SchemaLoader()
        room = load_list_struct(loader, schema_of_nodes, _ID, "Room", "words", "uint64")
        _known.extend([room, loader])
    return _known[0]
