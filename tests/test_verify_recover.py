"""verify and recover: pointers checked, messages of dead builders finished."""

from __future__ import annotations

import os
import random
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import (
    Builder,
    CapacityError,
    InvalidMessage,
    MessageBuilder,
    MessageLog,
    Report,
    edit_message,
    open_message,
    recover,
    verify,
)
from support import processes
from support.messages import BOOK, fill_book, fill_kinds, in_memory, plain
from support.readers import ADDRESS_BOOK, BLOCKS, KINDS, Programs, accepting, capnp, read
from support.wire import is_unfinished, set_aside, table_of

MIB = 1 << 20

# How messages are built: one segment, many entries, many segments.
LAYOUTS: dict[str, dict[str, Any]] = {
    "one entry": {"capacity": 1 << 30},
    "sixteen entries": {},
    "odd entries": {"capacity": 3 << 32},
    "many segments": {"capacity": MIB >> 2, "segment_words": 128},
    "two segments": {"capacity": MIB, "segment_words": 1 << 16},
}


def unfinished_copy(source: Path, to: Path) -> Path:
    """What a crash at this moment would leave."""
    shutil.copyfile(source, to)
    assert is_unfinished(to)
    return to


# ---- verify ------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_we_built_is_valid(target: Path, layout: dict[str, Any]) -> None:
    with MessageBuilder(target, **layout) as b:
        fill_kinds(b.init_root(KINDS.schema))
    report = verify(target)
    table = table_of(target)
    assert isinstance(report, Report)
    assert report.size == target.stat().st_size == table.total
    assert report.trailing == 0
    assert report.segments == len(table.used)
    assert report.entries == len(table.sizes)
    assert not report.unfinished
    assert report.depth >= 4
    assert 10 < report.objects
    assert report.words <= sum(table.sizes)


def test_what_others_built_is_valid(target: Path) -> None:
    for words in (1, 100, 1 << 16):
        target.write_bytes(in_memory(KINDS.schema, fill_kinds, words))
        assert verify(target).size == target.stat().st_size


def test_every_word_is_accounted_for(target: Path) -> None:
    with MessageBuilder(target, capacity=MIB) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    report = verify(target)
    # The table, and the word of the root pointer before it was moved.
    assert report.words == (target.stat().st_size - 16) // 8


def test_an_empty_message_is_valid(target: Path) -> None:
    MessageBuilder(target).close()
    report = verify(target)
    assert (report.objects, report.pointers) == (0, 0)


def test_what_follows_a_message_is_counted(target: Path) -> None:
    target.write_bytes(in_memory(ADDRESS_BOOK.schema, fill_book) + b"12345")
    report = verify(target)
    assert report.trailing == 5
    assert report.size == target.stat().st_size - 5


def test_verify_changes_nothing(target: Path) -> None:
    target.write_bytes(in_memory(ADDRESS_BOOK.schema, fill_book))
    target.chmod(0o444)
    before = target.stat()
    verify(target)
    assert target.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("look", ["verify", "recover", "open_message", "edit_message"])
def test_what_is_something_else_is_told_alike(look: str, target: Path) -> None:
    looks: dict[str, Any] = {
        "verify": verify,
        "recover": recover,
        "open_message": lambda path: open_message(path, KINDS.schema),
        "edit_message": lambda path: edit_message(path, KINDS.schema),
    }
    for content, said in {
        b"just some text in a file": "this is text and no message",
        b"\x1f\x8b and so on": "compressed data (gzip)",
        bytes(4096): "the file begins with zeros: it is no message, or ",
    }.items():
        target.write_bytes(content)
        with pytest.raises(InvalidMessage) as caught:
            looks[look](target)
        assert said in caught.value.reason
        assert said in str(caught.value)
        assert caught.value.filename in (target, str(target))
        assert target.read_bytes() == content


