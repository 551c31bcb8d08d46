"""`mmapbuilder head`: the first rows of a message or a log, as a table."""

from argparse import ArgumentParser, Namespace
from typing import Any

from .ends import OK
from .inputs import one_input
from .options import add_columns, add_file, add_json, add_number, add_path
from .rows import check_columns, chosen, parts, rows_of
from .schemas import add_schema, required_schema
from .screen import Column, Screen
from .sizes import counted

NAME = "head"
SUMMARY = "the first rows of a list in a message, or the first messages of a log, as a table"
EXAMPLES = [
    (
        "mmapbuilder head people.bin --schema people.capnp:AddressBook --path people -n 3",
        "three rows of a list",
    ),
    ("mmapbuilder head events.log --schema events.capnp:Event --columns time,name", "some fields"),
    ("mmapbuilder head events.log --schema events.capnp:Event --json", "one JSON object a row"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_file(parser, "a message or a log")
    add_schema(parser)
    add_path(parser, "the list in the message; not needed if its root has one list of structs")
    add_number(parser, "how many rows")
    add_columns(parser)
    add_json(parser, "print JSON: one object a row")


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    schema = required_schema(arguments, "head")
    with one_input(arguments.file) as file, rows_of(file, schema, arguments.path) as rows:
        check_columns(schema, rows, arguments)
        number = max(0, arguments.number)
        found = [
            row for part in parts(rows, 0, number) for row in chosen(part, arguments.columns)
        ]  # fmt: skip
        show(found, screen)
        if not screen.as_json and len(rows) > number:
            screen.line(f"... of {counted(len(rows), 'row')}", style="dim")
    return OK


def show(rows: list[Any], screen: Screen) -> None:
    """Print rows, as a table or as JSON."""
    if screen.as_json:
        for row in rows:
            screen.json(row)
        return
    if not all(isinstance(row, dict) for row in rows):
        rows = [row if isinstance(row, dict) else {"value": row} for row in rows]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [Column(name, _is_number(rows, name)) for name in names]
    if columns:
        screen.table(columns, [[_shown(row.get(name)) for name in names] for row in rows])


def _is_number(rows: list[Any], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return all(
        value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        for value in values
    )


def _shown(value: Any) -> Any:
    # A year or a number in a column is no amount: no commas.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
