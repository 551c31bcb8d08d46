"""fill(): which way columns take, and what it needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, _pycapnp, open_message, verify
from support import processes

HERE = Path(__file__).resolve().parent

WITHOUT_NUMPY = """
    import sys
    sys.modules["numpy"] = None
    import capnp
    from mmapbuilder import MessageBuilder

    schema = capnp.load(sys.argv[2])
    with MessageBuilder(sys.argv[1]) as b:
        root = b.init_root(schema.Root)
        b.fill("rows", id=[1, 2], name=["a", None], position={"x": [0.5, 1.5]})
        b.fill("rows", small=[-1, 7])
        root.init("numbers")
        b.fill("numbers", "i32", [3, 4])
        b.fill("numbers", "texts", ["x", "y"])
        for wrong in ({"small": [1, 300]}, {"nix": [1, 2]}, {"id": [1]}):
            try:
                b.fill("rows", wrong)
            except (OverflowError, KeyError, ValueError):
                continue
            raise AssertionError(wrong)
        try:
            b.array("rows")
        except ImportError as error:
            assert "mmapbuilder[numpy]" in str(error)
"""


def test_columns_are_written_without_numpy(target: Path) -> None:
    schema = HERE / "arrays.capnp"
    processes.python(WITHOUT_NUMPY, target, schema).ok()
    from array_schemas import arrays_capnp

    with open_message(target, arrays_capnp.Root) as m:
        rows = m.root.rows
        assert [(row.id, row.small, row.name, row.position.x) for row in rows] == [
            (1, -1, "a", 0.5),
            (2, 7, "", 1.5),
        ]
        assert list(m.root.numbers.i32) == [3, 4]
        assert list(m.root.numbers.texts) == ["x", "y"]


# What follows the columns of a large message, as pycapnp makes it.
LAST: dict[str, Callable[[Any], object]] = {
    "nothing": lambda b: None,
    "a text": lambda b: setattr(b._root.numbers, "text", "end"),
    "one zero": lambda b: b._root.numbers.init("i64", 1),
    "some zeros": lambda b: b._root.numbers.init("i64", 500),
    "many zeros": lambda b: b._root.numbers.init("i64", 10_000),
    "zeros to which nothing leads": lambda b: b.message.new_orphan(b.schema),
}


@pytest.mark.parametrize("segment_words", [1 << 20, 12_000, 2000])
@pytest.mark.parametrize("last", LAST)
def test_the_end_of_a_large_message_is_where_pycapnp_says(
    target: Path, last: str, segment_words: int
) -> None:
    from array_schemas import arrays_capnp

    with MessageBuilder(target, segment_words=segment_words, capacity=1 << 22) as b:
        root = b.init_root(arrays_capnp.Root)
        root.init("numbers")
        b.fill("numbers", "i32", list(range(1, 20_001)))
        del root
        LAST[last](b)
        told = _pycapnp.used_words(b.message, b._root)
        start, sizes = b._segments.start, b._segments.sizes
    with open_message(target, arrays_capnp.Root) as m:
        assert m.root.numbers.i32[19_999] == 20_000
    before = sizes[: len(told) - 1]
    assert target.stat().st_size == start + 8 * (sum(before) + told[-1])
    assert verify(target).trailing == 0


@pytest.mark.parametrize("last", ["nothing", "one zero", "some zeros"])
def test_the_end_of_a_large_message_is_found_without_an_exception_of_pycapnp(
    target: Path, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from array_schemas import arrays_capnp

    def refuse(*_: object) -> list[int]:
        raise AssertionError("pycapnp was asked")

    b = MessageBuilder(target)
    b.init_root(arrays_capnp.Root).init("numbers")
    b.fill("numbers", "i32", list(range(1, 20_001)))
    LAST[last](b)
    monkeypatch.setattr(b, "_used_words", refuse)
    told = b._told_sizes
    sizes: list[object] = []
    monkeypatch.setattr(b, "_told_sizes", lambda segments: sizes.append(told(segments)) or sizes[0])
    b.close()
    assert sizes != [None]
