"""The example that goes from a table to a plot, on a few files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "table_to_plot.py"

pytestmark = pytest.mark.skipif(not EXAMPLE.is_file(), reason="the examples are not here")


@pytest.fixture
def example() -> ModuleType:
    found = importlib.util.spec_from_file_location("table_to_plot", EXAMPLE)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def library(directory: Path) -> Path:
    (directory / "pack").mkdir(parents=True)
    (directory / "test").mkdir()
    (directory / "one.py").write_text("x = 1 + 'a'  # why\n")
    (directory / "pack" / "__init__.py").write_text("")
    (directory / "pack" / "two.py").write_text("def f(): return 2\n")
    (directory / "pack" / "wrong.py").write_text("(\n")
    (directory / "test" / "left_out.py").write_text("x = 1\n")
    return directory


def test_a_row_for_each_file(example: ModuleType, tmp_path: Path) -> None:
    source = library(tmp_path / "library")
    message = tmp_path / "message"
    example.write(message, source)
    with example.open_message(message, example.sources_capnp.Sources) as m:
        assert m.root.directory == str(source)
        assert m.column("files", "path").tolist() == ["one.py", "pack/__init__.py", "pack/two.py"]
        assert m.column("files", "package").tolist() == ["", "pack", "pack"]
        files = m.array("files")
        assert files["kind"].tolist() == [0, 1, 0]
        assert [int(files["tokens"][name][0]) for name in files["tokens"].dtype.names] == [
            1,
            2,
            1,
            1,
            1,
        ]


def test_the_plot(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    message = tmp_path / "message"
    example.write(message, library(tmp_path / "library"))
    example.plot(message, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert "3 files" in capsys.readouterr().out


def test_without_matplotlib(
    example: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = tmp_path / "message"
    example.write(message, library(tmp_path / "library"))
    example.plot(message, None)
    assert "pip install matplotlib" in capsys.readouterr().out
