"""The store that is a directory of this machine."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from typing import Any, BinaryIO

# File systems that have no second names for a file answer with one of these.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class LocalStore:
    """A directory; see `Store` for what its methods promise."""

    options: dict[str, Any] | None = None

    def __init__(self, directory: str) -> None:
        self.name = directory

    def prepare(self) -> None:
        """Make the directory if it is not there."""
        os.makedirs(self.name, exist_ok=True)

    def place(self, name: str) -> str:
        """Return the path of a file."""
        return os.path.join(self.name, name)

    @contextlib.contextmanager
    def new_file(self, name: str) -> Iterator[str]:
        """Give the path itself: the file's name is its own, so no reader looks at it yet."""
        path = self.place(name)
        try:
            yield path
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    def sizes(self) -> dict[str, int]:
        """Return all regular files by name with their sizes."""
        found = {}
        with contextlib.suppress(FileNotFoundError), os.scandir(self.name) as entries:
            for each in entries:
                # Another process may remove its temporary file meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    if each.is_file():
                        found[each.name] = each.stat().st_size
        return found

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return os.path.exists(self.place(name))

    def create(self, name: str, content: bytes) -> None:
        """Write a temporary file, and give it the name as a second one, which is atomic."""
        with self._temporary(name, content) as temporary:
            path = self.place(name)
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
                # The process that makes the empty file owns the name; to readers an empty
                # manifest is none.
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
                os.replace(temporary, path)

    def replace(self, name: str, content: bytes) -> None:
        """Write a temporary file, and give it the name, which is atomic."""
        with self._temporary(name, content) as temporary:
            os.replace(temporary, self.place(name))

    @contextlib.contextmanager
    def _temporary(self, name: str, content: bytes) -> Iterator[str]:
        # What a power cut leaves must be in order as well: the names of the shards before the
        # manifest's, and its content before its name.
        self._sync_names()
        path = self.place(f"{name}.{uuid.uuid4()}.tmp")
        try:
            with open(path, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield path
            self._sync_names()
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _sync_names(self) -> None:
        fd = os.open(self.name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        except OSError as error:  # there are file systems that cannot sync a directory
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(fd)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self.open(name) as file:
            return file.read()

    @contextlib.contextmanager
    def local_copy(self, name: str) -> Iterator[str]:
        """Give the path of the file itself."""
        yield self.place(name)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return open(self.place(name), "rb")