def message(*words: int, sizes: tuple[int, ...] | None = None) -> bytes:
    """A message of such words; one segment unless `sizes` says otherwise."""
    sizes = sizes or (len(words),)
    head = struct.pack(f"<{len(sizes) + 1}I", len(sizes) - 1, *sizes)
    return head.ljust((len(head) + 7) // 8 * 8, b"\0") + struct.pack(f"<{len(words)}Q", *words)


def struct_pointer(offset: int, data: int = 0, pointers: int = 0) -> int:
    return (offset & 0x3FFFFFFF) << 2 | data << 32 | pointers << 48


def list_pointer(offset: int, element: int, count: int) -> int:
    return (offset & 0x3FFFFFFF) << 2 | 1 | element << 32 | count << 35


def far_pointer(segment: int, word: int, double: bool = False) -> int:
    return 2 | double << 2 | word << 3 | segment << 32


FAULTS = {
    "a struct beyond the end": (message(struct_pointer(0, data=1)), 0, 0),
    "a struct before the start": (message(struct_pointer(-5, data=1), 0), 0, 0),
    "a list beyond the end": (message(list_pointer(0, 5, 2), 0), 0, 0),
    "a list far too long": (message(list_pointer(0, 2, (1 << 29) - 1), 0), 0, 0),
    "the second pointer": (
        message(struct_pointer(0, pointers=2), list_pointer(1, 2, 8), struct_pointer(9, 1), 0),
        0,
        2,
    ),
    "a composite list without a tag": (message(list_pointer(0, 7, 5)), 0, 0),
    "a composite list that its tag overflows": (
        message(list_pointer(0, 7, 1), struct_pointer(4, data=1), 0),
        0,
        None,
    ),
    "a far pointer to no segment": (message(far_pointer(1, 0)), 0, 0),
    "a far pointer beyond its segment": (
        message(far_pointer(1, 1), 0, sizes=(1, 1)),
        0,
        0,
    ),
    "an unknown kind of pointer": (message(struct_pointer(0, pointers=1), 7), 0, 1),
    "a loop": (message(struct_pointer(-1, pointers=1)), 0, None),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_place_of_the_first_fault(target: Path, name: str) -> None:
    content, segment, word = FAULTS[name]
    target.write_bytes(content)
    with pytest.raises(InvalidMessage) as caught:
        verify(target)
    assert caught.value.reason
    assert isinstance(caught.value.segment, int)
    assert isinstance(caught.value.word, int)
    if word is not None:
        assert (caught.value.segment, caught.value.word) == (segment, word)
        assert str(word) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"1234567", b"\xff" * 100, b"\0\0\0\0\1\0\0\0", b"\xff\1\0\0" + bytes(4096)]
)
def test_a_table_that_is_none(target: Path, content: bytes) -> None:
    target.write_bytes(content)
    for check in (verify, recover):
        with pytest.raises(InvalidMessage) as caught:
            check(target)
        assert caught.value.reason
    assert target.read_bytes() == content


