"""The parts of the project and what each stands on, read from the sources.

A *part* is a C source with its header ("map/registry"), or a module of the package
("log.reader"). It *stands on* what it includes or imports.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "src" / "mmapbuilder"

# From the lowest to the highest. No floor knows anything of those above it.
FLOORS = ["os", "file", "map", "capnp", "schema", "py"]

_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)

Graph = dict[str, set[str]]


def sources(floor: str) -> list[Path]:
    """The C sources and headers of one floor."""
    found = sorted((CSRC / floor).glob("*.[ch]"))
    assert found, f"csrc/{floor} has no sources"
    return found


def included(path: Path) -> Iterator[Path]:
    """The headers of ours that a file includes, as the compiler finds them."""
    places = [path.parent, CSRC, *(CSRC / floor for floor in FLOORS if floor not in ("os", "py"))]
    for name in _INCLUDE.findall(path.read_text()):
        found = next((place / name for place in places if (place / name).is_file()), None)
        assert found is not None, f"{path.relative_to(CSRC)} includes {name}, which is not there"
        yield found.resolve()


def part(path: Path) -> str:
    """A source and its header are one: "map/memory"."""
    return f"{path.parent.name}/{path.stem}"


def c_parts() -> Graph:
    """What each part in C stands on."""
    graph: Graph = {}
    for floor in FLOORS:
        for path in sources(floor):
            graph.setdefault(part(path), set()).update(
                part(header) for header in included(path) if part(header) != part(path)
            )
    return graph


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imports(node: ast.AST) -> Iterator[ast.ImportFrom]:
    """The imports at any depth, but for those that only type checkers see."""
    if isinstance(node, ast.ImportFrom):
        yield node
    children = node.orelse if _is_for_types(node) else ast.iter_child_nodes(node)  # type: ignore[attr-defined]
    for child in children:
        yield from _imports(child)


def modules() -> Graph:
    """What each module of the package stands on; the package itself is left out."""
    paths = {_module(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    graph: Graph = {}
    for name, path in paths.items():
        if name == "__init__":
            continue
        above = path.parent.relative_to(PACKAGE).parts
        found = graph.setdefault(name, set())
        for node in _imports(ast.parse(path.read_text())):
            if not node.level:
                continue
            start = [*above[: len(above) - node.level + 1], *(node.module or "").split(".")]
            base = ".".join(filter(None, start))
            for alias in node.names:
                longer = ".".join(filter(None, [base, alias.name]))
                if longer in paths:
                    found.add(longer)
                elif base in paths:
                    found.add(base)
        found.discard(name)
    return graph


def circle(graph: Graph) -> list[str] | None:
    """Parts that stand on each other in a circle, if there are any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None
