"""The floors of the house: what a file includes, and what it calls, stands below it.

Read from the sources and from the objects that the compiler makes of them, so that a review
need not look for it. docs/internals draws the same picture.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from support.floors import CSRC, FLOORS, Graph, c_parts, circle, included, modules, part, sources
from support.requirements import tool

pytestmark = pytest.mark.slow

CONDITION = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*", re.MULTILINE)
# Guards of headers, and what says which language the compiler is to speak.
HARMLESS = re.compile(r"\b(?:ifndef MMB(?:PY)?_[A-Z0-9_]+_H|__cplusplus)\b")
VERSIONS = re.compile(r"\b(?:PY_VERSION_HEX|PY_(?:MAJOR|MINOR)_VERSION|Py_GIL_DISABLED)\b")

WITHOUT_PYTHON = [floor for floor in FLOORS if floor != "py"]

# Of these floors the ones above see more than the public headers (mmb_*.h).
SEEN_WHOLE_BY = {"os": set(FLOORS), "file": {"map"}, "capnp": {"schema"}, "schema": {"py"}}


def check_order(below: Graph) -> None:
    """Fail on circles, and on what stands on a higher floor."""
    upwards = [
        f"{upper} -> {lower}"
        for upper, lowers in below.items()
        for lower in lowers
        if FLOORS.index(upper.split("/")[0]) < FLOORS.index(lower.split("/")[0])
    ]
    assert not upwards
    assert circle(below) is None


def test_every_folder_is_a_floor() -> None:
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == {*FLOORS, "tests"}


def test_includes_point_down() -> None:
    check_order(c_parts())


def test_imports_point_down() -> None:
    """Those inside functions count, too: when a module is loaded does not change the plan."""
    assert circle(modules()) is None


@pytest.mark.parametrize("floor", FLOORS)
def test_what_is_included_from_below_is_meant_for_it(floor: str) -> None:
    wrong = [
        f"{floor}/{path.name}: {header.parent.name}/{header.name}"
        for path in sources(floor)
        for header in included(path)
        if header.parent.name != floor
        and not header.name.startswith("mmb_")
        and floor not in SEEN_WHOLE_BY.get(header.parent.name, set())
    ]
    assert not wrong


def test_calls_point_down(tmp_path: Path) -> None:
    compiler, lister = tool("gcc", "gcc"), tool("nm", "binutils")
    defined: dict[str, str] = {}
    wanted: dict[str, set[str]] = {}
    for floor in WITHOUT_PYTHON:
        for path in sources(floor):
            if path.suffix != ".c":
                continue
            out = tmp_path / "one.o"
            search = [
                f"-I{CSRC}",
                *(f"-I{CSRC / below}" for below in WITHOUT_PYTHON if below != "os"),
            ]
            command = [compiler, "-std=c11", "-D_DEFAULT_SOURCE", *search, "-c", str(path)]
            subprocess.run([*command, "-o", str(out)], check=True)
            listed = subprocess.run(
                [lister, "-g", str(out)], check=True, capture_output=True, text=True
            ).stdout
            for line in listed.splitlines():
                kind, name = line.split()[-2:]
                if kind == "U":
                    wanted.setdefault(part(path), set()).add(name)
                else:
                    defined[name] = part(path)
    check_order(
        {
            caller: {defined[name] for name in names if name in defined}
            for caller, names in wanted.items()
        }
    )


@pytest.mark.parametrize("floor", WITHOUT_PYTHON)
def test_python_is_unknown_below_the_glue(floor: str) -> None:
    for path in sources(floor):
        assert not re.search(r"\bPy(?:thon\.h|Object|_[A-Z])", path.read_text()), path.name


@pytest.mark.parametrize("floor", [floor for floor in FLOORS if floor != "os"])
def test_systems_are_told_apart_on_the_lowest_floor(floor: str) -> None:
    wrong = [
        f"{floor}/{path.name}: {line.strip()}"
        for path in sources(floor)
        if path.name != "compat.h"
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


@pytest.mark.parametrize("floor", FLOORS)
def test_a_file_says_first_what_it_is(floor: str) -> None:
    for path in sources(floor):
        assert path.read_text().startswith(f"/* {path.name} - "), f"{floor}/{path.name}"
