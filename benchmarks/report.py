"""Results as JSON and as a table."""

import json
from pathlib import Path

from benchmarks.clock import MIB
from benchmarks.measure import Series
from benchmarks.subjects import SUBJECTS
from benchmarks.targets import Target

_BYTES = {"fill", "limits", "large", "column", "beyond", "threads", "durable"}
_SECONDS = {"stored", "closing", "closed", "processor", "opened", "alone", "middle", "last"}
_SECONDS |= {"asked", "bare", "package"}


def write(
    path: Path,
    about: dict[str, object],
    results: list[Series],
    memory: dict[str, int],
    targets: list[Target],
) -> None:
    """Write everything that was measured."""
    content = {
        "machine": about,
        "targets": [
            {
                "what": target.what,
                "place": target.place,
                "wanted": ("at least " if target.at_least else "at most ") + f"{target.wanted:g}",
                "figure": None if target.figure is None else round(target.figure, 3),
                "reached": target.reached,
                "of processor times": target.processor and round(target.processor, 3),
            }
            for target in targets
        ],
        "peak private memory": memory,
        "series": [series.as_json() for series in results],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path, subjects: set[str], places: set[str]) -> tuple[list[Series], dict[str, int]]:
    """Read back what `write` wrote, but not what is to be measured again."""
    content = json.loads(path.read_text())
    results = [
        Series(s["subject"], s["place"], s["size"], s["rounds"], s["runs"], tuple(s["load"]))
        for s in content["series"]
        if s["subject"] not in subjects or s["place"] not in places
    ]
    return results, content["peak private memory"]


def machine_of(path: Path) -> dict[str, object]:
    """What `write` wrote about the machine."""
    return dict(json.loads(path.read_text())["machine"])


def add_places(about: dict[str, object], earlier: dict[str, object]) -> None:
    """Keep the file systems that earlier runs were made on."""
    old, new = earlier.get("file systems"), about["file systems"]
    if isinstance(old, dict) and isinstance(new, dict):
        about["file systems"] = old | new


def _number(name: str, value: float) -> str:
    if name in ("ns", "processor_ns"):
        return f"{value:,.0f} {name.replace('_', ' ')}"
    if name not in _SECONDS:
        return f"{name} {value:,.0f}"
    if value >= 0.1:
        return f"{name} {value:.3f} s"
    return f"{name} {value * 1e6:,.0f} us" if value < 1e-3 else f"{name} {value * 1e3:.2f} ms"


def _size(series: Series) -> str:
    size = series.size
    if size < MIB:
        return f"{size:,}"
    return f"{size >> 30} GiB" if size % (1 << 30) == 0 else f"{size / MIB:,.0f} MiB"


def _line(series: Series, way: str) -> str:
    shown = (
        way.partition(".")[2].replace(" {path}", "").replace(" {size}", "").replace("{path}", "")
    )
    runs = series.runs[way]
    if any(run is None for run in runs):
        return f"  {shown:<28} killed"
    numbers = []
    for name in runs[0] or {}:
        value = series.median(way, name)
        if value is not None:
            numbers.append(_number(name, value))
    speed = ""
    total = series.median(way, "closed") if runs[0] and "closed" in runs[0] else None
    if total and series.subject in _BYTES:
        speed = f"{series.size / total / 1e9:6.2f} GB/s"
    return f"  {shown:<28} {speed:<12} {', '.join(numbers)}"


def table(results: list[Series], memory: dict[str, int], targets: list[Target]) -> str:
    """Everything, for reading."""
    about = {subject.name: subject.about for subject in SUBJECTS}
    lines = []
    told = ""
    for series in results:
        if series.subject != told:
            told = series.subject
            lines += [f"{told}: {about[told]}" if told in about else told, ""]
        load = f"load {series.load[0]:.1f} to {series.load[1]:.1f}"
        what = f"{series.subject}: {_size(series)} on {series.place}"
        lines.append(f"{what}, medians of {series.rounds}, {load}")
        lines += [_line(series, way) for way in series.runs]
        lines.append("")
    if memory:
        lines.append("peak private memory over the interpreter's")
        lines += [f"  {way:<28} {size / MIB:,.1f} MiB" for way, size in memory.items()]
        lines.append("")
    lines.append("targets")
    for target in targets:
        figure = "not measured" if target.figure is None else f"{target.figure:.2f} {target.unit}"
        verdict = {True: "reached", False: "MISSED", None: ""}[target.reached]
        bound = f"{'>=' if target.at_least else '<='} {target.wanted:<5g}"
        aside = f"processor {target.processor:.2f}" if target.processor else ""
        line = f"  {target.what:<52} {target.place:<6} {bound} {figure:<12} {verdict:<8} {aside}"
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"
