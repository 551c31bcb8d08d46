"""Run the benchmarks: a table, the figures as JSON, and charts.

python -m benchmarks                       everything; takes most of an hour
python -m benchmarks --quick               everything once, at a quarter of the sizes
python -m benchmarks fill small            these subjects only
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import charts, machine, report
from benchmarks.measure import ROOT, Series, peak_private, run_series
from benchmarks.places import PLACES, Cgroup, places
from benchmarks.subjects import SUBJECTS, Subject
from benchmarks.targets import judge

GIB = 1 << 30


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("subjects", nargs="*", help=f"of {', '.join(names)}")
    parser.add_argument("--directory", default="/var/tmp", help="where the files are made")
    parser.add_argument("--places", default=",".join(PLACES), help="file systems")
    parser.add_argument("--output", default=str(ROOT / "benchmarks" / "out"))
    parser.add_argument("--charts", default=None, help="where the charts go; as --output")
    parser.add_argument("--rounds", type=int, default=0, help="instead of each subject's own")
    parser.add_argument("--quick", action="store_true", help="one round of smaller sizes")
    parser.add_argument("--add", action="store_true", help="to the results that are there")
    parser.add_argument("--draw", action="store_true", help="measure nothing, only report again")
    arguments = parser.parse_args()
    unknown = set(arguments.subjects) - set(names)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    return arguments


def _build_limits(directory: Path) -> None:
    """Compile the C programs; those that use maps are given the floors that maps stand on."""
    csrc = ROOT / "csrc"
    maps = sorted(
        str(path) for floor in ("os", "file", "map") for path in (csrc / floor).glob("*.c")
    )
    folders = [f"-I{csrc}", f"-I{csrc / 'file'}", f"-I{csrc / 'map'}"]
    for source in sorted((ROOT / "benchmarks" / "limits").glob("*.c")):
        sources = [str(source), *(maps if "mmb_map.h" in source.read_text() else [])]
        command = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-pthread"]
        command += [*folders, *sources, "-o", str(directory / source.stem)]
        subprocess.run(command, check=True)


def _run(subject: Subject, kind: str, path: str, limits: Path, rounds: int) -> list[Series]:
    cgroup = None
    if subject.cgroup:
        try:
            cgroup = Cgroup(subject.cgroup)
        except OSError as error:
            print(f"{subject.name}: no limit on memory: {error}", file=sys.stderr)
            return []
    results = []
    try:
        for size in subject.sizes:
            print(f"{subject.name} {size} on {kind} ", end="", file=sys.stderr, flush=True)
            results.append(
                run_series(
                    subject.name,
                    kind,
                    path,
                    size,
                    subject.ways,
                    rounds or subject.rounds,
                    limits=limits,
                    warm=subject.warm(size),
                    cgroup=cgroup,
                    keep=subject.keep,
                )
            )
    finally:
        if cgroup is not None:
            cgroup.remove()
    return results


def _quick(subject: Subject) -> Subject:
    return dataclasses.replace(
        subject,
        rounds=1,
        sizes=tuple(size // 4 if size > 1000 else size for size in subject.sizes),
        cgroup=subject.cgroup // 2,
    )


def _place(series: Series) -> tuple[int, int, int]:
    """Where a series has its place, whenever it was measured."""
    names = [subject.name for subject in SUBJECTS]
    return names.index(series.subject), PLACES.index(series.place), series.size


def _measure(
    arguments: argparse.Namespace,
    chosen: list[Subject],
    results: list[Series],
    memory: dict[str, int],
    known: Path,
) -> dict[str, object]:
    """Run all that was chosen, writing down what is there after each part."""
    base = Path(tempfile.mkdtemp(prefix="mmapbuilder-bench-", dir=arguments.directory))
    wanted = arguments.places.split(",")
    with (
        places(base, wanted, 24 * GIB) as found,
        tempfile.TemporaryDirectory() as limits,
    ):
        _build_limits(Path(limits))
        about = machine.describe(ROOT, found)
        if arguments.add and known.exists():
            report.add_places(about, report.machine_of(known))
        for subject in chosen:
            for kind in subject.places:
                if kind in found:
                    more = _run(subject, kind, found[kind], Path(limits), arguments.rounds)
                    results.extend(more)
                    results.sort(key=_place)
                    report.write(known, about, results, memory, judge(results, memory))
            if found:
                first = next(iter(found.values()))
                for way in subject.memory:
                    path = os.path.join(first, "memory")
                    memory[way] = peak_private(way, path, subject.sizes[-1])
    return about


def main() -> None:
    arguments = _arguments()
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    chosen = [s for s in SUBJECTS if not arguments.subjects or s.name in arguments.subjects]
    if arguments.quick:
        chosen = [_quick(subject) for subject in chosen]
    results: list[Series] = []
    memory: dict[str, int] = {}
    known = output / "results.json"
    if arguments.add and known.exists():
        again = {subject.name for subject in chosen}
        results, memory = report.read(known, again, set(arguments.places.split(",")))
    about: dict[str, object] = {}
    if arguments.draw:
        results, memory = report.read(known, set(), set())
        results.sort(key=_place)
        about = report.machine_of(known)
    else:
        about = _measure(arguments, chosen, results, memory, known)
    targets = judge(results, memory)
    report.write(known, about, results, memory, targets)
    table = report.table(results, memory, targets)
    (output / "table.txt").write_text(table)
    print(table)
    charts.draw(results, Path(arguments.charts or output))


if __name__ == "__main__":
    main()
