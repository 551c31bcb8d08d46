"""Counters of a builder."""

from ._tuples import NamedTuple


class Stats(NamedTuple):
    """What a builder has done so far. Numbers are bytes if nothing else is said.

    Attributes:
        growths: how often the file was extended ahead of its content.
        faults: how many stores beyond the end of the file extended it.
        backed: the length of the file while it is being built.
        used: the bytes that belong to the content.
        prefaulted: the bytes that the prefault thread has prepared.
    """

    growths: int
    faults: int
    backed: int
    used: int
    prefaulted: int
