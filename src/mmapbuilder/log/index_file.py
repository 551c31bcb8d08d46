"""The file beside a log that tells where its messages start."""

import os

from .. import _core

_SUFFIX = ".idx"


def index_path(path: "str | bytes") -> "str | bytes":
    """Return where the index of the log at `path` is to be found."""
    return path + os.fsencode(_SUFFIX) if isinstance(path, bytes) else path + _SUFFIX


def open_index(path: "str | bytes", access: int = os.O_RDONLY) -> int:
    """Open the index of the log at `path`: a descriptor, or -1."""
    flags = access | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    try:
        return os.open(index_path(path), flags)
    except OSError:
        return -1


def hold_index(path: "str | bytes", access: int = os.O_RDONLY) -> "_core.File | None":
    """Open the index of the log at `path`; the object closes its descriptor when it goes."""
    index = _core.File(index_path(path), "r+")
    try:
        index.open_path(os.fsdecode(index_path(path)), access)
    except OSError:
        return None
    return index


def make_index(path: "str | bytes", fd: int, log: "_core.LogReader") -> None:
    """Put a new index beside the log at `path`, in one step.

    Raises:
        OSError: that is not possible here.
    """
    target = os.fsdecode(index_path(path))
    new = _core.File(target, "w", True)  # takes its name at the end, or is removed
    new.path = target
    new.open_path(
        f"{target}.{os.getpid()}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, temporary=True
    )
    try:
        log.write_index(fd, new.fileno())
    except BaseException:
        new.roll_back()
        raise
    new.commit(None, False)
