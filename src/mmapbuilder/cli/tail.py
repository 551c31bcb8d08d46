"""`mmapbuilder tail`: the last messages of a log, and those that are still to come."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any

from .. import Log
from . import kinds
from .ends import OK
from .head import show
from .inputs import one_input
from .options import add_columns, add_file, add_number
from .rows import LogRows, check_columns, chosen, parts
from .schemas import add_schema, schema_of
from .screen import Screen

NAME = "tail"
SUMMARY = "the last messages of a log, as JSON; with -f also those that are appended"
EXAMPLES = [
    ("mmapbuilder tail -f events.log --schema events.capnp:Event", "follows a log, as tail -f"),
    ("mmapbuilder tail -n 3 --table events.log --schema events.capnp:Event", "as a table"),
    ("mmapbuilder tail -f events.log", "without a schema: the place and size of each message"),
]
_PAUSE = 0.05


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_file(parser, "a log", stdin=False)
    add_schema(parser)
    add_number(parser, "how many messages")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="wait for more messages, until Ctrl-C"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help="with -f: end when no message has come for that long",
    )
    add_columns(parser)
    parser.add_argument("--table", action="store_true", help="print a table instead of JSON")
    parser.add_argument("--json", action="store_true", help="print JSON, as it does anyway")


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    schema = schema_of(arguments)
    screen.as_json = not arguments.table
    with one_input(arguments.file) as file:
        kind = kinds.kind_of(file)
        if kind != kinds.EMPTY:
            kinds.require(kind, file, kinds.LOG, kinds.MESSAGE, kinds.PACKED)
        with kinds.opened_log(file, schema, index=arguments.follow) as log:
            if schema is not None:
                check_columns(schema, LogRows(log), arguments)
            number = max(0, len(log) - max(0, arguments.number))
            if schema is None:
                show(_places(log, number, len(log)), screen)
            else:
                for part in parts(LogRows(log), number):
                    show(chosen(part, arguments.columns), screen)
            screen.flush()
            if arguments.follow:
                _follow(log, schema, arguments, screen)
    return OK


def _follow(log: Log, schema: Any, arguments: Namespace, screen: Screen) -> None:
    number = len(log)
    for count in _counts(log, schema, arguments.timeout):
        if schema is None:
            show(_places(log, number, count), screen)
        else:
            for part in parts(LogRows(log), number, count):
                show(chosen(part, arguments.columns), screen)
        screen.flush()
        number = count


def _counts(log: Log, schema: Any, timeout: "float | None") -> Iterator[int]:
    """Give the number of messages whenever there are more."""
    if schema is not None:
        known = len(log)
        for number, _ in enumerate(log.follow(known, timeout), known + 1):
            if number > known:
                known = len(log)
                yield known
        return
    # To follow a log is to read its roots, which only a schema can.
    known, since = len(log), time.monotonic()
    while timeout is None or time.monotonic() - since < timeout:
        if log.refresh() > known:
            known, since = len(log), time.monotonic()
            yield known
        else:
            time.sleep(_PAUSE)


def _places(log: Log, start: int, stop: int) -> list[dict[str, int]]:
    offset = log.committed - sum(len(log.frame(n)) for n in range(start, len(log)))
    found = []
    for number in range(start, stop):
        size = len(log.frame(number))
        found.append({"message": number, "offset": offset, "bytes": size})
        offset += size
    return found
