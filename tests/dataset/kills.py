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


def once(directory: Path) -> list[Any]:
    return [mmapbuilder.dask.to_capnp(frame(), directory, Table, "rows", compute=False)]


def twice(directory: Path) -> list[Any]:
    """Make each task of a shard and the commit two times, as a scheduler may run them."""
    target = Target.at(directory, Table, "rows", "x", None)
    write, commit = dask.delayed(Target.write, pure=False), dask.delayed(Target.commit, pure=False)
    parts = frame().to_delayed()
    one, two = ([write(target, p, n) for n, p in enumerate(parts)] for _ in range(2))
    return [commit(target, one), commit(target, two)]


def kill_one(cluster: LocalCluster, place: Path, after: int) -> None:
    """Kill one worker when so many shards have been begun."""
    end = time.monotonic() + 30
    while len(list(place.glob("part-*"))) < after and time.monotonic() < end:
        time.sleep(0.001)
    # Each worker has a nanny, which starts another when it has died.
    victims = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victims[after % len(victims)], signal.SIGKILL)


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


class Cluster:
    """Two worker processes with their nannies. A nanny whose child dies young gives up."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self.start()

    def start(self) -> None:
        self._stack.close()
        self.cluster = self._stack.enter_context(
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
        )
        self.client = self._stack.enter_context(Client(self.cluster))

    def be_whole(self) -> None:
        """Wait until there are two workers, or start anew."""
        try:
            self.client.wait_for_workers(2, timeout=20)
        except TimeoutError:
            self.start()

    def run(self, tasks: list[Any]) -> None:
        for future in self.client.compute(tasks):
            future.result(timeout=60)

    def close(self) -> None:
        self._stack.close()


def run_and_kill(cluster: Cluster, place: Path, doubled: bool, chance: random.Random) -> bool:
    """Write a dataset while a worker is killed; return whether that has succeeded."""
    cluster.be_whole()
    after = chance.randrange(2 * PARTS if doubled else PARTS)
    killer = threading.Thread(target=kill_one, args=(cluster.cluster, place, after))
    killer.start()
    try:
        cluster.run(twice(place) if doubled else once(place))
    except Exception as error:  # a run may fail, if it leaves no half
        print(f"{place.name}: {type(error).__name__}: {str(error)[:100]}", flush=True)
        return False
    finally:
        killer.join()
    return True


def main() -> None:
    directory, runs = Path(sys.argv[1]), int(sys.argv[2])
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set({"distributed.scheduler.allowed-failures": 10})
    chance = random.Random(7)
    wrong = failed = strays = 0
    cluster = Cluster()
    for number in range(runs):
        place = directory / f"run-{number}"
        succeeded = run_and_kill(cluster, place, number % 2 == 1, chance)
        failed += not succeeded
        problem = check(place, succeeded)
        if problem is not None:
            wrong += 1
            print(f"run {number}: {problem}", flush=True)
        elif succeeded:
            strays += len(mmapbuilder.open_dataset(place).unreferenced())
        if not succeeded:
            cluster.start()
        elif number % 10 == 9:
            print(f"{number + 1} runs, {strays} strays", flush=True)
    cluster.close()
    print(f"runs: {runs}, failed: {failed}, strays: {strays}, wrong: {wrong}")


if __name__ == "__main__":
    main()
