"""Several processes that fill one message.

A *lane* is a part of the elements of one list. Each is filled by a process of its own, straight
in the file; the process that has the builder makes the lanes, and closes the message.

The floors, from the top: `dividing`; `owner`; `lane`; `memory`; `pool`.
"""

from .lane import Lane, LaneError

__all__ = ["Lane", "LaneError"]
