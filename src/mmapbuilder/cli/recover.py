"""`mmapbuilder recover`: finish what a program left unfinished."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from .. import recover
from ..check import LogReport
from . import kinds
from .inputs import Input, require_files
from .options import add_files, add_json
from .progress import progress
from .runner import each_file
from .screen import Screen
from .sizes import counted
from .verify import spell

NAME = "recover"
SUMMARY = "finish messages and logs whose writer was killed"
EXAMPLES = [
    ("mmapbuilder recover people.bin", "keeps all that its root leads to"),
    ("mmapbuilder recover --durable '*.log'", "cuts each where its last whole message ends"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "messages and logs", stdin=False)
    parser.add_argument(
        "--durable", action="store_true", help="wait until every step is on the device"
    )
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""

    def deal(file: Input) -> None:
        _recover(file, arguments.durable, screen)

    require_files("recover", arguments.files)
    return each_file(arguments.files, deal, screen)


def _recover(file: Input, durable: bool, screen: Screen) -> None:
    before = os.path.getsize(file.path)
    with progress(file.shown, before) as tell:
        report = recover(file.path, durable=durable, progress=tell)
    after = os.path.getsize(file.path)
    is_log = isinstance(report, LogReport)
    found = _of_log(report) if isinstance(report, LogReport) else report._asdict()
    if screen.as_json:
        kind = kinds.LOG if is_log else kinds.MESSAGE
        facts = {"file": file.shown, "ok": True, "kind": kind, "was": before, "is": after}
        screen.json(facts | found)
        return
    if is_log:
        holds = f"log of {counted(found['messages'], 'message')}, {counted(after, 'byte')}"
        screen.line(
            f"{file.shown}: {holds}"
            + (f"; dropped behind: {counted(found['dropped'], 'byte')}" if found["dropped"] else "")
            + ("; there was no checksum for some of them" if found["unchecked"] else "")
        )
        return
    done = "recovered" if found["unfinished"] else "was finished already"
    screen.line(f"{file.shown}: {done}, {spell(kinds.MESSAGE, found)}")
    if found["lost"]:
        screen.line(
            f"{file.shown}: not kept whole: {counted(found['lost'], 'pointer')}; "
            f"lost: {counted(found['lost_values'], 'value')}",
            style="yellow",
        )


def _of_log(report: LogReport) -> dict[str, Any]:
    return {
        "messages": report.messages,
        "dropped": report.dropped,
        "unchecked": report.unchecked,
    }
