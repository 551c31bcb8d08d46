"""The file formats that `convert` knows, and how it tells which one a file has.

The user names a *format*, or the end of the file's name tells it. A file that is neither a table
nor JSON is Cap'n Proto: a message if the path of a list is given, and a log if not.
"""

from .ends import USAGE, Failure

PARQUET, ARROW, JSONL, NPY, MESSAGE, LOG = "parquet", "arrow", "jsonl", "npy", "message", "log"
ALL = (MESSAGE, LOG, PARQUET, ARROW, JSONL, NPY)
CAPNP = (MESSAGE, LOG)

_SUFFIXES = {
    ".parquet": PARQUET,
    ".pq": PARQUET,
    ".arrow": ARROW,
    ".arrows": ARROW,
    ".feather": ARROW,
    ".ipc": ARROW,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".npy": NPY,
}


def format_read(name: str, told: "str | None", path: "str | None") -> str:
    """Tell the format of the file that is read.

    Raises:
        Failure: a pipe has no name to tell it by.
    """
    if told is None and name == "-":
        raise Failure("say --from FORMAT: a pipe has no name to tell the format by", USAGE)
    return _format_of(name, told, path)


def format_written(name: str, told: "str | None", path: "str | None") -> str:
    """Tell the format of the file that is written: that of stdout is JSON lines."""
    if told is None and name == "-":
        return JSONL
    return _format_of(name, told, path)


def require_two_kinds(source: str, reads: str, target: str, writes: str) -> None:
    """Refuse to convert between two tables, or between two files of Cap'n Proto.

    Raises:
        Failure: it says which formats the names tell.
    """
    if (reads in CAPNP) != (writes in CAPNP):
        return
    raise Failure(
        f"{source} is taken for {reads}, and {target} for {writes}: one of the two must be a "
        "message or a log, and the other a table or JSON, whose name ends in "
        f"{', '.join(_SUFFIXES)} unless --from or --to says the format",
        USAGE,
    )


def _format_of(name: str, told: "str | None", path: "str | None") -> str:
    if told is not None:
        return told
    for suffix, found in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return found
    return LOG if path is None else MESSAGE
