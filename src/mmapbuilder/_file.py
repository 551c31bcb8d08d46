"""Opening, locking and publishing the file that a builder fills."""

import errno
import fcntl
import io
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeAlias

    class HasFileno(Protocol):
        """What sockets, files and their like have in common."""

        def fileno(self) -> int:
            """Return the file descriptor."""

    FileLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes] | int | HasFileno"
    Name: TypeAlias = "str | bytes | int"

_MODES = ("w", "x", "r+")
_SUFFIX = ".mmapbuilder"
_NAME_MAX = 255
_COPY_BYTES = 1 << 20
_EFFECTIVE = os.access in os.supports_effective_ids

# Files that builders of this process have open, by device and inode. flock tells
# builders apart only if they opened the file themselves: two that share an fd also
# share its lock. setdefault is atomic, so there is no lock to be caught in by a fork.
# The value is a builder's claim: a list of its own, with its process in it.
_held: "dict[tuple[int, int], list[int]]" = {}


class OpenFile:
    """A regular file, open for reading and writing and locked.

    The builder fills it, then calls `publish` or `discard`, and in any case
    `release`. With `atomic` the file is a temporary one beside its target.
    """

    __slots__ = ("_claim", "_key", "_owner", "_path", "_target_fd", "_temporary", "created",
                 "fd", "mode", "name", "size")  # fmt: skip

    def __init__(self, name: "Name", mode: str) -> None:
        self.name = name
        self.mode = mode
        self.fd = -1
        self.size = 0
        self.created = False
        self._path: str | None = None  # absolute; where the result is to be found
        self._temporary: str | None = None
        self._target_fd = -1
        self._key: tuple[int, int] | None = None
        self._owner = os.getpid()
        self._claim = [self._owner]  # compared by what it is, not by what is in it

    # ---- opening ----

    def open_fd(self, fd: int) -> None:
        """Take a duplicate of the caller's file descriptor."""
        if self.mode == "x":
            raise ValueError("mode 'x' needs a path, not a file descriptor")
        if fd < 0:
            raise ValueError("negative file descriptor")
        self.fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
        status = os.fstat(self.fd)
        self._require_regular(status)
        flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        if flags & os.O_ACCMODE != os.O_RDWR:
            self._refuse(errno.EBADF, "the file must be open for both reading and writing")
        if flags & os.O_APPEND:
            self._refuse(
                errno.EINVAL, "a file that is open for appending (O_APPEND) cannot be mapped"
            )
        if flags & getattr(os, "O_DIRECT", 0):
            self._refuse(
                errno.EINVAL,
                "a file that is open for direct I/O (O_DIRECT) takes whole blocks only",
            )
        self._lock(status)
        self.size = os.fstat(self.fd).st_size

    def open_path(self, path: str) -> None:
        """Open the file that `path` leads to, or make it."""
        self._path = path if path.startswith("/") else os.path.join(os.getcwd(), path)
        while True:
            self._open_in_place(path)
            status = os.fstat(self.fd)
            self._require_regular(status)
            key = self._lock(status)
            there = _stat_if_same(key, path)
            if there is not None:
                self.size = there.st_size
                if self.created:
                    self._make_way(path)
                return
            self.release()  # it was renamed or replaced before it was locked

    def _open_in_place(self, path: str) -> None:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOCTTY
        if self.mode != "r+":
            try:
                self.fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
                self.created = True
                return
            except FileExistsError:
                if self.mode == "x":
                    raise
                flags |= os.O_CREAT
        self.created = False
        self.fd = os.open(path, flags, 0o666)

    def _make_way(self, path: str) -> None:
        """Let an atomic builder have the name, whose target does not exist yet."""
        directory, slash, base = path.rpartition("/")
        temporary = directory + slash + _temporary_name(base)
        if not os.access(temporary, os.F_OK, effective_ids=_EFFECTIVE):  # as a rule; no exception
            return
        try:
            fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return
        try:
            self._flock(fd)
        finally:
            os.close(fd)

    def open_atomic(self, path: str) -> None:
        """Make a temporary file in the directory of what `path` leads to."""
        if self.mode == "x" and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.name)
        if not path or path.endswith("/"):  # realpath would make a name of it
            code = errno.EISDIR if path else errno.ENOENT
            raise OSError(code, os.strerror(code), self.name)
        self._path = real = os.path.realpath(path)
        target = self._open_target(real)
        if target is None and self.mode == "r+":
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name)
        directory, base = os.path.split(real)
        temporary = os.path.join(directory, _temporary_name(base))
        while not self._make_temporary(temporary):
            pass
        self._temporary = temporary
        self.created = True
        if target is not None:
            os.fchmod(self.fd, stat.S_IMODE(target.st_mode))
            if self.mode == "r+":
                _copy(self._target_fd, self.fd, target.st_size)
                self.size = target.st_size

    def _open_target(self, path: str) -> os.stat_result | None:
        """Lock the file that is to be replaced, so that nobody is building in it."""
        while True:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            except FileNotFoundError:
                return None
            except PermissionError:
                fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            self._target_fd = fd
            status = os.fstat(fd)
            self._require_regular(status)
            self._flock(fd)
            there = _stat_if_same(_key_of(status), path)
            if there is not None:
                return there
            os.close(fd)
            self._target_fd = -1

    def _make_temporary(self, path: str) -> bool:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self.fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            self._remove_stale(path)
            return False
        except FileNotFoundError as error:  # the directory: that is in the name as given
            error.filename = self.name
            raise
        status = os.fstat(self.fd)
        try:
            self._lock(status)
        except BlockingIOError:
            # Someone took our newborn for one left behind, and is removing it.
            os.close(self.fd)
            self.fd = -1
            return False
        except OSError:
            # No locks here, so nobody else has it in use either.
            if _stat_if_same(_key_of(status), path, follow_symlinks=False) is not None:
                os.unlink(path)
            raise
        if _stat_if_same(_key_of(status), path, follow_symlinks=False) is not None:
            return True
        self._close_fd()
        return False

    def _remove_stale(self, path: str) -> None:
        """Remove a temporary file whose builder is gone."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                self._refuse(errno.EEXIST, f"no regular file is where one is needed: {path!r}")
            self._flock(fd)
            if _stat_if_same(_key_of(status), path, follow_symlinks=False) is not None:
                os.unlink(path)
        finally:
            os.close(fd)

    # ---- checks and locks ----

    def _refuse(self, code: int, text: str) -> None:
        raise io.UnsupportedOperation(code, text, self.name)

    def _require_regular(self, status: os.stat_result) -> None:
        require_regular(status, self.name)

    def _lock(self, status: os.stat_result) -> "tuple[int, int]":
        key = _key_of(status)
        held = _held.setdefault(key, self._claim)
        if held[0] != self._owner and self._path is not None:
            # Inherited by a fork: whether its builder is still at work, flock knows.
            _held[key] = held = self._claim
        if held is not self._claim:
            raise self._busy()
        self._key = key
        try:
            self._flock(self.fd)
        except BaseException:
            self._forget()
            raise
        return key

    def _flock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._busy() from None
        except OSError as error:
            raise OSError(error.errno, f"cannot lock: {error.strerror}", self.name) from None

    def _busy(self) -> BlockingIOError:
        return BlockingIOError(
            errno.EWOULDBLOCK, "locked: another builder is at work on this file", self.name
        )

    def _is_at(self, path: str) -> bool:
        follow = path is not self._temporary
        if self._key is None:
            return False
        return _stat_if_same(self._key, path, follow_symlinks=follow) is not None

    # ---- while the builder is at work ----

    def park(self) -> None:
        """Close the descriptor: the map has a duplicate, which holds the lock as well."""
        fd, self.fd = self.fd, -1
        os.close(fd)

    def unpark(self, fd: int) -> None:
        """Go on with `fd`, which was the map's, or -1 if the program has closed it."""
        self.fd = fd

    # ---- the end ----

    @property
    def atomic(self) -> bool:
        """Whether the file is a temporary one."""
        return self._temporary is not None

    def publish(self, durable: bool) -> None:
        """Give the finished file its name; with `durable` wait for the device."""
        if durable:
            self._publish_durably()
        elif self._temporary is not None:
            self._take_name()

    def _publish_durably(self) -> None:
        if self.fd < 0:
            raise OSError(errno.EBADF, "the program has closed the descriptor", self.name)
        _fsync(self.fd, self.name)
        if not self.created or self._path is None:
            return
        # Opened first: what fails here must not find the target replaced.
        directory = os.open(
            os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            self._take_name()
            _fsync(directory, self.name)
        finally:
            os.close(directory)

    def _take_name(self) -> None:
        """Let a temporary file take the place of its target."""
        if self._temporary is None or self._path is None:
            return
        if not self._is_at(self._temporary):
            raise FileNotFoundError(
                errno.ENOENT, "the temporary file was taken away", self._temporary
            )
        if self.mode == "x":
            _move_without_replacing(self._temporary, self._path)
        else:
            os.replace(self._temporary, self._path)
        self._temporary = None

    def discard(self) -> None:
        """Remove a file that was made by its path; empty one that was given open."""
        if self._path is None:
            if self.mode != "r+" and self.fd >= 0:
                os.ftruncate(self.fd, 0)
        elif self._temporary is not None or self.mode != "r+":
            self._unlink()

    def undo(self) -> None:
        """Leave things as they were before the file was opened, and let go of it."""
        try:
            # Without the lock it may be in use already: somebody was quick to find it.
            if self.created and self._key is not None:
                self._unlink()
        finally:
            self.release()

    def abandon(self) -> None:
        """Keep a file as it is, but no temporary one, and let go of it."""
        try:
            if self._temporary is not None:
                self._unlink()
        finally:
            self.release()

    def _unlink(self) -> None:
        path = self._temporary if self._temporary is not None else self._path
        if path is None or self._owner != os.getpid() or not self._is_at(path):
            return
        if self._temporary is None:
            path = os.path.realpath(path)  # the file, not a link that led to it
        self._temporary = None
        os.unlink(path)

    def release(self) -> None:
        """Unlock and close. Safe to call again."""
        self._close_fd()
        if self._target_fd >= 0:
            self._unlock(self._target_fd)
            os.close(self._target_fd)
            self._target_fd = -1

    def __del__(self) -> None:
        # Of use only where an interruption came between two steps of a builder.
        if self._key is not None:
            try:
                self.abandon()
            except Exception:
                pass

    # What follows may run when the interpreter has cleared its modules: defaults are still
    # there then.

    def _forget(self, held: "dict[tuple[int, int], list[int]]" = _held) -> None:
        if self._key is not None:
            if held.get(self._key) is self._claim:
                del held[self._key]
            self._key = None

    def _close_fd(self, close: "Callable[[int], None]" = os.close) -> None:
        self._forget()
        fd, self.fd = self.fd, -1
        if fd >= 0:
            self._unlock(fd)
            close(fd)

    def _unlock(
        self,
        fd: int,
        getpid: "Callable[[], int]" = os.getpid,
        flock: "Callable[[int, int], None]" = fcntl.flock,
        how: int = fcntl.LOCK_UN,
    ) -> None:
        # By hand, since the lock belongs to what the caller's fd also refers to. A
        # forked child shares it too, but it is not the child's to give up.
        if self._owner == getpid():
            try:
                flock(fd, how)
            except OSError:
                pass


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


def require_regular(status: os.stat_result, name: "Name") -> None:
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


def open_file(file: "FileLike", mode: str, atomic: bool) -> OpenFile:
    """Open and lock what `file` stands for; nothing in an existing file changes."""
    if mode not in _MODES:
        raise ValueError(f"mode must be 'w', 'x' or 'r+', not {mode!r}")
    fd, name = _fd_and_name(file)
    opened = OpenFile(name, mode)
    try:
        if fd is not None:
            if atomic:
                raise ValueError("atomic needs a path, not a file descriptor")
            opened.open_fd(fd)
        elif atomic:
            opened.open_atomic(os.fsdecode(name))  # type: ignore[arg-type]
        else:
            opened.open_path(os.fsdecode(name))  # type: ignore[arg-type]
    except BaseException as error:
        opened.undo()
        if isinstance(error, OSError) and type(name) is not type(error.filename):
            error.filename = name  # as it was given, not as it was decoded
        raise
    return opened


def _fd_and_name(file: "FileLike") -> "tuple[int | None, Name]":
    if isinstance(file, (str, bytes)):
        return None, file
    if isinstance(file, int) and not isinstance(file, bool):
        return file, file
    if isinstance(file, os.PathLike):
        return None, os.fspath(file)
    fileno = getattr(file, "fileno", None)
    if fileno is None:
        raise TypeError(
            "file must be a path, a file descriptor or an object with fileno(), "
            f"not {type(file).__name__}"
        )
    fd = fileno()
    if not isinstance(fd, int):
        raise TypeError("fileno() returned no int")
    name = getattr(file, "name", fd)
    return fd, name if isinstance(name, (str, bytes, int)) else fd


def _stat_if_same(
    key: "tuple[int, int]", path: str, *, follow_symlinks: bool = True
) -> os.stat_result | None:
    """Return what is at `path` now, if it is the file of `key`."""
    try:
        there = os.stat(path, follow_symlinks=follow_symlinks)
    except OSError:
        return None
    return there if _key_of(there) == key else None


def _key_of(status: os.stat_result) -> "tuple[int, int]":
    return status.st_dev, status.st_ino


def _temporary_name(base: str) -> str:
    name = f".{base}{_SUFFIX}"
    if len(name) <= _NAME_MAX // 4:  # whatever the encoding
        return name
    encoded = os.fsencode(name)
    if len(encoded) <= _NAME_MAX:
        return name
    import hashlib

    digest = hashlib.sha256(os.fsencode(base)).hexdigest()[:16]
    kept = _NAME_MAX - len(digest) - len(_SUFFIX) - 1
    return os.fsdecode(encoded[:kept]) + f"~{digest}{_SUFFIX}"


def _copy(source: int, target: int, size: int) -> None:
    """Copy a file's content, holes as holes."""
    os.ftruncate(target, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(source, offset, os.SEEK_DATA)
            end = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            start, end = offset, size
        offset = start
        while offset < end:
            data = os.pread(source, min(end - offset, _COPY_BYTES), offset)
            if not data:
                return
            offset += os.pwrite(target, data, offset)


def _move_without_replacing(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here: claim the name, then replace the claim.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        os.replace(source, target)
        return
    os.unlink(source)


def _fsync(fd: int, name: "Name") -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from None