def test_an_unfinished_message_is_not_valid(target: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        with pytest.raises(InvalidMessage, match="unfinished|not finished"):
            verify(target)


def test_amplification_is_found_out(target: Path) -> None:
    # Every element of a list of pointers leads to the next list of pointers.
    words = [list_pointer(0, 6, 8)]
    for _ in range(64):
        words += [list_pointer(7 - i, 6, 8) for i in range(8)]
    target.write_bytes(message(*words))
    with pytest.raises(InvalidMessage):
        verify(target)


def test_a_long_chain_needs_no_stack(target: Path) -> None:
    with MessageBuilder(target) as b:
        inner = b.init_root(BLOCKS.schema)
        for _ in range(3):
            inner.init("blocks", 2)
    # Ten thousand structs, each held by the one before, by hand.
    count = 10_000
    target.write_bytes(message(*([struct_pointer(0, pointers=1)] * count), 0))
    report = verify(target)
    assert report.depth == report.objects == count


@pytest.mark.slow
def test_random_damage_never_crashes(target: Path) -> None:
    code = """
        import random, shutil, sys
        from mmapbuilder import InvalidMessage, recover, verify
        from support.messages import fill_kinds, in_memory
        from support.readers import KINDS
        source = random.Random(int(sys.argv[2]))
        for words in (1, 60, 1 << 16):
            good = in_memory(KINDS.schema, fill_kinds, words)
            for _ in range(1000):
                bad = bytearray(good)
                for _ in range(source.randrange(1, 6)):
                    byte = source.choice([0, 1, 255, source.randrange(256)])
                    bad[source.randrange(len(bad))] = byte
                with open(sys.argv[1], "wb") as file:
                    file.write(bad)
                for check in verify, recover:
                    try:
                        check(sys.argv[1])
                    except InvalidMessage as error:
                        assert error.reason
    """
    processes.python(code, target, random.randrange(1 << 30)).ok()


# ---- recover -----------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_what_can_be_reached_is_kept(
    target: Path, tmp_path: Path, layout: dict[str, Any], durable: bool
) -> None:
    with MessageBuilder(target, **layout) as b:
        root = b.init_root(KINDS.schema)
        fill_kinds(root)
        copy = unfinished_copy(target, tmp_path / "copy")
        expected = plain(root)
    report = recover(copy, durable=durable)
    assert report.unfinished
    assert report.size == copy.stat().st_size == table_of(copy).total
    with read(copy, KINDS.schema) as found:
        assert plain(found) == expected
    assert not verify(copy).unfinished


def test_everyone_reads_what_was_recovered(
    target: Path, tmp_path: Path, programs: Programs
) -> None:
    with MessageBuilder(target, capacity=8192, segment_words=16) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        copy = unfinished_copy(target, tmp_path / "copy")
    assert accepting(copy, ADDRESS_BOOK, programs) == set()
    recover(copy)
    assert accepting(copy, ADDRESS_BOOK, programs) == {
        *("read", "read_multiple", "from_bytes", "decode", "convert", "flat", "stream")
    }


