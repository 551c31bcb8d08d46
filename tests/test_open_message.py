"""open_message: the read side, memory-mapped."""

from __future__ import annotations

import gc
import os
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, Message, MessageBuilder, open_message, verify
from support import processes
from support.messages import BOOK, fill_book, fill_kinds, in_memory, plain
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS, read
from support.requirements import missing

MIB = 1 << 20


@pytest.fixture
def book(target: Path) -> Path:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    return target


def test_reads_what_was_built(book: Path) -> None:
    with open_message(book, ADDRESS_BOOK.schema) as m:
        assert isinstance(m, Message)
        assert m.root.to_dict() == BOOK
        assert m.root.people[0].name == "Alice"
        assert not m.closed
    assert m.closed


@pytest.mark.parametrize("kind", [str, Path])
def test_paths(book: Path, kind: type) -> None:
    path = kind(str(book))
    with open_message(path, ADDRESS_BOOK.schema) as m:
        assert m.name == os.fspath(path)
        assert m.root.people[1].id == 456


def test_reads_what_others_built(target: Path) -> None:
    target.write_bytes(in_memory(KINDS.schema, fill_kinds))
    with open_message(target, KINDS.schema) as m, read(target, KINDS.schema) as expected:
        assert plain(m.root) == plain(expected)


def test_reads_what_pycapnp_wrote_in_many_segments(target: Path) -> None:
    root = BLOCKS.schema.new_message(num_first_segment_words=1)
    for i, block in enumerate(root.init("blocks", 50)):
        block.note = f"note {i}" * 300
    with target.open("wb") as file:
        root.write(file)
    with open_message(target, BLOCKS.schema) as m:
        assert len(m.segments) > 2
        assert m.root.to_dict() == root.to_dict()


def test_the_segments_are_read_only_memory(book: Path) -> None:
    with open_message(book, ADDRESS_BOOK.schema) as m:
        (segment,) = m.segments
        assert segment.readonly
        assert segment == book.read_bytes()[8:]


def test_bytes_after_the_message_are_no_matter(book: Path) -> None:
    with book.open("ab") as file:
        file.write(b"12345")
    with open_message(book, ADDRESS_BOOK.schema) as m:
        assert m.root.to_dict() == BOOK


def test_the_traversal_limit_is_lifted(target: Path) -> None:
    # The default of pycapnp is 64 MiB of reading, however often the same is read.
    with MessageBuilder(target) as b:
        b.init_root(KINDS.schema).data = bytes(MIB)
    with open_message(target, KINDS.schema) as m:
        for _ in range(200):
            assert len(m.root.data) == MIB


def test_the_nesting_limit(target: Path) -> None:
    with MessageBuilder(target) as b:
        inner = b.init_root(KINDS.schema)
        for _ in range(200):
            inner = inner.init("inner")
        inner.text = "deep"
    with open_message(target, KINDS.schema, nesting_limit=300) as m:
        found = m.root
        for _ in range(200):
            found = found.inner
        assert found.text == "deep"
    with open_message(target, KINDS.schema) as m:
        found = m.root
        for _ in range(60):
            found = found.inner
        with pytest.raises(Exception, match="nest"):  # 64 levels, as in pycapnp
            for _ in range(10):
                found = found.inner


def test_readers_outlive_the_message(book: Path) -> None:
    with open_message(book, ADDRESS_BOOK.schema) as m:
        alice = m.root.people[0]
        segments = m.segments
    del m
    gc.collect()
    book.unlink()
    assert alice.name == "Alice"
    assert bytes(segments[0][:4])


def test_a_closed_message(book: Path) -> None:
    m = open_message(book, ADDRESS_BOOK.schema)
    m.close()
    m.close()
    assert m.closed
    assert "closed" in repr(m)
    for use in (lambda: m.root, lambda: m.segments, m.__enter__):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_closing_lets_go_of_the_file(book: Path) -> None:
    if not os.path.exists("/proc/self/maps"):
        missing("mappings cannot be listed here")

    def mapped() -> bool:
        with open("/proc/self/maps") as maps:
            return str(book) in maps.read()

    before = len(os.listdir("/proc/self/fd"))
    with open_message(book, ADDRESS_BOOK.schema) as m:
        assert m.root.people[0].id == 123
        assert mapped()
    gc.collect()
    assert not mapped()
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_exception_in_the_body_is_not_masked(book: Path) -> None:
    with pytest.raises(KeyError), open_message(book, ADDRESS_BOOK.schema) as m:
        raise KeyError
    assert m.closed


