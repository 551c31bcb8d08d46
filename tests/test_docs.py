"""What documents and docstrings show runs, and what they link to is there."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import mmapbuilder
from support import pages, processes
from support.requirements import KNOWN, has, without

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts),
]
CODE = re.compile(r"^(```+|~~~+).*?^\1$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
TREE = re.compile(r"^```{toctree}\n(.*?)^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


# What is on this page is too large for every run of the tests: tests/engines runs it.
ENGINES = DOCS / "guides" / "ray-and-torch.md"

WITH_CODE = [path for path in DOCUMENTS if path != ENGINES and any(pages.blocks(path.read_text()))]


@pytest.mark.parametrize("path", WITH_CODE, ids=named)
def test_the_code_of_a_page_runs_and_prints_what_is_shown(path: Path, tmp_path: Path) -> None:
    for name in ("capnp", "numpy"):
        pytest.importorskip(name)
    # Pages name the examples as seen from the root of the repository; those for beginners
    # and the README must run anywhere.
    if path.parent.name != "start" and path.name != "README.md":
        (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, *processes.STRICT, pages.__file__, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=processes.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if lacking := done.stdout.rpartition("missing:")[2].split():
        without(*lacking)


def slugs(text: str) -> set[str]:
    """What links to places of a page may name: headings as GitHub spells them, and targets."""
    found = set(TARGET.findall(text))
    for heading in HEADING.findall(CODE.sub("", text)):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_links_lead_somewhere(path: Path) -> None:
    wrong = []
    for target, place in LINK.findall(CODE.sub("", path.read_text())):
        if "://" in target:
            continue
        there = path.parent / target if target else path
        if not there.exists() or (
            place and there.suffix == ".md" and place not in slugs(there.read_text())
        ):
            wrong.append(f"{target}#{place}" if place else target)
    assert not wrong


def test_every_page_is_in_the_tree_of_the_site() -> None:
    listed = set()
    for path in DOCUMENTS:
        for tree in TREE.findall(path.read_text()):
            entries = [line for line in tree.split("\n") if line and not line.startswith(":")]
            listed |= {(path.parent / f"{entry}.md").resolve() for entry in entries}
    site = {path for path in DOCUMENTS if DOCS in path.parents} - {DOCS / "index.md"}
    assert sorted(map(named, site - listed)) == [], "add it to index.md of its folder"


# ---- the reference -------------------------------------------------------------

REFERENCE = "\n".join(path.read_text() for path in sorted((DOCS / "reference").glob("*.md")))


@pytest.mark.parametrize("name", mmapbuilder.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    """`make docs` checks that each method of a class is, too."""
    kind = "class" if inspect.isclass(getattr(mmapbuilder, name)) else "function"
    found = re.search(rf"^\.\. auto(\w+):: mmapbuilder\.{name}$((?:\n   .*)*)", REFERENCE, re.M)
    assert found, f"docs/reference has no '.. auto{kind}:: mmapbuilder.{name}'"
    if kind == "class":
        assert found[1] == "exception" or (found[1] == "class" and ":members:" in found[2])


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """As `make docs` does: links lead somewhere, and every public method is in the reference."""
    wanted = ("sphinx", "furo", "myst_parser", "sphinx_copybutton", "capnp", "numpy")
    if lacking := [name for name in wanted if not has(name)]:
        without(*lacking)
    site = tmp_path / "html"
    sphinx = ["-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", tmp_path / "trees"]
    for command in ([*sphinx, DOCS, site], [ROOT / "tools" / "check_site.py", site]):
        done = subprocess.run(
            [sys.executable, *command],
            env=processes.environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_extra_for_users_is_on_the_page_of_installing() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = set(tomllib.load(file)["project"]["optional-dependencies"])
    page = (DOCS / "start" / "install.md").read_text()
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == extras - {"bench", "demo", "dev", "docs", "engines", "test"}


# ---- docstrings ----------------------------------------------------------------

MODULES = [
    "mmapbuilder",
    *(m.name for m in pkgutil.walk_packages(mmapbuilder.__path__, "mmapbuilder.")),
]


class Runner(doctest.DocTestRunner):
    """Leaves a docstring where it needs a package that is missing."""

    def report_unexpected_exception(self, out: Any, test: Any, example: Any, exc_info: Any) -> None:
        if isinstance(exc_info[1], ImportError):
            raise exc_info[1]
        super().report_unexpected_exception(out, test, example, exc_info)


def lacks(error: ImportError) -> str:
    """The package that is missing; any other error of an import is raised again."""
    name = str(error.name).partition(".")[0]
    if name not in KNOWN or has(name):
        raise error
    return name


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything that a reader of the documents has at hand."""
    capnp = pytest.importorskip("capnp")
    numpy = pytest.importorskip("numpy")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        without(lacks(error))
    monkeypatch.chdir(tmp_path)
    known = {name: getattr(mmapbuilder, name) for name in mmapbuilder.__all__}
    known |= {
        "addressbook_capnp": capnp.load(str(ROOT / "examples" / "addressbook.capnp")),
        "np": numpy,
        "shutil": shutil,
    }
    runner = Runner(optionflags=doctest.ELLIPSIS)
    failed, lacking = 0, set()
    for test in doctest.DocTestFinder().find(module, extraglobs=known):
        try:
            failed += runner.run(test).failed
        except ImportError as error:
            lacking.add(lacks(error))
    assert failed == 0
    if lacking:
        without(*sorted(lacking))
