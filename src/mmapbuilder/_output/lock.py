"""Locking a file, and saying who has it if that fails."""

import errno
import io
import os

from .. import _core
from .._lazy import t

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal
    from weakref import ref


class LockedFile(_core.File):
    """A file that is held for a builder, which errors can name."""

    __slots__ = ("holder",)

    holder: "ref[object] | None"

    def refuse(self, code: int, text: str) -> "t.NoReturn":
        """Raise io.UnsupportedOperation about this file."""
        raise io.UnsupportedOperation(code, text, self.name)


def lock(file: LockedFile, *, beside_readers: bool = False, shared: bool = False) -> None:
    """Lock `file`, so that no other builder works on it.

    With `beside_readers` the file is not going to be changed itself: then the locks of those
    who only read it (LOCK_SH) are no obstacle. With `shared`, others who lock it so may work
    on it as well.

    Raises:
        BlockingIOError: someone else has a lock; the text says who, as far as it is known.
        OSError: files cannot be locked here.
    """
    in_the_way = _try(file, shared)
    if isinstance(in_the_way, _core.File):
        # A builder that no variable leads to any more, but that the cycle collector has not
        # found yet, would go on holding the file.
        del in_the_way
        import gc

        gc.collect()
        in_the_way = _try(file, shared)
    if in_the_way is False and beside_readers and not _core.log_has_writers(file.fileno()):
        in_the_way = _try(file, shared=True)
    if in_the_way is not None:
        raise _busy(file, in_the_way)


def who_has(file: LockedFile) -> "Literal['builder', 'readers', 'nobody']":
    """Tell who has `file` locked, after `lock` has failed; it is let go of.

    A builder that looks whether the file was left behind has a lock on it for a moment only. So
    it may be free by now; and two that look at once may take each other for readers.
    """
    if _try(file, shared=True) is not None:
        return "builder"
    is_free = file.share(False)
    file.let_go()
    return "nobody" if is_free else "readers"


def _try(file: LockedFile, shared: bool = False) -> "_core.File | bool | None":
    try:
        return file.lock(shared)
    except OSError as error:
        raise OSError(error.errno, f"cannot lock: {error.strerror}", file.name) from None


def _busy(file: LockedFile, in_the_way: "_core.File | bool") -> BlockingIOError:
    if isinstance(in_the_way, _core.File):
        held = getattr(in_the_way, "holder", None)
        holder = held() if held is not None else None
        who = repr(holder) if holder is not None else "a builder"
        text = f"locked: {who} of this process is at work on this file, close it first"
    else:
        text = locked_by_others(file.fileno())
    return BlockingIOError(errno.EWOULDBLOCK, text, file.name)


def lock_to_change(fd: int, name: "t.Name") -> None:
    """Lock what a builder may be at work on, for a change in place."""
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EWOULDBLOCK, locked_by_others(fd), name) from None


def locked_by_others(fd: int) -> str:
    """Say who has the file locked, as far as the system tells."""
    locks = _locks_of(fd)
    if not locks:
        return "locked: a builder of another process, or a program that locks files (flock)"
    pids = sorted({pid for _, pid in locks})
    who = f"process {pids[0]}" if len(pids) == 1 else f"processes {', '.join(pids)}"
    if all(kind == "READ" for kind, _ in locks) and _core.log_has_writers(fd):
        return f"locked: {who} appends to it (MessageLog)"
    if all(kind == "READ" for kind, _ in locks):
        return f"locked: {who} reads it under a shared lock (flock LOCK_SH), which no builder takes"
    return f"locked: {who} has it, a builder or a program that locks files (flock)"


def _locks_of(fd: int) -> "list[tuple[str, str]]":
    """Return kind (READ or WRITE) and process of each flock on the file."""
    status = os.fstat(fd)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    inode = f"{device}:{status.st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return []
    # 1: FLOCK ADVISORY WRITE 4711 08:02:131080 0 EOF; a waiting one has an arrow before FLOCK.
    # The kernel writes this list piece by piece, so a lock may stand in it twice.
    return [(words[3], words[4]) for words in lines if words[1] == "FLOCK" and words[5] == inode]
