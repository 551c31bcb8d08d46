"""What a run of the tests was, and how it ended: one file a run.

`tools/platforms.py` makes docs/reference/platforms.md of them.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sysconfig
from pathlib import Path
from typing import Any

from support.libc import MUSL


def _libc() -> str:
    if MUSL:
        return "musl"
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "?"
    except (AttributeError, ValueError):
        return platform.libc_ver()[0]


def _gil() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return ""
    return "off" if os.environ.get("PYTHON_GIL") == "0" else "off until pycapnp is imported"


def _pycapnp() -> str:
    try:
        return importlib.metadata.version("pycapnp")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _run() -> dict[str, Any]:
    return {
        "what": f"CPython {platform.python_version()}",
        "gil": _gil(),
        "system": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        "machine": platform.machine(),
        "libc": _libc(),
        "container": os.environ.get("MMAPBUILDER_WHEEL_TEST") == "1",
        "pycapnp": _pycapnp(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _path(directory: Path, run: dict[str, Any]) -> Path:
    parts = [run["what"], run["gil"] and f"gil {run['gil']}", run["libc"], run["machine"]]
    parts += ["container" if run["container"] else ""]
    name = "-".join("-".join(str(part).lower().split()) for part in parts if part)
    return directory / f"{name}.json"


def write(directory: Path, passed: int, failed: int, skipped: int, limited: str) -> None:
    """Leave a file in `directory`. `limited` says which tests were left out."""
    run = _run()
    run |= {"limited": limited, "passed": passed, "failed": failed, "skipped": skipped}
    directory.mkdir(parents=True, exist_ok=True)
    _path(directory, run).write_text(json.dumps(run, indent=1) + "\n")


def write_again(directory: Path, failed: int) -> None:
    """Add to the file of a run how many of the tests that had failed in it fail now."""
    path = _path(directory, _run())
    if path.exists():
        run = json.loads(path.read_text())
        run["again"] = failed
        path.write_text(json.dumps(run, indent=1) + "\n")
