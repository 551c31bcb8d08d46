"""*Import directories*: where the files are that a schema file imports by an absolute path."""

import os

from .schemas import schema_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# A string, a comment, or an import, of which the group is the name.
_PARTS = r'\bimport\s*"((?:[^"\\]|\\.)*)"|"(?:[^"\\]|\\.)*"|#[^\n]*'


def import_directories(file: str) -> "list[str]":
    """Return the import directories with which pycapnp can load a schema file again.

    pycapnp does not tell with which ones it has loaded the file, and it ends the process where
    an imported file is missing. So this looks where programs keep their schemas: in the
    directory of `schema_path`, along ``sys.path``, and in the directories above the file.

    Raises:
        FileNotFoundError: an imported file is in none of them.
        OSError: a file cannot be read.
    """
    import sys

    places = [schema_path(), *map(os.path.abspath, sys.path), *_above(file)]
    used: list[str] = []
    known = {file}
    waiting = [file]
    while waiting:
        importer = waiting.pop()
        for name in _imports_of(importer):
            if name.startswith("/"):
                place = _place_of(name, places, importer)
                used += [] if place in used else [place]
                found = place + name
            else:
                found = os.path.normpath(os.path.join(os.path.dirname(importer), name))
            if found not in known:
                known.add(found)
                waiting.append(found)
    return used


def _above(file: str) -> "Iterator[str]":
    place = os.path.dirname(file)
    while place != os.path.dirname(place):
        yield place
        place = os.path.dirname(place)


def _place_of(name: str, places: "Iterable[str]", importer: str) -> str:
    for place in places:
        if os.path.isfile(place + name):
            return place
    raise FileNotFoundError(
        f"{importer} imports {name}, which is neither along sys.path nor above that file"
    )


def _imports_of(file: str) -> "list[str]":
    import re

    with open(file, encoding="utf-8", errors="replace") as schema:
        found = re.findall(_PARTS, schema.read())
    return [name for name in found if name]
