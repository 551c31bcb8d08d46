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


@pytest.mark.parametrize("path", [("numbers",), ("point", "tags"), ("numbers", 0)])
@pytest.mark.parametrize("read", ["array", "column"])
def test_what_is_not_set_and_has_a_default_is_not_read_as_empty(
    message: Message, path: tuple[Any, ...], read: str
) -> None:
    with pytest.raises((TypeError, IndexError), match="default is in the schema|has 0 elements"):
        getattr(message, read)(*path)


@pytest.mark.parametrize("read", ["rows", "table", "iter_rows"])
def test_nothing_is_read_through_a_struct_whose_default_is_in_the_schema(
    message: Message, read: str
) -> None:
    with pytest.raises(TypeError, match="point is not set, and its default is in the schema"):
        getattr(message, read)("point", "tags")


def test_what_is_not_set_and_has_none_reads_as_empty(message: Message) -> None:
    assert message.column("plain", "tags").tolist() == []
    assert message.rows("plain", "tags") == []
