"""The write side: messages appended to a file, each there as soon as the call returns."""

import os
import warnings

from .. import _core, _pycapnp
from .._output import Endings, Output
from .build import Build
from .index_file import hold_index, index_path, make_index
from .tables import columns_of, rows_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from .. import _types as t

    class LogStats(NamedTuple):
        """What a log's writer has done so far; bytes unless said otherwise."""

        messages: int
        committed: int
        backed: int
        growths: int
        faults: int
else:
    from .._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")
    # The same at run time, without the cost of importing typing.
    from collections import namedtuple

    LogStats = namedtuple(  # noqa: PYI024
        "LogStats", "messages committed backed growths faults", module=__package__
    )
    LogStats.__doc__ = "What a log's writer has done so far; bytes unless said otherwise."
    LogStats.messages.__doc__ = "Messages in the log, those that were there before included."
    LogStats.committed.__doc__ = "Where the last of them ends."
    LogStats.backed.__doc__ = "Length of the file at present."
    LogStats.growths.__doc__ = "Times that the file was extended."
    LogStats.faults.__doc__ = "Stores beyond the end of the file, by messages built in place."

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
        mode: ``"a"`` goes on behind the messages that are there, whoever wrote them; what
            a writer that was killed left behind them is dropped. ``"w"`` drops what is
            there, ``"x"`` refuses an existing file.
        schema: the struct that all roots are, of a schema that pycapnp has loaded; needed
            by appends of fields and dicts, and by `build`.
        index: keep an index beside the file (its name and ``.idx``), which spares readers
            and the next ``"a"`` looking at every message. Needs a path.
        key: the field by which the messages are ordered, such as a time; dotted if it stands
            in a group or struct of the root. The index tells it to `Log.seek`.
        capacity: the most bytes that the file can get. Address space costs nothing.
        writeback: start writing to the device behind the writer, so that `sync` has less
            to wait for.

    Raises:
        BlockingIOError: another writer is at work on the file.
        InvalidMessage: in mode ``"a"``: the file holds something else than messages.
        OSError: the file cannot be opened, mapped or grown.
        TypeError, ValueError: an argument is wrong.

    Dropped without being closed, a log keeps its messages and warns (ResourceWarning). In
    a forked child it is closed; the parent goes on.
    """

    _noun = "log"

    def __init__(
        self,
        file: "t.FileLike",
        mode: str = "a",
        *,
        schema: "t.Any" = None,
        index: bool = True,
        key: "str | None" = None,
        capacity: int = 64 * GIB,
        writeback: bool = False,
    ) -> None:
        if schema is not None:
            _pycapnp.require_struct(schema)
        if key is not None and not 0 < len(os.fsencode(key)) < _KEY_BYTES:
            raise ValueError(f"a key has up to {_KEY_BYTES - 1} bytes")
        self._schema = schema
        self._capacity = capacity
        self._warned = False
        self._mode = mode
        output = _open(file, mode, self)
        try:
            self._path = _path_of(output.name) if index else None
            while not self._start(output, capacity, writeback, key):
                pass  # the file could not be replaced: now it is the old one
            _remember(self)
            self._output = output
        except BaseException:
            self._finish()
            output.roll_back()
            raise

    def _start(self, output: Output, capacity: int, writeback: bool, key: "str | None") -> bool:
        reader = _look(output, self._mode)
        index = _open_index(self._path, output.fileno(), reader)
        index_fd = index.fileno() if index is not None else -1
        return self._open(output, index_fd, len(reader), reader.committed, capacity, writeback, key)

    # ---- appending ----

    def extend(self, messages: "t.Any") -> range:
        """Append messages, each as `append` takes it; return their numbers.

        A table gives a message for each row: a mapping of columns, a table of Arrow, a data
        frame of pandas or polars, a structured array of NumPy.

        >>> with MessageLog("table.log", schema=addressbook_capnp.Person) as log:
        ...     log.extend({"id": [7, 8], "name": ["Ada", "Charles"]})
        ...     log.extend([{"id": 9}])
        range(0, 2)
        range(2, 3)

        Of a batch, about 64 KiB of messages, readers find all or none.

        Raises: as `append`; the batches before are in the log.
        """
        first = len(self)
        columns = columns_of(messages)
        if columns is not None:
            self._extend_table(columns)
        else:
            self._extend(*rows_of(messages))
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

    def _make_encoder(self) -> _core.Encoder:
        from ..columns.rows import attribute_names
        from ..columns.schema import plan_of

        return _core.Encoder(plan_of(self._struct(None)).native, attribute_names)

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

    def sync(self) -> None:
        """Return when all that was appended is on the device, safe from a power cut.

        Raises:
            OSError: the device has failed.
            ValueError: the log is closed.
        """
        len(self)
        copy = _core.File(self.name, "r+")  # another thread may close the log meanwhile
        copy.duplicate(self.descriptor)
        os.fsync(copy.fileno())

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
    def stats(self) -> LogStats:
        """Counters of this log."""
        return LogStats(*self._stats())

    # ---- the end ----

    def close(self) -> None:
        """Cut the file where its last message ends, and close it.

        Closing again does nothing.

        Raises:
            OSError: the file could not be cut. Everything is released.
        """
        self._commit()

    def _end_content(self, end: "t.End", *how: "t.Any") -> Exception | None:
        failure = self._finish(end != "drop")  # what was appended is complete in any case
        if end == "drop" and self._path is not None:
            try:
                os.unlink(index_path(self._path))
            except FileNotFoundError:
                pass
        return failure

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


# ---- opening ---------------------------------------------------------------------------


def _open(file: "t.FileLike", mode: str, log: MessageLog) -> Output:
    if mode not in ("a", "w", "x"):
        raise ValueError(f"mode must be 'a', 'w' or 'x', not {mode!r}")
    if mode != "a":
        return Output.open(file, mode, holder=log)
    while True:
        try:
            return Output.open(file, "r+", holder=log)
        except FileNotFoundError:
            pass
        try:
            return Output.open(file, "x", holder=log)
        except FileExistsError:
            pass


def _path_of(name: "t.Name") -> "str | bytes | None":
    return None if isinstance(name, int) else os.path.abspath(name)


def _look(output: Output, mode: str) -> _core.LogReader:
    """See what messages the file holds, and warn if more than that will be dropped."""
    name = output.name
    if mode == "w" and os.fstat(output.fileno()).st_size > 0:
        os.ftruncate(output.fileno(), 0)
    index = None if isinstance(name, int) else hold_index(name)
    shown = str(name) if isinstance(name, int) else os.fsdecode(name)
    index_fd = index.fileno() if index is not None else -1
    reader = _core.LogReader(output.fileno(), index_fd, shown)
    kind, size = reader.tail
    if kind in ("torn", "zeros"):
        warnings.warn(
            f"{shown}: the last {size} bytes are no message; they are dropped",
            RuntimeWarning,
            stacklevel=4,
        )
    return reader


def _open_index(
    path: "str | bytes | None", fd: int, reader: _core.LogReader
) -> "_core.File | None":
    """Open the index for writing, a new one if there is none that fits; None without one."""
    if path is None:
        return None
    try:
        if reader.indexed == 0:
            make_index(path, fd, reader)
    except OSError:
        return None  # no right, or no room, to make one
    return hold_index(path, os.O_RDWR)


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
