"""What type checkers, inspect and notebooks are told about everything that is public."""

from __future__ import annotations

import inspect
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest

pytest.importorskip("numpy")

import mmapbuilder
from mmapbuilder import Builder, MessageBuilder, MessageLog, NpyBuilder
from support.requirements import missing

DUNDERS = {"__init__", "__enter__", "__exit__", "__iter__", "__len__", "__getitem__", "__next__"}


def functions() -> list[object]:
    """Every public function and class, and the methods and properties of these."""
    found: list[object] = []
    for name in mmapbuilder.__all__:
        value = getattr(mmapbuilder, name)
        if not (inspect.isclass(value) and issubclass(value, BaseException)):
            found.append(value)
        if inspect.isclass(value):
            for attribute in dir(value):
                member = inspect.getattr_static(value, attribute)
                member = member.fget if isinstance(member, property) else member
                member = getattr(member, "__func__", member)
                is_private = attribute.startswith("_") and attribute not in DUNDERS
                if inspect.isfunction(member) and not is_private:
                    found.append(member)
    return found


def test_annotations_of_everything_public_can_be_evaluated() -> None:
    pytest.importorskip("capnp")
    every = functions()
    assert len(every) > 150
    for function in every:
        module = getattr(function, "__module__", "") or ""
        if module.startswith("mmapbuilder"):
            typing.get_type_hints(function)
            inspect.signature(function, eval_str=True)  # type: ignore[arg-type]


def test_notebooks_show_whatever_is_filled(tmp_path: Path) -> None:
    made = [
        Builder(tmp_path / "<b>"),
        NpyBuilder(tmp_path / "n", "f4", (-1, 3)),
        MessageBuilder(tmp_path / "m"),
        MessageLog(tmp_path / "l"),
    ]
    for each in made:
        assert type(each).__name__ in each._repr_html_()
        assert "<b>" not in each._repr_html_()
        each.close()
        assert "closed" in each._repr_html_()


def test_uses_of_builders_pass_pyright(tmp_path: Path) -> None:
    """As they pass mypy (test_builder_reading.py)."""
    # It comes with the extra dev, not with test.
    pyright = shutil.which("pyright", path=Path(sys.executable).parent) or shutil.which("pyright")
    if pyright is None:
        pytest.importorskip("ruff")
        missing("pyright is not installed, which comes with the extra dev")
    code = tmp_path / "uses.py"
    code.write_text("""
import numpy as np
from mmapbuilder import Builder, NpyBuilder, verify

with Builder("x", "w") as b:
    np.frombuffer(b, dtype=np.float64)[0] = 1  # from 3.12 on: NumPy's stubs know buffers there
    np.frombuffer(memoryview(b), "i4")
    b.zeros((2, 3), "i4")[:] = 1
    b.write(np.zeros(3).data)
    b.flush(0, 4096)
    content: bytes = bytes(b)
    for line in b:
        content += line
with NpyBuilder("y", "f4", (-1, 3)) as npy:
    npy.append([[1, 2, 3]])
verify(b"content").size.bit_length()
""")
    done = subprocess.run(
        [pyright, "--pythonversion", "3.13", "--pythonpath", sys.executable, str(code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    # What it finds in the code stands in its output; npm, which fetches it, says more besides.
    if done.returncode != 0 and not done.stdout and "npm" in done.stderr:
        missing(f"pyright cannot be fetched here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
