"""What the builder of a message says about its file and about the map of that file."""

from . import _core
from ._lazy import t
from ._stats import Stats


class Mapped:
    """A builder whose content lies in a map.

    `_map` is that map until the builder is closed. From then on `_final` has the counters.
    """

    __slots__ = ()

    # Attributes of the class, so that they exist even if __init__ was not reached or has failed.
    _map: _core.Map | None = None
    _final: Stats | None = None
    _name: "t.Name | None" = None
    _mode: "t.NewFileMode | None" = None
    _capacity: int  # not before __init__
    _schema: "t.Any" = None

    def flush(self, durable: bool = False) -> None:
        """Push what was built to the file. With `durable` wait for the device, too.

        The message stays unfinished.

        Raises:
            OSError: an earlier store failed, or the device did.
        """
        self._open_map().flush(durable)

    def reserve(self, end: int) -> None:
        """Take disk blocks for the first `end` bytes of the file now.

        Raises:
            CapacityError: `end` is more than the capacity. Nothing is lost.
            OSError: the disk is full (ENOSPC). Nothing is lost.
        """
        self._open_map().reserve(end)

    @property
    def capacity(self) -> int:
        """The most bytes that the file can get. Its table counts, too."""
        return self._capacity

    @property
    def name(self) -> "t.Name | None":
        """The file as it was given."""
        return self._name

    @property
    def mode(self) -> "t.NewFileMode | None":
        """The mode that the builder was opened with."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether `close` or `discard` was called."""
        core = self._map
        return core is None or core.closed

    @property
    def size(self) -> int:
        """Bytes from the start of the file to the last word that is not zero.

        After `close` it is the size of the finished message.
        """
        core = self._map
        used = core.size if core is not None and not self.closed else self.stats.used
        return -(-used // 8) * 8

    @property
    def stats(self) -> Stats:
        """Counters of this builder. After `close` they stay as they were then."""
        core = self._map
        if core is None:
            if self._final is None:
                raise ValueError("I/O operation on closed builder")
            return self._final
        return Stats(*core._stats())

    @property
    def descriptor(self) -> int:
        """The builder's own file descriptor. Use it for locks and `os.fstat`, never to write."""
        return self._open_map().descriptor

    def fileno(self) -> "t.NoReturn":
        """Raise io.UnsupportedOperation: nothing can be written into a message by a descriptor."""
        from io import UnsupportedOperation

        self._open_map()  # raises if the builder is closed
        raise UnsupportedOperation(
            "fileno: a message cannot be written by a descriptor; the property `descriptor` is for "
            "looking at its file"
        )

    def _open_map(self) -> _core.Map:
        core = self._map
        if core is None:
            raise ValueError("I/O operation on closed builder")
        return core

    def __reduce__(self) -> "str | tuple[t.Any, ...]":
        raise TypeError(f"cannot pickle {type(self).__name__!r} object")

    def __repr__(self) -> str:
        size, capacity = self._size_if_known(), getattr(self, "_capacity", None)
        return (
            f"<{type(self).__name__} {self._name!r} mode={self._mode!r} "
            f"size={size} capacity={capacity} {self._state()}>"
        )

    def _repr_html_(self) -> str:
        from ._html import describe, in_bytes

        size = self._size_if_known()
        schema = None if self._schema is None else self._schema.node.displayName
        rows = [
            ("file", self._name),
            ("state", self._state()),
            ("size", None if size is None else in_bytes(size)),
            ("capacity", in_bytes(self._capacity)),
            ("root", schema),
        ]
        return describe(type(self).__name__, rows)

    def _state(self) -> str:
        return "closed" if self.closed else "unfinished"

    def _size_if_known(self) -> int | None:
        try:
            return self.size
        except (OSError, ValueError):
            return None
