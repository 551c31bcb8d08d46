"""The rows of a file: elements of a list in a message, or the messages of a log."""

import contextlib
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from .. import Log, Message, open_message
from ..columns.schema import Plan, plan_of
from . import kinds
from .ends import USAGE, Failure
from .inputs import Input
from .paths import parse, type_at

_CHUNK = 1 << 14


class MessageRows:
    """The elements of a list in a message."""

    def __init__(self, message: Message, path: tuple[str | int, ...]) -> None:
        self.message = message
        self.path = path
        # This finds the list and its length. It asks for no element.
        self._length = _length(message, path)

    def part(self, start: int, stop: int) -> list[Any]:
        """Return some of them as Python's values."""
        found: list[Any] = self.message.rows(*self.path, start=start, stop=stop)
        return found

    def __len__(self) -> int:
        return self._length


class LogRows:
    """The messages of a log."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def part(self, start: int, stop: int) -> list[Any]:
        """Return some of them as Python's values."""
        found: list[Any] = self.log[start:stop].rows()
        return found

    def __len__(self) -> int:
        return len(self.log)


Rows = MessageRows | LogRows


def _length(message: Message, path: tuple[str | int, ...]) -> int:
    from .. import _core
    from ..columns.locate import find, spell

    plan, memory = message._plan(), message._memory()
    found = find(plan, memory, path)
    if plan.types[found.type].kind != "list":
        raise Failure(f"{spell(path)} is a {plan.spell(found.type)}, not a list of rows")
    if found.pointer is None:
        return 0
    length: int = _core.resolve(found.within(memory), *found.pointer)[3]
    return length


@contextlib.contextmanager
def rows_of(file: Input, schema: Any, path: "str | None") -> Iterator[Rows]:
    """Open a file, and find its rows: the elements of a list, or the messages of a log.

    If no path is given for a message, the rows are those of the only list of structs in its root.
    With a path a log of one message is that message.
    """
    kind = kinds.kind_of(file)
    kinds.require(kind, file, kinds.MESSAGE, kinds.LOG, kinds.PACKED)
    if kind != kinds.MESSAGE and path is None:
        with kinds.opened_log(file, schema, index=False) as log:
            yield LogRows(log)
        return
    if kind != kinds.MESSAGE and not _is_one_message(file, kind):
        raise Failure(f"{file.shown}: a {kind}; --path is for a list in a message", USAGE)
    with open_message(file.path, schema) as message:
        yield MessageRows(message, parse(path) if path is not None else only_list(schema))


def _is_one_message(file: Input, kind: str) -> bool:
    if kind != kinds.LOG:
        return False
    with kinds.opened_log(file, index=False) as log:
        return len(log) == 1


def only_list(schema: Any) -> tuple[str | int, ...]:
    """Return the path of the only list of structs in the root.

    Raises:
        Failure: there are several, or none; it names them.
    """
    plan = plan_of(schema)
    found = list(_lists(plan, 0, ()))
    if len(found) == 1:
        return found[0]
    raise Failure(f"which list has the rows? say --path PATH; {spell_lists(plan)}", USAGE)


def spell_lists(plan: Plan) -> str:
    """Say which lists of structs the root has."""
    names = ", ".join(".".join(map(str, path)) for path in _lists(plan, 0, ()))
    return f"lists of structs in {plan.spell(0)}: {names or 'none'}"


def _lists(plan: Plan, number: int, around: tuple[str, ...]) -> Iterator[tuple[str | int, ...]]:
    for name, field in plan.structs[plan.types[number].refers_to].fields.items():
        kind, refers_to = plan.types[field.type]
        if kind == "list" and plan.types[refers_to].kind == "struct":
            yield (*around, name)
        elif kind == "group":
            yield from _lists(plan, field.type, (*around, name))


def parts(rows: Rows, start: int = 0, stop: "int | None" = None) -> Iterator[list[Any]]:
    """Give rows, some at a time, so that memory is bounded."""
    end = len(rows) if stop is None else min(stop, len(rows))
    for at in range(start, end, _CHUNK):
        yield rows.part(at, min(at + _CHUNK, end))


def chosen(rows: list[Any], columns: "list[str] | None") -> list[Any]:
    """Keep some fields of rows; dotted names lead into structs and groups."""
    if columns is None:
        return rows
    return [{name: _value(row, name) for name in columns} for row in rows]


def _value(row: Any, name: str) -> Any:
    for step in name.split("."):
        row = row.get(step) if isinstance(row, dict) else None
    return row


def check_columns(schema: Any, rows: Rows, arguments: Namespace) -> None:
    """Refuse names that no field has.

    Raises:
        Failure: there is no such field.
    """
    if arguments.columns is None:
        return
    plan = plan_of(schema)
    number = 0
    if isinstance(rows, MessageRows):
        from ..columns.locate import find

        found = find(plan, rows.message._memory(), rows.path)
        number = plan.types[found.type].refers_to
    for name in arguments.columns:
        type_at(plan, number, name.split("."))
