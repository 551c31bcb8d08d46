"""Opening and locking what a builder fills; nothing in an existing file changes here."""

import errno
import fcntl
import os

from .. import _core
from .attributes import keep_attributes, keep_label
from .lock import LockedFile, lock
from .names import is_descriptor, require_regular
from .temporary import make_temporary, make_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .output import Output

_COPY_BYTES = 16 << 20


def open_descriptor(output: "Output", fd: int) -> None:
    """Take a duplicate of the program's file descriptor."""
    if output.mode == "x":
        raise ValueError("mode 'x' needs a path, not a file descriptor")
    if output.atomic:
        raise ValueError("atomic needs a path, not a file descriptor")
    if fd < 0:
        raise ValueError("negative file descriptor")
    output.duplicate(fd)
    number = output.fileno()
    require_regular(os.fstat(number), output.name)
    flags = fcntl.fcntl(number, fcntl.F_GETFL)
    if flags & os.O_ACCMODE != os.O_RDWR:
        output.refuse(errno.EBADF, "the file must be open for both reading and writing")
    if flags & os.O_APPEND:
        output.refuse(errno.EINVAL, "a file that is open for appending (O_APPEND) cannot be mapped")
    if flags & getattr(os, "O_DIRECT", 0):
        output.refuse(
            errno.EINVAL, "a file that is open for direct I/O (O_DIRECT) takes whole blocks only"
        )
    lock(output)
    if output.mode == "r+":
        output.size = os.fstat(number).st_size


def open_path(output: "Output", path: str) -> None:
    """Open the file that `path` leads to, make it, or make the one that replaces it."""
    output.path = path if path.startswith("/") else os.path.join(os.getcwd(), path)
    attempt = _open_existing if output.mode == "r+" else _make_or_replace
    while not attempt(output, path):
        pass  # it was renamed or replaced before it was locked


def _open_existing(output: "Output", path: str) -> bool:
    output.open_path(path, os.O_RDWR)
    require_regular(os.fstat(output.fileno()), output.name)
    lock(output, shared=output.beside_others)
    if not output.is_at(path):
        output.let_go()
        return False
    output.size = os.fstat(output.fileno()).st_size
    return True


def _make_or_replace(output: "Output", path: str) -> bool:
    try:
        output.open_path(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        if output.mode == "x":
            raise
        return _replace(output, path)
    lock(output, shared=output.beside_others)
    if not output.is_at(path):
        output.let_go()
        return False
    make_way(output, path)
    return True


def _replace(output: "Output", path: str) -> bool:
    """Make a file that takes the place of the one at `path` as soon as it is mapped.

    Where it cannot be replaced, that one itself is opened, and is emptied when it is mapped.
    """
    old = _hold_target(output)
    # A file is made here only if a link leads to nothing.
    old.open_path(path, os.O_RDWR | os.O_CREAT, 0o666)
    status = os.fstat(old.fileno())
    require_regular(status, output.name)
    if os.path.islink(path):
        output.path = os.path.realpath(path)
    # One of many names, or none at all, cannot be taken over; and where there is no content,
    # no content can be lost.
    replaceable = status.st_nlink == 1 and status.st_size > 0 and not is_descriptor(path)
    lock(old, beside_readers=replaceable)
    if not old.is_at(path):
        old.let_go()
        return False
    if not (replaceable and old.is_at(output.path, False) and _make_beside(output, status)):
        if old.shared:  # it is to be changed itself after all
            old.let_go()
            old.open_path(path, os.O_RDWR)
            lock(old)
        make_way(output, output.path)
        output.build_in_target()
    return True


def _make_beside(output: "Output", status: os.stat_result) -> bool:
    """Make the file that is to replace the target; false if none can be made."""
    try:
        make_temporary(output, output.path, 0o600)
        keep_attributes(output.target.fileno(), status, output.fileno())
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _hold_target(output: "Output") -> LockedFile:
    target = LockedFile(output.name, "r+")
    target.holder = output.holder
    output.target = target
    return target


def open_atomic(output: "Output", path: str) -> None:
    """Make a temporary file in the directory of what `path` leads to."""
    if output.mode == "x" and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), output.name)
    if not path or path.endswith("/"):  # realpath would make a name of it
        code = errno.EISDIR if path else errno.ENOENT
        raise OSError(code, os.strerror(code), output.name)
    if is_descriptor(path):
        output.refuse(errno.EINVAL, "atomic needs a name, and this path stands for an open file")
    output.path = real = os.path.realpath(path)
    status = _open_target(output, real)
    if status is None:
        if output.mode == "r+":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), output.name)
        make_temporary(output, real, 0o666)
        return
    make_temporary(output, real, 0o600)
    target = output.target.fileno()
    keep_attributes(target, status, output.fileno())
    if output.mode == "r+":
        _copy(target, output.fileno(), status.st_size)
        keep_label(target, output.fileno())
        output.size = status.st_size


def _open_target(output: "Output", path: str) -> os.stat_result | None:
    """Lock the file that is to be replaced, so that no program is building in it."""
    while True:
        target = _hold_target(output)
        try:
            target.open_path(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except PermissionError:
            target.open_path(path, os.O_WRONLY)
        status = os.fstat(target.fileno())
        require_regular(status, output.name)
        lock(target, beside_readers=True)
        if target.is_at(path):
            return os.fstat(target.fileno())
        target.let_go()


def _copy(source: int, target: int, size: int) -> None:
    """Copy a file's content, with holes where there are holes or zeros."""
    os.ftruncate(target, size)
    for offset in range(0, size, _COPY_BYTES):  # so that it can be interrupted
        _core.copy(source, target, offset, min(size, offset + _COPY_BYTES))
