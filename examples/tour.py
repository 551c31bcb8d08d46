"""A tour of one minute: what `make demo` shows.

    python examples/tour.py [DIRECTORY]

1. The standard library of Python as one message, built in place and built the usual way.
2. A log that one process records and another follows, until the first is killed.
3. Columns from a message to a plot.
4. The command, which says what takes the bytes of that message, and draws it.

What it makes stays in the directory, which is ``mmapbuilder-tour`` by default.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import statistics
import subprocess
import sys
import sysconfig
import textwrap
import time
from pathlib import Path
from typing import Any

import capnp

import pack_stdlib
import table_to_plot
from mmapbuilder import MessageBuilder, MessageLog, open_log, verify

HERE = Path(__file__).resolve().parent
ROOT = sysconfig.get_path("stdlib")
ROUNDS = 3
PACED = 1500

library_capnp = pack_stdlib.schema
tour_capnp = capnp.load(str(HERE / "tour.capnp"))


def say(text: str = "") -> None:
    """Print at once, also into a pipe."""
    print(text, flush=True)


# ---- 1: one message, two ways -------------------------------------------------------


def fill_library(library: Any, paths: list[str]) -> int:
    """Fill a message with the standard library; return the peak of private memory."""
    entries = library.init("files", len(paths))
    peak = 0
    for number, path in enumerate(paths):
        pack_stdlib.fill(entries[number], ROOT, path)
        if number % 64 == 0:
            peak = max(peak, pack_stdlib.private_memory())
    return max(peak, pack_stdlib.private_memory())


def build_in_place(target: Path, paths: list[str]) -> int:
    """Build the message in its file."""
    with MessageBuilder(target) as b:
        return fill_library(b.init_root(library_capnp.Library), paths)


def build_as_usual(target: Path, paths: list[str]) -> int:
    """Build the message in memory with pycapnp, and write it then."""
    library = library_capnp.Library.new_message()
    peak = fill_library(library, paths)
    with open(target, "wb") as file:
        library.write(file)
    return max(peak, pack_stdlib.private_memory())


WAYS = {"in place": build_in_place, "as usual": build_as_usual}


def measure(way: str, target: Path) -> None:
    """Build once, in this process, and print what it took."""
    paths = pack_stdlib.library_files(ROOT)
    before = pack_stdlib.private_memory()
    start = time.perf_counter()
    peak = WAYS[way](target, paths)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "memory": peak - before, "files": len(paths)}))


def compare_ways(directory: Path) -> None:
    """Build the message in both ways, each in a process of its own, in turn; print a table."""
    say("1. The standard library as one Cap'n Proto message")
    say()
    targets = {way: directory / f"stdlib-{way.replace(' ', '-')}.bin" for way in WAYS}
    runs: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for number in range(ROUNDS + 1):
        for way, target in targets.items():
            command = [sys.executable, __file__, "--measure", way, str(target)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            if number:  # the first time all files may have to come from the disk
                runs[way].append(json.loads(done.stdout))
    say(f"   {'':<29}{'time':>9}{'memory':>12}{'file':>12}")
    for way, text in (("in place", "MessageBuilder"), ("as usual", "new_message, then write")):
        seconds = statistics.median(run["seconds"] for run in runs[way])
        memory = statistics.median(run["memory"] for run in runs[way])
        size = targets[way].stat().st_size
        say(
            f"   {text:<29}{seconds:>7.2f} s{pack_stdlib.mib(memory):>12}"
            f"{pack_stdlib.mib(size):>12}"
        )
    say("   (medians of three; memory is what the process had of its own, at the peak)")
    say()
    report, files = verify(targets["in place"]), runs["in place"][0]["files"]
    say(f"   {files:,} files, {report.objects:,} objects, all pointers checked")


# ---- 2: a log, recorded and followed --------------------------------------------------


def record(target: Path) -> None:
    """Append readings until this process is killed; say how many there are for sure."""
    with MessageLog(target, schema=tour_capnp.Reading) as log:
        for number in range(PACED):
            log.append(sent=time.monotonic_ns(), value=number)
            time.sleep(0.001)
        while True:
            for number in range(1000):
                log.append(sent=time.monotonic_ns(), value=number)
            os.write(1, f"{len(log)}\n".encode())


def follow_a_log(directory: Path) -> None:
    """Follow what another process records, kill that one, and look at what is left."""
    say("2. A log: one process records, this one follows")
    say()
    target = directory / "readings.log"
    MessageLog(target, "w").close()
    command = [sys.executable, __file__, "--record", str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        delays = []
        with open_log(target, tour_capnp.Reading) as log:
            while not log.refresh():
                time.sleep(0.01)
            for reading in log.follow(start=0, timeout=30):
                delays.append(time.monotonic_ns() - reading.sent)
                if len(delays) == PACED:
                    break
        start = time.perf_counter()
        assert child.stdout is not None
        while time.perf_counter() - start < 1:
            acknowledged = int(child.stdout.readline())
        child.kill()
        acknowledged = int((child.stdout.read().splitlines() or [acknowledged])[-1])
    say(f"   {PACED:,} readings, one each millisecond: half of them were seen here")
    say(f"   at most {statistics.median(delays) / 1000:.0f} µs after they were sent")
    with open_log(target, tour_capnp.Reading) as log:
        values = log.column("value")
        say()
        say("   Then the writer appended as fast as it can, and was killed by SIGKILL.")
        say(f"   It had counted {acknowledged:,} readings; the log has {len(log):,}, all whole:")
        say(f"   {log!r}, {pack_stdlib.mib(target.stat().st_size)}, last value {values[-1]:g}")
        if len(log) < acknowledged:
            raise SystemExit("the log has lost readings")


# ---- 3: columns to a plot ----------------------------------------------------------------


def plot_columns(directory: Path) -> None:
    """Tokenize the standard library, put the table into a message, and plot its columns."""
    say("3. Columns: the sources of the standard library, counted, in a message, plotted")
    say()
    message = directory / "sources.bin"
    picture = directory / "sources.png"
    table_to_plot.write(message, Path(ROOT))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        table_to_plot.plot(message, picture)
    say(textwrap.indent(printed.getvalue(), "   ").rstrip())


# ---- 4: the command ----------------------------------------------------------------------


def ask_the_command(directory: Path) -> None:
    """Let the command tell what takes the bytes of the last message, and draw it."""
    say("4. The command `mmapbuilder`: what takes the bytes of that message")
    schema = f"{os.path.relpath(HERE / 'sources.capnp', directory)}:Sources"
    for arguments in (["du", "--sort", "bytes"], ["layout", "--svg", "layout.svg"]):
        command = [*arguments, "--schema", schema, "sources.bin"]
        done = subprocess.run(
            [sys.executable, "-m", "mmapbuilder", *command],
            cwd=directory,
            check=True,
            capture_output=True,
            text=True,
        )
        say()
        say(f"   $ mmapbuilder {shlex.join(command)}")
        say(textwrap.indent(done.stdout, "   ").rstrip())


def main() -> None:
    """Do the whole tour, or the part of it that needs a process of its own."""
    if sys.argv[1:2] == ["--measure"]:
        return measure(sys.argv[2], Path(sys.argv[3]))
    if sys.argv[1:2] == ["--record"]:
        return record(Path(sys.argv[2]))
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "mmapbuilder-tour").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    compare_ways(directory)
    say()
    follow_a_log(directory)
    say()
    plot_columns(directory)
    say()
    ask_the_command(directory)
    say()
    say(f"The files are in {directory}. The tour took {time.perf_counter() - start:.0f} s.")
    return None


if __name__ == "__main__":
    main()
