"""Runs in processes of their own, interleaved, and their medians."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.clock import private_memory
from benchmarks.places import Cgroup

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 1200


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _command(way: str, path: str, size: int, warm: int, limits: Path) -> list[str]:
    if way.startswith("limits."):
        program, _, rest = way.removeprefix("limits.").partition(":")
        return [
            str(limits / program),
            *(part.format(path=path, size=size) for part in rest.split()),
        ]
    return [sys.executable, "-m", "benchmarks.child", way, path, str(size), str(warm)]


def run_once(
    way: str,
    path: str,
    size: int,
    *,
    warm: int = 0,
    limits: Path,
    cgroup: Cgroup | None = None,
    keep: bool = False,
) -> dict[str, float] | None:
    """Run a way in a process of its own and remove what it left; None if it was killed."""
    _remove(path)
    if warm and way.startswith("limits."):
        warmer = f"from benchmarks.clock import warm_up; warm_up({warm})"
        subprocess.run([sys.executable, "-c", warmer], check=True, cwd=ROOT)
    done = subprocess.run(
        _command(way, path, size, warm, limits),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        preexec_fn=cgroup.join if cgroup else None,
    )
    if not keep:
        _remove(path)
    if done.returncode == -9:
        return None
    if done.returncode != 0:
        raise RuntimeError(f"{way}: {done.stderr.strip()}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def peak_private(way: str, path: str, size: int) -> int:
    """The most private memory of a run, over what the process had at its start."""
    _remove(path)
    child = subprocess.Popen(
        _command(way, path, size, 0, Path()), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    base = json.loads(child.stdout.readline())["private"]
    peak = base
    while child.poll() is None:
        try:
            peak = max(peak, private_memory(child.pid))
        except OSError:
            break
        time.sleep(0.002)
    child.stdout.close()
    child.wait()
    _remove(path)
    return int(peak - base)


@dataclass
class Series:
    """Runs of several ways for one subject, at one place, with one size."""

    subject: str
    place: str
    size: int
    rounds: int
    runs: dict[str, list[dict[str, float] | None]] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)

    def median(self, way: str, number: str = "closed") -> float | None:
        """The median of a number, or None if the way was killed or not run."""
        runs = self.runs.get(way, [])
        if not runs or any(run is None for run in runs):
            return None
        return statistics.median(run[number] for run in runs if run is not None)

    def as_json(self) -> dict[str, object]:
        """What is written down: medians first, then every run."""
        medians: dict[str, object] = {}
        for way, runs in self.runs.items():
            if any(run is None for run in runs):
                medians[way] = "killed"
                continue
            names = runs[0] or {}
            medians[way] = {name: self.median(way, name) for name in names}
        return {
            "subject": self.subject,
            "place": self.place,
            "size": self.size,
            "rounds": self.rounds,
            "load": self.load,
            "medians": medians,
            "runs": self.runs,
        }


def run_series(
    subject: str,
    place: str,
    directory: str,
    size: int,
    ways: Sequence[str],
    rounds: int,
    *,
    limits: Path,
    warm: int = 0,
    cgroup: Cgroup | None = None,
    keep: bool = False,
) -> Series:
    """Run each way once a round, starting each round with another."""
    series = Series(subject, place, size, rounds)
    before = os.getloadavg()[0]
    paths: list[str] = []
    for number in range(rounds):
        for i in range(len(ways)):
            way = ways[(i + number) % len(ways)]
            path = os.path.join(directory, f"{subject}-{number}-{i}")
            paths.append(path)
            run = run_once(way, path, size, warm=warm, limits=limits, cgroup=cgroup, keep=keep)
            series.runs.setdefault(way, []).append(run)
            print(".", end="", file=sys.stderr, flush=True)
    for path in paths:
        _remove(path)
    print(file=sys.stderr)
    series.load = (before, os.getloadavg()[0])
    return series
