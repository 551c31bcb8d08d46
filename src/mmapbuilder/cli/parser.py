"""The arguments of the command and of its commands, as argparse takes them."""

import argparse
import sys
from typing import Any, NoReturn

from . import cat, completion, convert, du, edit, head, index, info, layout, recover, tail, verify
from .ends import CODES, USAGE

MODULES = (info, verify, recover, du, layout, head, cat, tail, convert, index, edit, completion)

DESCRIPTION = "Look into Cap'n Proto messages and logs, check, change and convert them."


class Parser(argparse.ArgumentParser):
    """A parser that tells an error in one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """End the process."""
        print(f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(USAGE)


class Version(argparse.Action):
    """Prints the version, which is looked up only then."""

    def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *given: object) -> None:
        """Print it, and end."""
        from .. import __version__

        print(f"mmapbuilder {__version__}")
        parser.exit()


def examples(found: list[tuple[str, str]]) -> str:
    """Write examples as help shows them."""
    lines = [f"  {command}\n      {what}" for command, what in found]
    return "examples:\n" + "\n".join(lines)


def make_parser() -> Parser:
    """Make the parser of everything."""
    codes = "\n".join(f"  {code:<4} {meaning}" for code, meaning in CODES.items())
    parser = Parser(
        prog="mmapbuilder",
        description=DESCRIPTION,
        epilog=examples([module.EXAMPLES[0] for module in MODULES[:-1]])
        + f"\n\nexit codes:\n{codes}",
    )
    parser.add_argument("--version", action=Version, help="print the version")
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="whether to print in colour; auto: on a terminal, if rich is installed",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for module in MODULES:
        each = commands.add_parser(
            module.NAME,
            help=module.SUMMARY,
            description=module.SUMMARY[0].upper() + module.SUMMARY[1:] + ".",
            epilog=examples(module.EXAMPLES),
        )
        module.add_arguments(each)
        each.set_defaults(run=module.run, parser=parser)
    return parser
