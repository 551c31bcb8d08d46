"""The schemas of these tests, loaded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import capnp

HERE = Path(__file__).resolve().parent
columns_capnp: Any = capnp.load(str(HERE / "columns.capnp"))

SCHEMAS = ("/usr/include", "/usr/local/include", "/opt/homebrew/include")
"""Where capnp's own schemas are, if they are installed."""
