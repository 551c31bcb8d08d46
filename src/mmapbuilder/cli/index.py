"""`mmapbuilder index`: make the index beside a log."""

import os
from argparse import ArgumentParser, Namespace

from . import kinds
from .ends import NO_FILE, Failure
from .inputs import Input, require_files
from .options import add_files, add_json
from .runner import each_file
from .screen import Screen
from .sizes import counted

NAME = "index"
SUMMARY = "make the index beside a log, so that it opens at once"
EXAMPLES = [
    ("mmapbuilder index drive.log", "makes drive.log.idx"),
    ("mmapbuilder index --force '*.log'", "makes them again, whatever is there"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "logs", "LOG", "*.log", stdin=False)
    parser.add_argument(
        "--force", action="store_true", help="make the index again if there is one that fits"
    )
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    require_files("index", arguments.files)
    return each_file(arguments.files, lambda file: _index(file, arguments.force, screen), screen)


def _index(file: Input, force: bool, screen: Screen) -> None:
    kind = kinds.kind_of(file)
    kinds.require(kind, file, kinds.LOG, kinds.MESSAGE)
    target = f"{file.path}.idx"
    with kinds.opened_log(file, index=False) as log:
        size = os.path.getsize(file.path)
        if log.torn == 0 and size > log.committed:
            raise Failure(
                f"{file.shown}: it ends with a fence: its writer is at work, or was killed; "
                "`mmapbuilder recover` closes it, and the writer keeps an index of its own",
                NO_FILE,
            )
    if force and os.path.exists(target):
        os.unlink(target)
    with kinds.opened_log(file) as log:
        messages = len(log)
    if not os.path.exists(target):
        raise Failure(f"{file.shown}: no index can be made beside it", NO_FILE)
    if screen.as_json:
        screen.json({"file": file.shown, "index": target, "messages": messages})
    else:
        size = os.path.getsize(target)
        screen.line(f"{target}: index of {counted(messages, 'message')}, {counted(size, 'byte')}")
