"""A *pool*: words of a message that all lanes of a list take room from.

At its start stand words that no pointer leads to, and that are zeroed when the lanes end:

====== =================================================================
word   what it says
====== =================================================================
0      the token of these lanes, so that no other file is taken for this
1      the words that are taken, these included
2...   the state of each lane: a phase in the lowest byte, a process above
====== =================================================================

A process that reads or writes one of them holds a lock on its first byte. The locks are the
kernel's (OFD locks), so they end with the process that holds them. A lane's lock comes before that
of word 1. The owner of the builder locks all of them at once, and only if none is held.
"""

import fcntl
import os
import struct

IDLE, AT_WORK, FAILED, DONE = range(4)
"""Phases of a lane. A process that died leaves AT_WORK behind, and no lock."""

TOKEN, TAKEN, STATES = range(3)

WORD = 8
_FLOCK = "@hhqqi0q"  # struct flock, as Linux has it on 64-bit machines


def has_locks() -> bool:
    """Whether the system has the locks that lanes need."""
    return hasattr(fcntl, "F_OFD_SETLK") and struct.calcsize("P") == WORD


class Pool:
    """The words at the start of a pool, in memory and in the file.

    Args:
        fd: the file, of an open file description that no other pool uses for locks.
        words: the memory of the pool.
        offset: bytes of the file before the pool.
    """

    def __init__(self, fd: int, words: memoryview, offset: int) -> None:
        self._fd = fd
        self._offset = offset
        self.words = words.cast("B").cast("Q")

    def lock(self, first: int, count: int = 1, *, wait: bool = False) -> bool:
        """Lock words; return False if another process has one of them."""
        how = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(self._fd, how, self._range(fcntl.F_WRLCK, first, count))
        except BlockingIOError:
            return False
        return True

    def unlock(self, first: int, count: int = 1) -> None:
        """Give the locks back."""
        fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, self._range(fcntl.F_UNLCK, first, count))

    def _range(self, kind: int, first: int, count: int) -> bytes:
        start = self._offset + first * WORD
        return struct.pack(_FLOCK, kind, os.SEEK_SET, start, count * WORD, 0)

    def state(self, number: int) -> tuple[int, int]:
        """Return phase and process of a lane."""
        word = self.words[STATES + number]
        return word & 0xFF, word >> 8

    def set_state(self, number: int, phase: int) -> None:
        """Say how far this process is with a lane, whose lock it holds."""
        self.words[STATES + number] = phase | os.getpid() << 8

    def take(self, count: int) -> int | None:
        """Take words of the pool; return the number of the first, None if there are too few."""
        self.lock(TAKEN, wait=True)
        try:
            taken: int = self.words[TAKEN]
            if count > len(self.words) - taken:
                return None
            self.words[TAKEN] = taken + count
            return taken
        finally:
            self.unlock(TAKEN)
