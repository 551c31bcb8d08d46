"""The temporary file beside a target, which takes its name when it is ready."""

import errno
import os
import stat
import time

from .lock import LockedFile, lock, who_has
from .names import temporary_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .output import Output

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_OLD = os.O_NOFOLLOW | os.O_NONBLOCK
# A temporary file belongs to a reader if so many looks find it locked. Before each look there is a
# pause, which grows by so many seconds. Builders that look at it lock it for microseconds only.
_LOOKS = 8
_PAUSE = 0.001
_EFFECTIVE = os.access in os.supports_effective_ids


def make_temporary(output: "Output", path: str, mode: int) -> None:
    """Make the file under a temporary name beside `path`, and lock it.

    A file that a dead builder has left there is removed. Anything else is left alone, and another
    name is taken: for a link, a directory, a file that may not be removed or that someone reads
    under a lock.

    Raises:
        BlockingIOError: a builder is at work under that name.
        OSError: no file can be made in this directory.
    """
    for name in temporary_names(path):
        while True:
            if _make(output, name, mode):
                return
            if output.fileno() >= 0:
                output.let_go()  # it was taken for one that is left behind
            elif not _remove_stale(output, name):
                break
    raise FileExistsError(
        errno.EEXIST, "other files have every name that a temporary file could get", name
    )


def make_way(output: "Output", path: str) -> None:
    """Remove the temporary file that a dead atomic builder of this name has left.

    Raises:
        BlockingIOError: that builder is still at work.
    """
    for name in temporary_names(path):
        if not os.access(name, os.F_OK, effective_ids=_EFFECTIVE):  # mostly so; no exception
            return
        _remove_stale(output, name)


def _held_for(output: "Output") -> LockedFile:
    file = LockedFile(output.name, "r+")
    file.holder = output.holder
    return file


def _make(output: "Output", name: str, mode: int) -> bool:
    try:
        output.open_path(name, _NEW, mode, temporary=True)
    except FileExistsError:
        return False
    except FileNotFoundError as error:  # the directory: that is in the name as given
        error.filename = output.name
        raise
    return output.lock() is None and output.is_at(name, False)


def _remove_stale(output: "Output", name: str) -> bool:
    """Remove a temporary file whose builder is gone; false if it cannot be removed."""
    for look in range(_LOOKS):
        if look > 0:
            time.sleep(_PAUSE * look)
        removed = _try_to_remove(output, name)
        if removed is not None:
            return removed
    return False


def _try_to_remove(output: "Output", name: str) -> "bool | None":
    """Do the same once; None if readers, or others who look at the file, have had it locked."""
    stale = _held_for(output)
    try:
        try:
            stale.open_path(name, os.O_RDWR | _OLD)
        except PermissionError:
            stale.open_path(name, os.O_RDONLY | _OLD)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    if not stat.S_ISREG(os.fstat(stale.fileno()).st_mode):
        return False
    try:
        lock(stale)
    except BlockingIOError:
        if who_has(stale) == "builder":
            raise
        return None
    try:
        if stale.is_at(name, False):
            os.unlink(name)
    except PermissionError:
        return False
    finally:
        stale.let_go()
    return True
