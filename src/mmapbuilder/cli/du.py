"""`mmapbuilder du`: what takes how many bytes, by the path of fields."""

import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from ..usage import Outside, Usage, UsageRow, of_segments
from . import kinds
from .inputs import Input
from .options import add_files, add_json
from .progress import progress
from .runner import each_file
from .schemas import add_schema, schema_of
from .screen import Column, Screen
from .sizes import counted

NAME = "du"
SUMMARY = "what takes how many bytes of a message or a log, by the path of fields"
EXAMPLES = [
    (
        "mmapbuilder du people.bin --schema people.capnp:AddressBook",
        "the rows add up to the size of the file",
    ),
    ("mmapbuilder du events.log --schema events.capnp:Event --sort bytes", "the largest first"),
    ("mmapbuilder du people.bin", "without a schema: data, pointers and padding of all objects"),
]
COLUMNS = UsageRow._fields[1:]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "messages and logs")
    add_schema(parser)
    parser.add_argument(
        "--sort",
        choices=("schema", "bytes"),
        default="schema",
        help="the order of the rows: that of the schema, or the largest first",
    )
    parser.add_argument(
        "--depth",
        metavar="N",
        type=int,
        help="print paths of at most N names, and count what lies deeper at the path above it",
    )
    add_json(parser, "print JSON: one object with all rows for each file")


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    schema = schema_of(arguments)

    def deal(file: Input) -> None:
        usage = usage_of(file, schema)
        rows = list(usage)
        if arguments.depth is not None:
            rows = folded(rows, max(0, arguments.depth))
        if arguments.sort == "bytes":
            rows.sort(key=lambda row: -row.bytes)
        _show(file, usage, rows, screen)

    return each_file(arguments.files, deal, screen)


def usage_of(file: Input, schema: Any) -> Usage:
    """Find out what takes how many bytes of a file."""
    kind = kinds.kind_of(file)
    kinds.require(kind, file, kinds.MESSAGE, kinds.LOG)
    with progress(file.shown, os.path.getsize(file.path)) as tell:
        if kind == kinds.LOG:
            with kinds.opened_log(file, schema, index=False) as log:
                return log.usage(progress=tell)
        return _message(file, schema, tell)


def _message(file: Input, schema: Any, tell: Callable[[int], object]) -> Usage:
    from .. import open_message

    if schema is not None:
        with open_message(file.path, schema) as message:
            return message.usage(progress=tell)
    segments, outside = open_segments(file)
    return of_segments(None, segments, outside, tell)


def open_segments(file: Input) -> "tuple[tuple[memoryview, ...], Any]":
    """Map the segments of a message of which no schema is known."""
    from .. import reader

    with kinds.opened(file) as fd:
        _, segments, outside = reader._map_segments(fd, file.path)
    return segments, Outside(*outside)


def folded(rows: list[UsageRow], depth: int) -> list[UsageRow]:
    """Add what lies deeper than some names to the path above it."""
    found: dict[str, list[int]] = {}
    own: dict[str, int] = {}
    for row in rows:
        parts = re.findall(r"\(\w+\)|\.?[^.\[\]]+|\[\]", row.path)
        names = 0
        kept = ""
        for part in parts:
            names += part != "[]"
            if names > depth and not part.startswith("("):
                break
            kept += part
        path = kept or "(root)"
        if kept == row.path:
            own[path] = row.count
        sums = found.setdefault(path, [0] * (len(COLUMNS) - 1))
        found[path] = [a + b for a, b in zip(sums, row[2:], strict=True)]
    return [UsageRow(path, own.get(path, 0), *sums) for path, sums in found.items()]


def _show(file: Input, usage: Usage, rows: list[UsageRow], screen: Screen) -> None:
    if screen.as_json:
        screen.json(
            {
                "file": file.shown,
                "size": usage.size,
                "messages": usage.messages,
                "overlaps": usage.overlaps,
                "rows": [row._asdict() | {"bytes": row.bytes} for row in rows],
            }
        )
        return
    total = usage.total
    # A column of zeros says nothing.
    shown = [name for name in COLUMNS if name == "count" or getattr(total, name) or name == "data"]
    columns = [
        Column("path", style="cyan"),
        *(Column(name, is_number=True) for name in shown),
        Column("bytes", is_number=True, style="bold"),
        Column("%", is_number=True),
    ]
    screen.line(f"{file.shown}: {counted(usage.size, 'byte')}", style="bold")
    screen.table(
        columns,
        [_cells(row, shown, usage.size) for row in rows],
        _cells(total, shown, usage.size),
    )
    if usage.overlaps:
        screen.line(f"pointers to what another one leads to: {usage.overlaps:,}", style="red")


def _cells(row: UsageRow, shown: list[str], size: int) -> list[Any]:
    share = f"{100 * row.bytes / size:.1f}" if size else ""
    return [row.path, *(getattr(row, name) for name in shown), row.bytes, share]
