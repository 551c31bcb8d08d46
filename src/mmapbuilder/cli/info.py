"""`mmapbuilder info`: what kind of file one is. Its content is not read."""

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from .._html import in_bytes
from ..dataset import manifest
from . import kinds
from .inputs import Input
from .options import add_files, add_json
from .runner import each_file
from .screen import Column, Screen

NAME = "info"
SUMMARY = "what a file or a dataset is: kind, size, segments, holes; messages and fence of a log"
EXAMPLES = [
    ("mmapbuilder info people.bin", "one file"),
    ("mmapbuilder info --json '*.log' | jq .messages", "the numbers of messages of some logs"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    add_files(parser, "messages, logs, .npy files, directories of datasets")
    add_json(parser)


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    return each_file(arguments.files, lambda file: _show(file, screen), screen)


def _show(file: Input, screen: Screen) -> None:
    facts = look(file)
    if screen.as_json:
        screen.json(facts)
        return
    segments = facts.pop("segments", None)
    for name, value in facts.items():
        if value is not None:
            screen.line(f"{name.replace('_', ' '):>16}  {_spell(name, value)}")
    if segments and len(segments) > 1:
        columns = [Column(name, is_number=True) for name in segments[0]]
        screen.table(columns, [list(segment.values()) for segment in segments])
    elif segments:
        screen.line(f"{'segments':>16}  1")
    screen.line()


def _spell(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("size", "bytes", "allocated", "holes", "committed", "trailing", "torn"):
        return in_bytes(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def look(file: Input) -> dict[str, Any]:
    """Return all that is known of a file."""
    kind = kinds.kind_of(file)
    if kind == kinds.DATASET:
        return _dataset(file)
    with kinds.opened(file) as fd:
        status = os.fstat(fd)
        facts: dict[str, Any] = {
            "file": file.shown,
            "kind": kind,
            "size": status.st_size,
            "allocated": status.st_blocks * 512,
            "holes": sum(end - start for start, end in holes(fd, status.st_size)),
        }
        if kind == kinds.MESSAGE:
            facts |= _message(fd, status.st_size)
        elif kind == kinds.UNFINISHED:
            facts["table_entries"] = int.from_bytes(os.pread(fd, 4, 4), "little")
            facts["hint"] = "mmapbuilder recover may finish it"
        elif kind == kinds.NPY:
            facts |= _array(file)
    if kind == kinds.LOG:
        facts |= _log(file)
    return facts


def _message(fd: int, size: int) -> dict[str, Any]:
    table = kinds.table_at(fd, 0)
    assert table is not None
    segments, place = [], table.bytes
    gaps = holes(fd, size)
    for number, words in enumerate(table.words):
        end = place + 8 * words
        inside = sum(max(0, min(end, stop) - max(place, start)) for start, stop in gaps)
        if words:
            segments.append(
                {"segment": number, "start": place, "bytes": 8 * words, "holes": inside}
            )
        place = end
    return {
        "table_entries": len(table.words),
        "trailing": size - table.end,
        "segments": segments,
    }


def _log(file: Input) -> dict[str, Any]:
    with kinds.opened_log(file, index=False) as log:
        size = os.path.getsize(file.path)
        return {
            "messages": len(log),
            "committed": log.committed,
            "torn": log.torn,
            "fence": log.torn == 0 and size > log.committed,
            "index": os.path.exists(f"{file.path}.idx"),
        }


def _dataset(file: Input) -> dict[str, Any]:
    place = os.path.join(file.path, manifest.NAME)
    with open(place, "rb") as opened:
        shards = manifest.decode(opened.read(), place).shards
    return {
        "file": file.shown,
        "kind": kinds.DATASET,
        "shards": len(shards),
        "rows": sum(shard.rows for shard in shards),
        "bytes": sum(shard.bytes for shard in shards),
        "hint": kinds.SHARDS,
    }


def _array(file: Input) -> dict[str, Any]:
    from numpy import load

    array = load(file.path, mmap_mode="r", allow_pickle=False)
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def holes(fd: int, size: int) -> list[tuple[int, int]]:
    """Return the ranges of a file that have no disk blocks, as far as the file system tells."""
    found = []
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_HOLE)
            if start >= size:
                break
            end = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # no data behind the hole, or a file system that cannot tell
            end = size
            try:
                start = os.lseek(fd, at, os.SEEK_HOLE)
            except OSError:
                break
        found.append((start, min(end, size)))
        at = end
    return found
