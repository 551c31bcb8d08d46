"""What a dataset costs: a worker's speed, and a manifest of a hundred thousand shards.

python -m benchmarks.dataset                what docs/internals/thousand-machines.md says
python -m benchmarks.dataset --shards 1000  a small one

The files of the simulation are sparse: a commit does not look into them.
"""

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MIB = 1 << 20


class Spent(NamedTuple):
    """Seconds: by the clock, and of one processor."""

    clock: float
    processor: float


def timed(work: Callable[[], Any], rounds: int) -> tuple[Spent, Any]:
    """Return the medians of the seconds that something takes, and what it returned."""
    clocks, processors, found = [], [], None
    for _ in range(rounds):
        clock, processor = time.perf_counter(), time.process_time()
        found = work()
        clocks.append(time.perf_counter() - clock)
        processors.append(time.process_time() - processor)
    middle = rounds // 2
    return Spent(sorted(clocks)[middle], sorted(processors)[middle]), found


def say(what: str, value: "float | Spent", unit: str) -> None:
    """Print a figure; of time, what the clock said, and in brackets what a processor took."""
    clock, processor = value if isinstance(value, Spent) else (value, None)
    more = "" if processor is None else f"  ({processor:.3f} {unit} of a processor)"
    print(f"{what:52} {clock:10.3f} {unit}{more}", flush=True)


def measure_worker(directory: str, schema: Any, rounds: int) -> None:
    """Write shards of numbers and strings, and say what share of the time the digest takes."""
    import pyarrow as pa

    from mmapbuilder import write_shard
    from mmapbuilder.dataset import building

    rows = 2_000_000
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.uint32()),
            "name": pa.array([f"row number {i}" for i in range(rows)]),
        }
    )
    seconds, shard = timed(lambda: write_shard(directory, table, schema, "rows", index=0), rounds)
    file = os.path.join(directory, shard.name)

    def digest() -> str:
        with open(file, "rb") as opened:
            return building.digest_of(opened)

    digesting, _ = timed(digest, rounds)
    say("a shard of 2,000,000 rows", shard.bytes / MIB, "MiB")
    size = shard.bytes / MIB
    say("write_shard, with the digest and the sync", _speed(size, seconds), "MiB/s")
    say("the digest alone (SHA-256)", _speed(size, digesting), "MiB/s")


def _speed(size: float, spent: Spent) -> Spent:
    return Spent(size / spent.clock, size / spent.processor)


def simulate(directory: str, schema: Any, shards: int, retries: int) -> None:
    """Commit, read and commit again a dataset of very many shards."""
    import uuid

    from mmapbuilder import Shard, open_dataset
    from mmapbuilder.dataset import manifest as manifests
    from mmapbuilder.dataset.commit import commit_once
    from mmapbuilder.dataset.compiled import fingerprint

    mark = fingerprint(schema)
    digest = "sha256:" + "0" * 64
    made = []
    for i in range(shards):
        name = f"part-{i:05d}-{uuid.uuid4()}.bin"
        with open(os.path.join(directory, name), "wb") as file:
            os.truncate(file.fileno(), 64 * MIB)
        made.append(Shard(name, i, 1_000_000, 64 * MIB, digest, ("rows",), mark))
    how: dict[str, Any] = {"schema": schema, "mode": "x", "storage_options": None, "job": "one"}
    seconds, _ = timed(lambda: commit_once(directory, made, **how), 1)
    path = os.path.join(directory, manifests.NAME)
    say(f"commit of {shards:,} shards", seconds, "s")
    say("of it the list of the directory", timed(lambda: _sizes(directory), 3)[0], "s")
    say("its manifest", os.path.getsize(path) / MIB, "MiB")
    seconds, dataset = timed(lambda: open_dataset(directory), 3)
    assert len(dataset.shards) == shards
    say("open_dataset", seconds, "s")
    _, content = timed(lambda: Path(path).read_bytes(), 1)
    say("of it the reading of JSON", timed(lambda: manifests.decode(content, path), 3)[0], "s")
    encoding, _ = timed(lambda: manifests.encode(dataset._manifest), 3)
    say("the encoding of the manifest", encoding, "s")
    how["job"] = "another"

    def be_refused() -> None:
        for _ in range(retries):
            try:
                commit_once(directory, made, **how)
            except FileExistsError:
                continue
            raise AssertionError("two commits have won")

    refused, _ = timed(be_refused, 1)
    say(f"{retries:,} commits of others, which are refused", refused, "s")
    say("what they read", retries * len(content) / MIB, "MiB")
    how["job"] = "one"
    repeated, _ = timed(lambda: commit_once(directory, made, **how), 10)
    say("the same commit once more, which finds itself", repeated, "s")
    assert len(open_dataset(directory).unreferenced()) == 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say("the most memory of this process", peak, "MiB")


def _sizes(directory: str) -> int:
    from mmapbuilder.dataset.store import store_of

    return len(store_of(directory, None).sizes())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dataset", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--retries", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--directory", default=None, help="where the files are made")
    arguments = parser.parse_args()
    import capnp

    schema = capnp.load(str(Path(__file__).parent / "dataset.capnp")).Table
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        # In a process of its own, so that its memory is not counted below.
        worker = multiprocessing.get_context("fork").Process(
            target=measure_worker, args=(directory, schema, arguments.rounds)
        )
        worker.start()
        worker.join()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        simulate(directory, schema, arguments.shards, arguments.retries)


if __name__ == "__main__":
    sys.exit(main())
