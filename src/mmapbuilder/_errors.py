"""Errors that are made in Python; those of the C layers come from `_core`."""


class PathError(KeyError, ValueError):
    """A path leads nowhere: there is no such field, it is not set, or it is not active.

    Active is the member of a union that was set last. The error is a KeyError and a ValueError.
    """

    __module__ = "mmapbuilder"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