def test_after_sigkill(target: Path) -> None:
    code = """
        import os, signal, sys
        from mmapbuilder import MessageBuilder
        from support.messages import fill_book
        from support.readers import ADDRESS_BOOK
        b = MessageBuilder(sys.argv[1])
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    assert processes.python(code, target).signal == "SIGKILL"
    assert is_unfinished(target)
    assert recover(target).unfinished
    with open_message(target, ADDRESS_BOOK.schema) as m:
        assert m.root.to_dict() == BOOK


def test_an_exception_in_the_body_can_be_recovered(target: Path) -> None:
    with pytest.raises(KeyError), MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        raise KeyError
    recover(target)
    with open_message(target, ADDRESS_BOOK.schema) as m:
        assert m.root.to_dict() == BOOK


def test_what_was_built_before_the_capacity_was_used_up(target: Path) -> None:
    b = MessageBuilder(target, capacity=4096)
    root = b.init_root(BLOCKS.schema)
    root.label = "fits"
    root.init("blocks", 1000)
    with pytest.raises(CapacityError):
        b.close()
    # pycapnp went on in memory that is in no file: the pointer to that becomes null.
    report = recover(target)
    assert (report.lost, report.lost_values) == (1, 1)
    with read(target, BLOCKS.schema) as found:
        assert found.to_dict() == {"label": "fits"}
    assert verify(target).lost == 0


def test_a_message_that_nobody_began(target: Path, tmp_path: Path) -> None:
    with MessageBuilder(target) as b:
        empty = unfinished_copy(target, tmp_path / "empty")
        b.message
        b.init_root(BLOCKS.schema)
        rooted = unfinished_copy(target, tmp_path / "rooted")
    for copy in (empty, rooted):
        recover(copy)
        with read(copy, BLOCKS.schema) as root:
            assert root.to_dict() == {}


def test_a_finished_message_is_left_alone(target: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    before = target.stat()
    report = recover(target)
    assert not report.unfinished
    assert report == verify(target)
    assert target.stat().st_mtime_ns == before.st_mtime_ns


def test_recovering_again_changes_nothing(target: Path, tmp_path: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
        copy = unfinished_copy(target, tmp_path / "copy")
    recover(copy)
    content = copy.read_bytes()
    recover(copy)
    assert copy.read_bytes() == content


def test_a_living_builder_is_not_disturbed(target: Path) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "alive"
        with pytest.raises(BlockingIOError) as caught:
            recover(target)
        assert caught.value.filename == str(target)
        root.init("blocks", 10)
    with read(target, BLOCKS.schema) as found:
        assert (found.label, len(found.blocks)) == ("alive", 10)


def test_damage_is_not_made_valid(target: Path, tmp_path: Path) -> None:
    with MessageBuilder(target, capacity=MIB) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "x"
        copy = unfinished_copy(target, tmp_path / "copy")
    with copy.open("r+b") as file:
        file.seek(set_aside(1))
        file.write(struct.pack("<Q", struct_pointer(1 << 28, data=1)))
    content = copy.read_bytes()
    with pytest.raises(InvalidMessage) as caught:
        recover(copy)
    assert (caught.value.segment, caught.value.word) == (0, 0)
    assert copy.read_bytes() == content


def test_a_message_in_a_plain_builder(target: Path) -> None:
    # recover is about what MessageBuilder writes; other bytes are no business of its.
    with Builder(target) as b:
        b.write(b"\xff\xff\xff\xff" + os.urandom(1000))
    content = target.read_bytes()
    with pytest.raises(InvalidMessage):
        recover(target)
    assert target.read_bytes() == content


@pytest.mark.parametrize("check", [verify, recover])
def test_files_that_cannot_be_opened(tmp_path: Path, check: Any) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        check(tmp_path / "missing")
    assert caught.value.filename == str(tmp_path / "missing")
    with pytest.raises(OSError):
        check(tmp_path)
    for wrong in (None, 1.5, object()):
        with pytest.raises(TypeError):
            check(wrong)


def test_paths_that_are_bytes(target: Path) -> None:
    target.write_bytes(in_memory(ADDRESS_BOOK.schema, fill_book))
    assert verify(str(target)) == recover(os.fsencode(target))  # verify takes bytes for content


def test_pycapnp_and_we_agree_on_what_is_used(target: Path) -> None:
    # Segments passed by hand are measured by the walk, others by pycapnp.
    by_hand, by_message = target, target.with_name("other")
    with MessageBuilder(by_hand, capacity=MIB) as b:
        fill_kinds(KINDS.schema.new_message(allocate_seg_callable=b.allocate_segment))
    with MessageBuilder(by_message, capacity=MIB) as b:
        fill_kinds(b.init_root(KINDS.schema))
    assert by_hand.read_bytes() == by_message.read_bytes()
    assert capnp is not None


@pytest.mark.parametrize("check", [verify, recover])
def test_progress_of_a_log_is_told_in_and_between_messages(check: Any, target: Path) -> None:
    with MessageLog(target, schema=KINDS.schema, index=False) as log:
        for text in ["x" * 50_000] * 600:
            log.append(text=text)
        with log.build() as root:
            texts = root.init("texts", 400_000)
            for number in range(len(texts)):
                texts[number] = "a text of thirty bytes or so"

    class StopHere(Exception):
        pass

    def stop(done: int) -> None:
        raise StopHere

    content = target.read_bytes()
    with pytest.raises(StopHere):
        check(target, progress=stop)
    assert target.read_bytes() == content
    told: list[int] = []
    check(target, progress=told.append)
    assert told == sorted(told)
    small = 600 * 50_000
    assert len([done for done in told if done < small]) >= 3
    assert len([done for done in told if small < done < len(content) - MIB]) >= 2
