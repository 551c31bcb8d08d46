"""A *shard* is one file of a dataset: a message whose list has the rows, or a log."""

from .._tuples import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

LOG = "log"
"""The path of shards that are logs."""

ShardPath: "TypeAlias" = str | tuple[str, ...]


class Shard(NamedTuple):
    """What `write_shard` says about its file, and what `commit` needs to know.

    It is a named tuple. Send it from the process that wrote the shard to the one that commits.

    Attributes:
        name: the name of the file in the directory: ``part-00007-``, a UUID and ``.bin``.
        index: the place of the shard among the others, counted from 0.
        rows: the number of its rows, or of its messages if it is a log.
        bytes: the size of the file.
        digest: ``sha256:`` and the SHA-256 of the file, in hexadecimal digits.
        path: the names of fields that lead to the list, or ``"log"``.
        schema: a fingerprint of the schema of the rows.
        storage_options: the options that the store was opened with. The manifest does not
            have them.
    """

    name: str
    index: int  # type: ignore[assignment]
    rows: int
    bytes: int
    digest: str
    path: "ShardPath | None" = None
    schema: str | None = None
    storage_options: "dict[str, Any] | None" = None

    def __repr__(self) -> str:
        # Without the options of the store, in which there may be a password.
        return (
            f"Shard(name={self.name!r}, index={self.index!r}, rows={self.rows!r}, "
            f"bytes={self.bytes!r}, digest={self.digest!r})"
        )


def path_of(path: "str | Sequence[str]") -> "ShardPath":
    """Return the path of a list as the names that lead to it, or `LOG`.

    ``"log"`` alone means a log; a list that is called so is given as ``("log",)``.

    Raises:
        TypeError: it is neither a str nor a sequence of them.
        ValueError: it is empty.
    """
    if path == LOG and isinstance(path, str):
        return LOG
    steps = tuple(path.split(".")) if isinstance(path, str) else tuple(path)
    if not all(isinstance(step, str) for step in steps):
        raise TypeError(
            f"the path of a list is made of the names of fields, not {path!r}: "
            'say "people", ("book", "people"), or "log"'
        )
    if not steps or not all(steps):
        raise ValueError(f'{path!r} leads to no list: say "people", ("book", "people"), or "log"')
    return steps


def spell_path(path: "ShardPath") -> str:
    """Write a path for a reader: ``people``, ``book.people`` or ``log``."""
    return path if isinstance(path, str) else ".".join(path)
