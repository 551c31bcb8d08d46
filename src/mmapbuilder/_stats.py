"""Counters of a builder."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Stats(NamedTuple):
        """What a builder has done so far; bytes unless said otherwise."""

        growths: int
        faults: int
        backed: int
        used: int
        prefaulted: int
else:
    # The same at run time, without the cost of importing typing.
    from collections import namedtuple

    Stats = namedtuple(  # noqa: PYI024
        "Stats", "growths faults backed used prefaulted", module=__package__
    )
    Stats.__doc__ = "What a builder has done so far; bytes unless said otherwise."
    Stats.growths.__doc__ = "Times that the file was extended ahead of its content."
    Stats.faults.__doc__ = "Stores beyond the end of the file that extended it."
    Stats.backed.__doc__ = "Length of the file while it is being built."
    Stats.used.__doc__ = "Bytes that belong to the content."
    Stats.prefaulted.__doc__ = "Bytes that the prefault thread has prepared."
