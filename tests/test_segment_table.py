"""The segment table: room for as many entries as the capacity needs, 511 at the most.

A message of one segment has a table of one entry all the same.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, open_message, verify
from support.messages import BOOK, fill_book, in_memory
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS, PYCAPNP, Programs, accepting, read
from support.wire import UNFINISHED, set_aside, table_bytes, table_of, without_gap

GIB = 1 << 30
ENTRIES = [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (64, 16), (511 * 4, 511)]


@pytest.mark.parametrize(("gib", "entries"), ENTRIES)
def test_room_for_one_entry_for_every_four_gib_begun(
    target: Path, gib: int, entries: int, programs: Programs
) -> None:
    with MessageBuilder(target, capacity=gib * GIB) as b:
        head = target.read_bytes()[:16]
        assert head == UNFINISHED + struct.pack("<IQ", entries, 7)
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    table = table_of(target)
    assert len(table.sizes) == 1
    assert table.total == target.stat().st_size
    expected = in_memory(ADDRESS_BOOK.schema, fill_book)
    assert without_gap(target.read_bytes(), entries) == expected
    for way in PYCAPNP.values():
        with way(target, ADDRESS_BOOK.schema) as root:
            assert root.to_dict() == BOOK
    with open_message(target, ADDRESS_BOOK.schema) as m:
        assert m.root.to_dict() == BOOK
    assert verify(target).entries == 1
    assert accepting(target, ADDRESS_BOOK, programs) == {
        *("read", "read_multiple", "from_bytes", "decode", "convert", "flat", "stream")
    }


@pytest.mark.parametrize("capacity", [511 * 4 * GIB + 1, 512 * 4 * GIB, 1 << 46, 1 << 60])
@pytest.mark.parametrize("atomic", [False, True])
def test_512_entries_are_refused_when_the_builder_is_made(
    target: Path, capacity: int, atomic: bool
) -> None:
    with pytest.raises(ValueError, match="511"):
        MessageBuilder(target, capacity=capacity, atomic=atomic)
    assert not target.exists()
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="511"):
        MessageBuilder(target, capacity=capacity, atomic=atomic)
    assert target.read_bytes() == b"old"


def test_the_edge_between_one_entry_and_two(target: Path) -> None:
    for capacity, entries in ((4 * GIB - 1, 1), (4 * GIB, 1), (4 * GIB + 1, 2)):
        with MessageBuilder(target, capacity=capacity):
            assert struct.unpack("<I", target.read_bytes()[4:8]) == (entries,)


@pytest.mark.parametrize("entries", [1, 2, 3, 4, 16, 511])
def test_nothing_but_a_null_root(target: Path, entries: int) -> None:
    MessageBuilder(target, capacity=entries * 4 * GIB).close()
    words = set_aside(entries) // 8  # one of them for the table, one more for the old root
    assert target.read_bytes() == struct.pack("<II", 0, words) + bytes(words * 8)
    assert verify(target).objects == 0


@pytest.mark.parametrize("entries", [2, 3, 4, 5, 16, 511])
def test_with_two_segments_the_other_entries_are_zero(
    target: Path, entries: int, programs: Programs
) -> None:
    with MessageBuilder(target, capacity=entries * 8192, segment_words=1024) as b:
        root = b.init_root(BLOCKS.schema, label="first")
        root.init("blocks", 1)[0].init("values", 1020)[1019] = 7
    content = target.read_bytes()
    assert struct.unpack_from("<I", content) == (entries - 1,)
    sizes = table_of(target).sizes
    assert sizes[0] == 1024
    assert sizes[1] == 1021
    assert not any(sizes[2:])
    padding = content[4 + 4 * entries : table_bytes(entries)]
    assert padding == bytes(len(padding))
    with read(target, BLOCKS.schema) as found:
        assert (found.label, found.blocks[0].values[1019]) == ("first", 7)
    assert verify(target).entries == entries


@pytest.mark.slow
def test_all_511_entries_in_use(target: Path, programs: Programs) -> None:
    # The root and its list fill most of the first segment, each inner list one more.
    with MessageBuilder(target, capacity=511 * 8192, segment_words=1024) as b:
        lists = b.init_root(KINDS.schema).init("lists", 510)
        for i in range(510):
            lists.init(i, 1500)[1499] = i
    table = table_of(target)
    assert len(table.sizes) == len(table.used) == 511
    for way in PYCAPNP.values():
        with way(target, KINDS.schema) as root:
            assert [inner[1499] for inner in root.lists] == list(range(510))
    assert "decode" in accepting(target, KINDS, programs)
    for how in ("flat", "stream"):
        assert programs.cxx(how, target, KINDS, "lists.509.1499") == [509]
    assert verify(target).segments == 511
