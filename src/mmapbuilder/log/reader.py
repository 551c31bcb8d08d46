"""The read side: the messages of a log as a sequence, memory-mapped."""

import operator
import os
import sys
import time
import warnings

from .. import _core, _pycapnp
from .._closing import Closing
from .._lazy import t
from .._output import open_regular
from .index_file import make_index, open_index
from .messages import Messages
from .unpack import is_packed, unpack

_SHORTEST_PAUSE = 0.0001
_LONGEST_PAUSE = 0.005
# What stands behind the last message, in words.
_BEHIND = {
    "torn": "no message but the beginning of a message",
    "zeros": "no message but zeros",
    "lost": "not what was appended, since the machine went down before the device had them",
}

_LONGEST_WAIT = 0.05  # then signals are looked at, and whether another program has appended


class Log(Messages, Closing):
    """The messages of a file, read in place. `open_log` returns it.

    It is a sequence of pycapnp's readers. It has the messages that were in the file when it
    was opened, and `refresh` adds those that were appended since. No descriptor stays open.
    """

    def __init__(
        self,
        name: "str | bytes",
        schema: "t.Any",
        index: bool,
        nesting_limit: int,
        core: _core.LogReader,
        identity: "tuple[int, int] | None",
    ) -> None:
        super().__init__(self, range(len(core)))
        self._name = name
        self._path = os.path.abspath(name)
        self._schema = schema
        self._read = None if schema is None else _pycapnp.read_frames(schema, nesting_limit)
        self._index = index
        self._nesting_limit = nesting_limit
        self._core: _core.LogReader | None = core
        self._memory = memoryview(core)
        self._identity = identity  # device and inode; None if the file has no name
        self._warn_if_torn()

    # ---- messages ----

    def __getitem__(self, key: "t.SupportsIndex | slice") -> "t.Any":
        """Return the root of a message, or the messages of a slice."""
        # The same as in Messages, with fewer calls, since most calls ask for one message.
        try:
            found = self._numbers[key]
        except IndexError:
            raise IndexError(f"message {key} of {len(self)} messages") from None
        if isinstance(found, range):
            return Messages(self, found)
        core, read = self._core, self._read
        if core is None or read is None:
            return self._root(found)
        return next(read(core.frame_to_read(self._memory, found)))

    def _reader(self) -> _core.LogReader:
        core = self._core
        if core is None:
            raise ValueError("I/O operation on closed log")
        return core

    def _frame(self, number: int) -> memoryview:
        return self._reader().frame(self._memory, number)

    def _schema_of_roots(self) -> "t.Any":
        self._reading()
        return self._schema

    def _reading(self) -> "t.Callable[[bytes | memoryview], t.Iterator[t.Any]]":
        if self._read is None:
            raise TypeError("the log was opened without a schema: open_log(path, schema)")
        return self._read

    def _root(self, number: int) -> "t.Any":
        core, read = self._reader(), self._reading()
        return next(read(core.frame_to_read(self._memory, number)))

    def _span(self, first: int, last: int) -> memoryview:
        core = self._reader()
        start, _ = core.place(first)
        last_start, size = core.place(last)
        return self._memory[start : last_start + size]

    def _roots(self, first: int, last: int) -> "t.Iterator[t.Any]":
        return self._reading()(self._span(first, last))

    # ---- a file that grows ----

    def refresh(self) -> int:
        """Add the messages that were appended since; return the number of all messages.

        Slices that you took before keep their messages. If the file has lost its name, or
        another file has the name now, nothing is added.

        Raises:
            InvalidMessage: the bytes behind the last message are no message.
            OSError: the file cannot be read.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as writer:
        ...     reader = open_log("ids.log", addressbook_capnp.Person)
        ...     number = writer.append(id=1)
        ...     print(len(reader), reader.refresh(), reader[-1].id)
        0 1 1
        """
        before = len(self)
        return count if (count := self._glance()) != before else self._look_again()

    def _glance(self) -> int:
        """See what the index tells of what was appended since, which costs no system call."""
        return self._adopt(self._reader().glance())

    def _adopt(self, count: int) -> int:
        if count != len(self._numbers):
            self._numbers = range(count)
        return count

    def _look_again(self) -> int:
        core, fd = self._reader(), self._open_again()
        if fd < 0:
            return len(core)
        index = open_index(self._path) if self._index else -1
        try:
            return self._adopt(core.refresh(fd, index))
        finally:
            self._memory = memoryview(core)
            os.close(fd)
            if index >= 0:
                os.close(index)

    def _open_again(self) -> int:
        if self._identity is None:
            return -1
        try:
            fd = open_regular(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return -1
        status = os.fstat(fd)
        if (status.st_dev, status.st_ino) == self._identity:
            return fd
        os.close(fd)
        return -1

    def follow(self, start: int = -1, timeout: "float | None" = None) -> "t.Iterator[t.Any]":
        """Return an iterator over messages, which waits for more at the end.

        Args:
            start: the number of the first message. -1 means the next that is appended after
                this call.
            timeout: how many seconds to wait for a message before the iteration ends. By
                default it waits for ever.

        Raises: as for `refresh`, and TypeError if the log was opened without a schema.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as log:
        ...     numbers = log.extend({"id": [7, 8]})
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     print([person.id for person in log.follow(start=0, timeout=0.1)])
        [7, 8]
        """
        self._reading()
        number = operator.index(start)
        return self._follow(number if number >= 0 else self.refresh(), timeout)

    def _follow(self, number: int, timeout: "float | None") -> "t.Iterator[t.Any]":
        read = self._reading()
        while self._wait_for(number, timeout):
            # Also messages that are not there yet come out of this iterator: so little is left
            # to be done after a wait. It ends where the file ended when it was last looked at.
            memory = self._memory
            start, _ = self._reader().place(number)
            for root in read(memory[start:]):
                yield root
                number += 1
                if number >= len(self._numbers) and not self._wait_for(number, timeout):
                    return
                if memory is not self._memory:
                    break

    def _wait_for(self, number: int, timeout: "float | None") -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        pause = _SHORTEST_PAUSE
        fresh = self._glance() > number
        while not fresh:
            left = _LONGEST_WAIT if end is None else end - time.monotonic()
            waited = left > 0 and self._wait_for_news(number, min(left, _LONGEST_WAIT))
            fresh = len(self._numbers) > number or self.refresh() > number
            if not fresh and not left > 0:
                return False
            if not fresh and not waited:
                time.sleep(min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    def _wait_for_news(self, number: int, seconds: float) -> bool:
        """Wait until the writer wakes this thread; False if none is at work that keeps an index."""
        core, most = self._reader(), int(seconds * 1e9)
        number = min(number, sys.maxsize)
        count = core.wait(-1, number, most)
        if count is None:  # it was not waited for before
            index = open_index(self._path, os.O_RDWR) if self._index else -1
            try:
                count = core.wait(index, number, most)
            finally:
                if index >= 0:
                    os.close(index)
        if count is not None:
            self._adopt(count)
        return count is not None

    # ---- properties ----

    @property
    def committed(self) -> int:
        """The end of the last whole message, in bytes from the start of the file."""
        return self._reader().committed

    @property
    def synced(self) -> int:
        """How many bytes of the log are on the device, as far as its writer knows.

        It is 0 if there is no index, which would tell it.
        """
        return self._reader().synced

    @property
    def torn(self) -> int:
        """How many bytes behind the last whole message are no message.

        There are such bytes if another writer was interrupted. After the machine went down,
        they are all bytes from the first message on that is not what was appended, as the
        checksums of the index tell.

        It is 0 for the log of a `MessageLog` that is open or was killed, since its readers
        know where it ends.
        """
        kind, size = self._reader().tail
        return 0 if kind == "fence" else size

    def usage(self, *, progress: "t.Callable[[int], object] | None" = None) -> "t.Usage":
        """Return what takes how many bytes of the file, by the path of fields.

        It is a `Usage`, as that of `Message.usage`. If the log was opened without a schema,
        all objects are counted at one path. Bytes behind the messages are the row
        ``(trailing)``. `progress` is called now and then with the number of bytes that were
        counted.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as log:
        ...     numbers = log.extend({"id": i, "name": f"nr {i}"} for i in range(3))
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     print([(row.path, row.text) for row in log.usage() if row.text])
        [('name', 12)]

        Raises:
            InvalidMessage: a message is wrong, or is not of this schema.
        """
        from ..usage import of_frames

        native = None if self._schema is None else self._plan().native
        _, trailing = self._reader().tail
        return of_frames(native, self._frames().memory, len(self), trailing, progress)

    def _warn_if_torn(self) -> None:
        if self.torn:
            kind, size = self._reader().tail
            warnings.warn(
                f"{os.fsdecode(self._name)}: the last {size} bytes are {_BEHIND[kind]}; "
                f"the {len(self)} messages before, {self.committed} bytes, can be read",
                RuntimeWarning,
                stacklevel=4,
            )

    @property
    def name(self) -> "str | bytes":
        """The file as it was given."""
        return self._name

    @property
    def closed(self) -> bool:
        """Whether close was called."""
        return self._core is None

    # ---- the end ----

    def close(self) -> None:
        """Let go of the file. Readers and views that are still alive stay valid."""
        self._core = None
        self._memory = memoryview(b"")

    def __enter__(self) -> "t.Self":
        self._reader()
        return self

    def __reduce__(self) -> "tuple[t.Any, ...]":
        schema = None if self._schema is None else _pycapnp.Importable(self._schema)
        return _open_pickled, (self._path, schema, self._index, self._nesting_limit)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self)} messages"
        return f"<{type(self).__name__} {self._name!r} {state}>"


