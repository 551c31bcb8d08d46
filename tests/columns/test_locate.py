"""Paths: where they lead, also where a message has nothing and its schema a default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
pytest.importorskip("numpy")

from mmapbuilder import Message, MessageBuilder, open_message  # noqa: E402

defaults_capnp: Any = capnp.load(str(Path(__file__).resolve().parent / "defaults.capnp"))


@pytest.fixture
def message(target: Path) -> Iterator[Message]:
    with MessageBuilder(target) as b:
        b.init_root(defaults_capnp.Root)
    with open_message(target, defaults_capnp.Root) as m:
        yield m


def test_a_list_that_is_not_set_is_its_default(message: Message) -> None:
    for numbers in (message.array("numbers"), message.column("numbers")):
        assert numbers.tolist() == [1, 2]
    numbers = message.array("numbers")
    assert not numbers.flags.writeable
    message.close()
    assert numbers.tolist() == [1, 2]


def test_a_path_goes_on_in_the_default_of_a_struct(message: Message) -> None:
    assert message.column("point", "tags").tolist() == ["first", "second"]
    assert message.array("point", "tags", 1).tobytes() == b"second"
    assert message.rows("point", "tags") == list(message.iter_rows("point", "tags"))
    assert message.rows("point", "tags") == ["first", "second"]
    assert message.array("places")["x"].tolist() == [4, 5]
    assert message.column("places", "x").tolist() == [4, 5]
    assert message.rows("places", 1, "tags") == ["there"]
    with pytest.raises(IndexError, match="has 2 elements"):
        message.array("places", 2, "tags")


def test_a_table_of_the_default_of_a_struct(message: Message) -> None:
    pytest.importorskip("pyarrow")
    assert message.table("point", "tags").to_pydict() == {"tags": ["first", "second"]}


def test_a_default_of_many_words_is_whole(target: Path, tmp_path: Path) -> None:
    numbers = list(range(3000))  # more than pycapnp puts into a first segment
    schema = tmp_path / "many.capnp"
    schema.write_text(f"@0xc1d2e3f405162739; struct Root {{ many @0 :List(Int64) = {numbers}; }}")
    root = capnp.load(str(schema)).Root
    with MessageBuilder(target) as b:
        b.init_root(root)
    with open_message(target, root) as m:
        assert m.array("many").tolist() == numbers
        assert m.rows("many") == numbers
        assert m.table("many").num_rows == 3000


def test_a_default_costs_no_room_however_many_rows_have_it(target: Path, tmp_path: Path) -> None:
    schema = tmp_path / "wide.capnp"
    numbers = list(range(500))
    schema.write_text(
        "@0xc1d2e3f40516273a; struct Root { rows @0 :List(Row); "
        f"struct Row {{ id @0 :Int32; wide @1 :List(Int64) = {numbers}; }} }}"
    )
    root = capnp.load(str(schema)).Root
    with MessageBuilder(target) as b:
        b.init_root(root)
        b.fill("rows", id=range(2000))
    with open_message(target, root) as m:
        assert m.table("rows").num_rows == 2000
        assert m.rows("rows", as_=tuple)[1999] == (1999, numbers)
        assert m.column("rows", "wide")[1999] == numbers


def test_what_is_built_has_no_defaults(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(defaults_capnp.Root)
        for read in (b.array, b.column):
            with pytest.raises(KeyError, match="numbers is not set"):
                read("numbers")
        with pytest.raises(KeyError, match="point is not set"):
            b.fill("point", "tags", ["a"])


def test_what_is_not_set_and_has_none_reads_as_empty(message: Message) -> None:
    assert message.column("plain", "tags").tolist() == []
    assert message.rows("plain", "tags") == []
