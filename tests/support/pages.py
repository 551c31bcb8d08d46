"""A *page* is a Markdown file whose code is run, and whose shown output is what came out.

The blocks of a page are run in their order, in one directory and one namespace:

- ``python`` is executed. What it prints stands in the ``text`` block behind it.
- ``console`` holds commands, each behind ``$``, and below each what it prints.
- ``capnp`` whose first line is a comment with a file's name becomes that file.

``...`` in an output stands for anything, as in doctest. A comment ``<!-- needs: pandas -->``
right before a block names the packages without which it is left out; ``linux`` is a system.

    python tests/support/pages.py PAGE     # in a fresh directory

The last line that it prints is "missing:" and the packages that were missing.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(
    r"(?:^<!-- needs: (?P<needs>[^>]*?) -->\n+)?"
    r"^```(?P<kind>python|console|capnp)\n(?P<code>.*?)^```\n"
    r"(?:\n*^```text\n(?P<shown>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# ([\w-]+\.capnp)\n")
COMMAND = re.compile(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

_checker = doctest.OutputChecker()


@dataclass(frozen=True)
class Block:
    """A block of code, the line that it starts at, and the output that the page shows."""

    kind: str
    line: int
    code: str
    shown: str
    needs: tuple[str, ...]


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that are run."""
    for found in BLOCK.finditer(text):
        line = text.count("\n", 0, found.start("code")) + 1
        needs = tuple((found["needs"] or "").replace(",", " ").split())
        yield Block(found["kind"], line, found["code"], found["shown"] or "", needs)


def lacking(block: Block) -> list[str]:
    """The packages that a block needs and that are not here."""
    return [
        name
        for name in block.needs
        if (sys.platform != name if name == "linux" else importlib.util.find_spec(name) is None)
    ]


def compare(where: str, shown: str, printed: str) -> None:
    """Exit if the page shows something else than what was printed."""
    if not _checker.check_output(shown, printed, doctest.ELLIPSIS):
        sys.exit(f"{where}: the page shows\n{shown or '(nothing)'}\nand it is\n{printed}")


def run_python(page: Path, block: Block, namespace: dict[str, object]) -> None:
    """Execute a block; tracebacks name its lines in the page."""
    printed = io.StringIO()
    code = "\n" * (block.line - 1) + block.code
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(code, str(page), "exec"), namespace)
        except BaseException:
            traceback.print_exc()
            sys.exit(f"{page.name}:{block.line}: the code fails")
    compare(f"{page.name}:{block.line}", block.shown, printed.getvalue())


def run_console(page: Path, block: Block) -> None:
    """Run the commands of a block one after the other."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    for command, shown in COMMAND.findall(block.code):
        done = subprocess.run(
            ["sh", "-c", command],
            env=os.environ | {"PATH": path, "NO_COLOR": "1", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        where = f"{page.name}:{block.line}: {command}"
        compare(where, shown, done.stdout)
        if done.returncode != 0 and not shown:
            sys.exit(f"{where}: ends with {done.returncode}")


def run(page: Path) -> list[str]:
    """Run all blocks of a page in the working directory; return what packages it lacks."""
    # A module, so that other processes find by name what the page defines.
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    namespace = vars(module)
    missing: list[str] = []
    for block in blocks(page.read_text(encoding="utf-8")):
        if lacking(block):
            missing += lacking(block)
        elif block.kind == "python":
            run_python(page, block, namespace)
        elif block.kind == "console":
            run_console(page, block)
        elif name := FILE.match(block.code):
            Path(name[1]).write_text(block.code, encoding="utf-8")
    return sorted(set(missing))


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file
    print("missing:", *run(Path(sys.argv[1])))
