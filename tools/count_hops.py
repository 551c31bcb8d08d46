"""Count the hops of one growth fault, one `fill` and one `close`: docs/internals/walks.md.

    python tools/count_hops.py            # of this tree
    python tools/count_hops.py TREE       # of another checkout
    python tools/count_hops.py --show     # and list each function that is entered

The extension is compiled without optimisation, so that each function notes when it is entered
and left. A *hop* is one such note: a change of file is where one note is of another file than
the note before it. System calls are counted by strace. Needs gcc, addr2line and strace, and an
environment with NumPy and pycapnp.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

RECORDER = """
#include <stdatomic.h>
#include <stdint.h>
#define QUIET __attribute__((no_instrument_function))
#define SHOWN __attribute__((visibility("default")))
enum { MOST = 1 << 20 };
SHOWN _Atomic int hops_on;
SHOWN _Atomic unsigned hops_count;
SHOWN uintptr_t hops[MOST];
QUIET static void note(void *function, int entered)
{
    if (hops_on) {
        unsigned i = atomic_fetch_add(&hops_count, 1);
        if (i < MOST) {
            hops[i] = (uintptr_t)function << 1 | (uintptr_t)entered;
        }
    }
}
QUIET SHOWN void __cyg_profile_func_enter(void *function, void *site)
{
    (void)site;
    note(function, 1);
}
QUIET SHOWN void __cyg_profile_func_exit(void *function, void *site)
{
    (void)site;
    note(function, 0);
}
"""

# Each walk is done once before it is counted, so that what is imported or installed once does
# not count.
WALKER = """
import ctypes, gc, json, os, sys, tempfile
import capnp, numpy
import mmapbuilder
from mmapbuilder import Builder, MessageBuilder, _core

PACKAGE = os.path.dirname(mmapbuilder.__file__)
counts, walks = "hops_on" in os.environ, {}
if counts:
    library = ctypes.CDLL(_core.__file__)
    on, count = (ctypes.c_int.in_dll(library, n) for n in ("hops_on", "hops_count"))
    hops = (ctypes.c_size_t * (1 << 20)).in_dll(library, "hops")

def walk(name, act):
    if not counts:
        os.path.exists("/walk/" + name)
        act()
        os.path.exists("/walk/")
        return
    python = []
    def look(frame, event, _):
        code = frame.f_code
        if code.co_filename.startswith(PACKAGE) and event in ("call", "return"):
            file = code.co_filename.removeprefix(PACKAGE + "/")
            python.append((count.value, event == "call", code.co_name, file))
    count.value = 0
    sys.setprofile(look)
    on.value = 1
    act()
    on.value = 0
    sys.setprofile(None)
    walks[name] = {"c": list(hops[: count.value]), "python": python}

folder = tempfile.mkdtemp(dir=sys.argv[1])
schema = folder + "/rows.capnp"
with open(schema, "w") as out:
    out.write("@0xb8b3c2b4a4f0f6a1; struct Row { id @0 :Int64; ok @1 :Float64; }"
              "struct Book { rows @0 :List(Row); }")
Book = capnp.load(schema).Book

def skip(name, act):
    act()

def grow(walk):
    with Builder(folder + "/grown") as b:
        memory = memoryview(b)
        memory[3 << 20] = 1  # the first growths, which are not like the others
        memory[5 << 20] = 1
        beyond = b.stats.backed + 1
        walk("growth fault", lambda: memory.__setitem__(beyond, 1))
        memory.release()

ids = numpy.arange(1000)
def build(walk):
    b = MessageBuilder(folder + "/message")
    b.init_root(Book)
    walk("fill", lambda: b.fill("rows", id=ids, ok=ids / 2))
    walk("close", b.close)

gc.disable()  # when it comes, it goes through all objects that there are
for each in grow, build:
    each(skip)
    each(walk)
if counts:
    with open("/proc/self/maps") as maps:
        start = next(int(l.split("-")[0], 16) for l in maps if l.rstrip().endswith(_core.__file__))
    print(json.dumps({"start": start, "walks": walks}))
