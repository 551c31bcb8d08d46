"""A *memory file*: a file without a name, in memory, that can be sealed.

A *seal* is a promise of the kernel's about a file in memory: no process can make it shorter or
longer, or write to it, any more. Seals cannot be taken off again.
"""

import errno
import fcntl
import os
from collections import deque

from . import _core
from ._content import invalid
from ._lazy import t

# This module can be imported on systems that lack some of these names.
SEALS = {name: getattr(fcntl, f"F_SEAL_{name}", 0) for name in ("SHRINK", "GROW", "WRITE", "SEAL")}


class MemoryFile:
    """A file in memory, made to be sealed; closed with the object.

    Raises:
        NotImplementedError: the system has no such files.
        ValueError: the name has a zero byte, or more than 249 bytes.
    """

    def __init__(self, name: str) -> None:
        if not (hasattr(os, "memfd_create") and SEALS["SEAL"]):
            raise NotImplementedError("this system has no files in memory that can be sealed")
        self.name = name
        self._descriptors: list[int] = []  # one, until it is handed over
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        try:
            # One call makes the descriptor and keeps it. Python looks for signals after each
            # call, so after two an interruption could leave a descriptor that nothing closes.
            self._descriptors.extend(map(os.memfd_create, [name], [flags]))
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError(
                f"the name of a file in memory has 249 bytes at most: {name!r}"
            ) from None

    def fileno(self) -> int:
        """Return the descriptor.

        Raises:
            ValueError: it was handed over by `seal`, or closed.
        """
        if not self._descriptors:
            raise ValueError(f"the file in memory was closed or sealed already: {self.name!r}")
        return self._descriptors[0]

    def seal(self) -> int:
        """Seal the file, which must be a finished message, and hand its descriptor over.

        Raises:
            InvalidMessage: it is no finished message.
            BlockingIOError: a program could still write to its memory.
        """
        fd = self.fileno()
        _core.framing(os.pread(fd, _core.HEAD_BYTES, 0), os.fstat(fd).st_size, self.name)
        try:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, sum(SEALS.values()))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise BlockingIOError(
                errno.EBUSY,
                "another process, such as a forked child, has the memory of this message mapped "
                "for writing: call seal() again when it has ended",
                self.name,
            ) from None
        self._descriptors.clear()
        return fd

    def close(self) -> None:
        """Close the descriptor, if it was not handed over."""
        try:
            # One call takes the descriptor and closes it, as in __init__.
            deque(map(os.close, iter(self._descriptors.pop, None)), 0)
        except IndexError:
            pass  # there is none left

    def __del__(self) -> None:
        if hasattr(self, "_descriptors"):  # not if __init__ raised
            self.close()


def require_seals(fd: int, name: "t.ContentName") -> None:
    """Refuse a file that a program could still change or cut.

    Raises:
        InvalidMessage: a seal is missing.
    """
    try:
        present = fcntl.fcntl(fd, fcntl.F_GET_SEALS) if SEALS["SEAL"] else 0
    except OSError:  # EINVAL: a file of another kind
        present = 0
    missing = [name for name in ("SHRINK", "GROW", "WRITE") if not present & SEALS[name]]
    if missing:
        raise invalid(
            "the file is not sealed against being changed (missing: "
            f"{', '.join(f'F_SEAL_{each}' for each in missing)}): make it with "
            "MessageBuilder.in_memory() and seal(), or leave out require_seals",
            name,
        )
