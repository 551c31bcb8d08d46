"""`mmapbuilder edit`: change values of a message in place."""

import base64
import binascii
import json
from argparse import ArgumentParser, Namespace
from typing import Any

from .. import EditedMessage, edit_message
from ..columns.locate import find
from ..columns.schema import Plan
from . import kinds
from .ends import OK, USAGE, Failure, text_of
from .inputs import one_input, require_files
from .options import add_json
from .paths import parse
from .schemas import add_schema, required_schema
from .screen import Screen
from .values import to_json

NAME = "edit"
SUMMARY = "change values of a finished message in place"
EXAMPLES = [
    (
        "mmapbuilder edit people.bin people[3].id=7 --schema people.capnp:AddressBook",
        "numbers, Bool, enums by name",
    ),
    (
        "mmapbuilder edit people.bin 'people[3].name=Ada' --schema people.capnp:AddressBook",
        "Text and Data no longer than the words that they have",
    ),
    (
        "mmapbuilder edit people.bin people[3].email=null --schema people.capnp:AddressBook",
        "makes a pointer null for good: what it led to cannot be brought back",
    ),
]

# A table prints yes and no.
_BOOLS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    action = parser.add_argument("file", metavar="FILE", help="a message")
    action.completes = "files"  # type: ignore[attr-defined]
    parser.add_argument(
        "changes",
        metavar="PATH=VALUE",
        nargs="+",
        help="where, and the new value: a number, true or yes, false or no, the name of an enum's "
        "member, Text as it is, Data as base64; null makes a pointer null, and no later edit can "
        "undo that",
    )
    add_schema(parser)
    parser.add_argument("--durable", action="store_true", help="wait until it is on the device")
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    schema = required_schema(arguments, "edit")
    changes = [_split(change) for change in arguments.changes]
    require_files("edit", [arguments.file])
    with one_input(arguments.file) as file:
        kinds.require(kinds.kind_of(file), file, kinds.MESSAGE)
        done: list[str] = []
        with edit_message(file.path, schema, durable=arguments.durable) as message:
            for path, steps, text in changes:
                try:
                    before, after = _change(message, steps, text)
                except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
                    text = text_of(error).removeprefix(path).removeprefix(": ").strip()
                    raise Failure(f"{file.shown}: {path}: {text}{_kept(done)}") from error
                done.append(path)
                if screen.as_json:
                    screen.json(
                        {"file": file.shown, "path": path, "before": before, "after": after}
                    )
                else:
                    screen.line(f"{path}: {to_json(before)} -> {to_json(after)}")
    return OK


def _split(change: str) -> tuple[str, tuple[str | int, ...], str]:
    path, equals, value = change.partition("=")
    if not equals or not path:
        raise Failure(f"{change!r}: write it as PATH=VALUE", USAGE)
    return path, parse(path), value


def _kept(done: list[str]) -> str:
    return f" (changed before that: {', '.join(done)})" if done else ""


def _change(message: EditedMessage, steps: tuple[str | int, ...], text: str) -> tuple[Any, Any]:
    plan = message._plan()
    value = _value(text, _kind_at(plan, steps))
    before = _look(message, steps)
    message.set(*steps, value)
    return before, _look(message, steps)


def _kind_at(plan: Plan, steps: tuple[str | int, ...]) -> str:
    """Return the kind of the value that a path leads to; "" where the schema has none."""
    number = 0
    for step in steps:
        kind, refers_to = plan.types[number]
        if kind == "list" and isinstance(step, int):
            number = refers_to
        elif kind in ("struct", "group") and step in plan.structs[refers_to].fields:
            number = plan.structs[refers_to].fields[str(step)].type
        else:
            return ""
    return plan.types[number].kind


def _value(text: str, kind: str) -> Any:
    if text == "null":
        return None
    if kind == "data":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"Data is written as base64: {error}") from error
    if kind in ("text", "enum"):
        return text
    if kind == "bool":
        if text not in _BOOLS:
            raise ValueError(f"a Bool is {', '.join(_BOOLS)}, and not {text!r}")
        return _BOOLS[text]
    try:
        return json.loads(text)
    except ValueError:
        try:
            return float(text) if kind.startswith("float") else text
        except ValueError:
            return text


def _look(message: EditedMessage, steps: tuple[str | int, ...]) -> Any:
    """Read a value as it is now; None where it is not there."""
    *around, last = steps
    try:
        if isinstance(last, int):
            return message.rows(*around, start=last, stop=last + 1 if last != -1 else None)[0]
        find(message._plan(), message._memory(), steps)
        value = message.to_dict() if not around else _struct(message, around)
        return value.get(last)
    except (KeyError, IndexError):
        return None


def _struct(message: EditedMessage, around: list[str | int]) -> Any:
    """Return the struct or group that a path leads to as a dict."""
    for number in range(len(around), 0, -1):
        step = around[number - 1]
        if isinstance(step, int):
            rows = message.rows(
                *around[: number - 1], start=step, stop=step + 1 if step != -1 else None
            )
            value = rows[0]
            rest = around[number:]
            break
    else:
        value, rest = message.to_dict(), around
    for name in rest:
        value = value[name]
    return value
