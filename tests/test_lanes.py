"""Lanes: several processes that fill one message."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

import numpy as np

from mmapbuilder import (
    CapacityError,
    InvalidMessage,
    Lane,
    LaneError,
    MessageBuilder,
    open_message,
    recover,
    verify,
)
from support.mounts import mounted, no_room
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="lanes need Linux")

ROWS = 1000
MIB = 1 << 20


def row(number: int) -> dict[str, Any]:
    """What a block of that number is."""
    return {
        "index": number,
        "values": list(range(number % 5)),
        "note": f"block {number} " * (number % 7),
    }


def fill_blocks(lane: Lane) -> int:
    """Fill a lane of blocks, as a process of its own does."""
    blocks = [row(number) for number in range(lane.start, lane.stop)]
    return lane.fill(
        index=[block["index"] for block in blocks],
        values=[block["values"] for block in blocks],
        note=[block["note"] for block in blocks],
    )


def run(how: str, function: Callable[[Lane], Any], lanes: list[Lane]) -> list[Any]:
    """Call `function` with each lane, in processes that run side by side."""
    with multiprocessing.get_context(how).Pool(len(lanes)) as pool:
        return [each.get(60) for each in [pool.apply_async(function, [lane]) for lane in lanes]]


def begin(b: MessageBuilder, rows: int = ROWS) -> Any:
    return b.init_root(BLOCKS.schema).init("blocks", rows)


# ---- filling --------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["fork", "spawn"])
@pytest.mark.parametrize("atomic", [False, True])
def test_processes_fill_a_list(target: Path, how: str, atomic: bool) -> None:
    with MessageBuilder(target, atomic=atomic) as b:
        begin(b)
        lanes = b.lanes("blocks", n=3)
        assert [(lane.start, lane.stop) for lane in lanes] == [(0, 333), (333, 666), (666, 1000)]
        assert run(how, fill_blocks, lanes) == [333, 333, 334]
    verify(target)
    with open_message(target, BLOCKS.schema) as m:
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]
        assert [block.note for block in m.root.blocks] == [row(i)["note"] for i in range(ROWS)]
    assert target.stat().st_size < 500_000  # the rest of the room was cut off


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_a_message_in_memory(how: str) -> None:
    b = MessageBuilder.in_memory("lanes")
    begin(b)
    run(how, fill_blocks, b.lanes("blocks", n=2))
    fd = b.seal()
    with open_message(fd, BLOCKS.schema, require_seals=True) as m:
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]
    os.close(fd)


def fill_from_arrow(lane: Lane) -> None:
    pa = pytest.importorskip("pyarrow")
    lane.fill(pa.Table.from_pylist([row(number) for number in range(lane.start, lane.stop)]))


def test_from_arrow(target: Path) -> None:
    pytest.importorskip("pyarrow")
    with MessageBuilder(target) as b:
        begin(b)
        run("spawn", fill_from_arrow, b.lanes("blocks", n=2))
    with open_message(target, BLOCKS.schema) as m:
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]


def test_threads_fill_lanes_of_their_own(target: Path) -> None:
    with MessageBuilder(target) as b:
        begin(b)
        threads = [
            threading.Thread(target=fill_blocks, args=[lane]) for lane in b.lanes("blocks", n=4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with open_message(target, BLOCKS.schema) as m:
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]


def fill_numbers(lane: Lane) -> None:
    lane.fill([number % 3 == 0 for number in range(lane.start, lane.stop)])


@pytest.mark.parametrize("field", ["bools", "int16s", "float64s"])
@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_lists_of_numbers(target: Path, field: str, count: int) -> None:
    with MessageBuilder(target) as b:
        b.init_root(KINDS.schema).init(field, count)
        lanes = b.lanes(field, n=3)
        assert sum(map(len, lanes)) == count
        bits = {"bools": 1, "int16s": 16, "float64s": 64}[field]
        assert all(lane.start * bits % 64 == 0 for lane in lanes if len(lane))
        for lane in lanes:
            fill_numbers(lane)
    with open_message(target, KINDS.schema) as m:
        assert m.column(field).tolist() == [number % 3 == 0 for number in range(count)]


def test_the_builder_is_used_meanwhile(target: Path) -> None:
    with MessageBuilder(target) as b:
        blocks = begin(b)
        lanes = b.lanes("blocks", n=2, room=MIB)
        b.message.get_root(BLOCKS.schema).label = "a label " * 1000
        fill_blocks(lanes[0])
        b.message.get_root(BLOCKS.schema).init("last").note = "the last"
        fill_blocks(lanes[1])
        assert blocks[7].note == row(7)["note"]
    with open_message(target, BLOCKS.schema) as m:
        assert m.root.label == "a label " * 1000
        assert m.root.last.note == "the last"
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]


def test_columns_that_are_not_given_stay(target: Path) -> None:
    with MessageBuilder(target) as b:
        begin(b, 4)
        b.fill("blocks", index=[1, 2, 3, 4])
        for lane in b.lanes("blocks", n=2):
            lane.fill(note=["a", "b"])
    with open_message(target, BLOCKS.schema) as m:
        assert m.column("blocks", "index").tolist() == [1, 2, 3, 4]
        assert m.column("blocks", "note").tolist() == ["a", "b", "a", "b"]


def test_two_lists_have_lanes(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(KINDS.schema)
        root.init("float64s", 10)
        root.init("inners", 10)
        numbers, inners = b.lanes("float64s", n=2), b.lanes("inners", n=2)
        for lane in numbers:
            lane.fill(np.arange(lane.start, lane.stop) / 2)
        for lane in inners:
            lane.fill(text=[f"text {i}" for i in range(lane.start, lane.stop)])
    with open_message(target, KINDS.schema) as m:
        assert m.array("float64s").tolist() == [i / 2 for i in range(10)]
        assert m.column("inners", "text").tolist() == [f"text {i}" for i in range(10)]


def test_texts_in_another_segment(target: Path) -> None:
    with MessageBuilder(target, segment_words=20_000, capacity=16 * MIB) as b:
        begin(b)
        run("fork", fill_blocks, b.lanes("blocks", n=2))
    with open_message(target, BLOCKS.schema) as m:
        assert len(m.segments) > 1
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_lanes_are_pickled(target: Path, protocol: int) -> None:
    with MessageBuilder(target) as b:
        begin(b)
        (lane,) = b.lanes("blocks", n=1)
        again = pickle.loads(pickle.dumps(lane, protocol))
        assert (again.start, again.stop, again.name) == (0, ROWS, "blocks[0:1000]")
        assert again.room == lane.room > MIB
        fill_blocks(again)


# ---- lanes that are not filled ---------------------------------------------------------------


def die(lane: Lane) -> None:
    """Be killed when half of the work is done."""
    from mmapbuilder.lanes import memory

    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    memory.LaneMemory.back = kill  # type: ignore[method-assign]
    fill_blocks(lane)


def killed(lane: Lane) -> int:
    """Let a process die in a lane; return which it was."""
    process = multiprocessing.get_context("spawn").Process(target=die, args=[lane])
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert process.pid is not None
    return process.pid


@pytest.mark.parametrize("inside", ["close", "with"])
def test_a_lane_whose_process_died(target: Path, inside: str) -> None:
    b = MessageBuilder(target)
    begin(b)
    first, second = b.lanes("blocks", n=2)
    fill_blocks(first)
    pid = killed(second)
    text = rf"blocks\[500:1000\] was being filled by process {pid}, which died"
    with pytest.raises(LaneError, match=text):
        if inside == "close":
            b.close()
        else:
            with b:
                pass
    assert b.closed
    with pytest.raises(InvalidMessage, match="unfinished"):
        open_message(target, BLOCKS.schema)
    recover(target)  # what was filled is there
    with open_message(target, BLOCKS.schema) as m:
        assert m.rows("blocks", stop=500) == [row(number) for number in range(500)]


def test_it_can_be_filled_by_another_one(target: Path) -> None:
    with MessageBuilder(target) as b:
        begin(b)
        (lane,) = b.lanes("blocks", n=1)
        killed(lane)
        fill_blocks(lane)
    with open_message(target, BLOCKS.schema) as m:
        assert m.rows("blocks") == [row(number) for number in range(ROWS)]


def test_one_that_was_never_filled(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    first, _, third = b.lanes("blocks", n=3)
    fill_blocks(first)
    fill_blocks(third)
    with pytest.raises(LaneError, match=r"blocks\[333:666\] was never filled") as caught:
        b.close()
    assert "[0:333]" not in str(caught.value)


def test_one_whose_fill_raised(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    (lane,) = b.lanes("blocks", n=1)
    with pytest.raises(OverflowError) as caught:
        lane.fill(index=[-1] * ROWS)
    assert "blocks[0:1000]" in "".join(caught.value.__notes__)
    with pytest.raises(LaneError, match="given up by process"):
        b.close()


def test_one_that_is_being_filled(target: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    b = MessageBuilder(target)
    begin(b)
    (lane,) = b.lanes("blocks", n=1)
    waits, goes_on = threading.Event(), threading.Event()

    class Slow:
        """A column that takes its time."""

        def __arrow_c_stream__(self, requested: object = None) -> object:
            waits.set()
            assert goes_on.wait(60)
            return pa.chunked_array([["x"] * ROWS]).__arrow_c_stream__()

    thread = threading.Thread(target=lambda: lane.fill(note=Slow()))
    thread.start()
    try:
        assert waits.wait(60)
        with pytest.raises(BlockingIOError, match=r"blocks\[0:1000\] is being filled"):
            fill_blocks(lane)
        with pytest.raises(LaneError, match=f"is being filled by process {os.getpid()}"):
            b.close()
    finally:
        goes_on.set()
        thread.join()


def test_a_discarded_builder(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    (lane,) = b.lanes("blocks", n=1)
    b.discard()
    with pytest.raises(FileNotFoundError, match=r"blocks\[0:1000\]: the file is not there"):
        fill_blocks(lane)


def test_a_closed_message_is_left_alone(target: Path) -> None:
    with MessageBuilder(target) as b:
        begin(b)
        (lane,) = b.lanes("blocks", n=1)
        fill_blocks(lane)
    before = target.read_bytes()
    with pytest.raises(ValueError, match="closed"):
        fill_blocks(lane)
    assert target.read_bytes() == before


def test_another_file_of_the_same_name(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    (lane,) = b.lanes("blocks", n=1)
    b.discard()
    target.write_bytes(b"other" * 1000)
    with pytest.raises((FileNotFoundError, ValueError)):  # it may have the number of the old one
        fill_blocks(lane)
    assert target.read_bytes() == b"other" * 1000


# ---- room -------------------------------------------------------------------------------------


def test_too_little_room(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    first, second = b.lanes("blocks", n=2, room=40_000)
    fill_blocks(first)
    with pytest.raises(CapacityError, match=r"blocks\[500:1000\].*40\d\d\d bytes.*room="):
        second.fill(note=["x" * 100] * 500)
    b.discard()


def test_a_small_capacity(target: Path) -> None:
    with MessageBuilder(target, capacity=4 * MIB) as b:
        begin(b)
        for lane in b.lanes("blocks", n=2):
            assert 3 * MIB < lane.room < 4 * MIB
            fill_blocks(lane)
    verify(target)


def test_more_room_than_there_is(target: Path) -> None:
    b = MessageBuilder(target, capacity=4 * MIB)
    begin(b)
    with pytest.raises(CapacityError):
        b.lanes("blocks", room=8 * MIB)
    b.discard()


@pytest.mark.root
def test_a_full_disk(tmp_path: Path) -> None:
    with mounted("tmpfs", tmp_path, size=8 * MIB) as place:
        b = MessageBuilder(place / "target")
        begin(b, 10)
        (lane,) = b.lanes("blocks", n=1)
        with no_room():
            lane.fill(note=["x" * MIB] * 10)
        lane.fill(note=["x"] * 10)
        b.close()
        with open_message(place / "target", BLOCKS.schema) as m:
            assert m.column("blocks", "note").tolist() == ["x"] * 10


# ---- what can have no lanes ----------------------------------------------------------------------


def test_what_can_have_no_lanes(target: Path) -> None:
    b = MessageBuilder(target)
    root = b.init_root(KINDS.schema)
    with pytest.raises(KeyError, match="int16s is not set"):
        b.lanes("int16s")
    root.init("texts", 3)
    with pytest.raises(TypeError, match=r"texts is a List\(Text\)"):
        b.lanes("texts")
    with pytest.raises(TypeError, match="int8 is"):
        b.lanes("int8")
    root.init("int16s", 3)
    with pytest.raises(ValueError, match="at least one lane"):
        b.lanes("int16s", n=0)
    with pytest.raises(ValueError, match="room must not be negative"):
        b.lanes("int16s", room=-1)
    b.discard()
    with pytest.raises(ValueError, match="closed"):
        b.lanes("int16s")


def test_a_wrong_number_of_rows(target: Path) -> None:
    b = MessageBuilder(target)
    begin(b)
    _, lane = b.lanes("blocks", n=2)
    with pytest.raises(ValueError, match="500"):
        lane.fill(index=[1, 2, 3])
    b.discard()


def test_lanes_leave_no_trace(target: Path) -> None:
    """Apart from the words at the start of the pool, which are zeros."""
    with MessageBuilder(target) as b:
        b.init_root(ADDRESS_BOOK.schema).init("people", 3)
        for lane in b.lanes("people", n=3):
            lane.fill(id=[lane.start + 1])
    content = target.read_bytes()
    people = open_message(target, ADDRESS_BOOK.schema).root.people
    assert [person.id for person in people] == [1, 2, 3]
    assert len(content.replace(b"\0", b"")) < 20
