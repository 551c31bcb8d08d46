"""An *output*: the file that a builder fills, open and locked."""

import errno
import os
from _weakref import ref

from .._lazy import t
from .lock import LockedFile
from .names import fd_and_name, is_address
from .opening import open_atomic, open_descriptor, open_path

_MODES = ("w", "x", "r+")


class Output(LockedFile):
    """The file that a builder fills: a regular file, locked, from its opening to its end.

    It is opened, lent to a map, and ends once: by `commit`, `keep` or `remove`; by
    `roll_back` if no builder comes of it. Each ending can be called again, after an
    interruption or by another thread, and then goes on or does nothing. An output that is
    dropped gives back what it holds.
    """

    __slots__ = ("beside_others", "mode", "size")

    beside_others: bool  # who open it likewise; of a file that is not replaced
    mode: str
    size: int  # bytes that were there before, of a file that is continued

    @classmethod
    def open(
        cls,
        file: "t.FileLike",
        mode: str,
        *,
        atomic: bool = False,
        beside_others: bool = False,
        holder: object,
    ) -> "t.Self":
        """Open and lock what `file` stands for; nothing in an existing file changes.

        `holder` is the builder, whose repr errors show to others who want the file.
        """
        if mode not in _MODES:
            raise ValueError(f"mode must be 'w', 'x' or 'r+', not {mode!r}")
        fd, name = fd_and_name(file)
        output = cls(name, mode, atomic)
        output.mode = mode
        output.beside_others = beside_others
        output.size = 0
        output.holder = ref(holder)
        try:
            if fd is not None:
                open_descriptor(output, fd)
            elif atomic:
                open_atomic(output, os.fsdecode(name))  # type: ignore[arg-type]
            else:
                open_path(output, os.fsdecode(name))  # type: ignore[arg-type]
        except BaseException as error:
            output.roll_back()
            if isinstance(error, FileNotFoundError) and is_address(name):
                text = "files are built in a local file system: upload this one when it is closed"
                raise FileNotFoundError(errno.ENOENT, text, name) from None
            if isinstance(error, OSError) and type(name) is not type(error.filename):
                error.filename = name  # as it was given, not as it was decoded
            raise
        return output
