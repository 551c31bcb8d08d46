"""Messages that ran out of disk or capacity: what is recovered is what was stored."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

import numpy as np

from mmapbuilder import CapacityError, InvalidMessage, MessageBuilder, open_message, recover, verify
from support import processes
from support.mounts import SMALLEST, no_room
from support.readers import BLOCKS, KINDS

MIB = 1 << 20
KINDS_OF_DISK = ["tmpfs", "ext4", "xfs"]
Mount = Callable[..., Path]

# Reads every page of the recovered file through a mapping, where a hole that finds no block
# would end the process.
READ = """
    import mmap, sys
    import numpy as np
    from mmapbuilder import open_message
    from support.readers import KINDS
    with open_message(sys.argv[1], KINDS.schema) as m:
        values = m.array("float64s")
        assert (values == np.arange(1, len(values) + 1)).all()
        assert m.root.text == "before"
        print(len(values))
"""


def rest_of(report: object, length: int) -> tuple[int, int]:
    return getattr(report, "lost"), length + getattr(report, "lost_values")  # noqa: B009


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS_OF_DISK)
def test_a_list_filled_until_the_disk_was_full(mount: Mount, kind: str) -> None:
    path = mount(kind, 12 * MIB) / "message"
    count = (60 if kind == "xfs" else 4) * MIB
    b = MessageBuilder(path)
    root = b.init_root(KINDS.schema, text="before")
    root.init("float64s", count)
    b.array("float64s")[:] = np.arange(1, count + 1)
    with no_room():
        b.close()
    del root, b
    report = recover(path)
    assert report.unfinished
    assert report.size == path.stat().st_size
    kept = int(processes.python(READ, path, timeout=120).ok().out)
    assert rest_of(report, kept) == (1, count)
    assert kept > MIB // 2
    assert verify(path).lost == 0


@pytest.mark.root
def test_a_full_btrfs_gives_nothing_back_as_what_it_was_not(mount: Mount) -> None:
    """There the record of the loss may find no room either: the file is shortened or refused."""
    path = mount("btrfs", 120 * MIB) / "message"
    count = 40 * MIB
    b = MessageBuilder(path)
    root = b.init_root(KINDS.schema, text="before")
    root.init("float64s", count)
    b.array("float64s")[:] = np.arange(1, count + 1)
    with no_room():
        b.close()
    del root, b
    try:
        report = recover(path)
    except (InvalidMessage, OSError):
        return  # there may be no room for what recover writes, either
    kept = int(processes.python(READ, path, timeout=120).ok().out)
    assert rest_of(report, kept) == (1, count)


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_texts_until_the_disk_was_full(mount: Mount, kind: str) -> None:
    path = mount(kind, 12 * MIB) / "message"
    b = MessageBuilder(path)
    root = b.init_root(KINDS.schema)
    texts = root.init("texts", 30_000)
    for i in range(30_000):
        texts[i] = f"{i:08}" * 100
    with no_room():
        b.close()
    del root, texts, b
    report = recover(path)
    with open_message(path, KINDS.schema) as m:
        found = m.column("texts")
        kept = sum(1 for text in found if text)
        assert [text for text in found if text] == [f"{i:08}" * 100 for i in range(kept)]
    assert 5_000 < kept < 30_000
    assert report.lost == 30_000 - kept


@pytest.mark.root
@pytest.mark.parametrize("kind", ["tmpfs", "ext4", "xfs", "btrfs"])
def test_killed_after_the_disk_was_full(mount: Mount, kind: str) -> None:
    """The file itself tells what is lost: nobody had a chance to close it."""
    size = max(SMALLEST[kind], 12 * MIB)
    path = mount(kind, size) / "message"
    count = max(4 * MIB, size // 4)  # 8 bytes each: twice as much as there is room for
    other = path.with_name("other")
    if kind == "btrfs":  # which wants new blocks even for what makes the message complete
        other.write_bytes(b"x" * (2 * MIB))
    code = """
        import os, sys
        import numpy as np
        from mmapbuilder import MessageBuilder
        from support.readers import KINDS
        count = int(sys.argv[2])
        b = MessageBuilder(sys.argv[1])
        root = b.init_root(KINDS.schema, text="before")
        root.init("float64s", count)
        b.array("float64s")[:] = np.arange(1, count + 1)
        os.kill(os.getpid(), 9)
    """
    assert processes.python(code, path, count, timeout=120).signal == "SIGKILL"
    other.unlink(missing_ok=True)
    os.sync()
    report = recover(path)
    kept = int(processes.python(READ, path, timeout=120).ok().out)
    assert rest_of(report, kept) == (1, count)
    assert kept > MIB // 2


@pytest.mark.parametrize("segment_words", [2**29 - 1, 1 << 12])
def test_a_capacity_that_was_used_up(target: Path, segment_words: int) -> None:
    b = MessageBuilder(target, capacity=MIB, segment_words=segment_words)
    root = b.init_root(BLOCKS.schema, label="label")
    blocks = root.init("blocks", 400)
    for i, block in enumerate(blocks):
        block.index = i
        block.note = f"note {i}"
        block.values = list(range(i, i + 1000))
    with pytest.raises(CapacityError):
        b.close()
    del root, blocks, block, b
    report = recover(target)
    with open_message(target, BLOCKS.schema) as m:
        assert m.root.label == "label"
        found = [(block.index, block.note, list(block.values)) for block in m.root.blocks]
    assert [index for index, _, _ in found] == list(range(400))
    notes = [note for _, note, _ in found if note]
    values = [values for _, _, values in found if values]
    assert notes == [f"note {i}" for i in range(len(notes))]
    assert values == [list(range(i, i + 1000)) for i in range(len(values))]
    assert 50 < len(values) < 400
    assert report.lost == 800 - len(notes) - len(values)


@pytest.mark.root
def test_what_was_stored_below_the_loss_afterwards_is_kept(mount: Mount) -> None:
    path = mount("tmpfs", 12 * MIB) / "message"
    b = MessageBuilder(path)
    root = b.init_root(KINDS.schema)
    root.init("float64s", 4 * MIB)
    b.array("float64s")[:] = 1.0
    root.int64 = 7  # the disk is full by now, but this place has its block
    with no_room():
        b.close()
    del root, b
    assert recover(path).lost == 1
    with open_message(path, KINDS.schema) as m:
        assert m.root.int64 == 7
