"""Hostile files: verify, recover and open_message on bytes that nobody sane would write.

A process apart reads them, message after message, so that a crash is seen, and by whom.
Hypothesis looks for what crashes, and makes it small.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmapbuilder import MessageBuilder
from support import processes
from support.messages import fill_kinds, in_memory
from support.readers import KINDS

MIB = 1 << 20
EXAMPLES = 600 * int(os.environ.get("MMAPBUILDER_MUTATIONS", "1"))
SECONDS = 5.0  # of processor time for one file, which is ample

# ---- the process that reads them -----------------------------------------------------------

READER = """
    import base64, json, os, resource, sys, time
    from mmapbuilder import InvalidMessage, open_message, recover, verify
    from support.readers import KINDS, capnp
    path = sys.argv[1]

    def refusal(call):
        try:
            return None, call()
        except InvalidMessage as e:
            assert e.reason and isinstance(e.segment, int | None) and isinstance(e.word, int | None)
            return e.reason, None

    class Enough(Exception):
        pass

    def traverse(reader, budget, depth=0):
        # Every field, list and byte, as far as the budget goes: what is read may be a loop.
        budget[0] -= 1
        if budget[0] < 0 or depth > 400:
            raise Enough
        kind = type(reader).__name__
        if kind == "_DynamicStructReader":
            names = list(reader.schema.fieldnames)
            for name in names:
                try:
                    if not reader._has(name):       # a null struct has null structs for ever
                        continue
                    value = getattr(reader, name)
                except (capnp.KjException, UnicodeDecodeError, ValueError):
                    continue
                traverse(value, budget, depth + 1)
        elif kind == "_DynamicListReader":
            for i in range(min(len(reader), 200)):
                try:
                    value = reader[i]
                except (capnp.KjException, UnicodeDecodeError, ValueError):
                    continue
                traverse(value, budget, depth + 1)
        elif kind == "_DynamicObjectReader":
            for as_what in (lambda: reader.as_text(), lambda: reader.as_struct(KINDS.schema)):
                try:
                    value = as_what()
                except (capnp.KjException, UnicodeDecodeError, ValueError):
                    continue
                traverse(value, budget, depth + 1)
        elif isinstance(reader, (str, bytes)):
            len(reader)

    def read():
        with open_message(path, KINDS.schema) as m:
            try:
                traverse(m.root, [3000])
            except Enough:
                return "enough"
            except (capnp.KjException, ValueError) as e:
                return str(e)

    for line in sys.stdin:
        content = base64.b64decode(line)
        with open(path, "wb") as f:
            f.write(content)
        started = time.process_time()
        invalid, report = refusal(lambda: verify(path))
        took = time.process_time() - started
        if report is not None:
            assert not report.unfinished
            assert report.size + report.trailing == len(content)
            assert report.words * 8 <= report.size
        unreadable, _ = refusal(read)
        if invalid is None:
            assert unreadable is None, unreadable
        with open(path, "rb") as f:
            assert f.read() == content
        started = time.process_time()
        unfinished = content[:4] == b"\\xff" * 4
        hopeless, report = refusal(lambda: recover(path))
        took = max(took, time.process_time() - started)
        with open(path, "rb") as f:
            after = f.read() if os.path.getsize(path) < 1 << 26 else None
        if hopeless is not None or not unfinished:
            assert after == content, "written to"
            assert (hopeless is None) == (invalid is None) or unfinished
        else:
            assert report.unfinished and report.size == os.path.getsize(path)
            again, second = refusal(lambda: verify(path))
            assert again is None, again
            assert not second.unfinished and second.trailing == 0
            refusal(read)
        os.unlink(path)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps([invalid, unreadable, hopeless, took, peak]), flush=True)
"""


class Reader:
    """The other process; started again when it has died."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process: subprocess.Popen[str] | None = None

    def ask(self, content: bytes) -> tuple[str | None, str | None, str | None, float, int]:
        """(why verify, open_message, recover refuse it; seconds; peak of memory in KiB)."""
        if self.process is None:
            self.process = processes.start(READER, self.path)
        processes.tell(self.process, base64.b64encode(content).decode())
        answer = processes.line(self.process)
        if not answer:
            process, self.process = self.process, None
            raise AssertionError(str(processes.end(process)))
        invalid, unreadable, hopeless, took, peak = json.loads(answer)
        assert took < SECONDS, f"{took} s"
        return invalid, unreadable, hopeless, took, peak

    def stop(self) -> None:
        if self.process is not None:
            processes.end(self.process).ok()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    found = Reader(tmp_path_factory.mktemp("hostile") / "file")
    yield found
    found.stop()


# ---- real messages, finished and not -------------------------------------------------------


