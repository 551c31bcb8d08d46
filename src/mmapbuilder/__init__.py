"""Write into memory, and the file grows.

`Builder` maps a file over a huge range of address space, and each store there extends the
file. `MessageBuilder` builds a Cap'n Proto message in such a file, in place. `open_message`
reads a message, `edit_message` changes one in place, `verify` checks one, and `recover`
finishes one whose builder died. `MessageLog` appends many messages to one file, and `open_log`
reads them. `write_shard`, `commit` and `open_dataset` make one dataset of what many processes
write.
"""

from ._core import CapacityError, InvalidMessage
from ._errors import PathError
from ._stats import Stats
from .builder import Builder
from .check import LogReport, Report, recover, verify
from .dataset import Dataset, Shard, commit, open_dataset, write_shard
from .editor import EditedMessage, edit_message
from .lanes import Lane, LaneError
from .log import Log, LogStats, MessageLog, Messages, open_log
from .message import MessageBuilder
from .npy import NpyBuilder
from .reader import Message, open_message
from .schemas import schema_from, schema_path

__all__ = [
    "Builder",
    "CapacityError",
    "Dataset",
    "EditedMessage",
    "InvalidMessage",
    "Lane",
    "LaneError",
    "Log",
    "LogReport",
    "LogStats",
    "Message",
    "MessageBuilder",
    "MessageLog",
    "Messages",
    "NpyBuilder",
    "PathError",
    "Report",
    "Shard",
    "Stats",
    "commit",
    "edit_message",
    "open_dataset",
    "open_log",
    "open_message",
    "recover",
    "schema_from",
    "schema_path",
    "verify",
    "write_shard",
]

__version__ = "0.1.0"
