"""What is open until `close` is called, or a ``with`` block ends."""

from ._lazy import t


class Closing:
    """Something that a ``with`` block closes, however the block ends."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what is open."""
        raise NotImplementedError

    def _leave(self, error: BaseException | None) -> None:
        """Close because of an error in the block."""
        self.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: "t.TracebackType | None",  # noqa: PYI036  # it is that of types
    ) -> None:
        if error is None:
            self.close()
        else:
            self._leave(error)
