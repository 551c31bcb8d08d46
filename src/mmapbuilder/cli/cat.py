"""`mmapbuilder cat`: all of a message or a log, as JSON."""

from argparse import ArgumentParser, Namespace
from typing import Any

from .. import open_message
from . import kinds
from .head import show
from .inputs import Input
from .options import add_columns, add_files, add_path
from .rows import check_columns, chosen, parts, rows_of
from .runner import each_file
from .schemas import add_schema, required_schema
from .screen import Screen

NAME = "cat"
SUMMARY = "a whole message, the rows of a list in it, or the messages of a log, as JSON"
EXAMPLES = [
    ("mmapbuilder cat events.log --schema events.capnp:Event", "one JSON object a message"),
    (
        "mmapbuilder cat people.bin --schema people.capnp:AddressBook --path people | jq .name",
        "one JSON object a row",
    ),
    ("mmapbuilder cat people.bin --schema people.capnp:AddressBook", "the message as one object"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "messages and logs")
    add_schema(parser)
    add_path(parser, "the list in the message of which the rows are wanted")
    add_columns(parser)
    parser.add_argument(
        "--table", action="store_true", help="print a table for each 16,384 rows instead of JSON"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, as it does anyway")


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    schema = required_schema(arguments, "cat")
    screen.as_json = not arguments.table
    return each_file(
        arguments.files, lambda file: _cat(file, schema, arguments, screen), screen, rows_only=True
    )


def _cat(file: Input, schema: Any, arguments: Namespace, screen: Screen) -> None:
    if kinds.kind_of(file) == kinds.MESSAGE and arguments.path is None and screen.as_json:
        with open_message(file.path, schema) as message:
            screen.json(chosen([message.to_dict()], arguments.columns)[0])
        return
    with rows_of(file, schema, arguments.path) as rows:
        check_columns(schema, rows, arguments)
        for part in parts(rows):
            show(chosen(part, arguments.columns), screen)
