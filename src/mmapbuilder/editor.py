"""Changing a finished message in place, where the change needs no new room."""

import os

from . import _core, _pycapnp
from ._content import explaining
from ._lazy import t
from ._output.lock import lock_to_change
from ._output.names import open_regular
from .reader import Message


class EditedMessage(Message):
    """A finished message whose fields can be changed. `edit_message` returns it.

    It has the methods of a `Message`, and its arrays are writable: a store into them changes
    the file. `set` changes one value. The layout of the message stays the same, so the
    message is valid at every moment. A change cannot be taken back.

    While it is open, no builder and no other editor can open the file.
    """

    def __init__(
        self,
        name: "str | bytes",
        schema: "t.Any",
        segments: "tuple[memoryview, ...]",
        nesting_limit: int,
        fd: int,
        durable: bool,
    ) -> None:
        super().__init__(name, schema, segments, nesting_limit)
        self._fd = fd
        self._durable = durable

    def set(self, *path_and_value: "t.Any") -> None:
        """Set the value at a path. The value comes last: ``m.set("people", 7, "id", 9)``.

        The path ends with a field, or with an index into a list of numbers, Text or Data.
        Numbers, Bool and enums are set in place. If the field is a member of a union, it
        becomes the active one. A new Text or Data must fit into the words of the old one.
        None makes a null pointer. No later `set` can undo that: what the pointer led to stays in
        the file, but nothing leads there any more.

        >>> with MessageBuilder("alice.bin") as b:
        ...     alice = b.init_root(addressbook_capnp.Person, name="Alice", id=7)
        >>> with edit_message("alice.bin", addressbook_capnp.Person) as m:
        ...     m.set("id", 9)
        ...     m.set("name", "Alma")
        >>> with open_message("alice.bin", addressbook_capnp.Person) as m:
        ...     print(m.root.id, m.root.name)
        9 Alma

        Raises:
            ValueError: the value needs new room. The text says what to do instead.
            OverflowError, TypeError: the value does not fit the field.
            KeyError, IndexError: the path leads nowhere.
            InvalidMessage: the bytes are no valid message.
        """
        if len(path_and_value) < 2:
            raise TypeError("set() needs a path and a value")
        from .columns import edit

        *path, value = path_and_value
        edit.set_value(self._plan(), self._memory(), tuple(path), value)

    def flush(self, durable: bool = False) -> None:
        """Push all changes to the file. With `durable` wait for the device, too."""
        self._open_segments()
        if durable:
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file. A store into an array that is still alive still changes it."""
        if self.closed:
            return
        super().close()
        try:
            if self._durable:
                os.fsync(self._fd)
        finally:
            os.close(self._fd)

    # A message that is only read has nothing to let go of.
    def __del__(self) -> None:
        if getattr(self, "_fd", None) is not None and not self.closed:
            self.close()


def edit_message(
    path: "t.Path", schema: "t.Any", *, durable: bool = False, nesting_limit: int = 64
) -> EditedMessage:
    """Open the finished message in `path` for changes that need no new room.

    Args:
        path: str, bytes or os.PathLike.
        schema: a struct of a schema that pycapnp has loaded.
        durable: let `close` return only when the changes are on the device.
        nesting_limit: as for `open_message`.

    Raises:
        BlockingIOError: a builder or another editor has the file open.
        InvalidMessage, OSError, TypeError, ImportError: as for `open_message`.

    >>> with MessageBuilder("people.bin") as b:
    ...     book = b.init_root(addressbook_capnp.AddressBook)
    ...     b.fill("people", id=[7, 8])
    >>> with edit_message("people.bin", addressbook_capnp.AddressBook) as m:
    ...     m.array("people")["id"] += 100
    ...     print(m.root.people[1].id)
    108
    """
    import mmap

    _pycapnp.require_struct(schema)
    name = os.fspath(path)
    fd = open_regular(name, os.O_RDWR)
    try:
        lock_to_change(fd, name)
        length = os.fstat(fd).st_size
        head = os.pread(fd, _core.HEAD_BYTES, 0)
        with explaining(head, length, name):
            places, end = _core.framing(head, length, name)
        mapped = memoryview(mmap.mmap(fd, length))
        segments = tuple(mapped[start : start + size] for start, size in places)
        message = EditedMessage(name, schema, segments, nesting_limit, fd, durable)
        message._outside = (places[0][0], length - end)
        return message
    except BaseException:
        os.close(fd)
        raise
