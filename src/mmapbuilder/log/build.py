"""One message of a log, built in place."""

from .. import _core, _pycapnp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from .writer import MessageLog

MIB = 1 << 20
WORD = 8

# Room for so many segments is left in the table; what is not needed becomes part of the
# only segment. Its 32 bytes are a multiple of a word.
_SEGMENTS = 7
_TABLE_BYTES = 32

# The fence claims as much at first, which readers accept: 64 MiB. The file reaches up to
# a granule beyond what is stored to.
_FIRST_REACH = 64 * MIB
_SLACK = 3 * MIB


class Build:
    """A message that is being built in a log; see `MessageLog.build`."""

    def __init__(self, log: "MessageLog", schema: "Any") -> None:
        self._log = log
        self._schema = schema
        self._map: _core.Map | None = None
        self._file: _core.File | None = None
        self._message: Any = None
        self._root: Any = None
        self._sizes: list[int] = []  # full sizes, in words
        self._start = 0  # of the message in the file
        self._problem: Exception | None = None

    def __enter__(self) -> "Any":
        if self._map is not None:
            raise RuntimeError("a message is built once")
        log = self._log
        self._start = log._begin(_FIRST_REACH)
        try:
            self._file = _core.File(log.name, "r+")  # not locked: the log has the lock
            self._file.duplicate(log._output.fileno())
            self._map = _core.Map(
                self._file, log._capacity, max_growth=2 * MIB, declared=self._start
            )
            self._message = _pycapnp.message_builder(self._allocate)
            self._root = self._message.init_root(self._schema)
        except BaseException:
            self._drop()
            raise
        return self._root

    def _allocate(self, min_words: int) -> memoryview:
        """Hand out the next segment. pycapnp dies of exceptions here."""
        try:
            return self._next_segment(min_words)
        except Exception as problem:
            self._problem = self._problem or problem.with_traceback(None)
            return memoryview(bytearray(WORD * max(min_words, 1024)))

    def _next_segment(self, min_words: int) -> memoryview:
        if self._map is None or len(self._sizes) == _SEGMENTS:
            raise ValueError("the message has too many segments")
        start = self._start + _TABLE_BYTES + WORD * sum(self._sizes)
        usual = (
            (_FIRST_REACH - _SLACK - MIB) // WORD if not self._sizes else _core.MAX_SEGMENT_WORDS
        )
        room = (self._map.capacity - start - WORD) // WORD
        words = max(min_words, min(usual, room))
        if words > room:
            raise _core.CapacityError(27, "the capacity of the log is used up", self._log.name)
        reach = start + words * WORD + _SLACK - self._start
        self._log._go_on(max(reach, _FIRST_REACH))  # before the file grows
        window = _core.log_window(self._map, start, words * WORD)
        window[0]  # the file reaches there now, so that the kernel can read it
        self._sizes.append(words)
        return window

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
        if self._problem is not None:
            raise self._problem
        used = _pycapnp.used_words(self._message, self._root)
        self._map.tell()  # raises what a store met
        last = max((number for number, size in enumerate(used) if size), default=0)
        words = [*self._sizes[:last], used[last]] if used else [1]
        words += [0] * (_SEGMENTS - len(words))
        self._log._commit(tuple(words))
        if sum(words) > _pycapnp.DEFAULT_LIMIT:
            self._log._warn_of_size()

    def _drop(self) -> None:
        """Let go of the memory, which stays as a private copy; zero what was not committed."""
        core, self._map = self._map, None
        self._message = self._root = None
        if core is not None:
            core._finish(cut=False)
        if self._file is not None:
            self._file.keep()
        self._log._abandon()
