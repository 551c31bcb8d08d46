"""A *dataset*: a directory of shards, which many processes write, and one manifest.

Nothing here needs an engine. `write_shard` runs wherever there is data; one `commit`
makes a dataset of the shards; `open_dataset` reads what was committed, and nothing else.
"""

from .commit import commit
from .dataset import Dataset, open_dataset
from .shard import Shard
from .write import write_shard

__all__ = ["Dataset", "Shard", "commit", "open_dataset", "write_shard"]
