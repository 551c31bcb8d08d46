"""Processes of their own, for what may crash, race, hang or change the process of the tests.

A time limit is always set, and how the process ended is part of the answer.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import AnyStr

import mmapbuilder

TESTS = Path(__file__).resolve().parent.parent
# So that the other process imports the same package and the same helpers.
SEARCH = [str(TESTS), str(Path(mmapbuilder.__file__).resolve().parent.parent)]
# Python's options that make warnings errors, but for two: since 3.12 it warns of a fork
# beside any thread, be it faulthandler's own; and a free-threaded one says of pycapnp that
# it asks for the GIL.
STRICT = ["-W", "error", "-W", "ignore:This process (pid:DeprecationWarning"]
# What a program that such a process starts need not say, which has options of its own. Python
# drops an option that was in the environment already, so the two are not the same.
QUIET: dict[str, str] = {}
if sysconfig.get_config_var("Py_GIL_DISABLED"):
    STRICT += ["-W", "ignore:The global interpreter lock (GIL) has been enabled:RuntimeWarning"]
    QUIET["PYTHONWARNINGS"] = "ignore:The global interpreter lock (GIL):RuntimeWarning"


@dataclass(frozen=True)
class Ended:
    """How a process ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def signal(self) -> str | None:
        """The name of the signal that killed the process, if one did."""
        return signal.Signals(-self.code).name if self.code < 0 else None

    def __str__(self) -> str:
        how = f"killed by {self.signal}" if self.signal else f"exit code {self.code}"
        return f"{how}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def ok(self) -> Ended:
        """Demand an orderly end with nothing on stderr."""
        assert self.code == 0, str(self)
        assert self.err == "", str(self)
        return self


def environment(**changes: str) -> dict[str, str]:
    """The environment of such a process.

    It has no PWD: if that is not the directory in which the process runs, Cap'n Proto's library
    says so on stderr (versions before 1.0 do when a schema is loaded).
    """
    path = os.pathsep.join([*SEARCH, *filter(None, [os.environ.get("PYTHONPATH")])])
    kept = {name: value for name, value in os.environ.items() if name != "PWD"}
    return kept | {"PYTHONPATH": path} | QUIET | changes


def start(
    code: str, *args: object, options: tuple[str, ...] = (), close_fds: bool = True
) -> subprocess.Popen[str]:
    """Start Python on `code`, with pipes to talk to it."""
    return subprocess.Popen(
        [sys.executable, *STRICT, *options, "-c", textwrap.dedent(code), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        close_fds=close_fds,
        start_new_session=True,  # so that its children can be killed as well
    )


def kill(process: subprocess.Popen[AnyStr]) -> None:
    """Kill a process, and its children if it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()


@contextlib.contextmanager
def limit(process: subprocess.Popen[AnyStr], timeout: float = 60) -> Iterator[None]:
    """Kill a process and fail if the block, which waits for its output, takes too long."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        kill(process)

    timer = threading.Timer(timeout, give_up)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    if late.is_set():
        _, err = process.communicate(timeout=60)
        raise AssertionError(f"nothing came for {timeout} s\n--- err\n{err!s}")


def line(process: subprocess.Popen[AnyStr], *, timeout: float = 60) -> AnyStr:
    """The next line that a process prints; an empty one when it has ended."""
    assert process.stdout is not None
    with limit(process, timeout):
        return process.stdout.readline()


def tell(process: subprocess.Popen[str], *what: object) -> None:
    """Write a line to a process."""
    print(*what, file=process.stdin, flush=True)


def end(process: subprocess.Popen[str], *, timeout: float = 60) -> Ended:
    """Wait for a process; kill it and its children and fail if it takes too long."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        out, err = process.communicate(timeout=timeout)
        raise AssertionError(f"no end after {timeout} s\n--- out\n{out}\n--- err\n{err}") from None
    return Ended(process.returncode, out, err)


def wait_for(child: int, *, timeout: float = 60) -> int:
    """The exit code of a forked child; kill it and fail if it takes too long."""
    late = time.monotonic() + timeout
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid == child:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > late:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise AssertionError(f"the child did not end within {timeout} s")
        time.sleep(0.001)


def wait_until_asleep(process: subprocess.Popen[AnyStr], *, timeout: float = 60) -> None:
    """Return when a process that was at work waits for something.

    Elsewhere than on Linux nothing tells, and this waits for a moment that is long enough mostly.
    """
    status = Path(f"/proc/{process.pid}/stat")
    if not status.exists():
        time.sleep(0.2)
        return
    late = time.monotonic() + timeout
    looks = 0
    while looks < 20:  # it may sleep for a moment only, for instance to read a page
        # The state follows the name of the program, which is in parentheses.
        looks = looks + 1 if status.read_text().rpartition(")")[2].split()[0] == "S" else 0
        assert time.monotonic() < late, f"the process did not fall asleep within {timeout} s"
        time.sleep(0.001)


def stop(process: subprocess.Popen[AnyStr]) -> None:
    """Kill a process, whatever it does, and forget what it said."""
    kill(process)
    process.communicate(timeout=60)


def python(code: str, *args: object, options: tuple[str, ...] = (), timeout: float = 60) -> Ended:
    """Run `code` in a Python of its own, warnings being errors."""
    return end(start(code, *args, options=options), timeout=timeout)
