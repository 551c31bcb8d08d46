"""Logs that do more at each append: go on in a new file, or wait for the device."""

import sys
from _thread import RLock
from itertools import islice

from .._lazy import t
from .opening import following

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .build import Build
    from .writer import LogStats, MessageLog

    _Base = MessageLog
else:
    _Base = object

_BATCH = 100  # messages that are taken from an iterable at once


class Watched(_Base):
    """The calls of a log with ``roll=`` or ``sync="each"``; to be mixed into MessageLog.

    For a moment a log that goes on in another file has none. The lock keeps other threads from
    taking it for closed, or closing it, at that time. A signal handler of the same thread can close
    it all the same: then the roll does.
    """

    _lock: RLock
    _is_over = False  # close or discard was called

    def append_bytes(self, frame: "t.Buffer", /) -> int:
        """Append one message, given as it lies in files; return its number."""
        with self._lock:
            self._go_on_if_full()
            number = super().append_bytes(frame)
        self._appended()
        return number

    def append(self, message: "t.Any" = None, /, **fields: "t.Any") -> int:
        """Append one message; return its number."""
        with self._lock:
            self._go_on_if_full()
            number = super().append(message, **fields)
        self._appended()
        return number

    def extend(
        self, rows_or_table: "t.Any", schema: "t.Any" = None, *, missing: str = "error"
    ) -> range:
        """Append messages, each as `append` takes it; return their numbers."""
        batches = self._batches(rows_or_table, schema, missing)
        with self._lock:
            self._go_on_if_full()
            first = len(self)
        count = 0
        if batches.columns is not None:
            with self._lock:
                count = self._extend_table(batches.columns, batches.encoder, self._go_on_if_full)
        else:
            rows = iter(batches.rows)
            while batch := list(islice(rows, _BATCH)):
                while batch:
                    with self._lock:
                        room = self._go_on_if_full()
                        done = self._extend(batch, batches.names, batches.encoder, count, room)
                    count += done
                    del batch[:done]
        self._appended()
        return range(first, first + count)

    def build(self, schema: "t.Any" = None) -> "Build":
        """Build one message in place, in the file: for large ones."""
        with self._lock:
            self._go_on_if_full()
        return super().build(schema)

    def flush(self, cut: bool = False) -> None:
        """Do nothing, since all messages are in the file. With `cut` cut the file behind them."""
        with self._lock:
            super().flush(cut)

    def sync(self, timeout: "float | None" = None) -> None:
        """Wait until all messages so far are on the device."""
        with self._lock:
            if self._rolling:  # so this is a signal handler, and the roll goes on after it
                raise RuntimeError("the log is at work: this call interrupts it")
        super().sync(timeout)

    def __len__(self) -> int:
        with self._lock:
            return super().__len__()

    @property
    def closed(self) -> bool:
        """Whether close or discard was called."""
        with self._lock:
            return super().closed

    @property
    def descriptor(self) -> int:
        """The log's own file descriptor."""
        with self._lock:
            return super().descriptor

    @property
    def stats(self) -> "LogStats":
        """Counters of this log."""
        with self._lock:
            return super().stats

    def close(self) -> None:
        """Cut the file where its last message ends, and close it."""
        self._is_over = True
        with self._lock:
            super().close()

    def discard(self) -> None:
        """Close the log. If the log made its file, remove the file and its index."""
        self._is_over = True
        with self._lock:
            super().discard()

    def _leave(self, error: "BaseException | None") -> None:
        self._is_over = True
        with self._lock:
            super()._leave(error)

    def _appended(self) -> None:
        if self._sync == "each":
            self.sync()

    def _go_on_if_full(self) -> int:
        """Go on in a new file if this one is full; return how many bytes there is room for."""
        roll = self._roll
        if roll is None:
            return sys.maxsize
        room = roll - self.committed
        if room > 0 or len(self) == 0:
            return max(room, 1)
        first = self._first
        assert first is not None
        number = self._file_number + 1
        self._rolling = True
        try:
            self._go_on_in(following(first, number))
        except OSError:
            if self._is_over:  # closed by a signal handler, in the middle of it
                raise ValueError("I/O operation on closed log") from None
            raise
        finally:
            self._rolling = False
        self._file_number = number
        return max(roll - self.committed, 1)

    def _go_on_in(self, path: "str | bytes") -> None:
        old = self._output
        assert old is not None
        files = self._files_to_sync()
        failure = self._finish(True)
        old.commit(failure, False)
        self._keep_for_sync(files)  # now that the index has the checksums of all messages
        if not self._is_over:
            self._open_next(path, old.name)

    def _open_next(self, path: "str | bytes", old: "t.Name") -> None:
        try:
            self._open_file(path, "a")
        except BaseException:
            self._open_file(old, "a")  # so that the next append can try again
            raise
        finally:
            if self._is_over:
                super().close()
