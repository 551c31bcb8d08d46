"""A *store*: the directory that a dataset lies in, on this machine or behind fsspec.

All that a dataset needs of one is here: new files under names of their own, one file
that is created only if it is not there, and a list of names and sizes.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

from .local import LocalStore


class Store(Protocol):
    """What both kinds of store do. Errors are OSErrors that name the file."""

    name: str
    """The directory, as errors name it: an absolute path or an address."""
    options: dict[str, Any] | None
    """What fsspec was told to open it with."""

    def prepare(self) -> None:
        """Make the directory if it is not there."""

    def place(self, name: str) -> str:
        """Return the path or address of a file, for errors."""

    def new_file(self, name: str) -> contextlib.AbstractContextManager[str]:
        """Give a local path to build a new file at, which then is in the store.

        If the body fails there is no file.
        """

    def sizes(self) -> dict[str, int]:
        """Return all files by name with their sizes; none if there is no directory."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def create(self, name: str, content: bytes) -> None:
        """Make a file, whole or not at all; FileExistsError if there is one."""

    def replace(self, name: str, content: bytes) -> None:
        """Make a file, or put it whole in the place of the one there."""

    def read(self, name: str) -> bytes:
        """Return a file's content."""

    def local_copy(self, name: str) -> contextlib.AbstractContextManager[str]:
        """Give a local path at which the file can be opened, while the body lasts."""

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""


def store_of(directory: Any, options: dict[str, Any] | None) -> Store:
    """Return the store that a directory or an address stands for.

    Raises:
        TypeError: it is neither a str nor a path.
        ValueError: options are given for a directory of this machine.
        ImportError: it needs fsspec, or what fsspec needs for it.
    """
    name = os.fsdecode(os.fspath(directory))
    if name.startswith(("file://", "local://")):
        name = name.partition("://")[2]
    elif "://" in name or "::" in name:
        from .remote import RemoteStore

        return RemoteStore(name, options)
    if options:
        raise ValueError(f"storage_options are for addresses like s3://..., not for {name!r}")
    return LocalStore(os.path.abspath(name))


@contextlib.contextmanager
def opened(store: Store, name: str) -> Iterator[BinaryIO]:
    """Open a file of a store, and close it."""
    file = store.open(name)
    try:
        yield file
    finally:
        file.close()
