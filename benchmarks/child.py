"""One run of one way, in a process of its own: prints its numbers as JSON.

python -m benchmarks.child SUBJECT.WAY[:ARGUMENT] PATH SIZE WARM_BYTES
"""

import importlib
import json
import resource
import sys

from benchmarks.clock import private_memory, warm_up


def main() -> None:
    way, path, size, warm = sys.argv[1:5]
    subject, _, name = way.partition(".")
    name, _, argument = name.partition(":")
    function = getattr(importlib.import_module(f"benchmarks.ways.{subject}"), name)
    if int(warm):
        warm_up(int(warm))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    base = private_memory()
    print(json.dumps({"private": base}), flush=True)
    numbers = function(path, int(size), *([int(argument)] if argument else []))
    numbers["page_faults"] = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(json.dumps(numbers), flush=True)


main()
