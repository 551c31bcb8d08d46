"""Fixtures that several modules use."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from support import record
from support.mounts import mounted
from support.readers import Programs
from support.requirements import missing, tool

HERE = Path(__file__).resolve().parent

# A change is judged by itself, not by what chance finds in the code that was there;
# chance has its say wherever CI is not set.
hypothesis.settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    hypothesis.settings.load_profile("ci")

# A shell without job control has what it runs in the background ignore SIGINT, and children
# inherit that. The tests of interruptions would wait for one that never comes.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """What asks for a mount needs root, whether or not it says so."""
    if "mount" in getattr(item, "fixturenames", ()):
        item.add_marker("root")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Leave a note of a run of everything where `make` wants it, if the run came to its end."""
    place = os.environ.get("MMAPBUILDER_RUNS")
    if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return
    everything = config.args in ([str(HERE)], ["tests"], config.getini("testpaths"))
    option = config.option
    left_out = re.fullmatch(r"(?:not (\w+)(?: and not (\w+))?)?", option.markexpr)
    if not place or not everything or option.keyword or not left_out:
        return
    if option.maxfail or option.collectonly:
        return
    counts = {name: len(found) for name, found in terminalreporter.stats.items()}
    failed = counts.get("failed", 0) + counts.get("error", 0)
    if config.getoption("lf", False):
        record.write_again(Path(place), failed)
        return
    limited = [*(option.ignore_glob or []), *filter(None, left_out.groups())]
    record.write(
        Path(place),
        passed=counts.get("passed", 0),
        failed=failed,
        skipped=counts.get("skipped", 0),
        limited=", ".join(f"`{what}`" for what in limited),
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A path at which nothing is yet."""
    return tmp_path / "target"


@pytest.fixture
def target_in_memory() -> Iterator[Path]:
    """A path on tmpfs, whatever `target` is on, at which nothing is yet."""
    if not os.path.isdir("/dev/shm"):
        missing("there is no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Path(directory) / "target"


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """mount(kind, size, options=""): a file system of its own for this test."""
    with contextlib.ExitStack() as stack:

        def make(kind: str, size: int, options: str = "") -> Path:
            return stack.enter_context(mounted(kind, tmp_path, size, options))

        yield make


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The capnp tool, and the C++ reader, which is built here."""
    capnp_tool = tool("capnp", "capnproto")
    compiler = tool("g++", "g++")
    reader = tmp_path_factory.mktemp("cpp") / "reader"
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-O1", "-o", str(reader)]
    libraries = ["-lcapnp-json", "-lcapnpc", "-lcapnp", "-lkj"]
    done = subprocess.run(
        [*command, str(HERE / "cpp" / "reader.c++"), *libraries],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if "capnp/compat/json.h: No such file" in done.stderr:
        missing("the headers of Cap'n Proto are not installed (Debian: libcapnp-dev)")
    assert done.returncode == 0, done.stderr
    return Programs(capnp_tool, str(reader))
