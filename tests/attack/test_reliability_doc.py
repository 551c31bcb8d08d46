"""Every test that docs/reference/reliability.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NAMED = re.compile(r"`([\w/]+\.(?:py|c))::(\w+)`")


def named() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "reference" / "reliability.md").read_text(encoding="utf-8")
    return sorted(set(NAMED.findall(text)))


def test_it_names_tests() -> None:
    assert len(named()) > 60


@pytest.mark.parametrize(("file", "name"), named())
def test_the_test_is_there(file: str, name: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    pattern = rf"^def {name}\(" if file.endswith(".py") else rf"\bRUN\({name}\)"
    assert re.search(pattern, text, re.MULTILINE), f"{file} has no {name}"


def test_every_row_of_a_table_names_one() -> None:
    text = (ROOT / "docs" / "reference" / "reliability.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row for row in rows if not NAMED.search(row) and "shown by" not in row] == []
