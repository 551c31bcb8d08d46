"""Make docs/reference/platforms.md of what the runs of the tests have left.

    python tools/platforms.py [DIRECTORY]

Each file in the directory is one run, written by tests/support/record.py and .ci/run-ctests.
They join those of docs/reference/platforms.json, where a run takes the place of an older one of
its kind.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs" / "reference"
KEPT = DOCS / "platforms.json"
PAGE = DOCS / "platforms.md"

Run = dict[str, Any]

HEAD = """\
# What ran where

`make platforms` makes this page from what the test runs have left; it is not edited by hand. You
can repeat the runs: `make test-versions`, `test-debian-testing`, `test-free-threaded`,
`test-musl`, `test-container` and `cross`.

A test is skipped where something is missing that it needs: a program, a package, a system call. In
a *container* the tests ran as those of a wheel do: with what the tests need and none of the rest,
few capabilities, 64 MB of `/dev/shm`, and no tools. Tests that failed *ran again* alone, after a
change (`PYTEST_ARGS=--last-failed`).

"""

VARIANTS = {
    "plain": "as they are",
    "asan": "under AddressSanitizer and UndefinedBehaviorSanitizer",
    "tsan": "under ThreadSanitizer",
    "musl": "against musl",
    "aarch64": "for aarch64, against musl, under qemu",
    "riscv64": "for riscv64, against musl, under qemu",
}


def newest(name: str, run: Run) -> str:
    """What two runs have in common of which the later one is kept."""
    if run["what"] == "C tests":
        return name
    what, version = run["what"].split()
    minor = ".".join(version.split(".")[:2])
    return f"{what} {minor} {run['gil']} {run['libc'].split()[0]} {run['container']}"


def merged(kept: list[Run], directory: Path) -> list[Run]:
    """The runs of the file with those of the directory."""
    runs = {newest(run.get("variant", ""), run): run for run in kept}
    for path in sorted(directory.glob("*.json")):
        run = json.loads(path.read_text())
        key = newest(run.get("variant", ""), run)
        if key not in runs or runs[key]["date"] <= run["date"]:
            runs[key] = run
    return [runs[key] for key in sorted(runs)]


def counted(run: Run) -> str:
    """How it ended."""
    parts = [f"{run['passed']:,} passed"]
    if run["failed"]:
        again = f" ({run['again'] or 'none'} when they ran again)" if "again" in run else ""
        parts.append(f"{run['failed']} failed{again}")
    if run["skipped"]:
        parts.append(f"{run['skipped']:,} skipped")
    return ", ".join(parts)


def page(runs: list[Run]) -> str:
    """The whole page."""
    lines = ["| Python | C library, system | pycapnp | tests | on |", "|---|---|---|---|---|"]
    for run in runs:
        if run["what"] == "C tests":
            continue
        what = run["what"] + (f", GIL {run['gil']}" if run["gil"] else "")
        where = f"{run['libc']}, {run['system']}, {run['machine']}"
        where += ", container" if run["container"] else ""
        count = counted(run) + (f" (without {run['limited']})" if run["limited"] else "")
        lines.append(f"| {what} | {where} | {run['pycapnp'] or 'none'} | {count} | {run['date']} |")
    lines += ["", "| C tests | system | programs | on |", "|---|---|---|---|"]
    for run in runs:
        if run["what"] == "C tests":
            how = VARIANTS.get(run["variant"], run["variant"])
            where = f"{run['system']}, {run['machine']}"
            lines.append(f"| {how} | {where} | {counted(run)} | {run['date']} |")
    return HEAD + "\n".join(lines) + "\n"


def main() -> None:
    kept: list[Run] = json.loads(KEPT.read_text()) if KEPT.exists() else []
    runs = merged(kept, Path(sys.argv[1])) if len(sys.argv) > 1 else kept
    KEPT.write_text(json.dumps(runs, indent=1) + "\n")
    PAGE.write_text(page(runs))


if __name__ == "__main__":
    main()
