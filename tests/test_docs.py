"""What documents and docstrings show runs, and what they link to is there."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mmapbuilder
from support.apart import STRICT

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)(?:#[^)]*)?\)")


def blocks() -> list[object]:
    return [
        pytest.param(block, id=f"{path.name}-{number}")
        for path in DOCUMENTS
        for number, block in enumerate(BLOCK.findall(path.read_text()), 1)
    ]


@pytest.mark.parametrize("block", blocks())
def test_a_block_of_python_runs(block: str, tmp_path: Path) -> None:
    for name in ("capnp", "numpy"):
        pytest.importorskip(name)
    # Blocks name the examples as seen from the root of the repository.
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_first_example_runs_anywhere_and_prints_what_is_shown(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    text = (ROOT / "README.md").read_text()
    shown = re.search(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert shown is not None
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", BLOCK.findall(text)[0]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == shown[1], done.stderr
    assert "examples/" not in BLOCK.findall(text)[0]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    missing = [
        target
        for target in LINK.findall(path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert not missing


MODULES = [
    "mmapbuilder",
    *(m.name for m in pkgutil.walk_packages(mmapbuilder.__path__, "mmapbuilder.")),
]


# A docstring may read a file in one line, without closing it.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With everything that a reader of the documents has at hand."""
    capnp = pytest.importorskip("capnp")
    numpy = pytest.importorskip("numpy")
    monkeypatch.chdir(tmp_path)
    known = {name: getattr(mmapbuilder, name) for name in mmapbuilder.__all__}
    known |= {
        "addressbook_capnp": capnp.load(str(ROOT / "examples" / "addressbook.capnp")),
        "np": numpy,
        "shutil": shutil,
    }
    failed, _ = doctest.testmod(
        importlib.import_module(name), extraglobs=known, optionflags=doctest.ELLIPSIS
    )
    assert failed == 0
