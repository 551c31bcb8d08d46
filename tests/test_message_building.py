"""Building a message in place: roots, orphans, segments, the modes of the file."""

from __future__ import annotations

import ctypes
import gc
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import (
    Builder,
    CapacityError,
    InvalidMessage,
    MessageBuilder,
    open_message,
    verify,
)
from support import processes
from support.messages import BOOK, fill_book
from support.mounts import no_room
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS, read
from support.wire import is_unfinished, set_aside, table_of

MIB = 1 << 20
GIB = 1 << 30


def root_of(path: Path, kind: Any) -> dict[str, Any]:
    with read(path, kind.schema) as root:
        found = root.to_dict()
    assert isinstance(found, dict)
    return found


# ---- roots -------------------------------------------------------------------------


def test_init_root_gives_the_builder_of_pycapnp(target: Path) -> None:
    with MessageBuilder(target) as b:
        book = b.init_root(ADDRESS_BOOK.schema)
        assert type(book).__name__ == "_DynamicStructBuilder"
        assert book.schema == ADDRESS_BOOK.schema.schema
        fill_book(book)
        assert book.to_dict() == BOOK
    assert root_of(target, ADDRESS_BOOK) == BOOK


def test_init_root_sets_fields(target: Path) -> None:
    with MessageBuilder(target) as b:
        book = b.init_root(ADDRESS_BOOK.schema, **BOOK)
        assert book.people[0].name == "Alice"
        book.people[0].name = "Alicia"
    assert root_of(target, ADDRESS_BOOK)["people"][0]["name"] == "Alicia"


def test_a_message_that_nobody_began_is_one_with_a_null_root(target: Path) -> None:
    MessageBuilder(target).close()
    assert root_of(target, BLOCKS) == {}
    with open_message(target, KINDS.schema) as m:
        assert m.root.withDefault == 12345


