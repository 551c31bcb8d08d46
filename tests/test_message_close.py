"""How a message ends: finished and exact, unfinished, discarded, or as a snapshot."""

from __future__ import annotations

import gc
import os
import weakref
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, verify
from support import processes
from support.messages import BOOK, fill_book, in_memory
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS, capnp, read
from support.requirements import missing
from support.wire import is_unfinished, set_aside, table_of, without_gap

MIB = 1 << 20


class OurError(Exception):
    """Raised in the body of a with statement."""


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def label_of(path: Path) -> str:
    with read(path, BLOCKS.schema) as root:
        return str(root.label)


# ---- finished ----------------------------------------------------------------------


def test_the_file_ends_at_the_last_used_word(target: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        assert target.stat().st_size >= 2 * MIB
    table = table_of(target)
    assert len(table.used) == 1
    assert target.stat().st_size == table.total
    expected = in_memory(ADDRESS_BOOK.schema, fill_book)
    assert without_gap(target.read_bytes(), 16) == expected


def test_zeros_at_the_end_of_the_last_object_are_part_of_it(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(KINDS.schema).data = bytes(100_000)
    assert target.stat().st_size == table_of(target).total > 100_000
    with read(target, KINDS.schema) as root:
        assert root.data == bytes(100_000)


def test_what_was_given_up_counts_as_pycapnp_counts_it(target: Path) -> None:
    def build(message: Any) -> Any:
        root = message.init_root(BLOCKS.schema)
        root.label = "x" * 100  # is left behind as a hole
        root.label = "y"
        orphan = message.new_orphan(BLOCKS.schema.schema)
        orphan.get().init("blocks", 1000)
        del orphan
        blocks = root.init_resizable_list("blocks")
        for _ in range(10):
            blocks.add()
        blocks.finish()
        return root

    with MessageBuilder(target, capacity=MIB) as b:
        build(b.message)
    expected = build(capnp.lib.capnp._MallocMessageBuilder(1 << 16)).to_bytes()
    assert without_gap(target.read_bytes(), 1) == expected


def test_close_again_does_nothing(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema).label = "x"
    b.close()
    assert b.closed
    target.write_bytes(b"someone else's")
    b.close()
    b.discard()
    assert target.read_bytes() == b"someone else's"


USES = {
    "init_root": lambda b: b.init_root(BLOCKS.schema),
    "message": lambda b: b.message,
    "flush": lambda b: b.flush(),
    "reserve": lambda b: b.reserve(10),
    "fileno": lambda b: b.fileno(),
    "with": lambda b: b.__enter__(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("end", ["close", "discard"])
@pytest.mark.parametrize("used", [False, True])
def test_a_closed_builder_is_of_no_use(target: Path, use, end: str, used: bool) -> None:
    b = MessageBuilder(target)
    if used:
        b.init_root(BLOCKS.schema)
    getattr(b, end)()
    with pytest.raises(ValueError, match="closed"):
        use(b)


def test_a_close_that_stops_half_way_still_tells_sizes(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory(_: object) -> None:
        raise MemoryError

    b = MessageBuilder(target)
    fill_book(b.init_root(ADDRESS_BOOK.schema))
    before, size = b.stats, b.size
    with monkeypatch.context() as patch:
        patch.setattr(b, "_told_sizes", without_memory)
        with pytest.raises(MemoryError):
            b.close()
    assert b.closed
    assert (b.stats, b.size) == (before, size)
    b.close()
    assert b.size == b.stats.used == target.stat().st_size


def test_flush_leaves_the_message_unfinished(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).label = "flushed"
        b.flush()
        b.flush(durable=True)
        assert is_unfinished(target)
        assert b"flushed" in target.read_bytes()[:65536]
    assert label_of(target) == "flushed"


def test_finishing_needs_no_descriptor(target: Path) -> None:
    code = """
        import os, resource, sys
        from mmapbuilder import MessageBuilder
        from support.messages import fill_book
        from support.readers import ADDRESS_BOOK
        b = MessageBuilder(sys.argv[1], capacity=1 << 20)
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        b.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    """
    processes.python(code, target).ok()
    expected = in_memory(ADDRESS_BOOK.schema, fill_book)
    assert without_gap(target.read_bytes(), 1) == expected


# ---- the snapshot ------------------------------------------------------------------


def test_pycapnp_objects_outlive_close(target: Path) -> None:
    with MessageBuilder(target) as b:
        book = b.init_root(ADDRESS_BOOK.schema)
        fill_book(book)
        alice = book.people[0]
        message = b.message
    content = target.read_bytes()

    assert book.to_dict() == BOOK
    assert alice.name == "Alice"
    assert message.get_root(ADDRESS_BOOK.schema).people[1].name == "Bob"
    reader = book.as_reader()

    alice.id = 999
    alice.name = "Eve"
    book.init("people", 1000)
    assert len(reader.people) == 1000
    assert target.read_bytes() == content
    with read(target, ADDRESS_BOOK.schema) as root:
        assert root.to_dict() == BOOK


def test_the_snapshot_survives_whatever_happens_to_the_file(target: Path) -> None:
    with MessageBuilder(target, capacity=1 << 30) as b:
        book = b.init_root(ADDRESS_BOOK.schema)
        fill_book(book)
    target.unlink()
    assert book.to_dict() == BOOK
    book.people[0].name = "Eve"
    assert book.people[0].name == "Eve"


def test_the_snapshot_of_many_segments(target: Path) -> None:
    with MessageBuilder(target, capacity=MIB, segment_words=1024) as b:
        root = b.init_root(BLOCKS.schema)
        for i, block in enumerate(root.init("blocks", 20)):
            block.index = i
            block.values = list(range(200))
            block.note = f"note {i}"
        expected = root.to_dict()
    assert len(table_of(target).used) > 3
    assert root.to_dict() == expected  # each byte where it was, whatever became of the file
    content = target.read_bytes()
    for block in root.blocks:
        block.index = 77
    assert target.read_bytes() == content


def test_views_of_segments_outlive_close(target: Path) -> None:
    with MessageBuilder(target, capacity=MIB) as b:
        view = b.allocate_segment(10)
        view[0:8] = bytes([0, 0, 0, 0, 1, 0, 0, 0])  # a struct of one word of data
        view[8:16] = b"contents"
    content = target.read_bytes()
    assert content[-8:] == b"contents"
    assert view[8:16] == b"contents"
    view[:] = b"x" * len(view)  # far beyond the end of the file
    assert target.read_bytes() == content
    del b
    gc.collect()
    assert view[8:16] == b"x" * 8


def test_arrays_outlive_close(target: Path) -> None:
    np = pytest.importorskip("numpy")
    with MessageBuilder(target, capacity=MIB) as b:
        words = np.frombuffer(b.allocate_segment(10), "<u8")
        words[0] = 1 << 32
        words[1] = 12345
    assert words[1] == 12345
    words[2:] = 7
    del b
    gc.collect()
    assert words[2:].sum() == 7 * (len(words) - 2)
    assert target.stat().st_size == set_aside(1) + 16


def test_the_memory_goes_with_the_last_object(target: Path) -> None:
    if not os.path.exists("/proc/self/maps"):
        missing("mappings cannot be listed here")

    def mapped() -> bool:
        with open("/proc/self/maps") as maps:
            return str(target) in maps.read()

    b = MessageBuilder(target)
    root = b.init_root(BLOCKS.schema)
    root.label = "x"
    assert mapped()
    b.close()
    assert root.label == "x"
    gone = weakref.ref(b)
    del root, b
    gc.collect()
    assert gone() is None
    assert not mapped()


def test_no_descriptor_stays_open(target: Path) -> None:
    if not os.path.isdir("/proc/self/fd"):
        missing("descriptors cannot be counted here")
    before = len(os.listdir("/proc/self/fd"))
    kept = []
    for _ in range(20):
        with MessageBuilder(target) as b:
            kept.append(b.init_root(BLOCKS.schema))
            kept[-1].label = "x"
    assert len(os.listdir("/proc/self/fd")) == before
    assert [root.label for root in kept] == ["x"] * 20


# ---- not finished ------------------------------------------------------------------


@pytest.mark.parametrize("used", [False, True])
def test_an_exception_leaves_the_message_unfinished(target: Path, used: bool) -> None:
    with pytest.raises(OurError) as caught, MessageBuilder(target) as b:
        if used:
            b.init_root(BLOCKS.schema).label = "half"
        raise OurError("ours")
    assert b.closed
    assert is_unfinished(target)
    assert caught.value.__context__ is None


def test_objects_outlive_an_exception(target: Path) -> None:
    with pytest.raises(OurError), MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "half"
        raise OurError
    assert root.label == "half"
    root.label = "the other half"
    root.init("blocks", 1000)


def test_an_exception_after_close_changes_nothing(target: Path) -> None:
    with pytest.raises(OurError), MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).label = "done"
        b.close()
        raise OurError
    assert label_of(target) == "done"


def test_dropped_without_close(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema).label = "half"
    with pytest.warns(ResourceWarning, match="target"):
        del b
        gc.collect()
    assert is_unfinished(target)
    with MessageBuilder(target) as b:  # it is not locked any more
        b.init_root(BLOCKS.schema)


def test_dropped_while_objects_are_alive(target: Path) -> None:
    b = MessageBuilder(target)
    root = b.init_root(BLOCKS.schema)
    root.label = "half"
    with pytest.warns(ResourceWarning):
        del b
        gc.collect()
    assert root.label == "half"
    root.init("blocks", 100_000)[99_999].index = 7
    assert root.blocks[99_999].index == 7
    assert is_unfinished(target)


def test_a_closed_builder_goes_silently(target: Path) -> None:
    b = MessageBuilder(target)
    root = b.init_root(BLOCKS.schema)
    b.close()
    del b
    gc.collect()
    assert root.label == ""


def test_open_at_the_end_of_the_interpreter(target: Path) -> None:
    code = """
        import sys
        from mmapbuilder import MessageBuilder
        from support.readers import BLOCKS
        b = MessageBuilder(sys.argv[1])
        root = b.init_root(BLOCKS.schema)
        root.label = "half"
    """
    ended = processes.python(code, target, options=("-W", "default"))
    assert ended.code == 0, str(ended)
    assert is_unfinished(target)


@pytest.mark.parametrize("objects", [False, True])
def test_discard_leaves_no_file(target: Path, tmp_path: Path, objects: bool) -> None:
    b = MessageBuilder(target)
    root = b.init_root(BLOCKS.schema)
    root.label = "x"
    if not objects:
        del root
    b.discard()
    assert b.closed
    assert names(tmp_path) == []
    if objects:
        assert root.label == "x"
        root.label = "y"


def test_discard_of_a_descriptor_empties_the_file(target: Path) -> None:
    with target.open("w+b") as file:
        b = MessageBuilder(file)
        b.init_root(BLOCKS.schema).label = "x"
        b.discard()
    assert target.read_bytes() == b""


# ---- atomic and durable ------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_atomic_replaces_at_close(target: Path, tmp_path: Path, durable: bool) -> None:
    target.write_bytes(b"old")
    with MessageBuilder(target, atomic=True, durable=durable) as b:
        b.init_root(BLOCKS.schema).label = "new"
        assert target.read_bytes() == b"old"
        (temporary,) = set(names(tmp_path)) - {"target"}
        assert is_unfinished(tmp_path / temporary)
    assert label_of(target) == "new"
    assert names(tmp_path) == ["target"]


def test_durable_in_place(target: Path) -> None:
    with MessageBuilder(target, capacity=MIB, segment_words=512, durable=True) as b:
        root = b.init_root(BLOCKS.schema)
        for i, block in enumerate(root.init("blocks", 10)):
            block.values = [i] * 100
    assert len(table_of(target).used) > 1
    assert verify(target).size == target.stat().st_size
    with read(target, BLOCKS.schema) as message:
        blocks = message.to_dict()["blocks"]
        assert [list(block["values"])[99] for block in blocks] == list(range(10))


@pytest.mark.parametrize("objects", [False, True])
def test_an_exception_leaves_the_target_of_atomic_alone(
    target: Path, tmp_path: Path, objects: bool
) -> None:
    target.write_bytes(b"old")
    kept = []
    with pytest.raises(OurError), MessageBuilder(target, atomic=True) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "half"
        if objects:
            kept.append(root)
        del root
        raise OurError
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]
    for root in kept:
        assert root.label == "half"


def test_discard_and_drop_leave_the_target_of_atomic_alone(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    b = MessageBuilder(target, atomic=True)
    b.init_root(BLOCKS.schema)
    b.discard()
    assert names(tmp_path) == ["target"]
    b = MessageBuilder(target, atomic=True)
    b.init_root(BLOCKS.schema)
    with pytest.warns(ResourceWarning):
        del b
        gc.collect()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


def test_out_of_capacity_leaves_the_target_of_atomic_alone(target: Path, tmp_path: Path) -> None:
    target.write_bytes(b"old")
    b = MessageBuilder(target, atomic=True, capacity=4096)
    b.init_root(BLOCKS.schema).label = "x" * 10_000
    with pytest.raises(OSError):
        b.close()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["target"]


# ---- other processes and other hands -----------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_only_the_parent_finishes(target: Path) -> None:
    code = """
        import os, sys, warnings
        from mmapbuilder import MessageBuilder
        from support.readers import BLOCKS, read
        from support.wire import is_unfinished
        from pathlib import Path
        path = Path(sys.argv[1])
        warnings.simplefilter("ignore")
        for end in "close", "discard", "drop", "exit":
            b = MessageBuilder(path)
            root = b.init_root(BLOCKS.schema)
            blocks = root.init("blocks", 1_000_000)
            if os.fork() == 0:
                blocks[999_999].index = 7  # the child may fill
                if end == "drop":
                    del b
                elif end != "exit":
                    getattr(b, end)()
                os._exit(0)
            assert os.wait()[1] == 0
            assert is_unfinished(path), end
            root.label = "parent"
            b.close()
            with read(path, BLOCKS.schema) as message:
                assert message.label == "parent"
                assert message.blocks[999_999].index == 7
    """
    processes.python(code, target).ok()


def test_a_file_that_was_removed_meanwhile(target: Path, tmp_path: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema).label = "x"
    target.unlink()
    target.write_bytes(b"another")
    b.close()  # finishes what it has, which nobody can find
    assert target.read_bytes() == b"another"
    assert names(tmp_path) == ["target"]


def test_a_file_that_was_cut_meanwhile(target: Path) -> None:
    b = MessageBuilder(target)
    root: Any = b.init_root(BLOCKS.schema)
    root.init("blocks", 1_000_000)[999_999].index = 7
    os.truncate(target, 4096)
    root.blocks[500_000].index = 8
    with pytest.raises(OSError, match="truncated"):
        b.close()
    assert b.closed
    assert target.stat().st_size == 4096
    assert is_unfinished(target)
