"""What `close`, `discard`, `with` and the end of an object do, for all builders."""

import warnings

from .._closing import Closing
from .._lazy import t


class Endings(Closing):
    """The endings of a builder.

    A subclass opens an `Output`, sets `_output` when it is ready, and says by `_end_content`
    how the content is finished. Any of this can be interrupted between any two steps, and is
    done by the call that ends the builder next: by the same call again, by another one, or by the
    end of the object.
    """

    __slots__ = ()

    _output: "t.Output | None" = None
    _durable: bool = False
    _noun: str = "builder"  # what a warning calls it
    # It is set before the content is given up, so that a close which races with that does not keep
    # the file as if it had been finished. It is read after the content has ended.
    _dropped: bool = False

    def _end_content(self, end: "t.End", *how: "t.Any") -> Exception | None:
        """Stop the growth of the file, and finish its content; return what that met.

        `end` is ``"finish"`` for a content that is complete, ``"leave"`` for one that is
        kept as far as it got, ``"drop"`` for one that is given up. In a forked child the
        file is only let go of. Called again, it returns the same. What it raises leaves the
        builder open.
        """
        raise NotImplementedError  # `how` is what `_commit` was given

    def _is_given_up(self, output: "t.Output") -> bool:
        """Say whether `discard` gives the file up; else it is kept with what is in it."""
        return output.mode != "r+" or output.atomic

    def _forget(self) -> None:
        """Drop what is not used after the end. This may be called several times."""

    def _commit(self, *how: "t.Any") -> None:
        """Finish the content and let go of the file, which gets its name if it is atomic."""
        output = self._output
        if output is None:
            return
        try:
            if not output.ended:
                self._let_go(output, self._durable, "finish", *how)
        finally:
            if output.ended:
                self._forget()

    def _let_go(self, output: "t.Output", durable: bool, end: "t.End", *how: "t.Any") -> None:
        # The error has no name here: through its traceback it would hold itself.
        ended = [self._end_content(end, *how)]
        if self._dropped:
            output.remove()
        else:
            output.commit(ended.pop(), durable)

    def _drop(self, output: "t.Output") -> None:
        self._dropped = True  # type: ignore[misc]  # subclasses have a __dict__
        self._end_content("drop")
        output.remove()

    def discard(self) -> None:
        """Give the file up, and close the builder. Views may still be alive.

        If the file was given by its path, it is removed; if it was given as a descriptor,
        it is emptied. An atomic builder leaves its target as it was. In mode ``"r+"`` the
        file is kept, with all that was written so far.
        """
        output = self._output
        if output is None:
            return
        try:
            if not output.ended:
                if self._is_given_up(output):
                    self._drop(output)
                else:
                    self._end_content("leave")
                    output.keep()
        finally:
            if output.ended:
                self._forget()

    def _leave(self, error: BaseException | None) -> None:
        """Close because of an error elsewhere, or because the object is dropped.

        An error of the close becomes a note of that error.
        """
        output = self._output
        if output is None or output.ended:
            return
        try:
            if output.atomic:
                self._drop(output)
            else:
                self._let_go(output, False, "leave")
        except Exception as problem:
            if error is not None:
                error.add_note(f"mmapbuilder: closing {output.name!r} failed as well: {problem}")
        self._forget()

    def close(self) -> None:
        """Finish the file and close it."""
        self._commit()

    def __enter__(self) -> "t.Self":
        return self

    # As a default, `warn` is there even when the interpreter is clearing modules.
    def __del__(self, warn: "t.Callable[..., None]" = warnings.warn) -> None:
        output = self._output
        if output is not None and not output.ended:
            try:
                warn(f"{self._noun} was never closed: {self!r}", ResourceWarning, 2, self)
            finally:  # a warning may be an error
                self._leave(None)
