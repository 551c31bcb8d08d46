"""Logs: many messages, one after the other, in one file."""

from .reader import Log, Messages, open_log
from .report import LogReport
from .writer import LogStats, MessageLog

__all__ = ["Log", "LogReport", "LogStats", "MessageLog", "Messages", "open_log"]
