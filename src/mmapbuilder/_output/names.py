"""How a file can be given, and what stands under a name."""

import errno
import io
import os
import stat

from .._lazy import t

_SUFFIX = ".mmapbuilder"
_NAME_MAX = 255
_TEMPORARY_NAMES = 8
_MOST_LINKS = 40  # that a path leads over, on Linux
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def fd_and_name(file: "t.FileLike") -> "tuple[int | None, t.Name]":
    """Return the descriptor, None for a path, and the file as errors are to name it."""
    if isinstance(file, (str, bytes)):
        return None, file
    if isinstance(file, int) and not isinstance(file, bool):
        return file, file
    if isinstance(file, os.PathLike):
        return None, os.fspath(file)
    if not hasattr(file, "fileno"):
        raise TypeError(
            "file must be a path, a file descriptor or an object with fileno(), "
            f"not {type(file).__name__}"
        )
    fd = descriptor_of(file)
    name = getattr(file, "name", fd)
    return fd, name if isinstance(name, (str, bytes, int)) else fd


def is_address(name: "t.Name") -> bool:
    """Whether a name looks like that of a file in an object store, such as ``s3://bucket/file``."""
    return not isinstance(name, int) and "://" in os.fsdecode(name)


def descriptor_of(file: "t.Any") -> int:
    """Return the descriptor of an open file, in which is what was written to the file so far.

    A file object may hold back what the program has written. If it wrote that out later, it
    would write over what came into the file in the meantime.

    Raises:
        TypeError: fileno() returned no int.
        io.UnsupportedOperation: there is no file of the system behind it.
    """
    try:
        fd = file.fileno()
    except io.UnsupportedOperation:
        raise io.UnsupportedOperation(
            f"there is no file of the system behind this {type(file).__name__}: fileno() has none"
        ) from None
    if not isinstance(fd, int):
        raise TypeError("fileno() returned no int")
    flush = getattr(file, "flush", None)
    if flush is not None:
        flush()
    return fd


def require_regular(status: os.stat_result, name: "t.Name") -> None:
    """Refuse what is no regular file."""
    if stat.S_ISREG(status.st_mode):
        return
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "not a file")
    raise io.UnsupportedOperation(errno.ESPIPE, f"this is {kind}, not a regular file", name)


def open_regular(name: "str | bytes", flags: int) -> int:
    """Open an existing regular file, and no other, without waiting."""
    fd = os.open(name, flags | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        require_regular(os.fstat(fd), name)
    except BaseException:
        os.close(fd)
        raise
    return fd


def is_descriptor(path: str) -> bool:
    """Whether `path` is a link of /proc to an open file, as /dev/stdout is.

    A caller who gives such a path means the open file, not the name that it may have.
    """
    for _ in range(_MOST_LINKS):
        try:
            if not stat.S_ISLNK(os.lstat(path).st_mode):
                return False
            folder = os.path.realpath(os.path.dirname(path) or ".")
            if folder.startswith("/proc/"):
                return True
            path = os.path.join(folder, os.readlink(path))
        except OSError:
            return False
    return False


def temporary_names(path: str) -> "t.Iterator[str]":
    """Names for a temporary file beside `path`, the same whenever they are asked for.

    The first is the one to take. The others are for when something stands there that is
    no builder's and cannot be removed.
    """
    folder, slash, base = path.rpartition("/")
    yield folder + slash + _temporary_name(base, _SUFFIX)
    for number in range(2, _TEMPORARY_NAMES + 1):
        yield folder + slash + _temporary_name(base, f"{_SUFFIX}-{number}")


def _temporary_name(base: str, suffix: str) -> str:
    name = f".{base}{suffix}"
    if len(name) <= _NAME_MAX // 4:  # whatever the encoding
        return name
    encoded = os.fsencode(name)
    if len(encoded) <= _NAME_MAX:
        return name
    import hashlib

    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:16]
    kept = _NAME_MAX - len(digest) - len(suffix) - 1
    return os.fsdecode(encoded[:kept]) + f"~{digest}{suffix}"
