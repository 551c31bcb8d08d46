"""Every race in a process of its own, which may crash or hang there and is then shown.

On a free-threaded Python they run without the GIL (PYTHON_GIL=1 turns it on), elsewhere
with it. On one that is built for ThreadSanitizer, so is the extension module: then it must
not turn up in any report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from support import processes

from . import (
    races_close,
    races_columns,
    races_content,
    races_many,
    races_message,
    races_pycapnp,
)
from .harness import RACES, SECONDS

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
SANITIZED = "--with-thread-sanitizer" in str(sysconfig.get_config_var("CONFIG_ARGS"))
GIL = not FREE_THREADED or os.environ.get("PYTHON_GIL") == "1"

PROGRAM = """
import sys
from free_threading import {module}
from free_threading.harness import run
run(*sys.argv[1:])
"""

# Races for the memory of the program itself, which are right to be reported.
ON_PURPOSE = {"read_strings_change"}

MODULES = (
    races_content,
    races_close,
    races_many,
    races_message,
    races_columns,
    races_pycapnp,
)


def sanitizer_options(directory: Path) -> str:
    """Growth faults are ours, reports go to files, and those on CPython are not ours."""
    compiler = sysconfig.get_config_var("CC").split()[0]
    symbolizer = shutil.which(compiler.replace("clang", "llvm-symbolizer"))
    options = f"handle_sigbus=0:exitcode=0:log_path={directory}/report"
    return f"{options}:external_symbolizer_path={symbolizer}" if symbolizer else options


@pytest.mark.parametrize("name", RACES)
def test_race(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if SANITIZED:
        monkeypatch.setenv("TSAN_OPTIONS", sanitizer_options(tmp_path))
    module = RACES[name].__module__.rpartition(".")[2]
    if module == "races_pycapnp":
        pytest.importorskip("capnp")
    ended = processes.python(
        PROGRAM.format(module=module),
        name,
        tmp_path,
        options=() if GIL else ("-X", "gil=0"),
        timeout=SECONDS + 90,
    ).ok()
    assert ended.out.endswith("GIL on\n" if GIL else "GIL off\n")
    print(ended.out)
    found = "".join(log.read_text() for log in tmp_path.glob("report.*")).split("=" * 18)
    ours = [report for report in found if "_core." in report]
    assert not ours or name in ON_PURPOSE, "".join(ours)


def test_every_race_is_known() -> None:
    assert {race.__module__ for race in RACES.values()} == {m.__name__ for m in MODULES}


def starts_without_the_gil(code: str) -> processes.Ended:
    """Run `code` with nothing that would hide a module that asks for the GIL."""
    variables = processes.environment()
    variables.pop("PYTHON_GIL", None)
    done = subprocess.run(
        [sys.executable, *processes.STRICT, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        env=variables,
    )
    return processes.Ended(done.returncode, done.stdout, done.stderr)


without_gil = pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")


@without_gil
def test_import_leaves_the_gil_off() -> None:
    starts_without_the_gil(
        """
        import sys
        assert not sys._is_gil_enabled()
        import mmapbuilder
        mmapbuilder.Builder, mmapbuilder.MessageBuilder, mmapbuilder.open_message
        assert not sys._is_gil_enabled()
        """
    ).ok()


@without_gil
def test_a_module_that_turns_the_gil_on_is_seen() -> None:
    """Which pycapnp does: so the test above would see it if ours did."""
    pytest.importorskip("capnp")
    ended = starts_without_the_gil(
        """
        import sys
        assert not sys._is_gil_enabled()
        import capnp
        print(sys._is_gil_enabled())
        """
    ).ok()
    if ended.out == "False\n":
        pytest.skip("this pycapnp leaves the GIL off")
