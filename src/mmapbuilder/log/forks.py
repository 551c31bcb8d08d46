"""Logs that are open when the process forks: the child must not append to them as well."""

import os
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .writer import MessageLog

_open_logs: "dict[int, Callable[[], MessageLog | None]]" = {}
_registered: "list[bool]" = []


def remember(log: "MessageLog") -> None:
    """Let a forked child close the log, which the parent goes on with."""
    import weakref

    if not _registered:
        _registered.append(True)
        os.register_at_fork(after_in_child=_close_inherited)
    _open_logs[id(log)] = weakref.ref(log)


def forget(log: "MessageLog") -> None:
    """Undo `remember`, when the log is closed."""
    _open_logs.pop(id(log), None)


def _close_inherited() -> None:
    for find in list(_open_logs.values()):
        log = find()
        if log is not None:
            log._lock = RLock()  # a thread that held it is not in the child
            log._leave(None)
