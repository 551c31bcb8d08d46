"""Arguments that several commands take."""

from argparse import ArgumentParser, ArgumentTypeError


def add_files(
    parser: ArgumentParser,
    what: str,
    metavar: str = "FILE",
    pattern: str = "*.bin",
    stdin: bool = True,
) -> None:
    """Let a command take files."""
    also = ", or - for stdin" if stdin else ""
    action = parser.add_argument(
        "files", metavar=metavar, nargs="+", help=f"{what}; a pattern such as '{pattern}'{also}"
    )
    action.completes = "files"  # type: ignore[attr-defined]


def add_file(parser: ArgumentParser, what: str, stdin: bool = True) -> None:
    """Let a command take one file."""
    action = parser.add_argument(
        "file", metavar="FILE", help=f"{what}; - for stdin" if stdin else what
    )
    action.completes = "files"  # type: ignore[attr-defined]


def add_path(parser: ArgumentParser, what: str) -> None:
    """Let a command take the path of a list."""
    parser.add_argument("--path", metavar="PATH", help=what)


def add_json(parser: ArgumentParser, what: str = "print JSON, one object a line") -> None:
    """Let a command print JSON."""
    parser.add_argument("--json", action="store_true", help=what)


def add_number(parser: ArgumentParser, what: str) -> None:
    """Let a command take a number of rows."""
    parser.add_argument(
        "-n", metavar="N", type=_number, default=10, dest="number", help=f"{what} (10)"
    )


def _number(text: str) -> int:
    number = int(text) if text.isdecimal() else -1
    if number < 0:
        raise ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return number


def add_columns(parser: ArgumentParser) -> None:
    """Let a command take some fields only."""
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        type=lambda text: [name for name in text.split(",") if name],
        help="the fields to take, with commas between them; by default all",
    )
