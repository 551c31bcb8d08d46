"""What other tests skip for want of a package, CI must not lack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import pages, processes
from support.floors import ROOT
from support.requirements import EVERYTHING_MUST_RUN, KNOWN, needed

HERE = Path(__file__).resolve().parent
SKIP = re.compile(r"""importorskip\(["']([\w.]+)["']""")

IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ImportError as error:
        print(f"{name}: {error}")
"""


def test_nothing_is_skipped_for_want_of_a_package() -> None:
    if not EVERYTHING_MUST_RUN:
        pytest.skip("only under CI=true, elsewhere packages may be missing")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORT, *needed()],
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_every_package_that_tests_can_do_without_is_known() -> None:
    """Else CI may lack it, or a slip in its name skips what needs it forever."""
    named = {
        (name, path.relative_to(ROOT))
        for path in HERE.rglob("*.py")
        for name in SKIP.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 100
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for block in pages.blocks(path.read_text(encoding="utf-8")):
            named |= {(name, path.relative_to(ROOT)) for name in block.needs}
    assert [each for each in named if each[0] not in KNOWN | {"linux"}] == []
