"""One message of a log, built in place."""

from .. import _core, _pycapnp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from .writer import MessageLog

MIB = 1 << 20


class Build:
    """A message that is being built in a log. `MessageLog.build` returns it."""

    def __init__(self, log: "MessageLog", schema: "Any") -> None:
        self._log = log
        self._schema = schema
        self._core = _core.LogBuild(log)
        self._map: _core.Map | None = None
        self._message: Any = None
        self._root: Any = None

    def __enter__(self) -> "Any":
        if self._map is not None:
            raise RuntimeError("a message is built once")
        log = self._log
        len(log)  # raises if it is closed
        try:
            start = self._core.begin()
            file = _core.File(log.name, "r+")  # not locked: the log has the lock
            file.duplicate(log.descriptor)
            core = self._map = _core.Map(file, log._capacity, max_growth=2 * MIB, declared=start)
            self._core.use(core)
            # pycapnp is in the middle of a call when it asks for a segment: no code of Python's
            # may run then, which could be interrupted.
            self._message = _pycapnp.message_builder(self._core.allocate)
            self._root = self._message.init_root(self._schema)
        except BaseException:
            self._drop()
            raise
        return self._root

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "TracebackType | None",
    ) -> None:
        try:
            if error is None:
                self._commit()
        finally:
            self._drop()

    def _commit(self) -> None:
        assert self._map is not None
        used = _pycapnp.used_words(self._message, self._root)
        self._map.tell()  # raises what a store met
        if sum(size > 0 for size in used) > 1 and sum(used) <= _pycapnp.DEFAULT_LIMIT:
            self._append_without_holes()
            return
        if self._core.commit(used) > _pycapnp.DEFAULT_LIMIT:
            self._log._warn_of_size()
        self._log._appended()

    def _append_without_holes(self) -> None:
        """Append a copy of the message, in which nothing is between its segments.

        In the file the first segment has its full size, so that the message would be larger than
        other readers take.
        """
        self._core.check()
        frame = _pycapnp.frame_of(self._root)
        self._core.end()
        self._log.append_bytes(frame)

    def _drop(self) -> None:
        """Let go of the memory, which stays as a private copy; zero what was not committed."""
        self._core.end()
        self._message = self._root = None

    # If an interruption came before `_drop`.
    def __del__(self) -> None:
        if hasattr(self, "_core"):
            self._core.end()
