"""What tests of arrays share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mmapbuilder import MessageBuilder


@pytest.fixture
def b(target: Path) -> Iterator[MessageBuilder]:
    """A builder of a message, with no root yet."""
    with MessageBuilder(target) as builder:
        yield builder
