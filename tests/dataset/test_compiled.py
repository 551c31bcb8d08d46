"""A compiled schema needs nothing of what pycapnp may have beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from row_schemas import SCHEMA

from support import processes
from support.readers import compiler_request

PROGRAM = """
import sys

import capnp
from mmapbuilder import commit, open_dataset, write_shard

schema, directory, own, place = sys.argv[1:]
if own:
    capnp.load(own, imports=[place])
capnp.__file__ = "/nowhere/capnp/__init__.py"
Table = capnp.load(schema).Table
shard = write_shard(directory, [{"id": 1, "tags": ["a", "b"]}], Table, "rows", index=0)
commit(directory, [shard], schema=Table)
with open_dataset(directory).open(0) as message:
    print(message.root.rows[0].id, *message.root.rows[0].tags)
"""


@pytest.mark.parametrize("loaded", [False, True])
def test_datasets_need_no_file_of_pycapnp(tmp_path: Path, loaded: bool) -> None:
    """It has none where it was built against a library of the system; a program may load one."""
    own = compiler_request().file if loaded else ""
    place = own.parent.parent if own else ""
    ended = processes.python(PROGRAM, SCHEMA, tmp_path / "dataset", own, place).ok()
    assert ended.out == "1 a b\n"
