"""`mmapbuilder verify`: check every pointer of messages and logs."""

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from .. import InvalidMessage, Log, verify
from ..log.report import compare_file
from . import kinds
from .ends import Failure
from .inputs import Input
from .options import add_files, add_json
from .progress import progress
from .runner import each_file
from .screen import Screen
from .sizes import counted

NAME = "verify"
SUMMARY = "check that every pointer of a message or a log stays in bounds"
EXAMPLES = [
    ("mmapbuilder verify people.bin", "says what it holds, or what is wrong, and where"),
    ("mmapbuilder verify '*.log' && echo all are whole", "in a script"),
    ("cat people.bin | mmapbuilder verify -", "what comes in by a pipe"),
]


# Of these the command only says what they are: as messages they would have some flaw or other.
_OTHERS = (kinds.NPY, kinds.UNFINISHED_NPY, kinds.INDEX, kinds.UNFINISHED, kinds.DATASET)


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "messages and logs")
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    return each_file(arguments.files, lambda file: _verify(file, screen), screen)


def _verify(file: Input, screen: Screen) -> None:
    kind = kinds.kind_of(file)
    if kind in _OTHERS:
        kinds.require(kind, file, kinds.MESSAGE, kinds.LOG)
    size = os.path.getsize(file.path)
    start = time.monotonic()
    with progress(file.shown, size) as tell:
        found = _log(file, tell) if kind == kinds.LOG else _message(file, tell)
    seconds = time.monotonic() - start
    if kind != kinds.LOG:
        kind = kinds.MESSAGE
    if screen.as_json:
        screen.json({"file": file.shown, "ok": True, "kind": kind} | found | {"seconds": seconds})
        return
    screen.line(f"{file.shown}: ok, {spell(kind, found)}")


def spell(kind: str, found: dict[str, Any]) -> str:
    """Say in words what was found in a file."""
    counts = [(found.get("messages"), "message"), (found.get("segments"), "segment")]
    parts = [counted(number, what) for number, what in counts if number is not None]
    parts += [counted(found["objects"], "object"), counted(found["size"], "byte")]
    behind = found.get("trailing", 0)
    text = f"{kind} of {', '.join(parts)}"
    return f"{text}; {counted(behind, 'byte')} behind it" if behind else text


def _message(file: Input, tell: Callable[[int], object]) -> dict[str, Any]:
    return verify(file.path, progress=tell)._asdict()


def _log(file: Input, tell: Callable[[int], object]) -> dict[str, Any]:
    with kinds.opened_log(file, index=False) as log:
        found = check_log(log, tell)
        if log.torn:
            raise Failure(
                f"{file.shown}: no message: {counted(log.torn, 'byte')} at the end; whole: "
                f"{counted(len(log), 'message')} before, {counted(log.committed, 'byte')} "
                "(`mmapbuilder recover` keeps what is whole)"
            )
    checked, lost = compare_file(file.path)
    if lost:
        raise Failure(
            f"{file.shown}: not what was appended: {counted(lost, 'byte')} at the end, since the "
            "machine went down before the device had all (`mmapbuilder recover` drops the end)"
        )
    return found | {"unchecked": not checked}


def check_log(log: Log, tell: Callable[[int], object]) -> dict[str, Any]:
    """Verify each message of a log."""
    words = objects = pointers = depth = done = 0
    for number in range(len(log)):
        frame = log.frame(number)
        try:
            report = verify(frame)
        except InvalidMessage as error:
            raise Failure(
                f"{log.name!s}: message {number}: {error.reason} "
                f"(segment {error.segment}, word {error.word})"
            ) from error
        words, objects = words + report.words, objects + report.objects
        pointers, depth = pointers + report.pointers, max(depth, report.depth)
        done += len(frame)
        if number % 1024 == 0:
            tell(done)
    return {
        "size": log.committed,
        "messages": len(log),
        "words": words,
        "objects": objects,
        "pointers": pointers,
        "depth": depth,
    }
