"""The store behind fsspec: S3 and its like, or the memory of this process.

A builder needs a file that grows under its memory, which no object store has. So a shard is
built in a local file and uploaded when it is finished.
"""

import contextlib
import errno
import inspect
import os
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

from .progress import upload_bar

# fsspec's memory looks first and stores then, and is this process's alone.
_creating = threading.Lock()


class RemoteStore:
    """A directory of an fsspec file system; see `Store` for what its methods promise."""

    def __init__(self, address: str, options: dict[str, Any] | None) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise ImportError(
                f"{address} needs fsspec: pip install fsspec, or mmapbuilder[s3] for S3",
                name="fsspec",
            ) from error
        self.name = address.rstrip("/")
        self.options = options
        self._system: Any
        self._system, self._folder = fsspec.url_to_fs(self.name, **(options or {}))

    def prepare(self) -> None:
        """Make the directory, where the store has such a thing."""
        self._system.makedirs(self._folder, exist_ok=True)

    def place(self, name: str) -> str:
        """Return the address of a file."""
        return f"{self.name}/{name}"

    def _path(self, name: str) -> str:
        return f"{self._folder}/{name}"

    @contextlib.contextmanager
    def new_file(self, name: str) -> Iterator[str]:
        """Give the path of a temporary file, and upload what is built there."""
        with tempfile.TemporaryDirectory(prefix="mmapbuilder-") as folder:
            path = os.path.join(folder, name)
            yield path
            with upload_bar(self.place(name)) as callback:
                self._system.put_file(path, self._path(name), callback=callback)

    def sizes(self) -> dict[str, int]:
        """Return all files by name with their sizes."""
        self._system.invalidate_cache(self._folder)
        try:
            found = self._system.ls(self._folder, detail=True)
        except FileNotFoundError:
            return {}
        return {
            each["name"].rpartition("/")[2]: int(each["size"])
            for each in found
            if each["type"] == "file"
        }

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        self._system.invalidate_cache(self._folder)
        return bool(self._system.exists(self._path(name)))

    def create(self, name: str, content: bytes) -> None:
        """Make a file on the condition that there is none, which the store itself checks."""
        system = self._system
        if not _creates_conditionally(system):
            raise OSError(
                errno.ENOTSUP,
                f"fsspec knows no conditional creation in {type(system).__name__}, so two "
                'commits could both succeed; mode="w" replaces what is there',
                self.place(name),
            )
        try:
            with _creating:
                system.pipe_file(self._path(name), content, mode="create")
        except FileExistsError:
            raise FileExistsError(
                errno.EEXIST, os.strerror(errno.EEXIST), self.place(name)
            ) from None
        except OSError as error:
            if _is_refused_condition(error):
                raise FileExistsError(
                    errno.EEXIST, os.strerror(errno.EEXIST), self.place(name)
                ) from error
            raise
        finally:
            system.invalidate_cache(self._folder)

    def replace(self, name: str, content: bytes) -> None:
        """Make a file, or put it in the place of the one there: stores do that whole."""
        self._system.pipe_file(self._path(name), content)
        self._system.invalidate_cache(self._folder)

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        try:
            content: bytes = self._system.cat_file(self._path(name))
        except FileNotFoundError:
            raise self._missing(name) from None
        return content

    @contextlib.contextmanager
    def local_copy(self, name: str) -> Iterator[str]:
        """Download the file; the copy is removed when the body ends, and lives while mapped."""
        with tempfile.TemporaryDirectory(prefix="mmapbuilder-") as folder:
            path = os.path.join(folder, name)
            try:
                self._system.get_file(self._path(name), path)
            except FileNotFoundError:
                raise self._missing(name) from None
            yield path

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        try:
            file: BinaryIO = self._system.open(self._path(name), "rb")
        except FileNotFoundError:
            raise self._missing(name) from None
        return file

    def _missing(self, name: str) -> FileNotFoundError:
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.place(name))


def _creates_conditionally(system: Any) -> bool:
    """Whether a file system does something of its own about ``mode="create"``.

    The methods of fsspec's base classes look first and write then, or know no mode.
    """
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    kind = type(system)
    if isinstance(system, AsyncFileSystem):
        own = kind._pipe_file is not AsyncFileSystem._pipe_file
        return own and "mode" in inspect.signature(kind._pipe_file).parameters
    own = kind.pipe_file is not AbstractFileSystem.pipe_file
    return own and "mode" in inspect.signature(kind.pipe_file).parameters


def _is_refused_condition(error: OSError) -> bool:
    """Whether a store has refused since the file is there, or is just being made."""
    answer = getattr(error.__cause__ or error, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", ""))
    return code in ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
