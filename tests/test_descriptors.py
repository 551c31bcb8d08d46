"""File descriptors: one for each builder, and closing works where there are none left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mmapbuilder import Builder, MessageBuilder
from support.processes import python

Make = Callable[..., Builder | MessageBuilder]


@pytest.mark.parametrize("make", [Builder, MessageBuilder])
@pytest.mark.parametrize("atomic", [False, True])
def test_one_for_each_builder(target: Path, make: Make, atomic: bool) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with make(target, atomic=atomic):
        assert len(os.listdir("/proc/self/fd")) == before + 1
    assert len(os.listdir("/proc/self/fd")) == before


NONE_LEFT = """
import errno, os, resource, sys
from mmapbuilder import Builder, MessageBuilder, verify
path, kind, atomic, durable = sys.argv[1], sys.argv[2], sys.argv[3] == "True", sys.argv[4] == "True"
if kind == "builder":
    b = Builder(path, atomic=atomic, durable=durable)
    b.write(b"content")
else:
    b = MessageBuilder(path, atomic=atomic, durable=durable)
    b.allocate_segment(1)[0:8] = bytes(8)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError as e:
    assert e.errno == errno.EMFILE
try:
    b.close()
except OSError as e:
    assert durable and e.errno == errno.EMFILE, repr(e)
else:
    assert not durable
for fd in held:
    os.close(fd)
assert b.closed
directory = os.path.dirname(path)
assert os.listdir(directory) == ([] if atomic and durable else ["target"]), os.listdir(directory)
if not (atomic and durable):
    if kind == "builder":
        with open(path, "rb") as f:
            assert f.read() == b"content"
    else:
        verify(path)
with Builder(path) as again:        # the lock is gone as well
    pass
"""


@pytest.mark.parametrize("kind", ["builder", "message"])
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("durable", [False, True])
def test_none_left_at_close(target: Path, kind: str, atomic: bool, durable: bool) -> None:
    python(NONE_LEFT, target, kind, atomic, durable).ok()


@pytest.mark.parametrize("atomic", [False, True])
def test_closed_behind_our_back(target: Path, tmp_path: Path, atomic: bool) -> None:
    """The number is another file's by then, which nobody may cut, lock or close."""
    python(
        """
import os, sys
from mmapbuilder import Builder
path, other, atomic = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
b = Builder(path, atomic=atomic)
b.write(b"content")
number = b.descriptor
fd = os.open(other, os.O_RDWR | os.O_CREAT)
os.write(fd, b"someone else's")
os.dup2(fd, number)
try:
    b.close()
except OSError:
    pass
else:
    raise AssertionError("nothing was raised")
assert b.closed
assert os.pread(number, 100, 0) == b"someone else's"
""",
        target,
        tmp_path / "other",
        atomic,
    ).ok()
