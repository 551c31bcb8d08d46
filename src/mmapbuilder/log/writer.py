"""The write side: messages appended to a file, each there as soon as the call returns."""

import os
import sys
import warnings
from _thread import RLock

from .. import _core, _pycapnp
from .._lazy import t
from .._output import Endings, Output
from .._tuples import NamedTuple
from . import forks
from .build import Build
from .index_file import index_path
from .opening import (
    Gate,
    busy,
    bytes_of,
    following,
    last_number,
    look,
    open_index,
    open_output,
    path_of,
    remove_following,
)
from .tables import arrow_columns, is_table, rows_of
from .watched import Watched


class LogStats(NamedTuple):
    """What a writer of a log has done so far. Numbers are bytes if nothing else is said.

    Attributes:
        messages: how many messages the log has, with those that it had before.
        committed: the end of the last message in the file.
        backed: the length of the file at present.
        growths: how often the file was extended.
        faults: how many stores beyond the end of the file extended it. Only messages that are
            built in place make such stores.
        synced: how many bytes of the log are known to be on the device.
    """

    messages: int
    committed: int
    backed: int
    growths: int
    faults: int
    synced: int


class Batches(NamedTuple):
    """Messages to append: columns of Arrow, or else rows, and what encodes them."""

    columns: "list[t.Any] | None"
    rows: "t.Iterable[t.Any]"
    names: "tuple[str, ...] | None"  # of the values of rows that are tuples
    encoder: "_core.Encoder | None"


GIB = 1 << 30

_KEY_BYTES = 64  # of its name in the index
_MOST_KEPT = 16  # files that the device may not have yet


