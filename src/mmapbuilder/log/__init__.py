"""Logs: many messages, one after the other, in one file."""

from .reader import Log, Messages, open_log

__all__ = ["Log", "Messages", "open_log"]