def _open_pickled(path: "str | bytes", schema: "t.Any", index: bool, limit: int) -> Log:
    loaded = None if schema is None else schema.load()
    return open_log(path, loaded, index=index, nesting_limit=limit)


def open_log(
    path: "t.Path", schema: "t.Any" = None, *, index: bool = True, nesting_limit: int = 64
) -> Log:
    """Open a file of messages that stand one after the other.

    Any program may have written the file: a `MessageLog`, which may still be open, pycapnp's
    ``write``, or C++. A file that bzip2 or zstd has compressed is unpacked first, into a file
    without a name.

    A pickled log carries its path. It is opened again when it is unpickled, and its schema is
    loaded again.

    Args:
        path: str, bytes or os.PathLike.
        schema: the struct that all roots are, of a schema that pycapnp has loaded.
            `Log.frame` and `Log.offsets` do not need it.
        index: use the index beside the file (``path`` and ``.idx``), and make it if there is
            none, or if it is out of date. Without an index the head of every message is read
            when the log is opened.
        nesting_limit: how deep structs and lists may nest, as for `open_message`.

    Warns:
        RuntimeWarning: the bytes behind the last whole message are no message.

    Raises:
        InvalidMessage: the file does not begin with a message, nor with a part of one.
        OSError: the file cannot be opened or mapped.
        TypeError: `schema` is no struct of a loaded schema.
        ImportError: pycapnp is not installed, or the package that unpacks the file is not.

    >>> with open("people.capnp", "wb") as file:
    ...     for name in ["Ada", "Charles"]:
    ...         addressbook_capnp.Person.new_message(name=name).write(file)
    >>> with open_log("people.capnp", addressbook_capnp.Person) as log:
    ...     print(len(log), log[-1].name, [person.name for person in log])
    2 Charles ['Ada', 'Charles']
    """
    if schema is not None:
        _pycapnp.require_struct(schema)
    name = os.fspath(path)
    fd = open_regular(name, os.O_RDONLY)
    try:
        if is_packed(fd):
            with unpack(fd, name) as unpacked:
                core = _core.LogReader(unpacked.fileno(), -1, os.fsdecode(name))
            return Log(name, schema, False, nesting_limit, core, None)
        core = _open_core(fd, name, index)
        status = os.fstat(fd)
    finally:
        os.close(fd)
    return Log(name, schema, index, nesting_limit, core, (status.st_dev, status.st_ino))


def _open_core(fd: int, name: "str | bytes", index: bool) -> _core.LogReader:
    index_fd = open_index(name) if index else -1
    try:
        core = _core.LogReader(fd, index_fd, os.fsdecode(name))
    finally:
        if index_fd >= 0:
            os.close(index_fd)
    # The index of a log that is being written is its writer's. One that tells of lost messages is
    # needed to repair the log.
    wanted = index and core.indexed < len(core) and core.tail[0] not in ("fence", "lost")
    if wanted and _core.log_enter_gate(fd, True):
        try:
            make_index(name, fd, core)
        except OSError:
            pass  # no right, or no room, to make one
        finally:
            _core.log_leave_gate(fd)
    return core
