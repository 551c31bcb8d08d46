"""A *bar*: how far long work is, where standard error is a terminal and tqdm is installed."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")


def with_bar(items: Iterable[Item], total: int, what: str) -> Iterable[Item]:
    """Return the items, with a bar that counts them as they are asked for."""
    tqdm = _tqdm()
    if tqdm is None or total < 2:
        return items
    bar: Iterable[Item] = tqdm.tqdm(items, total=total, desc=what, unit="shard", leave=False)
    return bar


@contextlib.contextmanager
def upload_bar(what: str) -> Iterator[Any]:
    """Give a callback for fsspec, with a bar that counts bytes."""
    from fsspec.callbacks import NoOpCallback, TqdmCallback

    if _tqdm() is None:
        yield NoOpCallback()
        return
    options = {"desc": what, "unit": "B", "unit_scale": True, "leave": False}
    callback = TqdmCallback(tqdm_kwargs=options)
    try:
        yield callback
    finally:
        callback.close()


def _tqdm() -> Any:
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    try:
        import tqdm
    except ImportError:
        return None
    return tqdm