class MessageLog(_core.LogWriter, Endings):
    """A file to which messages are appended.

    When an append returns, its message is in the file, whole. Readers in any process find
    it, and it stays if this process is killed. That needs no system call, so it costs little
    more than a copy of the message. Other programs that read messages one after the other can
    read the log, too. While it is open, it seems to them to end in the middle of a message.

    >>> with MessageLog("people.log", schema=addressbook_capnp.Person) as log:
    ...     log.append(name="Ada", id=1)
    ...     log.append({"name": "Charles"})
    ...     alan = addressbook_capnp.Person.new_message(name="Alan")
    ...     log.append(alan)
    0
    1
    2
    >>> [person.name for person in open_log("people.log", addressbook_capnp.Person)]
    ['Ada', 'Charles', 'Alan']

    Args:
        file: a path (str, bytes, os.PathLike), a file descriptor, or an object with
            ``fileno()``. It must be a regular file. A descriptor must be open for reading and
            writing; the log uses a duplicate of it, and the caller still has to close it.
        mode: ``"a"`` appends behind the messages that are in the file, whichever program wrote
            them. If a writer was killed there, the rest that it left is dropped. ``"w"`` drops
            all old messages. ``"x"`` refuses an existing file.
        schema: the struct that all roots are, of a schema that pycapnp has loaded. `append`
            needs it for dicts and for keywords, and so does `build`.
        index: keep an index beside the file, under its name and ``.idx``. Without one,
            readers and the next ``"a"`` have to look at every message. `file` must be a path.
        sync: when to wait for the device. None: only when `sync` is called. A number of
            seconds: a thread waits for it as often as that. ``"each"``: every append waits
            for it, and one wait serves all threads that append. With a number or ``"each"``,
            `close` waits as well.
        roll: the size at which the log goes on in a new file: a number of bytes, or a str
            such as ``"1GiB"``. The new files have its name and ``.000001``, ``.000002`` and so
            on. Each file is a log by itself, and all of them put together in order are one
            log. Mode ``"a"`` goes on in the last file. The numbers of messages count within
            one file. `file` must be a path.
        key: the field that orders the messages, such as a time. The name is dotted if the
            field is in a group or struct of the root. The index keeps it for `Log.seek`.
        capacity: the most bytes that the file can get. Address space costs nothing.
        writeback: let the kernel start writing to the device while messages are still
            appended, so that `sync` waits for less.

    Several processes can append to one log at the same time if it has an index. Each message
    is whole, and those of one writer stay in order. Without an index a log has one writer.

    Raises:
        BlockingIOError: another process is at work on the file, and does not share it.
        InvalidMessage: in mode ``"a"`` the file holds something that is no message.
        KeyError: the schema has no field of the name of `key`.
        OSError: the file cannot be opened, mapped or grown.
        TypeError, ValueError: an argument is wrong.

    If a log is dropped without `close`, it warns (ResourceWarning), and its messages are
    kept. In a forked child the log is closed; the parent can go on with it.
    """

    _noun = "log"
    _final: LogStats | None = None  # of a log that is closed

    def __init__(
        self,
        file: "t.FileLike",
        mode: str = "a",
        *,
        schema: "t.Any" = None,
        index: bool = True,
        key: "str | None" = None,
        sync: "t.Sync" = None,
        roll: "int | str | None" = None,
        capacity: int = 64 * GIB,
        writeback: bool = False,
    ) -> None:
        if roll is not None or sync == "each":
            # Not in __new__: a class that is derived may give the options to this method only.
            self.__class__ = _watched(type(self))
        if schema is not None:
            _pycapnp.require_struct(schema)
        if key is not None and not 0 < len(os.fsencode(key)) < _KEY_BYTES:
            raise ValueError(f"a key has up to {_KEY_BYTES - 1} bytes")
        if key is not None and schema is not None:
            _check_key(schema, key)
        self._schema = schema
        self._capacity = capacity
        self._options = (writeback, key)
        self._warned = False
        self._mode = mode
        self._indexed = index
        self._sync = _checked_sync(sync)
        self._syncer: t.Syncer | None = None
        self._roll = None if roll is None else bytes_of(roll)
        self._lock = RLock()
        self._rolling = False
        self._unsynced: list[tuple[_core.File, _core.File | None]] = []
        self._first: str | bytes | None = None
        self._file_number = 0
        if self._roll is not None:
            file = self._find_last(file)
        self._open_file(file, mode)
        forks.remember(self)
        if isinstance(self._sync, float):
            self._get_syncer()

    def _find_last(self, file: "t.FileLike") -> "t.FileLike":
        """Return the file to go on in."""
        if isinstance(file, int) or hasattr(file, "fileno"):
            raise ValueError("roll needs a path, which new files are named after")
        self._first = first = os.fspath(file)
        if self._mode == "a":
            self._file_number = last_number(first)
        elif self._mode == "w":
            remove_following(first)
        return following(first, self._file_number)

    def _files_to_sync(self) -> "list[tuple[_core.File, _core.File | None]]":
        """Return the present file and its index if the device may not have all of them yet."""
        if self.synced >= self.committed:
            return []
        from .sync import duplicate

        index = self._index_file
        kept = None if index is None else duplicate(index.name, index.fileno())
        return [(duplicate(self.name, self._fileno()), kept)]

    def _keep_for_sync(self, files: "list[tuple[_core.File, _core.File | None]]") -> None:
        """Keep files that another one follows until the device has them.

        Each takes a descriptor, and so does its index. So the device gets the oldest ones if nobody
        asks for it; the kernel has mostly written them by then.
        """
        self._unsynced += files
        if len(self._unsynced) > _MOST_KEPT:
            from .sync import bring_earlier_to_device

            bring_earlier_to_device(self, _MOST_KEPT)

    def _appended(self) -> None:
        """Do what is to be done after an append."""

    def _open_file(self, file: "t.FileLike", mode: str) -> None:
        shares = self._indexed
        output = open_output(file, mode, self, shares)
        try:
            self._path = path_of(output.name) if self._indexed else None
            while not self._start(output, mode):
                pass  # the file could not be replaced: now it is the old one
            self._output = output
        except BaseException:
            self._finish()
            output.roll_back()
            raise

    def _start(self, output: Output, mode: str) -> bool:
        fd, path = output.fileno(), self._path
        with Gate(fd) as can_share:
            others = _core.log_has_writers(fd)
            reader = look(output, mode, others)
            index = open_index(path, fd, reader, others)
            shares = can_share and index is not None
            if others and not shares:
                raise busy(output.name, "locked: others append to this log, which has no index "
                           "any more; close them first")  # fmt: skip
            if not output.share(shares):
                raise busy(output.name, "locked: others append to this log, and it cannot be "
                           "shared without an index")  # fmt: skip
            self._index_file = index
            index_fd = index.fileno() if index is not None else -1
            end = reader.committed
            writeback, key = self._options
            capacity = self._capacity
            return self._open(output, index_fd, len(reader), end, capacity, writeback, shares, key)

    # ---- appending ----

    def extend(
        self, rows_or_table: "t.Any", schema: "t.Any" = None, *, missing: str = "error"
    ) -> range:
        """Append messages, and return their numbers.

        Args:
            rows_or_table: an iterable of messages, each as `append` takes it. Or a table, of
                which each row becomes a message: a mapping of columns, a table of Arrow, a
                data frame of pandas or polars, a structured array of NumPy. A table has what
                `MessageBuilder.fill` takes.
            schema: the struct that the roots are; by default that of the log.
            missing: ``"error"`` refuses a table that lacks a number. ``"default"`` stores the
                default of the field.

        >>> with MessageLog("table.log", schema=addressbook_capnp.Person) as log:
        ...     log.extend({"id": [7, 8], "name": ["Ada", "Charles"]})
        ...     log.extend([{"id": 9}])
        range(0, 2)
        range(2, 3)

        Messages are appended in batches of about 64 KiB. Readers find all messages of a batch
        or none.

        Raises: as for `append`. The batches before the error are in the log then.
        """
        first = len(self)
        batches = self._batches(rows_or_table, schema, missing)
        if batches.columns is not None:
            self._extend_table(batches.columns, batches.encoder, None)
        else:
            self._extend(batches.rows, batches.names, batches.encoder, 0, sys.maxsize)
        return range(first, len(self))

    def _batches(self, rows_or_table: "t.Any", schema: "t.Any", missing: str) -> "Batches":
        """Return what the native code takes, of messages and of tables."""
        if missing not in ("default", "error"):
            raise ValueError(f'missing must be "default" or "error", not {missing!r}')
        if not is_table(rows_or_table):
            return Batches(None, rows_or_table, None, self._encoder_for(schema))
        encoder = self._make_encoder(schema, missing == "error")
        from ..columns.schema import plan_of

        columns = arrow_columns(rows_or_table)
        if columns is not None:
            return Batches(columns, (), None, encoder)
        return Batches(None, *rows_of(rows_or_table, plan_of(self._struct(schema))), encoder)

    def build(self, schema: "t.Any" = None) -> Build:
        """Build one message in place, in the file. This is for large messages.

        It returns a context manager, which gives pycapnp's builder of the root. The message
        is appended when the body ends, and dropped if the body raises. Nothing else can be
        appended before that, and readers do not see the message yet. Afterwards the builder
        is private memory, and stores into it no longer reach the file.

        >>> with MessageLog("books.log") as log:
        ...     with log.build(addressbook_capnp.AddressBook) as book:
        ...         people = book.init("people", 100_000)
        ...     len(log)
        1

        Raises, when the body is left:
            OSError: there was no room. The message is dropped, and the log can go on.
        """
        return Build(self, self._struct(schema))

    def _encoder_for(self, schema: "t.Any") -> "_core.Encoder | None":
        """Return what makes messages of a struct; None stands for the struct of the log."""
        if schema is None or schema is self._schema:
            return None
        _pycapnp.require_struct(schema)
        return self._make_encoder(schema)

    def _make_encoder(self, schema: "t.Any" = None, refuses_none: bool = False) -> _core.Encoder:
        from ..columns.rows import attribute_names
        from ..columns.schema import plan_of

        _pycapnp.require_struct(self._struct(schema))
        plan = plan_of(self._struct(schema))
        return _core.Encoder(plan.native, attribute_names, refuses_none)

    def _find_framer(self, kind: type) -> "t.Any":
        return _pycapnp.framer(kind)

    def _struct(self, schema: "t.Any") -> "t.Any":
        found = self._schema if schema is None else schema
        if found is None:
            raise TypeError("the log was opened without a schema: MessageLog(file, schema=...)")
        return found

    def _warn_of_size(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name!r}: a message of more than 64 MiB can only be read by programs that "
                "raise their traversal limit, as open_log does",
                RuntimeWarning,
                stacklevel=3,
            )

    # ---- the file ----

    def flush(self, cut: bool = False) -> None:
        """Do nothing, since all messages are in the file. With `cut` cut the file behind them.

        The file of an open log is longer than its messages. After the cut it is exactly as
        that of a closed log, until the next append.

        Raises:
            OSError: the file cannot be cut.
            ValueError: the log is closed.
        """
        len(self)
        if cut:
            self._cut()

    def sync(self, timeout: "float | None" = None) -> None:
        """Wait until all messages so far are on the device, where a power cut cannot take them.

        One thread waits for the device on behalf of all that call this at the same time.

        Raises:
            TimeoutError: it took more than `timeout` seconds. The thread goes on.
            OSError: the device has failed. The messages since the last `sync` may be lost.
            ValueError: the log is closed.
        """
        len(self)
        self._get_syncer().wait(timeout)

    def _get_syncer(self) -> "t.Syncer":
        if self._syncer is None:
            from .sync import Syncer

            self._syncer = Syncer(self, self._sync if isinstance(self._sync, float) else None)
        return self._syncer

    @property
    def name(self) -> "t.Name | None":
        """The file as it was given."""
        return self._output.name if self._output is not None else None

    @property
    def mode(self) -> str:
        """The mode that the log was opened with."""
        return self._mode

    @property
    def descriptor(self) -> int:
        """The log's own file descriptor. Use it for locks and `os.fstat`, never to write.

        Raises:
            ValueError: the log is closed.
        """
        return self._fileno()

    def _fileno(self) -> int:
        output = self._output
        if super().closed or output is None:
            raise ValueError("I/O operation on closed log")
        return output.fileno()

    def _has_ended(self) -> bool:
        """Say whether the log is closed, and not only on its way into another file."""
        output = self._output
        ended = output is None or output.ended
        return ended and not self._rolling and self._output is output

    @property
    def committed(self) -> int:
        """The end of the last message, in bytes from the start of the file."""
        return self.stats.committed

    @property
    def synced(self) -> int:
        """How many bytes of the log are known to be on the device."""
        return self.stats.synced

    @property
    def stats(self) -> LogStats:
        """Counters of this log. After `close` they stay as they were then."""
        final = self._final
        return LogStats(*self._stats()) if final is None or not self.closed else final

    # ---- the end ----

    def close(self) -> None:
        """Cut the file where its last message ends, and close it.

        If other processes append to the file, the last of them cuts it. Closing again does
        nothing.

        Raises:
            OSError: the file could not be cut, or its index had no room, or ``sync=`` asked for
                the device and it has failed. The log is closed all the same, and has all messages.
        """
        self._commit()

    def _end_content(self, end: "t.End", *how: "t.Any") -> Exception | None:
        trouble = self._end_sync(end)
        if not self.closed:
            self._final = self.stats
        # What was appended is complete in any case.
        failure = self._finish(end != "drop") or trouble
        if end == "drop" and self._path is not None:
            try:
                os.unlink(index_path(self._path))
            except FileNotFoundError:
                pass
        return failure

    def _end_sync(self, end: "t.End") -> Exception | None:
        """Bring all to the device, if that was asked for; return what that met."""
        syncer = self._syncer
        trouble: Exception | None = None
        if syncer is not None:
            syncer.stop()
            trouble = syncer.failure
        if self._sync is None or end == "drop" or self.closed or trouble is not None:
            return trouble
        from .sync import bring_to_device

        try:
            bring_to_device(self)
        except OSError as error:
            trouble = error
        return trouble

    def _is_given_up(self, output: Output) -> bool:
        return output.made

    def _forget(self) -> None:
        forks.forget(self)

    def discard(self) -> None:
        """Close the log. If the log made its file, remove the file and its index."""
        super().discard()

    def __enter__(self) -> "t.Self":
        len(self)
        return self

    def __reduce__(self) -> "str | tuple[t.Any, ...]":
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        try:
            state = f"{len(self)} messages"
        except ValueError:
            state = "closed"
        return f"<{type(self).__name__} {self.name!r} {state}>"

    def _repr_html_(self) -> str:
        from .._html import describe, in_bytes

        stats = self.stats
        rows = [
            ("file", self.name),
            ("state", "closed" if self.closed else "open"),
            ("messages", f"{stats.messages:,}"),
            ("committed", in_bytes(stats.committed)),
        ]
        return describe(type(self).__name__, rows)


