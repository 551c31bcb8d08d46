"""The memory of a message, as one lane of it sees it in a process of its own."""

import errno
import mmap
import os
from typing import Any, NamedTuple, NoReturn

from .._core import CapacityError
from ..columns.memory import Room, unnamed_file
from .pool import WORD, Pool


class Layout(NamedTuple):
    """Where a message lies in its file, and its pool in the message."""

    start: int
    """Bytes of the file before the first segment."""
    sizes: tuple[int, ...]
    """Words of each segment."""
    room: Room
    """The pool."""

    def offset(self, segment: int, word: int) -> int:
        """Return how many bytes of the file are before a word of a segment."""
        return self.start + WORD * (sum(self.sizes[:segment]) + word)

    @property
    def end(self) -> int:
        """Bytes of the file up to the end of the pool."""
        return self.offset(self.room.segment, self.room.word + self.room.words)


class LaneMemory:
    """A message that several processes fill: its segments, and room in its pool.

    `part` is (first, count) of the elements that are the lane's.
    """

    building = True

    def __init__(self, fd: int, layout: Layout, part: tuple[int, int], name: str) -> None:
        self._fd = fd
        self._layout = layout
        self._name = name
        self.part = part
        memory = memoryview(mmap.mmap(fd, layout.end))
        segments = []
        for number, words in enumerate(layout.sizes):
            first = layout.offset(number, 0)
            segments.append(memory[first : min(first + WORD * words, layout.end)])
        self.segments = tuple(segments)
        room = layout.room
        start = layout.offset(room.segment, room.word)
        self.pool = Pool(fd, memory[start : layout.end], start)

    @property
    def most_words(self) -> int:
        """Words that one room can have at most."""
        return self._layout.room.words

    def room_in(self, segment: int) -> int:
        """Return how many words `make_room` might give in `segment`."""
        return self._layout.room.words if segment == self._layout.room.segment else 0

    def make_room(self, words: int) -> Room:
        """Take words of the pool, and disk blocks for them.

        Raises:
            CapacityError: the pool is used up.
            OSError: the disk is full.
        """
        first = self.pool.take(words)
        room = self._layout.room
        if first is None:
            raise CapacityError(
                errno.EFBIG,
                f"{self._name}: the lanes have taken all {WORD * room.words} bytes that there are "
                f"for texts and lists, and {WORD * words} more are needed: make them with a "
                "larger room=, or a builder with a larger capacity=",
            )
        self.back(room.segment, room.word + first, words)
        return Room(room.segment, room.word + first, words)

    def back(self, segment: int, word: int, words: int) -> None:
        """Have disk blocks for words of a segment, so that no store there finds the disk full.

        Raises:
            OSError: there are none.
        """
        if words > 0:
            os.posix_fallocate(self._fd, self._layout.offset(segment, word), WORD * words)

    def make_file(self) -> int:
        """Return the descriptor of an empty file without a name."""
        return unnamed_file(self._name)

    def root(self) -> NoReturn:
        """There is no pycapnp in a lane."""
        raise TypeError("a lane fills one list that its owner has made")


def open_file(candidates: tuple[str, ...], identity: tuple[int, int], name: str) -> int:
    """Open the file of a builder in another process by the first name that leads to it.

    Raises:
        FileNotFoundError: none does.
        OSError: it must not be opened for writing.
    """
    failure: Any = None
    for path in candidates:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        except OSError as error:
            failure = error
            continue
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == identity:
            return fd
        os.close(fd)
    if failure is not None:
        raise failure
    raise FileNotFoundError(
        errno.ENOENT,
        f"{name}: the file is not there any more: its builder was closed, or its process ended",
        candidates[-1],
    )
