"""What is too large for every run of the tests: `make test-engines` runs it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# The schema and the rows are those of the other tests of datasets.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "dataset"))

collect_ignore_glob = [] if os.environ.get("MMAPBUILDER_ENGINES") == "1" else ["test_*.py"]
