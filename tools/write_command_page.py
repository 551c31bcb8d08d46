"""Write into docs/reference/command.md what the command says of itself.

    python tools/write_command_page.py            # writes it
    python tools/write_command_page.py --check    # fails if it is old

Made from the arguments as argparse has them, and not from the text of --help, which differs
between versions of Python.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmapbuilder.cli.completion import commands_of, options_of, positionals_of
from mmapbuilder.cli.ends import CODES
from mmapbuilder.cli.parser import MODULES, make_parser

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "command.md"
START = "<!-- made by tools/write_command_page.py: do not change it by hand -->\n"
END = "<!-- made up to here -->\n"


def value_of(action: argparse.Action) -> str:
    """What follows an option, or stands for an argument."""
    if action.nargs == 0:
        return ""
    name = action.metavar or action.dest.upper()
    if action.choices is not None:
        name = "{" + ",".join(map(str, action.choices)) + "}"
    return f"{name} ..." if action.nargs == "+" else str(name)


def name_of(action: argparse.Action) -> str:
    """An argument as it is written."""
    value = value_of(action)
    names = [f"{name} {value}".strip() for name in action.option_strings] or [value]
    return ", ".join(f"`{name}`" for name in names)


def usage_of(name: str, parser: argparse.ArgumentParser) -> str:
    """How a command is called."""
    words = [f"mmapbuilder {name}", *map(value_of, positionals_of(parser))]
    options = [action for action in options_of(parser) if action.dest != "help"]
    required = [
        f"{action.option_strings[0]} {value_of(action)}" for action in options if action.required
    ]
    return " ".join([*words, *required, "[options]"])


def rows(actions: list[argparse.Action]) -> str:
    """Arguments as a table."""
    lines = ["| | |", "|---|---|"]
    for action in actions:
        text = " ".join((action.help or "").split()).replace("|", "\\|")
        lines.append(f"| {name_of(action)} | {text} |")
    return "\n".join(lines)


def made() -> str:
    """What stands between the two marks."""
    parser = make_parser()
    commands = commands_of(parser)
    parts = [
        "## Exit codes\n\n| code | meaning |\n|---|---|\n"
        + "\n".join(f"| {code} | {meaning} |" for code, meaning in CODES.items()),
        "## Options of all commands\n\nThey stand before the name of the command.\n\n"
        + rows(options_of(parser)),
    ]
    for module in MODULES:
        each = commands[module.NAME]
        examples = "\n".join(f"{command}\n    # {what}" for command, what in module.EXAMPLES)
        actions = positionals_of(each) + options_of(each)
        parts.append(
            f"## {module.NAME}\n\n{each.description}\n\n"
            f"```sh\n{usage_of(module.NAME, each)}\n```\n\n{rows(actions)}\n\n"
            f"```sh\n{examples}\n```"
        )
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the page, or check it."""
    old = PAGE.read_text(encoding="utf-8")
    before, _, rest = old.partition(START)
    _, _, after = rest.partition(END)
    new = f"{before}{START}\n{made()}\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if new != old:
            print(f"{PAGE.name} is older than the command: python tools/write_command_page.py")
            return 1
        return 0
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