def test_message_is_asked_for_but_not_used(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.message
    assert root_of(target, BLOCKS) == {}


def test_the_object_is_stored_in_the_file_at_once(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "a label that one can find"
        assert b"a label that one can find" in target.read_bytes()[: 1 << 16]
        root.label = "another one"
        root.init("blocks", 10)


def test_message_offers_what_pycapnp_offers(target: Path) -> None:
    with MessageBuilder(target) as b:
        message = b.message
        assert message is b.message
        root = message.init_root(BLOCKS.schema)
        orphan = message.new_orphan(BLOCKS.schema.schema)
        lent = orphan.get()
        lent.label = "from an orphan"
        root.label = "root"
        assert message.get_root(BLOCKS.schema).label == "root"
    assert root_of(target, BLOCKS) == {"label": "root"}


def test_an_orphan_that_is_adopted(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(KINDS.schema)
        orphan = b.message.new_orphan(KINDS.schema.schema)
        orphan.get().text = "adopted"
        root.adopt("inner", orphan)
    assert root_of(target, KINDS)["inner"]["text"] == "adopted"


def test_set_root_copies_a_reader(target: Path) -> None:
    original = BLOCKS.schema.new_message(label="copied", blocks=[{"index": 7, "values": [1, 2]}])
    for source in (original, original.as_reader()):
        with MessageBuilder(target) as b:
            b.message.set_root(source)
        assert root_of(target, BLOCKS) == original.to_dict()


def test_set_root_of_a_message_in_the_same_kind_of_file(target: Path, tmp_path: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    with open_message(target, ADDRESS_BOOK.schema) as m, MessageBuilder(tmp_path / "copy") as b:
        b.message.set_root(m.root)
    assert root_of(tmp_path / "copy", ADDRESS_BOOK) == BOOK


def test_a_second_root_replaces_the_first(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).label = "first"
        b.init_root(BLOCKS.schema).label = "second"
    assert root_of(target, BLOCKS) == {"label": "second"}


def test_the_root_may_be_forgotten_while_the_message_is_built(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).label = "kept"
        gc.collect()
        assert b.message.get_root(BLOCKS.schema).label == "kept"
    assert root_of(target, BLOCKS) == {"label": "kept"}


def test_resizable_lists(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        blocks = root.init_resizable_list("blocks")
        for i in range(100):
            block = blocks.add()
            block.index = i
        blocks.finish()
    assert [block["index"] for block in root_of(target, BLOCKS)["blocks"]] == list(range(100))


# ---- segments by hand --------------------------------------------------------------


def test_allocate_segment_hands_out_zeroed_aligned_memory_of_the_file(target: Path) -> None:
    with MessageBuilder(target, capacity=MIB) as b:
        view = b.allocate_segment(1024)
        assert isinstance(view, memoryview)
        assert not view.readonly
        assert view.format == "B"
        # the whole of it, not only what was asked for
        assert view.nbytes == MIB - set_aside(1)
        assert ctypes.addressof(ctypes.c_char.from_buffer(view)) % 8 == 0
        assert view[: 64 * 1024] == bytes(64 * 1024)
        assert view[-8:] == bytes(8)
        view[8:16] = b"in a way"
        with target.open("rb") as file:
            assert b"in a way" in file.read(100)
        view[8:16] = bytes(8)


def test_allocate_segment_passed_by_hand(target: Path) -> None:
    with MessageBuilder(target) as b:
        book = ADDRESS_BOOK.schema.new_message(allocate_seg_callable=b.allocate_segment)
        fill_book(book)
    assert root_of(target, ADDRESS_BOOK) == BOOK
    with pytest.raises(ValueError):
        b.message


def test_allocate_segment_after_the_message_is_in_use_makes_close_raise(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema).label = "x"
    with b.allocate_segment(10) as view:
        assert view.nbytes >= 80
    with pytest.raises(ValueError, match="allocate_segment"):
        b.close()
    assert b.closed
    assert is_unfinished(target)


def test_message_after_allocate_segment_by_hand(target: Path) -> None:
    b = MessageBuilder(target)
    b.allocate_segment(10)
    with pytest.raises(ValueError):
        b.message
    with pytest.raises(ValueError):
        b.init_root(BLOCKS.schema)
    b.close()


@pytest.mark.parametrize("end", ["close", "discard"])
def test_allocate_segment_of_a_closed_builder_does_not_raise(target: Path, end: str) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema)
    allocate = b.allocate_segment
    getattr(b, end)()
    if end == "close":
        before = target.read_bytes()
    with allocate(1024) as view:
        assert view.nbytes >= 8192
        view[0] = 1
    if end == "close":
        assert target.read_bytes() == before


def test_objects_can_be_made_after_close_and_never_reach_the_file(target: Path) -> None:
    # Far more than the segment holds: pycapnp asks a closed builder for another one.
    code = """
        import sys
        from mmapbuilder import MessageBuilder
        from support.readers import BLOCKS
        b = MessageBuilder(sys.argv[1], capacity=1 << 16)
        root = b.init_root(BLOCKS.schema)
        root.label = "before"
        b.close()
        with open(sys.argv[1], "rb") as file:
            content = file.read()
        root.init("blocks", 100000)
        root.label = "after"
        assert root.label == "after"
        assert len(root.blocks) == 100000
        with open(sys.argv[1], "rb") as file:
            assert file.read() == content
    """
    processes.python(code, target).ok()
    assert root_of(target, BLOCKS) == {"label": "before"}


# ---- out of room -------------------------------------------------------------------


def test_out_of_capacity_is_reported_by_close(target: Path) -> None:
    # pycapnp cannot be told: an exception in its allocator ends the process.
    code = """
        import errno, sys
        from mmapbuilder import CapacityError, MessageBuilder
        from support.readers import BLOCKS
        b = MessageBuilder(sys.argv[1], capacity=1 << 16)
        root = b.init_root(BLOCKS.schema)
        root.init("blocks", 100000)
        root.blocks[99999].index = 7
        assert root.blocks[99999].index == 7
        try:
            b.flush()
        except CapacityError:
            print("flush")
        try:
            b.close()
        except CapacityError as error:
            assert error.errno == errno.EFBIG and error.filename == sys.argv[1]
            print("close")
        assert b.closed
        b.close()
        assert root.blocks[99999].index == 7
    """
    assert processes.python(code, target).ok().out == "flush\nclose\n"
    assert is_unfinished(target)


def test_out_of_capacity_in_every_way_that_pycapnp_allocates(target: Path) -> None:
    code = """
        import sys
        from mmapbuilder import CapacityError, MessageBuilder
        from support.readers import BLOCKS
        schema = BLOCKS.schema
        large = schema.new_message(label="x" * 100_000)

        def adding(b):
            blocks = b.init_root(schema).init_resizable_list("blocks")
            for _ in range(10_000):
                blocks.add()
            blocks.finish()

        def orphans(b):
            message = b.message
            kept = [message.new_orphan(schema.schema) for _ in range(10_000)]

        ways = {
            "init": lambda b: b.init_root(schema).init("blocks", 10_000),
            "text": lambda b: setattr(b.init_root(schema), "label", "x" * 100_000),
            "set_root": lambda b: b.message.set_root(large),
            "add": adding,
            "orphans": orphans,
            "fields": lambda b: b.init_root(schema, label="x" * 100_000),
            "by hand": lambda b: setattr(
                schema.new_message(allocate_seg_callable=b.allocate_segment), "label", "x" * 100_000
            ),
        }
        for name, way in ways.items():
            b = MessageBuilder(sys.argv[1], capacity=1 << 16)
            way(b)
            try:
                b.close()
            except CapacityError:
                print(name)
    """
    ended = processes.python(code, target).ok()
    assert ended.out.split("\n")[:-1] == [
        "init",
        "text",
        "set_root",
        "add",
        "orphans",
        "fields",
        "by hand",
    ]


def test_an_object_larger_than_a_segment_can_be(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        with pytest.raises(Exception, match=r"."):  # pycapnp's own: it cannot be addressed
            root.init("blocks", 1 << 29)
        root.label = "goes on"
    assert root_of(target, BLOCKS)["label"] == "goes on"


@pytest.mark.root
def test_a_full_disk_is_reported_and_the_message_stays_unfinished(mount) -> None:
    path = mount("tmpfs", 8 * MIB) / "message"
    b = MessageBuilder(path)
    root = b.init_root(BLOCKS.schema)
    values = root.init("blocks", 1)[0].init("values", 4 * MIB)
    for i in range(0, 4 * MIB, 512):
        values[i] = i
    assert values[4 * MIB - 512] == 4 * MIB - 512  # builds on, in memory
    with no_room() as caught:
        b.close()
    assert caught.value.filename == str(path)
    assert b.closed
    assert is_unfinished(path)
    path.unlink()
    del root, values  # which keep the memory, and so the blocks of the file
    with MessageBuilder(path) as again:
        again.init_root(BLOCKS.schema).label = "there is room again"


# ---- the file ----------------------------------------------------------------------


def test_modes(target: Path) -> None:
    with MessageBuilder(target, "x") as b:
        assert b.mode == "x"
        b.init_root(BLOCKS.schema).label = "made"
    with pytest.raises(FileExistsError):
        MessageBuilder(target, "x")
    assert root_of(target, BLOCKS) == {"label": "made"}
    with MessageBuilder(target) as b:
        assert b.mode == "w"
        b.init_root(BLOCKS.schema).label = "replaced"
    assert root_of(target, BLOCKS) == {"label": "replaced"}
    with pytest.raises(ValueError, match=r"r\+"):
        MessageBuilder(target, "r+")
    assert root_of(target, BLOCKS) == {"label": "replaced"}


def test_a_descriptor(target: Path) -> None:
    with target.open("w+b") as file:
        with MessageBuilder(file) as b:
            b.init_root(BLOCKS.schema).label = "through a descriptor"
        assert not file.closed
    assert root_of(target, BLOCKS) == {"label": "through a descriptor"}


def test_builders_of_both_kinds_exclude_each_other(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).label = "first"
        for other in (Builder, MessageBuilder):
            with pytest.raises(BlockingIOError):
                other(target)
    assert root_of(target, BLOCKS) == {"label": "first"}
    with Builder(target), pytest.raises(BlockingIOError):
        MessageBuilder(target)


def test_properties(target: Path) -> None:
    with MessageBuilder(str(target), capacity=8 * GIB) as b:
        assert b.name == str(target)
        assert b.mode == "w"
        assert b.capacity == 8 * GIB
        assert not b.closed
        b.init_root(BLOCKS.schema).init("blocks", 1_000_000)[999_999].index = 1
        assert b.stats.growths > 0
        assert b.stats.faults > 0
        assert b.stats.backed == target.stat().st_size
        assert b.stats.used > 16_000_000
        assert str(target) in repr(b)
    assert b.closed
    assert b.stats.used == target.stat().st_size
    assert table_of(target).total == target.stat().st_size


def test_the_default_capacity_is_64_gib(target: Path) -> None:
    with MessageBuilder(target) as b:
        assert b.capacity == 64 * GIB


def test_not_picklable(target: Path) -> None:
    with MessageBuilder(target) as b, pytest.raises(TypeError, match="pickle"):
        pickle.dumps(b)


@pytest.mark.parametrize("capacity", [1, 8, 16, 23])
def test_a_capacity_without_room_for_a_root(target: Path, capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        MessageBuilder(target, capacity=capacity)
    assert not target.exists()


def test_the_smallest_messages(target: Path) -> None:
    # Two words for the table, the root pointer, and three words of the root struct.
    for capacity in (24, 47):
        b = MessageBuilder(target, capacity=capacity)
        b.init_root(BLOCKS.schema)
        with pytest.raises(CapacityError):
            b.close()
    for capacity in (48, 55):
        with MessageBuilder(target, capacity=capacity) as b:
            b.init_root(BLOCKS.schema)
        assert target.stat().st_size == 48
    with MessageBuilder(target, capacity=24):
        pass
    assert target.stat().st_size == 24


def test_fields_may_have_any_name(target: Path, tmp_path: Path) -> None:
    (tmp_path / "named.capnp").write_text(
        "@0xd7a1c5b3e9f28406;\nstruct Named { schema @0 :Text; self @1 :Text; }\n"
    )
    import capnp

    named = capnp.load(str(tmp_path / "named.capnp"))
    with MessageBuilder(target) as b:
        root = b.init_root(named.Named, schema="a", self="b")
        assert root.to_dict() == {"schema": "a", "self": "b"}


def test_a_second_message_by_the_same_allocator_is_refused(target: Path) -> None:
    b = MessageBuilder(target)
    draft = BLOCKS.schema.new_message(allocate_seg_callable=b.allocate_segment)
    draft.label = "draft"
    del draft
    second = BLOCKS.schema.new_message(allocate_seg_callable=b.allocate_segment)
    second.label = "the real one"
    with pytest.raises(InvalidMessage, match="one builder holds one message"):
        b.close()
    with pytest.raises(InvalidMessage):
        verify(target)
