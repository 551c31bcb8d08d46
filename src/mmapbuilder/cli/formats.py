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


def format_of(name: str, told: "str | None", path: "str | None", option: str) -> str:
    """Tell the format of a file.

    Raises:
        Failure: a pipe has no name to tell it by.
    """
    if told is not None:
        return told
    if name == "-":
        raise Failure(f"say {option} FORMAT: a pipe has no name to tell the format by", USAGE)
    for suffix, found in _SUFFIXES.items():
        if name.lower().endswith(suffix):
            return found
    return LOG if path is None else MESSAGE
