"""What the command prints: lines, tables and JSON. On a terminal rich gives them colours.

A *screen* knows whether the output is for people or, as JSON, for programs. A file or a pipe gets
the same with and without rich.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .ends import printable
from .values import to_json

_LEAST_TEXT = 20  # characters of a column of texts, on terminals that are too narrow for all
_MOST_NESTED = 60  # letters of a list or a struct


class Column(NamedTuple):
    """A column of a table."""

    title: str
    is_number: bool = False
    style: str = ""


class Screen:
    """Where output goes."""

    def __init__(self, as_json: bool = False, color: str = "auto") -> None:
        self.as_json = as_json
        self._console: Any = None
        if color == "always" or (color == "auto" and _shows_colours()):
            self._console = _rich_console()

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line for people. It stays one line, whatever names of files are in it."""
        text = printable(text).replace("\n", "\\n")
        if self._console is None:
            print(text)
            return
        from rich.text import Text

        self._console.print(Text(text, style=style), soft_wrap=True)

    def json(self, value: Any) -> None:
        """Print a value for programs, in one line."""
        print(to_json(value))

    def flush(self) -> None:
        """Hand everything on now."""
        if sys.stdout is not None:
            sys.stdout.flush()

    def table(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[Any]],
        footer: "Sequence[Any] | None" = None,
    ) -> None:
        """Print a table. Numbers are written with commas and stand at the right."""
        cells = [[_cell(value) for value in row] for row in rows]
        last = None if footer is None else [_cell(value) for value in footer]
        if self._console is None:
            _print_plain(columns, cells if last is None else [*cells, last])
        else:
            self._print_rich(columns, cells, last)

    def _print_rich(
        self, columns: Sequence[Column], rows: list[list[str]], footer: "list[str] | None"
    ) -> None:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, show_footer=footer is not None, pad_edge=False)
        lines = [[column.title for column in columns], *rows, footer or [""] * len(columns)]
        least = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for number, column in enumerate(columns):
            if not column.is_number:
                least[number] = min(least[number], _LEAST_TEXT)
            table.add_column(
                Text(column.title),
                Text("" if footer is None else footer[number]),
                justify="right" if column.is_number else "left",
                style=column.style,
                overflow="fold",
                no_wrap=column.is_number,
                min_width=least[number],
            )
        for row in rows:
            table.add_row(*map(Text, row))
        # A table that is too wide for the terminal is wrapped by it: no number is cut.
        width = self._console.width
        self._console.width = max(width, sum(least) + 3 * len(least))
        self._console.print(table, crop=False)
        self._console.width = width


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    text = value if isinstance(value, str) else _beginning(to_json(value))
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _beginning(text: str) -> str:
    """Return what a cell has room for: of a list or a struct a table shows the beginning."""
    return text if len(text) <= _MOST_NESTED else f"{text[: _MOST_NESTED - 4]} ..."


def _print_plain(columns: Sequence[Column], rows: list[list[str]]) -> None:
    lines = [[column.title for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            text.rjust(width) if column.is_number else text.ljust(width)
            for text, width, column in zip(line, widths, columns, strict=True)
        )
        print("  ".join(padded).rstrip())


def _shows_colours() -> bool:
    return (
        sys.stdout is not None
        and sys.stdout.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def _rich_console() -> Any:
    """Return a console of rich, or None if it is not installed."""
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(force_terminal=True, highlight=False)
