"""Small files that claim to be large: what is made of them stays within a multiple of the file.

Some objects take no words, and objects may overlap, so a few bytes can stand for any number of
values. Each way of reading is tried on each such file, in a child whose memory is measured.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

capnp = pytest.importorskip("capnp")
pytest.importorskip("numpy")
pytest.importorskip("pyarrow")

from mmapbuilder import verify  # noqa: E402
from support import processes  # noqa: E402

pytestmark = pytest.mark.slow

KIB = 1 << 10
SECONDS = 20  # of processor time, after which a child is killed
# What Python and Arrow take for nothing, and for each byte of a file: a value of one bit may
# become a pointer to an object, and each word may be read four times.
FREE, TIMES = 24 << 20, 4 * 64

SCHEMA = (
    """@0xbf3b1c7d52e64a80;
struct Root {
  numbers @0 :List(UInt64);
  voids @1 :List(Void);
  bools @2 :List(Bool);
  texts @3 :List(Text);
  lists @4 :List(List(UInt64));
  wides @5 :List(Wide);
  wide @6 :Wide;
  deep @7 :List(List(Wide));
  text @8 :Text;
}
struct Wide {
  more @0 :List(Wide);
  wide @1 :Wide;
  text @2 :Text;
  union {
    none @3 :Void;
    other @4 :Wide;
  }
"""
    + "".join(f"  f{i} @{i} :UInt64;\n" for i in range(5, 65))
    + "}\n"
)
NAMES = ["numbers", "voids", "bools", "texts", "lists", "wides", "wide", "deep", "text"]
POINTERS = len(NAMES)

READER = """
    import capnp, json, mmap, os, resource, sys, warnings
    import numpy, pyarrow
    from mmapbuilder import InvalidMessage, open_log, open_message, recover, verify
    warnings.simplefilter("ignore")
    path, plain, schema, kind, seconds = *sys.argv[1:5], int(sys.argv[5])
    Root = capnp.load(schema).Root
    LISTS = ["numbers", "voids", "bools", "texts", "lists", "wides", "deep"]

    def rss():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    def read(m):
        yield "to_dict", m.to_dict
        yield "usage", m.usage
        for name in LISTS:
            yield f"array {name}", lambda: m.array(name)
            yield f"column {name}", lambda: m.column(name)
            yield f"table {name}", lambda: m.table(name)
            yield f"views {name}", lambda: m.table(name, views=True)
            yield f"rows {name}", lambda: m.rows(name)
        for name in ("text", "f12", "more", "wide", "none", "@which", "other"):
            yield f"column wides {name}", lambda: m.column("wides", name)
        yield "tuples", lambda: m.rows("wides", as_=tuple)
        yield "dense", lambda: m.table("wides", unions="dense")
        yield "batches", lambda: [None for _ in m.iter_rows("wides")]

    def read_log(log):
        yield "rows", log.rows
        yield "tuples", lambda: log.rows(tuple)
        yield "table", log.table
        yield "usage", log.usage
        yield "messages", lambda: [None for _ in log]
        for name in ("text", "wide.f12", "wide.text"):
            yield f"column {name}", lambda: log.column(name)

    def measure(call):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
                before = rss()
                try:
                    call()
                except (InvalidMessage, TypeError, KeyError):
                    pass
                taken.seek(0)
                taken.write((rss() - before).to_bytes(8, "little", signed=True))
                code = 0
            finally:
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return int.from_bytes(taken[:8], "little", signed=True) if status == 0 else None

    # The same is done to a file that claims nothing: it tells what the schema alone takes.
    def calls(path):
        yield "verify", lambda: verify(path)
        yield "recover", lambda: recover(path)
        if kind == "log":
            with open_log(path, Root, index=False) as log:
                yield from read_log(log)
        else:
            with open_message(path, Root) as m:
                yield from read(m)

