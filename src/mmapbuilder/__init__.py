"""Write into memory, and the file grows.

`Builder` maps a file over a huge range of address space, and each store there extends the
file. `MessageBuilder` builds a Cap'n Proto message in such a file, in place. `open_message`
reads a message, `edit_message` changes one in place, `verify` checks one, and `recover`
finishes one whose builder died. `MessageLog` appends many messages to one file, and `open_log`
reads them. `write_shard`, `commit` and `open_dataset` make one dataset of what many processes
write.
"""

from . import _core as _core  # an extension that is missing is an error here, not later

TYPE_CHECKING = False

# Each name is imported when it is first asked for, since all modules together take three times as
# long as those that one program needs. Tools that read the source see plain imports.
if TYPE_CHECKING:
    from ._core import CapacityError as CapacityError
    from ._core import InvalidMessage as InvalidMessage
    from ._errors import PathError as PathError
    from ._stats import Stats as Stats
    from .builder import Builder as Builder
    from .check import LogReport as LogReport
    from .check import Report as Report
    from .check import recover as recover
    from .check import verify as verify
    from .dataset import Dataset as Dataset
    from .dataset import Shard as Shard
    from .dataset import open_dataset as open_dataset
    from .dataset import write_shard as write_shard
    from .dataset.commit import commit as commit
    from .editor import EditedMessage as EditedMessage
    from .editor import edit_message as edit_message
    from .lanes import Lane as Lane
    from .lanes import LaneError as LaneError
    from .log import Log as Log
    from .log import LogStats as LogStats
    from .log import MessageLog as MessageLog
    from .log import Messages as Messages
    from .log import open_log as open_log
    from .message import MessageBuilder as MessageBuilder
    from .npy import NpyBuilder as NpyBuilder
    from .reader import Message as Message
    from .reader import open_message as open_message
    from .schemas import schema_from as schema_from
    from .schemas import schema_path as schema_path
else:
    # No module inside another package is named. Its import waits for that package, and in another
    # thread the package may wait for the module: Python then raises an error in one of them.
    _MODULE_OF = {
        "Builder": "builder",
        "CapacityError": "_core",
        "Dataset": "dataset",
        "EditedMessage": "editor",
        "InvalidMessage": "_core",
        "Lane": "lanes",
        "LaneError": "lanes",
        "Log": "log",
        "LogReport": "check",
        "LogStats": "log",
        "Message": "reader",
        "MessageBuilder": "message",
        "MessageLog": "log",
        "Messages": "log",
        "NpyBuilder": "npy",
        "PathError": "_errors",
        "Report": "check",
        "Shard": "dataset",
        "Stats": "_stats",
        "commit": "dataset",
        "edit_message": "editor",
        "open_dataset": "dataset",
        "open_log": "log",
        "open_message": "reader",
        "recover": "check",
        "schema_from": "schemas",
        "schema_path": "schemas",
        "verify": "check",
        "write_shard": "dataset",
    }
    __all__ = list(_MODULE_OF)

    def __getattr__(name):
        """Import a public name when it is first asked for."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        module = __import__(f"{__name__}.{_MODULE_OF[name]}", fromlist=[name])
        value = getattr(module, name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"
