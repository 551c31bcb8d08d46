"""Kill workers of Dask while they write a dataset: its manifest is complete, or absent.

python tests/dataset/kills.py DIRECTORY RUNS
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import dask
import pandas as pd
from distributed import Client, LocalCluster
from row_schemas import Table

import mmapbuilder
import mmapbuilder.dask
from mmapbuilder.dataset.task import Target

PARTS, ROWS = 12, 200


def part(number: int) -> pd.DataFrame:
    """Make one part of the frame, slowly enough to be interrupted."""
    time.sleep(0.02)
    start = number * ROWS
    return pd.DataFrame({"id": range(start, start + ROWS), "name": f"part {number}"})


def frame() -> Any:
    import dask.dataframe as dd

    return dd.from_map(part, range(PARTS), meta=part(0).iloc[:0])


def write_twice(source: Any, directory: Path) -> None:
    """Run each task of a shard and the commit two times, as a scheduler may."""
    target = Target.at(directory, Table, "rows", "x", None)
    write, commit = dask.delayed(Target.write, pure=False), dask.delayed(Target.commit, pure=False)
    parts = source.to_delayed()
    one, two = ([write(target, p, n) for n, p in enumerate(parts)] for _ in range(2))
    dask.compute(commit(target, one), commit(target, two))


def kill_one(cluster: LocalCluster, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.0, 0.25))
    # Each worker has a nanny, which starts another when it has died.
    victims = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(chance.choice(victims), signal.SIGKILL)


def check(directory: Path, succeeded: bool) -> str | None:
    """Say what is wrong with what a run has left, if anything is."""
    try:
        dataset = mmapbuilder.open_dataset(directory)
    except FileNotFoundError:
        return "the commit succeeded, and there is no manifest" if succeeded else None
    dataset.verify()
    ids = dataset.table(columns=["id"])["id"].to_pylist()
    if ids != list(range(PARTS * ROWS)):
        return f"the manifest is there, with {len(ids)} rows"
    known = {shard.name for shard in dataset.shards} | {"_manifest.json"}
    if set(os.listdir(directory)) - known != set(dataset.unreferenced()):
        return "strays are not listed"
    return None


def main() -> None:
    directory, runs = Path(sys.argv[1]), int(sys.argv[2])
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set({"distributed.scheduler.allowed-failures": 10})
    chance = random.Random(7)
    wrong = failed = strays = 0
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster):
            for number in range(runs):
                place = directory / f"run-{number}"
                killer = threading.Thread(target=kill_one, args=(cluster, chance))
                killer.start()
                succeeded = True
                try:
                    if number % 2:
                        write_twice(frame(), place)
                    else:
                        mmapbuilder.dask.to_capnp(frame(), place, Table, "rows")
                except Exception as error:  # a run may fail, if it leaves no half
                    succeeded = False
                    print(f"run {number}: {type(error).__name__}: {str(error)[:100]}")
                killer.join()
                failed += not succeeded
                problem = check(place, succeeded)
                if problem is not None:
                    wrong += 1
                    print(f"run {number}: {problem}")
                elif succeeded:
                    strays += len(mmapbuilder.open_dataset(place).unreferenced())
    print(f"runs: {runs}, failed: {failed}, strays: {strays}, wrong: {wrong}")


if __name__ == "__main__":
    main()
