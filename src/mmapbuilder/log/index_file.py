"""The file beside a log that tells where its messages start."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
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


def make_index(path: "str | bytes", fd: int, log: "_core.LogReader") -> None:
    """Put a new index beside the log at `path`, in one step.

    Raises:
        OSError: that is not possible here.
    """
    target = os.fsdecode(index_path(path))
    temporary = f"{target}.{os.getpid()}"
    new = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        log.write_index(fd, new)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(new)
