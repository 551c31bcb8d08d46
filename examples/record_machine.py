"""Record figures of this machine, follow them from a second process, plot the columns.

    pip install mmapbuilder[capnp,numpy] matplotlib
    python examples/record_machine.py [directory [seconds]]

Each tick one message is appended to a log: what Linux tells in /proc. A second process
follows the log while it is written, and counts what it sees. In the end the columns are
read from the file, whole, and drawn; without matplotlib there is no plot.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import capnp

from mmapbuilder import MessageLog, open_log

HERE = Path(__file__).resolve().parent
machine_capnp = capnp.load(str(HERE / "machine.capnp"))

TICK_SECONDS = 0.01


def look() -> dict[str, float]:
    """Return the figures of this moment."""
    load, _, _, threads, _ = Path("/proc/loadavg").read_text().split()
    memory = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    counts = dict(line.split(" ", 1) for line in Path("/proc/stat").read_text().splitlines())
    return {
        "time": time.time(),
        "load": float(load),
        "available": int(memory["MemAvailable"].split()[0]) * 1024,
        "switches": int(counts["ctxt"]),
        "running": int(threads.split("/")[0]),
    }


def record(path: Path, seconds: float) -> int:
    """Append a message each tick; return how many that were."""
    end = time.monotonic() + seconds
    with MessageLog(path, "w", schema=machine_capnp.Tick, key="time", sync=1) as log:
        follower = subprocess.Popen([sys.executable, __file__, "--follow", str(path)])
        while time.monotonic() < end:
            log.append(look())
            time.sleep(TICK_SECONDS)
        log.append(look() | {"running": 0})  # no process would run: the end
        count = len(log)
    follower.wait()
    return count


def follow(path: Path) -> None:
    """Count the messages of a log that is being written, up to the last."""
    seen = 0
    with open_log(path, machine_capnp.Tick) as log:
        for tick in log.follow(start=0, timeout=10):
            seen += 1
            if tick.running == 0:
                break
    print(f"followed  {seen} ticks while they were recorded", flush=True)


def plot(path: Path, picture: Path) -> None:
    """Draw the columns of the log."""
    with open_log(path, machine_capnp.Tick) as log:
        ticks = log[:-1]
        seconds = ticks.column("time") - ticks.column("time")[0]
        available = ticks.column("available") / 2**30
        switches = ticks.column("switches")
    print(f"columns   {len(seconds)} ticks in {seconds[-1]:.1f} s, "
          f"{int(switches[-1] - switches[0])} switches")  # fmt: skip
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, sharex=True, figsize=(8, 5))
    above.plot(seconds, available)
    above.set_ylabel("memory available, GiB")
    below.plot(seconds[1:], (switches[1:] - switches[:-1]) / TICK_SECONDS)
    below.set_ylabel("switches a second")
    below.set_xlabel("seconds")
    figure.savefig(picture)
    print(f"plot      {picture}")


def main() -> None:
    """Record, follow, plot."""
    if sys.argv[1:2] == ["--follow"]:
        follow(Path(sys.argv[2]))
        return
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    path = directory / "machine.log"
    count = record(path, seconds)
    print(f"recorded  {count} ticks in {path}: {path.stat().st_size:,} bytes")
    plot(path, directory / "machine.png")


if __name__ == "__main__":
    main()
