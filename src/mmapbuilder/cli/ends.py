"""How the command ends: exit codes, and one line for each error.

An *exit code* tells a script what kind of thing went wrong; the line on stderr tells a person
what, with the file's name.
"""

import errno
import os
import sys
from typing import NamedTuple

CODES = {
    0: "all is well",
    1: "a file is damaged, unfinished or of another kind, or has no such field or row",
    2: "the command was called in a wrong way",
    3: "a file cannot be opened, read or written, or another process is at work on it",
    4: "a package is needed that is not installed; the text says which",
    70: "an error in mmapbuilder itself, which should be reported",
    130: "interrupted, by Ctrl-C",
    141: "the program that reads the output has ended, as `head` does",
}
OK, WRONG, USAGE, NO_FILE, NO_PACKAGE, FAULT, INTERRUPTED, NO_READER = CODES

# Errors of files have their names; those of what is printed have none.
_OF_OUTPUT = (errno.ENOSPC, errno.EIO, errno.EBADF)

_NAMES = {"capnp": "capnp", "pyarrow": "arrow", "numpy": "numpy", "rich": "cli"}


class Failure(Exception):  # noqa: N818
    """An error that ends a command. Its text is written for the user."""

    def __init__(self, text: str, code: int = WRONG) -> None:
        super().__init__(text)
        self.code = code


class End(NamedTuple):
    """An exit code, and the line that is printed about it. No line is printed if it is empty."""

    code: int
    text: str


def explain(error: BaseException, path: "str | None" = None, shown: "str | None" = None) -> End:
    """Say in one line what an error means.

    `path` is the file that the command was at work on, and `shown` is its name for the user.
    """
    from .. import CapacityError, InvalidMessage

    if isinstance(error, Failure):
        named = shown is None or error.code != WRONG or shown in str(error)
        return End(error.code, _line(str(error)) if named else _about(shown, str(error)))
    if isinstance(error, KeyboardInterrupt):
        return End(INTERRUPTED, "interrupted")
    if isinstance(error, BrokenPipeError):
        return End(NO_READER, "")
    if isinstance(error, InvalidMessage):
        return End(WRONG, _about(shown or error.filename, _place(error)))
    if isinstance(error, ImportError):
        return End(NO_PACKAGE, _package(error))
    if isinstance(error, OSError) and not isinstance(error, CapacityError):
        name = error.filename
        if name is None and error.errno in _OF_OUTPUT:
            name = "standard output"
        elif name is None or (path is not None and _same(name, path)):
            name = shown
        return End(NO_FILE, _about(name, error.strerror or str(error)))
    if isinstance(error, MemoryError):
        return End(NO_FILE, _about(shown, "there is not enough memory"))
    if isinstance(error, Warning):  # of which someone has made errors: python -W error
        return End(WRONG, _about(shown, str(error)))
    if isinstance(error, (KeyError, IndexError, ValueError, TypeError, OverflowError)):
        return End(WRONG, _about(shown, text_of(error) or type(error).__name__))
    text = f"an error in mmapbuilder: {type(error).__name__}: {error}"
    return End(FAULT, _about(shown, f"{text} (MMAPBUILDER_TRACEBACK=1 shows where)"))


def text_of(error: BaseException) -> str:
    """Return the text of an error. That of a KeyError is no key, which `str` would quote."""
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _same(name: object, path: str) -> bool:
    return isinstance(name, (str, bytes)) and os.fsdecode(name) == path


def _place(error: "ValueError") -> str:
    reason = getattr(error, "reason", "") or str(error)
    segment, word = getattr(error, "segment", None), getattr(error, "word", None)
    return reason if segment is None else f"{reason} (segment {segment}, word {word})"


def _package(error: ImportError) -> str:
    name = (error.name or "").partition(".")[0]
    if name == "capnp":
        return "schemas need pycapnp: pip install 'mmapbuilder[capnp]'"
    if name in _NAMES:
        return f"{name} is not installed: pip install {name}"
    return _line(str(error))


def _line(text: str) -> str:
    """Make one line of a text, without characters that a terminal takes for orders."""
    return " ".join(printable(text).split())


def _about(name: "object", text: str) -> str:
    if name is None:
        return _line(text)
    shown = os.fsdecode(name) if isinstance(name, (str, bytes)) else f"descriptor {name}"
    # What the library says may end with the name already.
    text = text.removesuffix(f": {name!r}").removeprefix(f"{shown}: ")
    return _line(f"{shown}: {text}")


def printable(text: str) -> str:
    """Write control characters, and bytes that are no Unicode, as Python's `ascii` does."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in "\n\t" else ascii(each)[1:-1] for each in text
    )


def complain(end: End) -> int:
    """Print the line about an error, and return its code."""
    if end.text:
        try:
            print(f"mmapbuilder: {end.text}", file=sys.stderr, flush=True)
        except (OSError, ValueError):
            pass  # there is nowhere to tell it
    return end.code
