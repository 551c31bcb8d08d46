"""Bringing a log to its device: one thread does it for all who wait."""

import contextlib
import os
import threading
import time
import weakref

from .. import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .writer import MessageLog

_LOOK_SECONDS = 5.0  # between two looks whether the log is still there

_datasync = getattr(os, "fdatasync", os.fsync)


def _bring(file: _core.File) -> None:
    """Wait until the device has the file.

    Raises:
        OSError: the device has failed. The error names the file.
    """
    try:
        _datasync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, file.name) from None


def bring_to_device(log: "MessageLog") -> int:
    """Return when all that was appended is on the device; tell where that ends.

    First the messages, then the note of how far they are, then readers are told: so no note
    ever claims what the device has not.

    Raises:
        OSError: the device has failed.
        ValueError: the log is closed.
    """
    file = duplicate(log.name, log._fileno())
    index = log._index_file
    count, end = log._look()
    bring_earlier_to_device(log, 0)
    _bring(file)
    log._note_synced(count, end)
    if index is not None:
        _bring(index)
    log._tell_synced(end)
    return end


def bring_earlier_to_device(log: "MessageLog", kept: int) -> None:
    """Return when the device has the files that came before the log's file, but the last `kept`.

    It gets their indexes, too. The checksums in them say after a power cut that all is there.

    Raises:
        OSError: the device has failed.
    """
    for earlier in log._unsynced[: max(0, len(log._unsynced) - kept)]:
        file, index = earlier
        _bring(file)
        if index is not None:
            _bring(index)
        with contextlib.suppress(ValueError):  # two threads may do this at once
            log._unsynced.remove(earlier)


def duplicate(name: "str | bytes | int | None", fd: int) -> _core.File:
    """Make a descriptor that stays if another thread closes the log."""
    copy = _core.File(name, "r+")
    copy.duplicate(fd)
    return copy


class Syncer:
    """The thread of one log that waits for the device, so that others need not.

    It is started when it is first needed. All that ask while it waits are served together
    with all others by the next time.
    """

    def __init__(self, log: "MessageLog", pause: "float | None") -> None:
        self.pid = os.getpid()
        self._log = weakref.ref(log)
        self._pause = None if pause is None else min(pause, threading.TIMEOUT_MAX)
        self._changed = threading.Condition()
        self._wanted = 0  # how often it was asked
        self._served = 0  # of these, how many have got it
        self._failure: Exception | None = None
        self._stopped = False
        # A lock for each thread that waits, which is released when there may be news for it. A
        # condition would not do: a signal handler that closes the log may run in the waiting
        # thread after it has looked and before the condition knows of it.
        self._waiting: list[threading.Lock] = []
        # Threads that may hold the condition, each as often as it is inside. A signal handler
        # that closes the log in one of them must not wait for the thread of this object, which
        # may wait for the condition.
        self._inside: list[int] = []
        self._thread: threading.Thread | None = None
        if pause is not None:
            self._start()

    def wait(self, timeout: "float | None" = None) -> None:
        """Return when all that was appended before is on the device.

        Raises:
            TimeoutError: it is not yet.
            OSError: the device has failed, now or earlier.
            ValueError: the log is closed.
        """
        end = None if timeout is None else time.monotonic() + min(timeout, threading.TIMEOUT_MAX)
        me = threading.get_ident()
        news = threading.Lock()
        news.acquire()
        self._inside.append(me)
        try:
            self._waiting.append(news)
            with self._changed:
                self._start()
                self._wanted += 1
                mine = self._wanted
                self._changed.notify_all()
            done = self._wait_until_over(mine, news, end)
        finally:
            with contextlib.suppress(ValueError):  # interrupted before it was there
                self._waiting.remove(news)
            self._inside.remove(me)
        if self._failure is not None:
            raise self._failure
        if not done:
            raise TimeoutError(f"the device has not taken all of the log within {timeout} s")
        if self._served < mine:
            raise ValueError("I/O operation on closed log")

    def _wait_until_over(self, mine: int, news: threading.Lock, end: "float | None") -> bool:
        while not self._is_over(mine):
            left = -1 if end is None else end - time.monotonic()
            if end is not None and left <= 0:
                return False
            news.acquire(timeout=min(left, threading.TIMEOUT_MAX))
        return True

    def _tell(self) -> None:
        """Let all that wait look again."""
        self._changed.notify_all()
        for news in list(self._waiting):
            with contextlib.suppress(RuntimeError):  # it was released and not looked at yet
                news.release()

    def _is_over(self, mine: int) -> bool:
        return self._served >= mine or self._failure is not None or self._stopped

    def _start(self) -> None:
        if self._thread is None and not self._stopped:
            self._thread = threading.Thread(target=self._run, name="log sync", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait until it is gone.

        In a signal handler that interrupts a call of this very object, it is not waited for:
        it ends by itself.
        """
        if self.pid != os.getpid():
            return  # a forked child has no such thread
        me = threading.get_ident()
        is_interrupting = me in self._inside
        self._inside.append(me)
        try:
            with self._changed:
                self._stopped = True
                self._tell()
                thread = self._thread
        finally:
            self._inside.remove(me)
        if thread is not None and thread.ident != me and not is_interrupting:
            thread.join()

    @property
    def failure(self) -> "Exception | None":
        """What the device met that was not told yet, if the log has one."""
        return self._failure

    def _run(self) -> None:
        while True:
            with self._changed:
                asked = self._changed.wait_for(self._is_asked, self._pause or _LOOK_SECONDS)
                if self._stopped:
                    return
                number = self._wanted
            if self._log() is None or ((asked or self._pause) and not self._serve(number)):
                return

    def _is_asked(self) -> bool:
        return self._stopped or self._wanted > self._served

    def _serve(self, asked: int) -> bool:
        log = self._log()
        if log is None:
            return False
        try:
            # Nothing here waits for the log: whoever closes it waits for this thread.
            _, committed, *_, synced = log._stats()
            if asked > self._served or synced < committed:
                bring_to_device(log)
        except Exception as failure:
            if isinstance(failure, ValueError) and not log._has_ended():
                return True  # it goes on in another file: the next time
            with self._changed:
                # Closed in the meantime: the thread that closes it looks after the rest.
                self._failure = None if isinstance(failure, ValueError) else failure
                self._stopped = True
                self._tell()
            return False
        with self._changed:
            self._served = asked
            self._tell()
        return True