def unfinished(**options: Any) -> bytes:
    """What a builder's crash leaves, without most of the zeros at its end."""
    name = f"/dev/shm/mmapbuilder-{os.getpid()}" if os.path.isdir("/dev/shm") else "unfinished"
    b = MessageBuilder(name, **options)
    try:
        fill_kinds(b.init_root(KINDS.schema), 1)
        size = b.size
        with open(name, "rb") as file:
            return file.read(size + 64)
    finally:
        b.discard()


SOURCES = {
    "one segment": in_memory(KINDS.schema, fill_kinds),
    "many segments": in_memory(KINDS.schema, fill_kinds, 16),
    "unfinished": unfinished(),
    "unfinished in one entry": unfinished(capacity=MIB),
    "unfinished segments": unfinished(capacity=MIB, segment_words=1024),
}

POINTERS = st.builds(
    lambda kind, offset, upper: (kind | offset << 2 | upper << 32) & (1 << 64) - 1,
    st.integers(0, 3),
    st.one_of(st.integers(0, 40), st.integers(0, (1 << 30) - 1)),
    st.one_of(
        st.integers(0, 5),  # a segment, or few words of data
        st.integers(0, 7),
        st.builds(lambda size, count: size | count << 3, st.integers(0, 7), st.integers(0, 99)),
        st.builds(lambda data, pointers: data | pointers << 16, *[st.integers(0, 9)] * 2),
        st.integers(0, (1 << 32) - 1),
    ),
)
WHERE = st.integers(0, 1 << 20)
MUTATIONS = st.one_of(
    st.tuples(st.just("bit"), WHERE, st.integers(0, 63)),
    st.tuples(st.just("word"), WHERE, POINTERS),
    st.tuples(st.just("half"), WHERE, st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just("copy"), WHERE, WHERE),
    st.tuples(st.just("table"), st.integers(0, 40), st.integers(0, 9)),
    st.tuples(st.just("table"), st.integers(0, 40), st.integers(0, (1 << 32) - 1)),
    st.tuples(st.just("cut"), WHERE, st.just(0)),
    st.tuples(st.just("more"), st.integers(0, 100), st.integers(0, 255)),
)


