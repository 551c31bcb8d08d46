"""From a table to a message to a plot: the files of Python's standard library.

    pip install mmapbuilder[capnp,numpy] matplotlib
    python examples/table_to_plot.py [picture.png]

Every source file of the running Python is measured and tokenized. The table that comes
out of it becomes one Cap'n Proto message, in one call; the plot is made from the file,
whose numbers NumPy and matplotlib see in place. Without matplotlib there is no plot, but
the figures are printed.
"""

from __future__ import annotations

import collections
import sys
import sysconfig
import tempfile
import tokenize
from pathlib import Path
from typing import Any

import capnp
import numpy as np

from mmapbuilder import MessageBuilder, open_message

HERE = Path(__file__).resolve().parent
sources_capnp = capnp.load(str(HERE / "sources.capnp"))

COUNTED = {
    tokenize.NAME: "tokens.names",
    tokenize.OP: "tokens.operators",
    tokenize.STRING: "tokens.strings",
    tokenize.NUMBER: "tokens.numbers",
    tokenize.COMMENT: "tokens.comments",
}
LEFT_OUT = {"test", "tests", "site-packages", "idlelib", "lib2to3", "__pycache__"}


def count_tokens(path: Path) -> dict[str, int]:
    """Count the tokens of a source file by their kind."""
    counts: collections.Counter[int] = collections.Counter()
    with path.open("rb") as file:
        counts.update(token.type for token in tokenize.tokenize(file.readline))
    counts[tokenize.STRING] += counts[getattr(tokenize, "FSTRING_START", -1)]
    return {name: counts[kind] for kind, name in COUNTED.items()}


def make_table(directory: Path) -> dict[str, list[Any]]:
    """Make a row for each source file below `directory`: a mapping of columns."""
    table: dict[str, list[Any]] = collections.defaultdict(list)
    for path in sorted(directory.rglob("*.py")):
        inside = path.relative_to(directory)
        if not LEFT_OUT.isdisjoint(inside.parts):
            continue
        try:
            tokens = count_tokens(path)
        except (SyntaxError, tokenize.TokenError):
            continue  # a few files show what is wrong
        status = path.stat()
        executable = bool(status.st_mode & 0o111)
        table["path"].append(str(inside))
        table["package"].append(inside.parts[0] if len(inside.parts) > 1 else None)
        table["kind"].append(
            "package" if path.name == "__init__.py" else "script" if executable else "module"
        )
        table["size"].append(status.st_size)
        table["modified"].append(int(status.st_mtime))
        table["executable"].append(executable)
        for name, count in tokens.items():
            table[name].append(count)
    return table


def write(path: Path, directory: Path) -> None:
    """Write the message. A data frame or an Arrow table would do as well."""
    table = make_table(directory)
    with MessageBuilder(path) as b:
        b.init_root(sources_capnp.Sources, directory=str(directory))
        b.fill("files", table)


def plot(path: Path, picture: Path | None) -> None:
    """Read the message, print what is in it, and draw it."""
    with open_message(path, sources_capnp.Sources) as m:
        files = m.array("files")  # a view: nothing has been read yet
        packages = m.column("files", "package")  # Text has to be decoded
        tokens = {name: files["tokens"][name] for name in files["tokens"].dtype.names}
        total = np.sum([count.astype(np.int64) for count in tokens.values()], axis=0)

        names, where = np.unique(packages.astype(str), return_inverse=True)
        sums = np.bincount(where, total)
        largest = [i for i in np.argsort(sums)[::-1] if names[i]][:12]
        print(f"{len(files):,} files, {files['size'].sum():,} bytes, {total.sum():,} tokens")
        for i in largest[:5]:
            print(f"  {names[i]:<12} {sums[i]:>10,.0f} tokens")

        try:
            import matplotlib

            matplotlib.use("Agg")
            import matplotlib.pyplot as plt
        except ImportError:
            print("no plot: pip install matplotlib")
            return

        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
        kinds = ["module", "package", "script"]
        for number, kind in enumerate(kinds):
            chosen = files["kind"] == number
            left.scatter(
                files["size"][chosen], total[chosen], s=9, alpha=0.6, label=kind, color=f"C{number}"
            )
        left.set(xscale="log", yscale="log", xlabel="size, bytes", ylabel="tokens")
        left.set_title("Every file of the standard library")
        left.legend(frameon=False, markerscale=2)
        left.grid(alpha=0.25)

        start = np.zeros(len(largest))
        for number, (kind, count) in enumerate(tokens.items()):
            width = np.bincount(where, count)[largest] / 1000
            right.barh(names[largest], width, left=start, label=kind, color=f"C{number}")
            start += width
        right.invert_yaxis()
        right.set(xlabel="thousand tokens", title="The largest packages")
        right.legend(frameon=False)
        right.grid(axis="x", alpha=0.25)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        target = picture or Path("sources.png")
        figure.savefig(target, dpi=110)
        print(f"the plot is in {target}")


def main() -> None:
    """Do all of it, with the message in a temporary directory."""
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as directory:
        message = Path(directory) / "sources.bin"
        write(message, Path(sysconfig.get_paths()["stdlib"]))
        print(f"{message.stat().st_size:,} bytes of message")
        plot(message, picture)


if __name__ == "__main__":
    main()
