"""Logs: many messages, one after the other, in one file."""

from .messages import Messages
from .reader import Log, open_log
from .writer import LogStats, MessageLog

__all__ = ["Log", "LogStats", "MessageLog", "Messages", "open_log"]
