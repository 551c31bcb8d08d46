"""The layers point downwards only: py -> schema -> capnp -> core.

Read from the sources, so that a review need not look for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parent.parent / "csrc"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*", re.MULTILINE)
# Guards of headers, and what says which language or standard the compiler is to speak.
HARMLESS = re.compile(r"\b(?:ifndef MMB(?:PY)?_[A-Z0-9_]+_H|__cplusplus|_DEFAULT_SOURCE)\b")
VERSIONS = re.compile(r"\b(?:PY_VERSION_HEX|PY_(?:MAJOR|MINOR)_VERSION|Py_GIL_DISABLED)\b")

# What each layer may include with quotation marks, besides its own files.
BELOW = {
    "core": set[str](),
    "capnp": {"mmb_core.h"},
    "schema": {"mmb_core.h", "mmb_capnp.h", "wire.h", "utf8.h"},
    "py": {"mmb_core.h", "mmb_capnp.h", "mmb_log.h", "plan.h", "read.h"},
}


def sources(layer: str) -> list[Path]:
    return sorted((CSRC / layer).glob("*.[ch]"))


def includes(path: Path) -> Iterator[tuple[str, str]]:
    yield from INCLUDE.findall(path.read_text())


@pytest.mark.parametrize("layer", BELOW)
def test_a_layer_includes_only_itself_and_the_public_headers_below(layer: str) -> None:
    own = {path.name for path in sources(layer)}
    assert own, f"csrc/{layer} has no sources"
    wrong = [
        f"{layer}/{path.name}: {name}"
        for path in sources(layer)
        for bracket, name in includes(path)
        if bracket == '"' and Path(name).name not in own | BELOW[layer]
    ]
    assert not wrong


@pytest.mark.parametrize("layer", ["core", "capnp", "schema"])
def test_python_is_unknown_below_the_glue(layer: str) -> None:
    for path in sources(layer):
        assert not re.search(r"\bPy(?:thon\.h|Object|_[A-Z])", path.read_text()), path.name


@pytest.mark.parametrize("layer", BELOW)
def test_systems_are_told_apart_in_one_place(layer: str) -> None:
    wrong = [
        f"{layer}/{path.name}: {line.strip()}"
        for path in sources(layer)
        if path.name not in {"os.c", "compat.h"}
        for line in CONDITION.findall(path.read_text())
        if not HARMLESS.search(line)
    ]
    assert not wrong


def test_python_versions_are_told_apart_in_one_header() -> None:
    wrong = [
        f"py/{path.name}: {line.strip()}"
        for path in sources("py")
        if path.name != "compat.h"
        for line in CONDITION.findall(path.read_text())
        if VERSIONS.search(line)
    ]
    assert not wrong