def test_a_message_that_is_replaced_while_it_is_read(book: Path) -> None:
    with open_message(book, ADDRESS_BOOK.schema) as m:
        with MessageBuilder(book, atomic=True) as b:
            b.init_root(ADDRESS_BOOK.schema).init("people", 1)[0].name = "Carol"
        assert m.root.to_dict() == BOOK
    with open_message(book, ADDRESS_BOOK.schema) as m:
        assert m.root.people[0].name == "Carol"


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_memory_stays_small_however_large_the_message(target: Path) -> None:
    # An address space that would not hold a copy of what is read.
    code = """
        import resource, sys
        from mmapbuilder import open_message
        from support.readers import BLOCKS
        schema = BLOCKS.schema
        def private():
            with open("/proc/self/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
        before = private()
        with open_message(sys.argv[1], schema) as m:
            values = m.root.blocks[0].values
            assert sum(values[i] for i in range(0, len(values), 100_000)) == 7
        print(private() - before)
    """
    with MessageBuilder(target) as b:
        values = b.init_root(BLOCKS.schema).init("blocks", 1)[0].init("values", 50_000_000)
        values[49_900_000] = 7
    assert int(processes.python(code, target).ok().out) < 50 * 1024


# ---- what is refused ---------------------------------------------------------------


def test_an_unfinished_message(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(ADDRESS_BOOK.schema)
        with pytest.raises(InvalidMessage, match="unfinished|not finished") as caught:
            open_message(target, ADDRESS_BOOK.schema)
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0" * 7,
        b"no message, but a text of some length",
        b"\xff" * 4096,
        b"\0\0\0\0\1\0\0\0",  # a segment that is not there
        b"\0\0\0\0\2\0\0\0" + bytes(8),  # a segment that is not all there
        b"\xff\1\0\0" + bytes(4096),  # 512 segments
        b"\1\0\0\0\1\0\0\0\xff\xff\xff\xff\0\0\0\0" + bytes(8),
    ],
)
def test_what_is_no_message(target: Path, content: bytes) -> None:
    target.write_bytes(content)
    with pytest.raises(InvalidMessage) as caught:
        open_message(target, BLOCKS.schema)
    assert isinstance(caught.value, ValueError)
    assert caught.value.reason
    assert caught.value.reason in str(caught.value)


def test_every_cut_of_a_message(book: Path) -> None:
    content = book.read_bytes()
    for size in range(len(content)):
        os.truncate(book, size)
        with pytest.raises(InvalidMessage):
            open_message(book, ADDRESS_BOOK.schema)
        book.write_bytes(content)


def test_no_bytes_crash_it(target: Path) -> None:
    # The pointers are pycapnp's to check; the table is ours. Of an enum that has no such
    # value pycapnp says RuntimeError.
    code = """
        import random, sys
        from mmapbuilder import InvalidMessage, open_message
        from support.messages import fill_kinds, in_memory
        from support.readers import KINDS, capnp
        good = in_memory(KINDS.schema, fill_kinds)
        source = random.Random(int(sys.argv[2]))
        for _ in range(500):
            bad = bytearray(good)
            for _ in range(source.randrange(1, 8)):
                place = source.randrange(len(bad) if source.random() < 0.7 else 16)
                bad[place] = source.randrange(256)
            with open(sys.argv[1], "wb") as file:
                file.write(bad)
            try:
                with open_message(sys.argv[1], KINDS.schema) as m:
                    m.root.to_dict()
            except (InvalidMessage, capnp.KjException, UnicodeDecodeError, RuntimeError):
                pass
    """
    processes.python(code, target, random.randrange(1 << 30)).ok()


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        open_message(tmp_path / "missing", BLOCKS.schema)
    assert caught.value.filename == str(tmp_path / "missing")
    with pytest.raises(OSError):
        open_message(tmp_path, BLOCKS.schema)
    with pytest.raises((OSError, InvalidMessage)):
        open_message("/dev/null", BLOCKS.schema)


def test_wrong_types(book: Path) -> None:
    for wrong in (None, 1.5, ["path"], object()):
        with pytest.raises(TypeError):
            open_message(wrong, ADDRESS_BOOK.schema)  # type: ignore[arg-type]


@pytest.mark.parametrize("schema", [None, 5, "AddressBook"])
def test_a_schema_that_is_none_is_refused_at_once(book: Path, schema: object) -> None:
    with pytest.raises(TypeError, match="schema must be a struct"):
        open_message(book, schema)


def test_a_file_that_others_cut_and_write_again(tmp_path: Path) -> None:
    """Between two looks of ours the file may be cut and grow again: the error is of messages."""
    processes.python(
        """
        import os, sys, time
        import capnp
        from mmapbuilder import InvalidMessage, MessageBuilder, open_message
        path = sys.argv[1]
        schema = capnp.load(sys.argv[2]).AddressBook
        with MessageBuilder(path) as b:
            b.init_root(schema).init("people", 10_000)
        whole = os.path.getsize(path)
        child = os.fork()
        if child == 0:
            while True:
                os.truncate(path, 16)
                os.truncate(path, whole)
        refused = 0
        end = time.monotonic() + 3
        try:
            while time.monotonic() < end:
                try:
                    open_message(path, schema).close()
                except InvalidMessage:
                    refused += 1
        finally:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert refused > 0
        """,
        tmp_path / "message",
        ADDRESS_BOOK.file,
    ).ok()


def test_what_is_opened_and_checked_is_called_path(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(ADDRESS_BOOK.schema)
    for path in (target, target.read_bytes()):
        assert verify(path=path).segments == 1
        with open_message(path=path, schema=ADDRESS_BOOK.schema) as m:
            assert len(m.root.people) == 0