def mutate(content: bytes, mutations: list[tuple[str, int, int]]) -> bytes:
    data = bytearray(content)
    for what, where, value in mutations:
        words = max(len(data) // 8, 1)
        at = where % words * 8
        if what == "cut":
            del data[where % (len(data) + 1) :]
        elif what == "more":
            data += bytes([value]) * where
        elif len(data) < 8:
            continue
        elif what == "bit":
            data[at + value // 8] ^= 1 << value % 8
        elif what == "word":
            data[at : at + 8] = value.to_bytes(8, "little")
        elif what == "half":
            at += 4 * (value & 1)
            data[at : at + 4] = value.to_bytes(4, "little")
        elif what == "copy":
            data[at : at + 8] = data[value % words * 8 :][:8]
        elif what == "table" and 4 * where + 4 <= len(data):
            data[4 * where : 4 * where + 4] = value.to_bytes(4, "little")
    return bytes(data)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    source=st.sampled_from(sorted(SOURCES)),
    mutations=st.lists(MUTATIONS, min_size=1, max_size=6),
)
def test_mutations_of_real_messages(
    reader: Reader, source: str, mutations: list[tuple[str, int, int]]
) -> None:
    reader.ask(mutate(SOURCES[source], mutations))


@pytest.mark.parametrize("source", SOURCES)
def test_the_messages_themselves(reader: Reader, source: str) -> None:
    """Without a mutation all is well, or the mutations would show nothing."""
    invalid, unreadable, hopeless, _, _ = reader.ask(SOURCES[source])
    assert hopeless is None
    assert (invalid is None) == (unreadable is None) == (not source.startswith("unfinished"))


@settings(max_examples=EXAMPLES // 5, deadline=None)
@given(content=st.binary(max_size=200), mark=st.booleans())
def test_any_bytes(reader: Reader, content: bytes, mark: bool) -> None:
    reader.ask(b"\xff" * 4 * mark + content)


# ---- shapes that are meant to take for ever --------------------------------------------------


def struct_to(offset: int, data: int, pointers: int) -> int:
    return (offset & (1 << 30) - 1) << 2 | data << 32 | pointers << 48


def list_to(offset: int, size: int, count: int) -> int:
    return (offset & (1 << 30) - 1) << 2 | 1 | size << 32 | count << 35


def far_to(segment: int, word: int, double: bool = False) -> int:
    return 2 | double << 2 | word << 3 | segment << 32


def message(*segments: list[int]) -> bytes:
    sizes = [len(words) for words in segments]
    head = struct.pack(f"<{len(sizes) + 1}I", len(sizes) - 1, *sizes)
    return head.ljust(-(-len(head) // 8) * 8, b"\0") + b"".join(
        struct.pack(f"<{len(words)}Q", *words) for words in segments
    )


def grown(*words: int) -> bytes:
    """An unfinished file of the length that a builder leaves, its segments far longer."""
    full = (1 << 29) - 1
    head = struct.pack("<512I", (1 << 32) - 1, 510, full << 3 | 7, *[full] * 509)
    return (head + struct.pack(f"<{len(words)}Q", *words)).ljust(2 * MIB, b"\0")


N = 1 << 17  # words of such a message: 1 MiB
ALL = N - 1

HOSTILE: dict[str, bytes] = {
    "a loop of one": message([struct_to(-1, 0, 1)]),
    "a loop of two": message([struct_to(0, 0, 1), struct_to(-2, 0, 1)]),
    "a list that holds itself": message([list_to(0, 6, 1), list_to(-1, 6, 1)]),
    "every pointer to all of it": message([list_to(0, 6, ALL), *[list_to(0, 6, 100)] * ALL]),
    "every pointer to the last": message(
        [list_to(0, 6, ALL), *(struct_to(ALL - 2 - i, 1, 0) for i in range(ALL))]
    ),
    "every pointer to the start": message(
        [list_to(0, 6, ALL), *(list_to(-1 - i, 6, 1) for i in range(1, ALL + 1))]
    ),
    "halves of halves": message(
        [list_to(0, 6, 2)] + [list_to(1 - i % 2, 6, 2) for i in range(ALL)]
    ),
    "endless nothing": message([list_to(0, 0, (1 << 29) - 1)]),
    "structs of nothing": message([list_to(0, 7, 0), (((1 << 29) - 1) << 2)]),
    "lists of structs of nothing": message(
        [list_to(0, 6, ALL // 2)]
        + [list_to(ALL // 2 - 1, 7, 0)] * (ALL // 2)
        + [((1 << 29) - 1) << 2] * (ALL - ALL // 2)
    ),
    "a chain as long as the file": message([struct_to(0, 0, 1)] * ALL + [0]),
    "a comb": message([struct_to(0, 0, 2), *[struct_to(1, 0, 2), 0] * (ALL // 2)]),
    "far pointers to far pointers": message(*[[far_to(i + 1, 0)] for i in range(500)], [0]),
    "far pointers in a ring": message(*[[far_to((i + 1) % 500, 0)] for i in range(500)]),
    "double far pointers in a ring": message(
        *[[far_to((i + 1) % 300, 0, True), far_to((i + 2) % 300, 0)] for i in range(300)]
    ),
    "one pad for all": message(
        [list_to(0, 6, ALL), *[far_to(1, 0)] * ALL], [list_to(0, 6, 1000), *[0] * 1000]
    ),
    "overlapping lists": message(
        [list_to(0, 6, 1000), *(list_to(1000 - i, 5, N - 2000) for i in range(1000)), *[1] * N]
    ),
    "511 segments of all there is": struct.pack("<512I", 510, *[(1 << 29) - 1] * 511),
    "4 billion segments": struct.pack("<II", (1 << 32) - 2, 1) + bytes(4096),
    "sizes that add up to zero": struct.pack("<6I", 3, 1 << 31, 1 << 31, 0, 0, 0) + bytes(64),
    "unfinished, with segments of all there is": struct.pack(
        "<513I", (1 << 32) - 1, 511, ((1 << 29) - 1) << 3 | 7, *[(1 << 29) - 1] * 510
    )
    + struct.pack("<Q", list_to(0, 6, (1 << 29) - 2))
    + bytes(4096),
    "unfinished and grown, a list beyond the end": grown(list_to(0, 6, 1 << 22)),
    "unfinished and grown, a loop": grown(struct_to(-1, 0, 1)),
    "unfinished and grown, all that there could be": grown(
        *[list_to(0, 6, 1 << 17), *[list_to(1 << 20, 6, (1 << 28) - 1)] * (1 << 17)]
    ),
    "unfinished, and cut in the table": struct.pack("<4I", (1 << 32) - 1, 511, 8 | 7, 1),
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_shapes(reader: Reader, shape: str) -> None:
    """Bounded time and memory, and the answer that fits."""
    before = reader.ask(SOURCES["one segment"])[4]
    invalid, _, hopeless, _, peak = reader.ask(HOSTILE[shape])
    harmless = (
        "endless nothing",
        "structs of nothing",
        "lists of structs of nothing",
        "a chain as long as the file",
    )
    assert (invalid is None) == (shape in harmless), invalid
    possible = shape == "unfinished and grown, a list beyond the end"
    assert (hopeless is None) == (invalid is None or possible), hopeless
    # The content came through a pipe, in base64; the rest is what the check took.
    assert peak - before < 64 << 10, f"{peak - before} KiB"
