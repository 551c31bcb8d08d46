"""The figures as pictures."""

import sys
from pathlib import Path
from typing import Any

from benchmarks.clock import MIB
from benchmarks.measure import Series

GIB = 1 << 30
OURS, OTHERS, LIMIT = "#1b6ca8", "#b8bdc4", "#e0a458"

_NAMES = {
    "builder": "Builder",
    "builder_prefault": "Builder, prefault",
    "builder_write": "Builder.write",
    "builder_columns": "MessageBuilder.fill",
    "builder_writeback": "Builder, writeback",
    "builder_view": "Builder, view",
    "builder_slice": "Builder, slice",
    "builder_durable": "Builder, durable",
    "builder_durable_writeback": "Builder, durable, writeback",
    "mmap_sized": "mmap, sized file",
    "mmap_huge": "mmap, sized, huge pages",
    "numpy_memmap": "numpy.memmap",
    "numpy_open_memmap": "open_memmap",
    "pyarrow_memory_map": "pyarrow memory map",
    "pyarrow_os_file": "pyarrow OSFile",
    "os_write": "os.write",
    "os_write_fsync": "os.write, fsync",
    "memory_tofile": "memory, tofile",
    "memory_save": "memory, np.save",
    "memory_write": "memory, write",
    "new_message_write": "new_message, write",
    "open_write_close": "open, write, close",
}


def _name(way: str) -> str:
    subject, _, rest = way.partition(".")
    if subject == "limits":
        words = rest.partition(":")[2]
        return f"C: {words.split()[0]}"
    if subject in ("rows", "logs"):
        return rest.removeprefix("ours_").replace("_", " ")
    name = _NAMES.get(rest, rest)
    if subject in ("message", "beyond"):
        name = name.replace("Builder", "MessageBuilder", 1) if name.startswith("Builder") else name
    return name


def _color(way: str) -> str:
    if ".ours_" in way:
        return OURS
    if way.startswith("limits."):
        return LIMIT
    return OURS if ".builder" in way else OTHERS


def _bars(axes: Any, series: Series, what: str) -> None:
    """One bar for each way: GB/s, or seconds."""
    ways = list(series.runs)
    values = []
    for way in ways:
        total = series.median(way)
        if total is None:
            values.append(0.0)
        else:
            each = {"GB/s": series.size / total / 1e9, "ns": total / series.size * 1e9}
            values.append(each.get(what, total))
    if what == "ns":
        what, values = "ns for one", [series.median(way, "ns") or 0.0 for way in ways]
        axes.set_xscale("log")
    if what == "seconds" and max(values) < 0.5:
        what, values = "milliseconds", [1000 * value for value in values]
    places = range(len(ways))
    axes.barh(places, values, color=[_color(way) for way in ways], height=0.7)
    axes.set_yticks(places, [_name(way) for way in ways], fontsize=8)
    axes.invert_yaxis()
    for place, way, value in zip(places, ways, values, strict=True):
        killed = series.median(way) is None
        figure = f"{value:.1f}" if what == "milliseconds" else f"{value:.2f}"
        figure = f"{value:,.0f}" if what == "ns for one" else figure
        label = "killed: out of memory" if killed else figure
        axes.text(value, place, f" {label}", va="center", fontsize=7)
    if what == "ns for one":
        axes.set_xlim(min(values) / 2, max(values) * 4)
    else:
        axes.set_xlim(0, max([*values, 1e-9]) * 1.18)
    axes.set_xlabel(what, fontsize=8)
    axes.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _panels(
    plot: Any, results: list[Series], title: str, what: str, directory: Path, name: str
) -> None:
    """A panel for each place, side by side."""
    if not results:
        return
    rows = max(len(series.runs) for series in results)
    figure, all_axes = plot.subplots(
        1,
        len(results),
        figsize=(max(6.5, 4.2 * len(results)), 1.2 + 0.3 * rows),
        squeeze=False,
    )
    for axes, series in zip(all_axes[0], results, strict=True):
        _bars(axes, series, what)
        axes.set_title(series.place if what != "ns" else f"{series.size:,}", fontsize=9)
    better = "longer is better" if what == "GB/s" else "shorter is better"
    figure.suptitle(f"{title} ({better})", fontsize=10)
    figure.tight_layout()
    figure.savefig(directory / f"performance-{name}.png", dpi=110)
    plot.close(figure)


def _threads(plot: Any, results: list[Series], directory: Path) -> None:
    if not results:
        return
    figure, all_axes = plot.subplots(
        1, len(results), figsize=(4.2 * len(results), 3), squeeze=False
    )
    for axes, series in zip(all_axes[0], results, strict=True):
        for kind, color in (("builder", OURS), ("mmap_sized", OTHERS)):
            points = []
            for way in series.runs:
                total = series.median(way)
                if way.startswith(f"threads.{kind}:") and total:
                    points.append((int(way.partition(":")[2]), series.size / total / 1e9))
            points.sort()
            axes.plot(*zip(*points, strict=True), "o-", color=color, label=_NAMES[kind])
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
        axes.set_ylim(0)
        axes.set_xlabel("threads", fontsize=8)
        axes.set_ylabel("GB/s", fontsize=8)
        axes.set_title(series.place, fontsize=9)
        axes.legend(fontsize=8)
    figure.suptitle("1 GiB filled by several threads", fontsize=10)
    figure.tight_layout()
    figure.savefig(directory / "performance-threads.png", dpi=110)
    plot.close(figure)


def draw(results: list[Series], directory: Path) -> None:
    """Draw all charts that the results suffice for."""
    try:
        import matplotlib
    except ImportError:
        print("no charts: matplotlib is not installed", file=sys.stderr)
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot as plot

    directory.mkdir(parents=True, exist_ok=True)

    def of(subject: str, *sizes: int) -> list[Series]:
        return [s for s in results if s.subject == subject and (not sizes or s.size in sizes)]

    for size, shown in ((GIB, "1 GiB"), (64 * MIB, "64 MiB")):
        name = f"fill-{shown.replace(' ', '').lower()}"
        _panels(plot, of("fill", size), f"A new file of {shown}, filled", "GB/s", directory, name)
    title = "The same by C programs that do nothing else, 1 GiB"
    _panels(plot, of("limits", GIB), title, "GB/s", directory, "limits")
    title = "2 GiB filled, in 512 MiB of memory"
    _panels(plot, of("large"), title, "GB/s", directory, "large")
    title = "A NumPy column of 1 GiB, computed and kept"
    _panels(plot, of("column", GIB), title, "GB/s", directory, "column")
    title = "A message of a million structs with two texts each"
    _panels(plot, of("message"), title, "seconds", directory, "message")
    title = "A message of 8 GiB, in 256 MiB of memory"
    _panels(plot, of("beyond"), title, "seconds", directory, "beyond")
    title = "1000 files of 4 KiB"
    _panels(plot, of("small"), title, "seconds", directory, "small")
    title = "1 GiB filled, and on the device"
    _panels(plot, of("durable"), title, "seconds", directory, "durable")
    _threads(plot, of("threads"), directory)
    for subject, title in (
        ("rows flat in", "Flat rows into a message, and into other formats"),
        ("rows nested in", "Nested rows into a message, and into other formats"),
        ("rows out", "Rows out of a message, and out of other formats"),
        ("log in", "Messages into a log"),
        ("log out", "Messages out of a log"),
    ):
        _panels(plot, of(subject), title, "ns", directory, subject.replace(" ", "-"))
    title = "Columns of Arrow into a message and back"
    _panels(plot, of("nested columns"), title, "ns", directory, "nested-columns")
