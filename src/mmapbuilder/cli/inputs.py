"""The files that a command is given: names, patterns, and ``-`` for standard input.

An *input* is a path with the name by which the user knows it.
"""

import contextlib
import glob
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

from .ends import FAULT, NO_FILE, NO_READER, USAGE, Failure, explain

_CHUNK = 1 << 20


class Input(NamedTuple):
    """A file to be dealt with."""

    path: str
    shown: str


@contextlib.contextmanager
def inputs(names: list[str]) -> Iterator[list[Input]]:
    """Find the files. Standard input is copied into a file, which is removed at the end."""
    if names.count("-") > 1:
        raise Failure("- can be given once only", USAGE)
    with contextlib.ExitStack() as stack:
        yield [each for name in names for each in _found(name, stack)]


def require_files(command: str, names: list[str]) -> None:
    """Refuse standard input, for a command that works on the file itself and not on a copy.

    Raises:
        Failure: it is among the names.
    """
    if "-" in names:
        raise Failure(
            f"-: {command} needs a file, not a stream (./- is a file of the name -)", USAGE
        )


@contextlib.contextmanager
def one_input(name: str) -> Iterator[Input]:
    """Find the one file that a name or pattern stands for."""
    with inputs([name]) as found:
        if len(found) != 1:
            raise Failure(f"{name}: {len(found)} files match, but only one can be taken", USAGE)
        try:
            yield found[0]
        except Exception as error:  # so that its file is named
            end = explain(error, found[0].path, found[0].shown)
            if end.code in (NO_READER, FAULT):
                raise
            raise Failure(end.text, end.code) from error


def _found(name: str, stack: contextlib.ExitStack) -> list[Input]:
    if name == "-":
        return [Input(stack.enter_context(_kept()), "<stdin>")]
    if os.path.lexists(name) or not glob.has_magic(name):
        return [Input(name, name)]
    found = sorted(glob.glob(name, recursive=True))
    if not found:
        raise Failure(f"{name}: no file matches", NO_FILE)
    return [Input(path, path) for path in found]


@contextlib.contextmanager
def _kept() -> Iterator[str]:
    """Copy standard input into a file, since messages are mapped."""
    import tempfile

    from .. import Builder

    if sys.stdin is None:
        raise Failure("<stdin>: there is no standard input", NO_FILE)
    source = sys.stdin.buffer
    if sys.stdin.isatty():
        raise Failure("<stdin>: - is for what comes in by a pipe, and this is a terminal", USAGE)
    with tempfile.TemporaryDirectory(prefix="mmapbuilder-") as directory:
        path = os.path.join(directory, "stdin")
        with Builder(path) as kept:
            while data := source.read(_CHUNK):
                kept.write(data)
        yield path
