"""The write side: messages appended to a file, each there as soon as the call returns."""

import os
import warnings
from _thread import RLock

from .. import _core, _pycapnp
from .._output import Endings, Output
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
from .tables import columns_of, rows_of
from .watched import Watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from .. import _types as t
else:
    from .._lazy import LazyModule
    from .._tuples import NamedTuple

    t = LazyModule("mmapbuilder._types")


class LogStats(NamedTuple):
    """What a log's writer has done so far; bytes unless said otherwise.

    Attributes:
        messages: messages in the log, those that were there before included.
        committed: where the last of them ends.
        backed: length of the file at present.
        growths: times that the file was extended.
        faults: stores beyond the end of the file, by messages built in place.
        synced: how much of the log is known to be on the device.
    """

    messages: int
    committed: int
    backed: int
    growths: int
    faults: int
    synced: int


GIB = 1 << 30

_KEY_BYTES = 64  # of its name in the index

# Logs of this process that are open. A forked child must not append to them as well.
_open_logs: "dict[int, t.Callable[[], MessageLog | None]]" = {}


class MessageLog(_core.LogWriter, Endings):
    """A file that messages are appended to.

    What an append returned for is in the file, whole: readers of any process find it,
    and it stays if this process is killed. No system call is needed for that, so it costs
    little more than copying the message. Other readers of concatenated messages read the
    log while it is open as well; to them it seems to end in the middle of a message.

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
            ``fileno()``; descriptors are duplicated and stay the caller's. A regular file,
            open for reading and writing.
        mode: ``"a"`` goes on behind the messages that are there, whichever program wrote them; what
            a writer that was killed left behind them is dropped. ``"w"`` drops what is
            there, ``"x"`` refuses an existing file.
        schema: the struct that all roots are, of a schema that pycapnp has loaded; needed
            by appends of fields and dicts, and by `build`.
        index: keep an index beside the file (its name and ``.idx``), which spares readers
            and the next ``"a"`` looking at every message. Needs a path.
        sync: when the device is waited for: None, only when `sync` is called; a number of
            seconds, by a thread that does it as often; ``"each"``, in every append, where one
            wait serves all threads that append. With a number or ``"each"`` also by `close`.
        roll: the size (bytes, or such as ``"1GiB"``) from which on the log goes on in a new
            file: its name and ``.000001``, ``.000002`` and so on. Each file is a log by itself,
            and all in order, one after the other, are one again. Mode ``"a"`` goes on in the
            last. Numbers of messages count within a file. Needs a path.
        key: the field by which the messages are ordered, such as a time; dotted if it stands
            in a group or struct of the root. The index tells it to `Log.seek`.
        capacity: the most bytes that the file can get. Address space costs nothing.
        writeback: start writing to the device behind the writer, so that `sync` has less
            to wait for.

    Several processes can append to one log at the same time, if it has an index: each message
    is whole, and those of each writer stay in order. Without an index a log has one writer.

    Raises:
        BlockingIOError: someone is at work on the file who does not share it.
        InvalidMessage: in mode ``"a"``: the file holds something else than messages.
        OSError: the file cannot be opened, mapped or grown.
        TypeError, ValueError: an argument is wrong.

    Dropped without being closed, a log keeps its messages and warns (ResourceWarning). In
    a forked child it is closed; the parent goes on.
    """

    _noun = "log"

    def __new__(
        cls,
        *args: "t.Any",
        roll: "t.Any" = None,
        sync: "t.Any" = None,
        **options: "t.Any",
    ) -> "t.Self":
        """Make a log; what is asked for decides what its appends do."""
        kind = _WatchedLog if cls is MessageLog and (roll is not None or sync == "each") else cls
        return super().__new__(kind)  # type: ignore[return-value]  # it is one of these

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
        if schema is not None:
            _pycapnp.require_struct(schema)
        if key is not None and not 0 < len(os.fsencode(key)) < _KEY_BYTES:
            raise ValueError(f"a key has up to {_KEY_BYTES - 1} bytes")
        self._schema = schema
        self._capacity = capacity
        self._options = (writeback, key)
        self._warned = False
        self._mode = mode
        self._indexed = index
        self._sync = _checked_sync(sync)
        self._syncer: t.Syncer | None = None
        self._roll = None if roll is None else bytes_of(roll, "roll")
        self._lock = RLock()
        self._rolling = False
        self._unsynced: list[_core.File] = []
        self._first: str | bytes | None = None
        self._file_number = 0
        if self._roll is not None:
            file = self._find_last(file)
        self._open_file(file, mode)
        _remember(self)
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

    def _keep_for_sync(self) -> None:
        """Keep the present file, which another one follows, until the device has it."""
        if self.synced < self.committed:
            file = _core.File(self.name, "r+")
            file.duplicate(self.descriptor)
            self._unsynced.append(file)

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

    def extend(self, rows_or_table: "t.Any", schema: "t.Any" = None) -> range:
        """Append messages, each as `append` takes it; return their numbers.

        A table gives a message for each row: a mapping of columns, a table of Arrow, a data
        frame of pandas or polars, a structured array of NumPy.

        Args:
            rows_or_table: an iterable of messages, or a table.
            schema: the struct that the roots are; by default that of the log.

        >>> with MessageLog("table.log", schema=addressbook_capnp.Person) as log:
        ...     log.extend({"id": [7, 8], "name": ["Ada", "Charles"]})
        ...     log.extend([{"id": 9}])
        range(0, 2)
        range(2, 3)

        Of a batch, about 64 KiB of messages, readers find all or none.

        Raises: as `append`; the batches before are in the log.
        """
        first = len(self)
        columns, encoder = columns_of(rows_or_table), self._encoder_for(schema)
        if columns is not None:
            self._extend_table(columns, encoder, None)
        else:
            self._extend(*rows_of(rows_or_table), encoder)
        return range(first, len(self))

    def build(self, schema: "t.Any" = None) -> Build:
        """Build one message in place, in the file: for large ones.

        A context manager that gives the root, a builder of pycapnp. The message is
        appended when the body is left, and dropped if it is left by an exception.
        Meanwhile nothing else can be appended, and readers find what was appended before.
        Afterwards the builder is private memory: what is written to it goes nowhere.

        >>> with MessageLog("books.log") as log:
        ...     with log.build(addressbook_capnp.AddressBook) as book:
        ...         people = book.init("people", 100_000)
        ...     len(log)
        1

        Raises, when the body is left:
            OSError: there was no room. The message is dropped, the log can go on.
        """
        return Build(self, self._struct(schema))

    def _encoder_for(self, schema: "t.Any") -> "_core.Encoder | None":
        """Return what makes messages of a struct; None stands for the struct of the log."""
        if schema is None or schema is self._schema:
            return None
        _pycapnp.require_struct(schema)
        return self._make_encoder(schema)

    def _make_encoder(self, schema: "t.Any" = None) -> _core.Encoder:
        from ..columns.rows import attribute_names
        from ..columns.schema import plan_of

        return _core.Encoder(plan_of(self._struct(schema)).native, attribute_names)

    def _find_framer(self, kind: type) -> "t.Callable[[t.Any], bytes | list[bytes]] | None":
        return _pycapnp.framer(kind)

    def _struct(self, schema: "t.Any") -> "t.Any":
        found = self._schema if schema is None else schema
        if found is None:
            raise TypeError("the log was opened without a schema: MessageLog(file, schema=...)")
        return found

    def _warn_of_size(self, level: int = 3) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.name!r}: a message of more than 64 MiB can only be read by programs that "
                "raise their traversal limit, as open_log does",
                RuntimeWarning,
                stacklevel=level,
            )

    # ---- the file ----

    def flush(self, cut: bool = False) -> None:
        """Do nothing: what was appended is in the file. With `cut` end the file there.

        A log that is open is longer than its messages. Cut, it is exactly what a closed
        one is, until the next append.

        Raises:
            OSError: the file cannot be cut.
            ValueError: the log is closed.
        """
        len(self)
        if cut:
            self._cut()

    def sync(self, timeout: "float | None" = None) -> None:
        """Return when all that was appended before is on the device, safe from a power cut.

        One thread waits for the device, on behalf of all that call this meanwhile.

        Raises:
            TimeoutError: that takes more than `timeout` seconds. It goes on.
            OSError: the device has failed. What was appended since the last time may be lost.
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
        """The log's own file descriptor: for locks and `os.fstat`, not for writing.

        Raises:
            ValueError: the log is closed.
        """
        output = self._output
        if self.closed or output is None:
            raise ValueError("I/O operation on closed log")
        return output.fileno()

    @property
    def committed(self) -> int:
        """Where the last message ends, in bytes."""
        return self.stats.committed

    @property
    def synced(self) -> int:
        """How much of the log is known to be on the device, in bytes."""
        return self.stats.synced

    @property
    def stats(self) -> LogStats:
        """Counters of this log."""
        return LogStats(*self._stats())

    # ---- the end ----

    def close(self) -> None:
        """Cut the file where its last message ends, and close it.

        If others append to it, the last of them cuts it. Closing again does nothing.

        Raises:
            OSError: the file could not be cut, or the device failed that was to be waited
                for. Everything is released.
        """
        self._commit()

    def _end_content(self, end: "t.End", *how: "t.Any") -> Exception | None:
        trouble = self._end_sync(end)
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
        _open_logs.pop(id(self), None)

    def discard(self) -> None:
        """Close the log, and remove the file and its index if the log made them."""
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

        try:
            stats = self.stats
        except ValueError:
            return describe(type(self).__name__, [("file", self.name), ("state", "closed")])
        rows = [
            ("file", self.name),
            ("state", "open"),
            ("messages", f"{stats.messages:,}"),
            ("committed", in_bytes(stats.committed)),
        ]
        return describe(type(self).__name__, rows)


class _WatchedLog(Watched, MessageLog):
    """A MessageLog whose appends do more."""


_WatchedLog.__name__ = _WatchedLog.__qualname__ = "MessageLog"


def _checked_sync(sync: "t.Any") -> "t.Any":
    if sync is None or sync == "each":
        return sync
    if isinstance(sync, bool) or not isinstance(sync, (int, float)):
        raise TypeError(f"sync must be None, a number of seconds or 'each', not {sync!r}")
    if not sync > 0:
        raise ValueError(f"sync must be more than 0 seconds, not {sync!r}")
    return float(sync)


# ---- forks -----------------------------------------------------------------------------


def _remember(log: MessageLog) -> None:
    import weakref

    if not _open_logs:
        _register()
    _open_logs[id(log)] = weakref.ref(log)


def _register(once: "list[bool]" = []) -> None:  # noqa: B006 - it is the memory of this function
    if not once:
        once.append(True)
        os.register_at_fork(after_in_child=_close_inherited)


def _close_inherited() -> None:
    """Close the logs that the parent goes on with."""
    for find in list(_open_logs.values()):
        log = find()
        if log is not None:
            log._leave(None)