"""


class Hop(NamedTuple):
    """One entry into a function, or the return from it."""

    entered: bool
    name: str
    file: str


def compile_recording(sources: Sequence[Path], out: Path, *flags: str) -> None:
    """Compile C sources so that each function notes when it is entered and left."""
    recorder = out.with_name("recorder.c")
    recorder.write_text(RECORDER)
    subprocess.run(
        [
            *("gcc", "-std=c11", "-D_DEFAULT_SOURCE", "-D_FILE_OFFSET_BITS=64", "-pthread"),
            *("-g", "-O0", "-finstrument-functions", *flags, "-o", str(out)),
            *map(str, [*sources, recorder]),
        ],
        check=True,
    )


def names_of(binary: Path, addresses: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Return the function, and the file below csrc, that each address belongs to."""
    told = subprocess.run(
        ["addr2line", "-f", "-e", str(binary), *(hex(address) for address in addresses)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    files = (place.rpartition(":")[0].rpartition("csrc/")[2] for place in told[1::2])
    return dict(zip(addresses, zip(told[::2], files, strict=True), strict=True))


def record(tree: Path, work: Path) -> dict[str, list[Hop]]:
    """Build the package of a tree in `work`, and return the hops of each walk."""
    sources = sorted(path for path in tree.glob("csrc/*/*.c") if path.parent.name != "tests")
    folders = {tree / "csrc", *(path.parent for path in sources)}
    package = work / "mmapbuilder"
    subprocess.run(["cp", "-r", str(tree / "src" / "mmapbuilder"), str(package)], check=True)
    for old in package.glob("_core*.so"):
        old.unlink()
    library = package / "_core.abi3.so"
    include = ["-I" + sysconfig.get_paths()["include"], *(f"-I{folder}" for folder in folders)]
    # Without -Bsymbolic libc's functions of these names, which do nothing, would be called.
    shared = ("-fPIC", "-shared", "-Wl,-Bsymbolic", "-DPy_LIMITED_API=0x030B0000")
    compile_recording(sources, library, *shared, *include)
    (work / "walker.py").write_text(WALKER)
    environment = os.environ | {"PYTHONPATH": str(work), "hops_on": "1"}
    out = subprocess.run(
        [sys.executable, str(work / "walker.py"), str(work)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    told = json.loads(out)
    seen = {hop >> 1 for walk in told["walks"].values() for hop in walk["c"]}
    names = names_of(library, [address - told["start"] for address in sorted(seen)])
    walks = {}
    for name, walk in told["walks"].items():
        hops = [Hop(bool(hop & 1), *names[(hop >> 1) - told["start"]]) for hop in walk["c"]]
        for place, entered, function, file in reversed(walk["python"]):
            hops.insert(place, Hop(entered, function, file))
        walks[name] = hops
    return walks


def system_calls(work: Path) -> dict[str, int]:
    """Count the system calls of each walk."""
    log = work / "strace"
    environment = {k: v for k, v in os.environ.items() if k != "hops_on"}
    subprocess.run(
        ["strace", "-f", "-qq", "-o", log, sys.executable, work / "walker.py", work],
        check=True,
        env=environment | {"PYTHONPATH": str(work)},
    )
    counts: dict[str, int] = {}
    name = ""
    for line in log.read_text().splitlines():
        if '"/walk/' in line:
            name = line.split('"/walk/')[1].split('"')[0]
            counts.setdefault(name, 0)
        elif line.split(None, 1)[1][0].isalpha():
            counts[name] = counts.get(name, 0) + 1
    return counts


def files_of(hops: Sequence[Hop]) -> list[str]:
    """Return the files in the order in which they are entered first."""
    return list(dict.fromkeys(hop.file for hop in hops))


def changes_of(hops: Sequence[Hop]) -> int:
    """Count how often a hop is in another file than the one before it."""
    return sum(one.file != other.file for one, other in pairwise(hops))


def show(hops: Sequence[Hop]) -> None:
    """Print each function that is entered, below the one that calls it."""
    depth = 0
    for hop in hops:
        if hop.entered:
            print(f"    {'  ' * depth}{hop.name}  ({hop.file})")
        depth += 1 if hop.entered else -1


def main() -> int:
    """Count, and print one line for each walk."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tree", nargs="?", type=Path, default=ROOT)
    parser.add_argument("--show", action="store_true", help="list the functions that are entered")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        walks = record(arguments.tree.resolve(), Path(folder))
        calls = system_calls(Path(folder))
    for name, hops in walks.items():
        entered = sum(hop.entered for hop in hops)
        files = files_of(hops)
        print(
            f"{name}: {entered} functions entered, {len(files)} files, "
            f"{changes_of(hops)} changes of file, {calls[name]} system calls"
        )
        print("   ", ", ".join(files))
        if arguments.show:
            show(hops)
    return 0


if __name__ == "__main__":
    sys.exit(main())
