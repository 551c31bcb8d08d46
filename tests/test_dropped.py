"""A builder that is dropped lets go of its file even where the warning is an error."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from mmapbuilder import Builder, MessageBuilder


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [Builder, MessageBuilder])
def test_dropped_with_warnings_as_errors(
    kind: type[Builder | MessageBuilder], target: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        b = kind(target, capacity=1 << 20)
        del b  # the error cannot be raised here: Python prints it
    kind(target, capacity=1 << 20).discard()
    assert not target.exists()
