"""The page of the command cannot grow old."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.processes import environment

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_says_what_the_command_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "write_command_page.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
