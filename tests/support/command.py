"""The command, run as a program of its own from a directory that is no clone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.processes import STRICT, Ended, environment, limit, stop
from support.readers import EXAMPLES

BOOK = f"{EXAMPLES / 'addressbook.capnp'}:AddressBook"
PERSON = f"{EXAMPLES / 'addressbook.capnp'}:Person"

COMMAND = [sys.executable, *STRICT, "-m", "mmapbuilder"]


def run(
    *arguments: object,
    where: Path,
    stdin: bytes | None = None,
    timeout: float = 60,
    **changes: str,
) -> Ended:
    """Run the command to its end."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=where,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout,
        env=environment(**changes),
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def lines(ended: Ended) -> list[Any]:
    """What was printed as JSON."""
    ended.ok()
    return [json.loads(line) for line in ended.out.splitlines()]


def fails(ended: Ended, code: int, *words: str) -> None:
    """Demand an exit code, and one line on stderr with these words."""
    assert ended.code == code, str(ended)
    assert ended.err.count("\n") == 1, str(ended)
    assert ended.err.startswith("mmapbuilder"), str(ended)
    assert "Traceback" not in ended.err
    for word in words:
        assert word in ended.err, str(ended)


@contextlib.contextmanager
def started(*arguments: object, where: Path, **changes: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command; kill it at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=where,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**changes),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        stop(process)


def on_a_terminal(
    *arguments: object, where: Path, timeout: float = 60, columns: int = 120, **changes: str
) -> Ended:
    """Run the command with a terminal for its output; stderr is there as well."""
    import fcntl
    import struct
    import termios

    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=where,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(**({"TERM": "xterm-256color"} | changes)),
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    try:
        with limit(process, timeout):
            while True:
                try:
                    data = os.read(master, 1 << 16)
                except OSError:  # EIO: the other end was closed
                    break
                if not data:
                    break
                shown += data
        return Ended(process.wait(timeout), shown.decode(), "")
    finally:
        stop(process)
        os.close(master)


def without(directory: Path, *modules: str) -> dict[str, str]:
    """The environment of a Python that does not find some modules."""
    place = directory / "without"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(
        "import sys\n" + "".join(f"sys.modules[{name!r}] = None\n" for name in modules)
    )
    search = os.pathsep.join([str(place), environment()["PYTHONPATH"]])
    return {"PYTHONPATH": search}
