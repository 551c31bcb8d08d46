"""Pack Python's standard library into one Cap'n Proto message, and read it back.

    python examples/pack_stdlib.py [FILE]

Every file of the library goes in with its path, mode, size, time and content. The
message is built in place, in its file. A content goes from the kernel's cache of the
one file to that of the other: no bytes object is made of it, and no buffer collects
the message. So memory stays as it was, however large the message grows.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import resource
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import capnp

from mmapbuilder import MessageBuilder, open_message

Item = TypeVar("Item")

schema = capnp.load(os.path.join(os.path.dirname(os.path.abspath(__file__)), "stdlib.capnp"))


def library_files(root: str) -> list[str]:
    """List the paths of all files below `root`, relative to it and sorted.

    What pip installed is no part of the library, and compiled files may be written
    anew at any moment: these stay out.
    """
    found = []
    for directory, names, files in os.walk(root):
        names[:] = [n for n in names if n not in ("site-packages", "dist-packages", "__pycache__")]
        for name in files:
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append(os.path.relpath(path, root))
    return sorted(found)


@contextlib.contextmanager
def mapped(path: str) -> Iterator[tuple[os.stat_result, memoryview]]:
    """Give what `stat` says of a file, and a view of its content where the kernel has it."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_size == 0:  # which mmap refuses
            yield status, memoryview(b"")
            return
        with (
            mmap.mmap(file.fileno(), status.st_size, access=mmap.ACCESS_READ) as content,
            memoryview(content) as view,
        ):
            yield status, view


def fill(entry: Any, root: str, path: str) -> int:
    """Describe one file in `entry`, a builder of schema.Library.File; return its size."""
    with mapped(os.path.join(root, path)) as (status, content):
        entry.path = path.replace(os.sep, "/")
        entry.mode = status.st_mode
        entry.size = status.st_size
        entry.mtime = status.st_mtime_ns
        entry.content = content  # one copy, into the message: the file grows by it
    return status.st_size


def same(entry: Any, root: str) -> bool:
    """Compare what the message says of one file with the file."""
    with mapped(os.path.join(root, entry.path)) as (status, content):
        return (entry.mode, entry.size, entry.mtime, entry.content) == (
            status.st_mode,
            status.st_size,
            status.st_mtime_ns,
            content,
        )


def private_memory() -> int:
    """Bytes of memory that are this process's own now; 0 where the system does not say."""
    with contextlib.suppress(OSError), open("/proc/self/status") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def most_resident() -> int:
    """The most bytes that were ever resident, pages of mapped files included."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def progress(what: str, items: Sequence[Item]) -> Iterable[Item]:
    """Go through `items`, with a line that counts them if someone is watching."""
    if not sys.stderr.isatty():
        return items

    def counted() -> Iterator[Item]:
        for number, item in enumerate(items, 1):
            if number % 64 == 0 or number == len(items):
                print(f"\r{what} {number:,} of {len(items):,}", end="", file=sys.stderr, flush=True)
            yield item
        print("\r\033[K", end="", file=sys.stderr, flush=True)

    return counted()


def mib(size: int) -> str:
    """Say a number of bytes as people do."""
    return f"{size / 2**20:,.1f} MiB"


def pack(target: str, root: str) -> None:
    """Pack the library below `root` into `target`, and say how it went."""
    paths = library_files(root)
    before = peak = private_memory()
    total = 0
    start = time.perf_counter()
    with MessageBuilder(target) as builder:
        library = builder.init_root(schema.Library)
        library.version = platform.python_version()
        library.root = root
        entries = library.init("files", len(paths))
        for number, path in enumerate(progress("packing", paths)):
            total += fill(entries[number], root, path)
            if number % 64 == 0:
                peak = max(peak, private_memory())
        growths = builder.stats.growths
    seconds = time.perf_counter() - start
    peak = max(peak, private_memory())

    print(f"files     {len(paths):,}, {mib(total)} of content")
    print(f"message   {mib(os.path.getsize(target))}, {os.path.getsize(target):,} bytes")
    print(f"growths   {growths}")
    print(f"seconds   {seconds:.2f} to build it, in place")
    print(f"private   {mib(peak)} of memory at the peak, {mib(before)} before the first byte")
    print(f"resident  {mib(most_resident())} at the peak, with the pages of mapped files,")
    print("          which are the kernel's to write back and drop")


def check(source: str, root: str) -> None:
    """Compare every byte of the message in `source` with the files; raise if one differs."""
    start = time.perf_counter()
    with open_message(source, schema.Library) as message:
        entries = message.root.files
        for entry in progress("comparing", entries):
            if not same(entry, root):
                raise SystemExit(f"{entry.path} is not what was packed")
        count = len(entries)
    seconds = time.perf_counter() - start
    print(f"compared  {count:,} files with the message, all equal, in {seconds:.2f} s")


def main() -> None:
    """Pack and check, in the file that the command line names or one deleted afterwards."""
    root = sysconfig.get_path("stdlib")
    print(f"Python {platform.python_version()}, {root}")
    with contextlib.ExitStack() as stack:
        if len(sys.argv) > 1:
            target = sys.argv[1]
        else:
            target = os.path.join(stack.enter_context(tempfile.TemporaryDirectory()), "stdlib.bin")
        pack(target, root)
        check(target, root)


if __name__ == "__main__":
    main()
