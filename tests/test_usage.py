"""What takes how many bytes: every byte of a file is counted, and once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmapbuilder import InvalidMessage, Message, MessageBuilder, MessageLog, open_log, open_message
from support import processes
from support.messages import fill_book, fill_kinds
from support.readers import ADDRESS_BOOK, Kind
from support.readers import KINDS as ALL_KINDS

pytest.importorskip("capnp")

KINDS = ALL_KINDS.schema
BOOK = ADDRESS_BOOK.schema
PERSON = Kind(ADDRESS_BOOK.file, "Person").schema

LIMITED = settings(deadline=None, max_examples=60)


def check(usage: Any, size: int) -> None:
    assert sum(row.bytes for row in usage) == usage.size == size
    assert min(min(row[1:]) for row in usage) >= 0
    assert len({row.path for row in usage}) == len(usage)
    assert usage.total.bytes == size


def rows_of(message: Message) -> dict[str, Any]:
    return {row.path: row for row in message.usage()}


def test_each_path_has_its_bytes(target: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(BOOK))
    with open_message(target, BOOK) as m:
        check(m.usage(), target.stat().st_size)
        assert m.usage().overlaps == 0
        rows = rows_of(m)
    assert rows["people[]"].count == 2
    assert rows["people[].id"].data == 8
    assert rows["people[].name"].text == len("AliceBob")
    assert rows["people[].phones[]"].count == 3
    assert rows["people[].employment.school"].count == 1
    assert rows["people[].employment.unemployed"].count == 1
    assert rows["people[].employment.@which"].data == 4
    assert rows["(table)"].table == 8


def segmented(path: Path, fill: Any, segment_words: int) -> None:
    with MessageBuilder(path, segment_words=segment_words, capacity=8 * 400 * segment_words) as b:
        fill(b.init_root(KINDS))


@pytest.mark.parametrize("words", [16, 64, 1 << 20])
def test_landing_pads_and_all_types_are_counted(target: Path, words: int) -> None:
    segmented(target, fill_kinds, words)
    with open_message(target, KINDS) as m:
        usage = m.usage()
        check(usage, target.stat().st_size)
        assert (usage.total.far > 0) == (words < 1 << 20)
        assert usage.overlaps == 0


values = st.recursive(
    st.builds(dict, int8=st.integers(-128, 127), text=st.text(max_size=40), data=st.binary()),
    lambda inner: st.builds(
        dict,
        inner=inner,
        inners=st.lists(inner, max_size=3),
        texts=st.lists(st.text(max_size=9), max_size=4),
        bools=st.lists(st.booleans(), max_size=70),
        lists=st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=3),
        choice=st.one_of(
            st.builds(dict, name=st.text(max_size=9)), st.builds(dict, number=st.integers(0, 9))
        ),
    ),
    max_leaves=8,
)


def message_of(value: dict[str, Any], words: int) -> bytes:
    root = KINDS.new_message(num_first_segment_words=words)
    root.from_dict(value)
    return bytes(root.to_bytes())


@given(values, st.integers(1, 80))
@LIMITED
def test_rows_add_up_to_the_size(value: dict[str, Any], words: int) -> None:
    content = message_of(value, words)
    with open_message(content, KINDS) as m:
        usage = m.usage()
        check(usage, len(content))
        assert usage.overlaps == 0
        assert usage.total.unreachable == 0


@given(
    values,
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 1 << 30)), max_size=6),
    st.binary(max_size=24),
)
@LIMITED
def test_hostile_bytes_are_refused_or_add_up(
    value: dict[str, Any], words: int, copies: list[tuple[int, int]], behind: bytes
) -> None:
    """Words copied over others make pointers that share objects, and circles."""
    content = bytearray(message_of(value, words))
    count = len(content) // 8
    for source, to in copies:
        source, to = source % count * 8, to % count * 8
        content[to : to + 8] = content[source : source + 8]
    content += behind
    try:
        message = open_message(bytes(content), KINDS)
    except InvalidMessage:
        return
    with message as m:
        try:
            usage = m.usage()
        except InvalidMessage:
            return
        check(usage, len(content))


def test_a_builder_tells_what_it_has_so_far(target: Path) -> None:
    with MessageBuilder(target) as b:
        book = b.init_root(BOOK)
        before = b.usage().size
        fill_book(book)
        after = b.usage()
        assert after.size > before
        assert {row.path: row.text for row in after}["people[].name"] == 8
    assert abs(after.size - target.stat().st_size) <= 64  # the table becomes shorter


def test_a_log_is_counted_whole(target: Path) -> None:
    with MessageLog(target, schema=PERSON) as log:
        log.extend({"id": i, "name": f"nr {i}"} for i in range(100))
        with open_log(target, PERSON) as reader:
            check(reader.usage(), target.stat().st_size)
    with open_log(target, PERSON) as reader:
        usage = reader.usage()
        check(usage, target.stat().st_size)
        assert usage.messages == 100
        assert {row.path: row.count for row in usage}["name"] == 100
    with open_log(target) as reader:
        check(reader.usage(), target.stat().st_size)


def test_progress_is_told_and_can_end_it(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.schema = BOOK
        b.set_root({"people": [{"name": "x", "email": "y"}] * 100_000})
    told: list[int] = []
    with open_message(target, BOOK) as m:
        m.usage(progress=told.append)
        assert told == sorted(told)
        assert 0 < told[0] <= told[-1] <= os.path.getsize(target)

        def stop(done: int) -> None:
            raise KeyError(done)

        with pytest.raises(KeyError):
            m.usage(progress=stop)


def test_a_schema_that_does_not_fit_is_an_error(target: Path) -> None:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(BOOK))
    with open_message(target, KINDS) as m:
        with pytest.raises(InvalidMessage, match="target"):
            m.usage()


def test_circles_take_no_time(target: Path) -> None:
    """A thousand pointers to a list that holds them all."""
    code = """
        import struct, sys
        import capnp
        from mmapbuilder import open_message
        book = capnp.load(sys.argv[1]).AddressBook
        N = 2000
        step = 5
        words = [0 | 1 << 48, 1 | 7 << 32 | (N * step) << 35, N << 2 | 1 << 32 | 4 << 48]
        for i in range(N):
            at = len(words)
            back = (2 - (at + 3) - 1) & 0x3FFFFFFF
            words += [0, 0, 0, back << 2 | 1 | 7 << 32 | (N * step) << 35, 0]
        content = struct.pack("<II", 0, len(words)) + struct.pack(f"<{len(words)}Q", *words)
        with open_message(content, book) as m:
            usage = m.usage()
        assert usage.size == len(content)
        assert usage.overlaps == N
    """
    processes.python(code, ADDRESS_BOOK.file).ok()


def test_a_struct_within_itself_is_counted_at_its_outermost_path() -> None:
    value: dict[str, Any] = {"text": "x"}
    for _ in range(30):
        value = {"inner": value, "text": "y"}
    with open_message(message_of(value, 1024), KINDS) as m:
        rows = rows_of(m)
    assert rows["text"].count == 31
    assert rows["inner"].count == 30
    assert not [path for path in rows if path.startswith("inner.")]


def test_it_is_safe_from_many_threads(target: Path) -> None:
    import threading

    segmented(target, fill_kinds, 1 << 16)
    found: list[int] = []
    with open_message(target, KINDS) as m:
        threads = [threading.Thread(target=lambda: found.append(m.usage().size)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [target.stat().st_size] * 8