class _WatchedLog(Watched, MessageLog):
    """A MessageLog whose appends do more."""


_WatchedLog.__name__ = _WatchedLog.__qualname__ = "MessageLog"


def _watched(kind: "type[MessageLog]") -> "type[MessageLog]":
    """Return the class whose appends do more; for a class of a program, one below that."""
    if issubclass(kind, _WatchedLog):
        return kind
    if kind is MessageLog:
        return _WatchedLog
    found: t.Any = vars(kind).get("_below")
    if found is None:
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        meta: t.Any = type(kind)
        found = meta(kind.__name__, (kind, _WatchedLog), names)
        kind._below = found  # type: ignore[attr-defined]
    below: type[MessageLog] = found
    return below


def _check_key(schema: "t.Any", key: str) -> None:
    from ..columns.annotated import inner_struct
    from ..columns.schema import Struct, plan_of

    plan = plan_of(schema)
    struct: Struct | None = plan.structs[plan.types[0].refers_to]
    for name in key.split("."):
        if struct is None or name not in struct.fields:
            raise KeyError(f"key: {struct.name if struct else key} has no field {name!r}")
        struct = inner_struct(plan, struct, name)


def _checked_sync(sync: "t.Any") -> "t.Any":
    if sync is None or sync == "each":
        return sync
    if isinstance(sync, bool) or not isinstance(sync, (int, float)):
        raise TypeError(f"sync must be None, a number of seconds or 'each', not {sync!r}")
    if not sync > 0:
        raise ValueError(f"sync must be more than 0 seconds, not {sync!r}")
    return float(sync)