    taken = mmap.mmap(-1, 4096)
    for (name, harmless), (_, call) in zip(calls(plain), calls(path), strict=True):
        usual, took = measure(harmless), measure(call)
        print(json.dumps([name, took - usual if took is not None else None]), flush=True)
"""


def struct_to(offset: int, data: int, pointers: int) -> int:
    return (offset & (1 << 30) - 1) << 2 | data << 32 | pointers << 48


def list_to(offset: int, size: int, count: int) -> int:
    return (offset & (1 << 30) - 1) << 2 | 1 | size << 32 | count << 35


def message(name: str, pointer: int, *body: int) -> bytes:
    """A root with one pointer, as it is right before the body: the words that it leads to."""
    index = NAMES.index(name)
    pointers = [0] * POINTERS
    pointers[index] = pointer + (POINTERS - 1 - index << 2)
    words = [struct_to(0, 0, POINTERS), *pointers, *body]
    return struct.pack(f"<II{len(words)}Q", 0, len(words), *words)


def structs(words: int, count: int, data: int = 0, pointers: int = 0) -> tuple[int, int]:
    """A pointer to a list of structs, and the tag of that."""
    return list_to(0, 7, words), count << 2 | data << 32 | pointers << 48


MOST = (1 << 29) - 1
SOME = 60_000
EACH = 2000  # pointers to the same list of so many words

SHAPES = {
    "structs of nothing": message("wides", *structs(0, SOME)),
    "many structs of nothing": message("wides", *structs(0, 1 << 20)),
    "the most structs of nothing": message("wides", *structs(0, MOST)),
    "lists of structs of nothing": message(
        "deep", list_to(0, 6, 500), *(list_to(499 - i, 7, 0) for i in range(500)), SOME << 2
    ),
    "Voids": message("voids", list_to(0, 0, 1 << 21)),
    "many Voids": message("voids", list_to(0, 0, 1 << 25)),
    "the most Voids": message("voids", list_to(0, 0, MOST)),
    "structs of one word": message("wides", *structs(EACH, EACH, 1), *[1] * EACH),
    "lists of the same numbers": message(
        "lists", list_to(0, 6, EACH), *(list_to(EACH - 1 - i, 5, EACH) for i in range(EACH)),
        *[7] * EACH,
    ),
    "lists of the same structs": message(
        "deep", list_to(0, 6, EACH), *(list_to(EACH - 1 - i, 7, 4 * EACH) for i in range(EACH)),
        structs(0, 4 * EACH // 60, 60)[1], *[7] * 4 * EACH,
    ),
    "the same texts": message(
        "texts", list_to(0, 6, EACH), *(list_to(EACH - 1 - i, 2, 8 * EACH) for i in range(EACH)),
        *[0x6161616161616161] * (EACH - 1), 0x0061616161616161,
    ),
    "a struct in itself": message("wide", struct_to(0, 0, 4), 0, struct_to(-2, 0, 4), 0, 0),
    "a list that holds itself twice": message(
        "wides", *structs(8, 2, 0, 4), list_to(-2, 7, 8), 0, 0, 0, list_to(-6, 7, 8), 0, 0, 0
    ),
    "lists within lists": message(
        "deep", list_to(0, 6, EACH), *(list_to(-1 - i, 6, EACH) for i in range(EACH))
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["message", "log"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_made_of_a_small_file_is_small(target: Path, shape: str, kind: str) -> None:
    schema = target.with_name("wide.capnp")
    schema.write_text(SCHEMA)
    content = SHAPES[shape]
    if kind == "log":
        content *= 1 + (50 * KIB) // len(content)
    target.write_bytes(content)
    plain = target.with_name("plain")
    plain.write_bytes(message("text", list_to(0, 2, 8), 0x0061616161616161))
    done = processes.python(READER, target, plain, schema, kind, SECONDS, timeout=600).ok()
    measured = [json.loads(line) for line in done.out.splitlines()]
    assert len(measured) > 9
    most = FREE + TIMES * len(content)
    assert [each for each in measured if each[1] is None or each[1] > most] == []


def test_the_shapes_are_what_they_say() -> None:
    """They hold together, but for those that overlap."""
    overlap = ("same", "itself", "lists of structs of nothing", "lists within lists")
    for shape, content in SHAPES.items():
        if not any(word in shape for word in overlap):
            assert verify(content).trailing == 0, shape
