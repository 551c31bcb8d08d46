"""`mmapbuilder convert`: rows from one file format to another."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from . import formats
from .ends import OK, USAGE, Failure
from .inputs import one_input
from .options import add_columns, add_file, add_json, add_path
from .progress import progress
from .schemas import add_schema, required_schema
from .screen import Screen
from .sizes import counted, in_bytes
from .sources import Source, source_of
from .targets import Target, target_of

NAME = "convert"
SUMMARY = "rows of messages and logs to parquet, Arrow, JSON lines and .npy, and back"
EXAMPLES = [
    (
        "mmapbuilder convert people.bin people.parquet --schema people.capnp:AddressBook "
        "--path people",
        "a list in a message, by columns",
    ),
    (
        "mmapbuilder convert people.parquet people.bin --schema people.capnp:AddressBook "
        "--path people",
        "and back: a message with one list",
    ),
    (
        "mmapbuilder convert events.log events.jsonl --schema events.capnp:Event",
        "without --path: one message a row, of a log",
    ),
    (
        "mmapbuilder convert trace.bin x.npy --schema trace.capnp:Trace --path points --columns x",
        "one column of numbers",
    ),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_file(parser, "what to read")
    action = parser.add_argument(
        "target", metavar="TARGET", help="what to write; - for stdout, as JSON lines"
    )
    action.completes = "files"  # type: ignore[attr-defined]
    add_schema(parser)
    add_path(
        parser,
        "the list of the message that has the rows, or gets them; without it FILE or TARGET is a "
        "log",
    )
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=formats.ALL,
        help="the format of FILE, if its name does not tell it",
    )
    parser.add_argument(
        "--to",
        dest="target_format",
        choices=formats.ALL,
        help="the format of TARGET, if its name does not tell it",
    )
    add_columns(parser)
    parser.add_argument(
        "--missing",
        choices=("error", "default"),
        default="error",
        help="what happens to a null of a table if its field cannot be null: an error, or the "
        "default of the field",
    )
    parser.add_argument("--force", action="store_true", help="replace TARGET if it exists")
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    reads = formats.format_read(arguments.file, arguments.source_format, arguments.path)
    writes = formats.format_written(arguments.target, arguments.target_format, arguments.path)
    formats.require_two_kinds(arguments.file, reads, arguments.target, writes)
    schema = required_schema(arguments, "convert")
    with one_input(arguments.file) as file:
        if os.path.exists(arguments.target) and os.path.samefile(file.path, arguments.target):
            raise Failure(f"{file.shown}: it cannot be converted into itself", USAGE)
        rows = _convert(arguments, file, reads, writes, schema)
    if arguments.target != "-":
        _tell(arguments.target, rows, screen)
    return OK


def _convert(arguments: Namespace, file: Any, reads: str, writes: str, schema: Any) -> int:
    path, columns = arguments.path, arguments.columns
    with (
        source_of(file, reads, schema, path, columns) as source,
        target_of(
            arguments.target, writes, schema, path, source.rows, arguments.force, arguments.missing
        ) as target,
        progress(f"{file.shown} to {arguments.target}", source.rows, "row") as tell,
    ):
        done = 0
        for part in _parts(source, target, reads):
            target.put(part)
            done += len(part)
            tell(done)
        return done


def _parts(source: Source, target: Target, reads: str) -> Any:
    if target.takes_values or reads == formats.JSONL:
        return source.values()
    return source.tables()


def _tell(target: str, rows: int, screen: Screen) -> None:
    size = os.path.getsize(target)
    if screen.as_json:
        screen.json({"file": target, "rows": rows, "bytes": size})
    else:
        screen.line(f"{target}: {counted(rows, 'row')}, {in_bytes(size)}")
