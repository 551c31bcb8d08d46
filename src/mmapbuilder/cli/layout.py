"""`mmapbuilder layout`: a picture of what is in a file, and where."""

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from .. import _core
from ..usage import Usage, finished
from . import kinds
from .du import open_segments, usage_of
from .ends import OK, USAGE, Failure
from .info import holes
from .inputs import Input, one_input
from .options import add_file, add_json
from .outputs import whole
from .picture import Strip, draw, page
from .progress import progress
from .schemas import add_schema, schema_of
from .screen import Screen
from .sizes import counted

NAME = "layout"
SUMMARY = "a picture of a message or a log: what takes how many bytes, and where"
EXAMPLES = [
    (
        "mmapbuilder layout people.bin --schema people.capnp:AddressBook --svg people.svg",
        "a treemap by the path of fields, and a strip of each segment",
    ),
    (
        "mmapbuilder layout events.log --schema events.capnp:Event --html events.html",
        "a page with the picture and a table",
    ),
]
_PARTS = 536  # of a strip: two pixels each


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_file(parser, "a message or a log")
    add_schema(parser)
    for option, what in (("--svg", "a picture"), ("--html", "a page with the picture and a table")):
        action = parser.add_argument(
            option, metavar="OUT", help=f"write {what} to this file; - for stdout"
        )
        action.completes = "files"  # type: ignore[attr-defined]
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    wanted = [name for name in (arguments.svg, arguments.html) if name is not None]
    if not wanted:
        raise Failure("say where to draw it: --svg OUT or --html OUT", USAGE)
    if wanted.count("-") > 1:
        raise Failure("only one picture can go to stdout", USAGE)
    schema = schema_of(arguments)
    with one_input(arguments.file) as file:
        usage, strips = _look(file, schema)
        rows = list(usage)
        picture = draw(os.path.basename(file.shown), _subtitle(usage, strips), rows, strips)
        title = os.path.basename(file.shown)
    if arguments.svg is not None:
        _write(arguments.svg, picture)
    if arguments.html is not None:
        _write(arguments.html, page(title, picture, rows))
    for name in wanted:
        if name == "-":
            continue
        if screen.as_json:
            screen.json({"file": file.shown, "written": name, "size": usage.size})
        else:
            screen.line(f"{name}: drawn, {counted(os.path.getsize(name), 'byte')}")
    return OK


def _write(name: str, text: str) -> None:
    if name == "-":
        sys.stdout.write(text)
        return
    with whole(name) as temporary, open(temporary, "w", encoding="utf-8") as out:
        out.write(text)


def _subtitle(usage: Usage, strips: list[Strip]) -> str:
    total = usage.total
    objects = f"{counted(total.pointers, 'byte')} of pointers, {total.padding:,} of padding"
    parts = (usage.messages, "message") if usage.messages != 1 else (len(strips), "segment")
    size, content = counted(usage.size, "byte"), total.data + total.text
    return f"{size} in {counted(*parts)}: {content:,} of content, {objects}"


def _look(file: Input, schema: Any) -> tuple[Usage, list[Strip]]:
    kind = kinds.kind_of(file)
    kinds.require(kind, file, kinds.MESSAGE, kinds.LOG)
    if kind == kinds.LOG:
        usage = usage_of(file, schema)
        return usage, [_log_strip(file, usage)]
    native = None
    if schema is not None:
        from ..columns.schema import plan_of

        native = plan_of(schema).native
    segments, outside = open_segments(file)
    found = _core.Usage(native)
    with progress(file.shown, os.path.getsize(file.path)) as tell:
        found.add(segments, tell)
    return finished(found, 1, outside), list(_strips(file, found, segments, outside.table))


def _strips(file: Input, found: _core.Usage, segments: tuple[memoryview, ...], place: int) -> Any:
    with kinds.opened(file) as fd:
        gaps = holes(fd, os.fstat(fd).st_size)
    for number, segment in enumerate(segments):
        size = len(segment)
        if size:
            parts = max(1, min(_PARTS, size // 8))
            words = size // 8
            counts = found.reached(number, 0, words, parts)
            reached = [
                count / max(1, words * (i + 1) // parts - words * i // parts)
                for i, count in enumerate(counts)
            ]
            title = f"segment {number}: {counted(size, 'byte')} at {place:,}"
            yield Strip(title, place, size, reached, _shares(gaps, place, size, parts))
        place += size


def _shares(gaps: list[tuple[int, int]], start: int, size: int, parts: int) -> list[float]:
    """Return which share of each part of a range lies in holes."""
    found = [0.0] * parts
    for first, last in gaps:
        first, last = max(first, start) - start, min(last, start + size) - start
        part = first * parts // size if first < last else parts
        while part < parts and part * size // parts < last:
            low, high = part * size // parts, (part + 1) * size // parts
            found[part] += max(0, min(high, last) - max(low, first)) / max(1, high - low)
            part += 1
    return [min(1.0, share) for share in found]


def _log_strip(file: Input, usage: Usage) -> Strip:
    size = usage.size
    behind = sum(row.bytes for row in usage if row.path == "(trailing)")
    parts = max(1, min(_PARTS, size))
    with kinds.opened(file) as fd:
        gaps = holes(fd, size)
    outside = _shares([(size - behind, size)], 0, size, parts)
    own = f"{counted(usage.messages, 'message')}, {counted(size - behind, 'byte')}"
    title = f"{own}, of a file of {size:,}"
    return Strip(title, 0, size, [1 - share for share in outside], _shares(gaps, 0, size, parts))
