"""Files to look into."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmapbuilder import MessageBuilder, MessageLog
from support.messages import fill_book
from support.readers import ADDRESS_BOOK, Kind

PERSON = Kind(ADDRESS_BOOK.file, "Person")


@pytest.fixture
def message(tmp_path: Path) -> Path:
    """people.bin: an address book of two."""
    path = tmp_path / "people.bin"
    with MessageBuilder(path) as b:
        fill_book(b.init_root(ADDRESS_BOOK.schema))
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """people.log: a hundred persons, with an index."""
    path = tmp_path / "people.log"
    with MessageLog(path, schema=PERSON.schema) as writer:
        writer.extend({"id": number, "name": f"nr {number}"} for number in range(100))
    return path


@pytest.fixture
def unfinished(tmp_path: Path) -> Path:
    """died.bin: a message whose builder was not closed."""
    path, copy = tmp_path / "died-in-building.bin", tmp_path / "died.bin"
    b = MessageBuilder(path)
    fill_book(b.init_root(ADDRESS_BOOK.schema))
    copy.write_bytes(path.read_bytes())
    b.discard()
    return copy
