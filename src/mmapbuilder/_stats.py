"""Counters of a builder."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from ._tuples import NamedTuple


class Stats(NamedTuple):
    """What a builder has done so far; bytes unless said otherwise.

    Attributes:
        growths: times that the file was extended ahead of its content.
        faults: stores beyond the end of the file that extended it.
        backed: length of the file while it is being built.
        used: bytes that belong to the content.
        prefaulted: bytes that the prefault thread has prepared.
    """

    growths: int
    faults: int
    backed: int
    used: int
    prefaulted: int
