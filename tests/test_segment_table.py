"""The segment table: as many entries as the capacity needs, 511 at the most."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, open_message, verify
from support.messages import BOOK, fill_book
from support.readers import ADDRESS_BOOK, KINDS, PYCAPNP, Programs, accepting
from support.wire import UNFINISHED, table_bytes, table_of

GIB = 1 << 30
ENTRIES = [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (64, 16), (511 * 4, 511)]


@pytest.mark.parametrize(("gib", "entries"), ENTRIES)
def test_one_entry_for_every_four_gib_begun(
    target: Path, gib: int, entries: int, programs: Programs
) -> None:
    with MessageBuilder(target, capacity=gib * GIB) as b:
        head = target.read_bytes()[:8]
        assert head == UNFINISHED + struct.pack("<I", entries)
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    table = table_of(target)
    assert len(table.sizes) == entries
    assert len(table.used) == 1
    assert table.sizes[0]
    assert table.total == target.stat().st_size
    for way in PYCAPNP.values():
        with way(target, ADDRESS_BOOK.schema) as root:
            assert root.to_dict() == BOOK
    with open_message(target, ADDRESS_BOOK.schema) as m:
        assert m.root.to_dict() == BOOK
    assert verify(target).entries == entries
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
        MessageBuilder(target, capacity=capacity).close()
        assert len(table_of(target).sizes) == entries


@pytest.mark.parametrize("entries", [1, 2, 3, 4, 16, 511])
def test_the_table_is_padded_to_a_word(target: Path, entries: int) -> None:
    MessageBuilder(target, capacity=entries * 4 * GIB).close()
    content = target.read_bytes()
    size = table_bytes(entries)
    assert size % 8 == 0
    # no segment but the word of a null root, in the first one
    assert content == struct.pack("<II", entries - 1, 1).ljust(size, b"\0") + bytes(8)


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
