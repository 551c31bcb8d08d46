"""Between opening and close no reader takes the file for a message."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, MessageBuilder, open_message, verify
from support import processes
from support.messages import fill_book
from support.readers import ADDRESS_BOOK, BLOCKS, Kind, Programs, accepting, read
from support.wire import is_unfinished

MIB = 1 << 20

LAYOUTS: dict[str, dict[str, Any]] = {
    "one entry": {"capacity": 1 << 30},
    "two entries": {"capacity": 8 << 30},
    "three entries": {"capacity": 12 << 30},
    "sixteen entries": {},
    "511 entries": {"capacity": 511 << 32},
    "many segments": {"capacity": 64 << 10, "segment_words": 128},
}


class Watch:
    """Copies the file at each moment, and asks every reader about the copy."""

    def __init__(self, path: Path, kind: Kind, programs: Programs) -> None:
        self.path = path
        self.kind = kind
        self.programs = programs
        self.moments = 0

    def look(self) -> None:
        copy = self.path.with_name("copy")
        shutil.copyfile(self.path, copy)
        assert is_unfinished(copy)
        for check in (lambda: open_message(copy, self.kind.schema), lambda: verify(copy)):
            with pytest.raises(InvalidMessage):
                check()
        # It is these bytes that the tool refuses. It goes on behind them, and 1.5 may then
        # spend seconds on what it takes for sizes.
        head = self.path.with_name("head")
        head.write_bytes(copy.read_bytes()[:16])
        assert accepting(copy, self.kind, self.programs, head) == set()
        copy.unlink()
        head.unlink()
        self.moments += 1


@pytest.fixture
def watch(target: Path, programs: Programs) -> Callable[[Kind], Watch]:
    return lambda kind: Watch(target, kind, programs)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("durable", [False, True])
def test_every_moment_of_a_build(
    target: Path, watch: Callable[[Kind], Watch], layout: dict[str, Any], durable: bool
) -> None:
    file = watch(BLOCKS)
    with MessageBuilder(target, durable=durable, **layout) as b:
        file.look()
        message = b.message
        file.look()
        root = message.init_root(BLOCKS.schema)
        file.look()
        root.label = "a label"
        file.look()
        b.flush()
        file.look()
        b.flush(durable=True)
        file.look()
        blocks = root.init("blocks", 20)
        file.look()
        for i in range(0, 20, 4):
            blocks[i].values = list(range(100))
            blocks[i].note = "note"
            file.look()
        b.reserve(32 << 10)
        file.look()
    assert file.moments == 13
    assert not is_unfinished(target)
    assert "stream" in accepting(target, BLOCKS, file.programs)


def test_the_tool_finds_no_message_further_on(target: Path, programs: Programs) -> None:
    """It reads on after what it has refused, but its exit code says that all is not well."""
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        copy = target.with_name("copy")
        copy.write_bytes(target.read_bytes()[: MIB // 4])
    assert accepting(copy, ADDRESS_BOOK, programs) == set()


def test_segments_handed_out_by_hand(target: Path, watch: Callable[[Kind], Watch]) -> None:
    file = watch(BLOCKS)
    with MessageBuilder(target, capacity=8 << 10, segment_words=100) as b:
        for number in range(5):
            view = b.allocate_segment(10)
            file.look()
            view[0] = 0 if number else 4  # a struct of one word of data, after the root
            view[4] = 0 if number else 1
            file.look()
            view.release()


def test_the_temporary_file_of_an_atomic_build(
    target: Path, tmp_path: Path, programs: Programs
) -> None:
    with MessageBuilder(target, atomic=True) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        (temporary,) = tmp_path.iterdir()
        Watch(temporary, ADDRESS_BOOK, programs).look()


def test_after_an_exception_and_after_being_dropped(
    target: Path, watch: Callable[[Kind], Watch]
) -> None:
    file = watch(ADDRESS_BOOK)
    with pytest.raises(KeyError), MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        raise KeyError
    file.look()
    b = MessageBuilder(target)
    fill_book(b.init_root(ADDRESS_BOOK.schema))
    with pytest.warns(ResourceWarning):
        del b
        import gc

        gc.collect()
    file.look()


def test_after_running_out_of_capacity(target: Path, watch: Callable[[Kind], Watch]) -> None:
    file = watch(BLOCKS)
    b = MessageBuilder(target, capacity=4096)
    root = b.init_root(BLOCKS.schema)
    root.label = "fits"
    root.init("blocks", 1000)
    file.look()
    with pytest.raises(OSError):
        b.close()
    file.look()


# ---- SIGKILL -----------------------------------------------------------------------

BUILD = """
    import os, sys
    from mmapbuilder import MessageBuilder
    from support.messages import fill_book
    from support.readers import ADDRESS_BOOK, BLOCKS

    def die():
        os.kill(os.getpid(), 9)

    b = MessageBuilder(sys.argv[1], capacity=1 << 22, segment_words=1 << 14)
    moment = sys.argv[2]
    if moment == "opened":
        die()
    root = b.init_root(BLOCKS.schema)
    if moment == "rooted":
        die()
    blocks = root.init("blocks", 100)
    for i, block in enumerate(blocks):
        block.values = [i] * 1000
        if moment == "half" and i == 50:
            die()
    b.flush()
    if moment == "flushed":
        die()
    b.close()
    if moment == "closed":
        die()
