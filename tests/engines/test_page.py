"""The page on Ray and torch: its code runs, and prints what is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import pages, processes

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "guides" / "ray-and-torch.md"


def test_the_code_of_the_page_runs_and_prints_what_is_shown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, pages.__file__, str(PAGE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        env=processes.environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
