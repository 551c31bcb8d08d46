"""What other tests skip for want of a package, CI must not lack."""

from __future__ import annotations

import importlib.util
import sysconfig

import pytest

from support.missing import EVERYTHING_MUST_RUN

GIL = not sysconfig.get_config_var("Py_GIL_DISABLED")
# Of these there are wheels for every Python that is tested (or, of pycapnp, the sources and
# what builds them: .ci/build-pycapnp); of the others not for all.
TEST = ["capnp", "hypothesis", "numpy"]
if GIL:
    TEST += ["PIL", "gunicorn", "pyarrow", "rich", "zstandard"]
DEVELOPMENT = [
    "attrs",
    "dask",
    "distributed",
    "duckdb",
    "fsspec",
    "ipykernel",
    "matplotlib",
    "msgspec",
    "mypy",
    "nbclient",
    "pandas",
    "polars",
    "sphinx",
    "tqdm",
]


def has(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def test_nothing_is_skipped_for_want_of_a_package() -> None:
    if not EVERYTHING_MUST_RUN:
        pytest.skip("only under CI=true, elsewhere packages may be missing")
    # An environment with the linter is that of the extra `dev`.
    needed = TEST + (DEVELOPMENT if has("ruff") else [])
    assert [name for name in needed if not has(name)] == []
