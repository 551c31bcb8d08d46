"""A *lane*: a part of the elements of a list that one process fills."""

import os

from .._lazy import t

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .memory import LaneMemory


class LaneError(RuntimeError):
    """A message was closed before one of its lanes was filled to the end."""


class Lane:
    """Elements `start` to `stop` of a list, to be filled by any process.

    `MessageBuilder.lanes` makes lanes. A lane can be pickled, and sent to a process that was
    forked or spawned. Several lanes can be filled at the same time.

    Attributes:
        start: the first element.
        stop: the element after the last.
        room: the bytes that all lanes of the list have together, for texts and lists.
        name: the name of the lane in errors, such as ``people[0:500]``.
    """

    def __init__(
        self,
        number: int,
        start: int,
        stop: int,
        path: "tuple[t.Any, ...]",
        name: str,
        schema: "t.Importable",
        layout: "t.Layout",
        token: int,
        identity: tuple[int, int],
        candidates: tuple[str, ...],
    ) -> None:
        self._number = number
        self.start = start
        self.stop = stop
        self.name = f"{name}[{start}:{stop}]"
        self.room = 8 * layout.room.words
        self._path = path
        self._schema = schema
        self._layout = layout
        self._token = token
        self._identity = identity
        self._candidates = candidates

    def __len__(self) -> int:
        return self.stop - self.start

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def fill(self, data: "t.Any" = None, /, **columns: "t.Any") -> int:
        """Write columns into the elements of the lane, and return the number of elements.

        The arguments are those of `MessageBuilder.fill` after the path. A column has one
        value for each element of the lane. A lane can be filled again, for example after an
        error; its old values are lost then. Columns that you do not give stay as they are.

        Raises:
            BlockingIOError: another process or thread is filling this lane.
            FileNotFoundError, ValueError: the message was closed.
            CapacityError: `room` is too small for the texts and lists.
            OSError: the disk is full.
            OverflowError, TypeError, ValueError, KeyError: as for `MessageBuilder.fill`. The
                text counts rows from the first one of the lane.
        """
        from .memory import open_file
        from .pool import STATES

        fd = open_file(self._candidates, self._identity, self.name)
        try:
            memory = self._memory(fd)
            pool = memory.pool
            if not pool.lock(STATES + self._number):
                raise BlockingIOError(
                    f"{self.name} is being filled by another process or thread at this moment"
                )
            try:
                return self._fill_locked(memory, data, columns)
            finally:
                pool.unlock(STATES + self._number)
        finally:
            os.close(fd)

    def _memory(self, fd: int) -> "LaneMemory":
        from .memory import LaneMemory

        try:
            return LaneMemory(fd, self._layout, (self.start, len(self)), self.name)
        except ValueError:  # it is shorter than that
            raise self._closed() from None

    def _closed(self) -> ValueError:
        return ValueError(f"{self.name}: the message was closed")

    def _fill_locked(self, memory: "LaneMemory", data: "t.Any", columns: "dict[str, t.Any]") -> int:
        from ..columns.part import fill_part
        from ..columns.schema import plan_of
        from .pool import AT_WORK, DONE, FAILED, TOKEN

        pool = memory.pool
        if pool.words[TOKEN] != self._token:
            raise self._closed()
        pool.set_state(self._number, AT_WORK)
        try:
            fill_part(plan_of(self._schema.load()), memory, self._path, data, columns)
        except BaseException as error:
            pool.set_state(self._number, FAILED)
            error.add_note(f"mmapbuilder: while filling the lane {self.name}")
            raise
        pool.set_state(self._number, DONE)
        return len(self)
