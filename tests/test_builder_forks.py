"""A Builder that forked processes write to: the cursor and the size are one for all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapbuilder import Builder
from support import processes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

WORKERS = 4


def in_children(work: Callable[[Builder, int], None], b: Builder) -> None:
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork in a threaded process
        workers = [context.Process(target=work, args=(b, n)) for n in range(WORKERS)]
        for worker in workers:
            worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0


def _write_lines(b: Builder, which: int) -> None:
    for n in range(300):
        b.write(b"%d %d %s\n" % (which, n, b"x" * (n % 50)))


@pytest.mark.parametrize("options", [{}, {"atomic": True}, {"prefault": True}])
def test_no_record_of_any_process_is_lost(target: Path, options: dict[str, bool]) -> None:
    with Builder(target, **options) as b:
        b.write(b"head\n")
        in_children(_write_lines, b)
        b.write(b"tail\n")
        assert b.tell() == b.size == len(b)
    lines = target.read_bytes().splitlines()
    assert (lines[0], lines[-1]) == (b"head", b"tail")
    for which in range(WORKERS):
        mine = [int(line.split()[1]) for line in lines[1:-1] if line.startswith(b"%d " % which)]
        assert mine == list(range(300))


def _write_zeros(b: Builder, which: int) -> None:
    b.write(bytes(1000))
    b.allocate(1000)
    if which == WORKERS - 1:
        b[10_000:10_500] = bytes(500)
        b[20_000] = 0


def test_what_a_child_declares_counts_in_the_parent(target: Path) -> None:
    with Builder(target) as b:
        in_children(_write_zeros, b)
        assert b.tell() == WORKERS * 2000
        assert b.size == 20_001
    assert target.read_bytes() == bytes(20_001)


def _read_lines(b: Builder, which: int) -> None:
    for line in b:
        with open(f"{os.fsdecode(b.name)}.{which}", "ab") as file:
            file.write(line)


def test_each_line_is_read_by_one_process(target: Path) -> None:
    lines = [b"%d\n" % n for n in range(2000)]
    with Builder(target) as b:
        b.writelines(lines)
        b.seek(0)
        in_children(_read_lines, b)
    read = [
        line
        for which in range(WORKERS)
        if (part := Path(f"{target}.{which}")).exists()
        for line in part.read_bytes().splitlines(keepends=True)
    ]
    assert sorted(read) == sorted(lines)


def test_a_write_that_comes_after_the_close_says_so(target: Path) -> None:
    code = """
        import os, sys
        from mmapbuilder import Builder
        b = Builder(sys.argv[1])
        go_on, to_child = os.pipe()
        from_child, is_written = os.pipe()
        pid = os.fork()
        if pid == 0:
            b.write(b"in time ")
            os.write(is_written, b"x")
            os.read(go_on, 1)
            try:
                b.write(b"too late")
            except OSError:
                os._exit(0)
            os._exit(1)
        os.read(from_child, 1)  # the cursor moves before the bytes are written
        b.write(b"ours")
        b.close()
        os.write(to_child, b"x")
        assert os.waitpid(pid, 0)[1] == 0
    """
    processes.python(code, target).ok()
    assert target.read_bytes() == b"in time ours"


# ---- a server -----------------------------------------------------------------------------

APPLICATION = """
import os
from mmapbuilder import Builder
log = Builder(os.environ["LOG"])
log.write(b"start\\n")

def application(environ, start_response):
    log.write(f"{os.getpid()} {environ['PATH_INFO']}\\n".encode())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""

CONFIGURATION = """
def on_exit(server):
    import application
    application.log.close()
"""


def test_gunicorn_with_preload(target: Path, tmp_path: Path) -> None:
    pytest.importorskip("gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "configuration.py").write_text(CONFIGURATION)
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "3", "--config",
               "configuration.py", "--bind", "127.0.0.1:0", "application"]  # fmt: skip
    log = tmp_path / "messages"
    with log.open("wb") as messages:
        server = subprocess.Popen(
            command, cwd=tmp_path, env=os.environ | {"LOG": str(target)}, stderr=messages
        )
    try:
        address = _address(server, log)
        for n in range(30):
            with urllib.request.urlopen(f"{address}/{n}", timeout=30) as answer:
                assert answer.read() == b"done"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0, log.read_text()
    lines = target.read_text().splitlines()
    assert lines[0] == "start"
    assert [line.split()[1] for line in lines[1:]] == [f"/{n}" for n in range(30)]


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where it listens, once it does."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        for line in log.read_text().splitlines():
            if "Listening at: " in line:
                return line.split("Listening at: ")[1].split()[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns of threads since 3.12")
def test_python_has_no_thread_of_ours_to_warn_of(target: Path) -> None:
    """It counts the threads at a fork. Ours pause for it, and go on with the next call."""
    code = """
    import os, sys, warnings
    from mmapbuilder import Builder
    def threads():
        return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else None
    alone = threads()
    with (
        Builder(sys.argv[1], prefault=True, writeback=True) as b,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")
        for round in range(50):
            b.write(bytes(1 << 20))
            assert threads() is None or threads() == alone + 1
            pid = os.fork()
            if pid == 0:
                b.write(b"child")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        assert not caught, caught[0]
    """
    processes.python(code, target).ok()
    assert target.stat().st_size == 50 * ((1 << 20) + 5)