"""


@pytest.mark.parametrize("moment", ["opened", "rooted", "half", "flushed"])
def test_killed_before_close(target: Path, moment: str, watch: Callable[[Kind], Watch]) -> None:
    assert processes.python(BUILD, target, moment).signal == "SIGKILL"
    watch(BLOCKS).look()


def test_killed_after_close(target: Path, programs: Programs) -> None:
    assert processes.python(BUILD, target, "closed").signal == "SIGKILL"
    assert "stream" in accepting(target, BLOCKS, programs)
    with read(target, BLOCKS.schema) as root:
        assert [block.values[999] for block in root.blocks] == list(range(100))


KILLED = """
    import sys
    from mmapbuilder import MessageBuilder
    from support.readers import BLOCKS
    print("ready", flush=True)
    number = 0
    while True:
        number += 1
        path = f"{sys.argv[1]}-{number % 3}"  # over finished ones as well
        with MessageBuilder(path, capacity=1 << 20, segment_words=1 << 10) as b:
            root = b.init_root(BLOCKS.schema, label="label")
            for i, block in enumerate(root.init("blocks", 40)):
                block.values = [i] * 500
            root.last.note = "complete"
"""


@pytest.mark.slow
def test_killed_at_random_moments(target: Path, tmp_path: Path, programs: Programs) -> None:
    unfinished = 0
    for _ in range(12):
        process = processes.start(KILLED, target)
        assert processes.line(process) == "ready\n"
        time.sleep(random.random() * 0.1)
        process.kill()
        assert processes.end(process).signal == "SIGKILL"
        for path in list(tmp_path.iterdir()):
            # Before the mark is written the file is empty, which is no message either.
            if path.stat().st_size == 0 or is_unfinished(path):
                unfinished += 1
                # The tool makes no message of no bytes, and calls that a success.
                tool = {"decode", "convert"} if path.stat().st_size == 0 else set[str]()
                # It fails at the first word, but reads on: what follows may ask for gigabytes.
                head = target.with_name("head")
                head.write_bytes(path.read_bytes()[:8])
                assert accepting(path, BLOCKS, programs, head) <= tool
                head.unlink()
            else:
                with read(path, BLOCKS.schema) as root:
                    assert root.last.note == "complete"
                    assert [block.values[499] for block in root.blocks] == list(range(40))
            path.unlink()
    assert 0 < unfinished <= 12
    assert os.listdir(tmp_path) == []
