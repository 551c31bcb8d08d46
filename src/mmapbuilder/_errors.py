"""Errors that are made in Python; those of the C layers come from `_core`."""


class PathError(KeyError, ValueError):
    """A path that leads nowhere: no such field, not set, or not the active member."""

    __module__ = "mmapbuilder"

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""
