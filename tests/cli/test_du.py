"""mmapbuilder du."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command import BOOK, PERSON, fails, lines, run

pytest.importorskip("capnp")

KINDS_OF_BYTES = ["data", "pointers", "text", "padding", "far", "unreachable", "table"]


@pytest.mark.parametrize("options", [[], ["--schema"], ["--schema", "--depth"], ["--depth"]])
def test_the_rows_add_up_to_the_size_of_the_file(
    options: list[str], tmp_path: Path, message: Path, log: Path
) -> None:
    for path, schema in ((message, BOOK), (log, PERSON)):
        arguments = ["--schema", schema] if "--schema" in options else []
        arguments += ["--depth", "1"] if "--depth" in options else []
        (found,) = lines(run("du", "--json", path, *arguments, where=tmp_path))
        assert found["size"] == path.stat().st_size
        assert sum(row["bytes"] for row in found["rows"]) == found["size"]
        for row in found["rows"]:
            assert row["bytes"] == sum(row[kind] for kind in KINDS_OF_BYTES)


def test_people_read_a_table(tmp_path: Path, message: Path) -> None:
    shown = run("du", "people.bin", "--schema", BOOK, where=tmp_path).ok().out.splitlines()
    assert shown[0] == f"people.bin: {message.stat().st_size:,} bytes"
    assert shown[1].split()[:3] == ["path", "count", "data"]
    (name,) = [line.split() for line in shown if line.startswith("people[].name ")]
    assert name[1] == "2"
    assert shown[-1].startswith("(total)")
    assert shown[-1].endswith("100.0")


def test_the_largest_come_first(tmp_path: Path, message: Path) -> None:
    (found,) = lines(
        run("du", "--json", "--sort", "bytes", message, "--schema", BOOK, where=tmp_path)
    )
    sizes = [row["bytes"] for row in found["rows"]]
    assert sizes == sorted(sizes, reverse=True)


def test_deep_paths_are_counted_above(tmp_path: Path, message: Path) -> None:
    (found,) = lines(run("du", "--json", "--depth", "2", message, "--schema", BOOK, where=tmp_path))
    paths = {row["path"] for row in found["rows"]}
    assert "people[].phones[]" in paths
    assert "people[].employment" in paths
    assert not any(path.count(".") > 1 for path in paths)


def test_another_schema_is_an_error(tmp_path: Path, message: Path, unfinished: Path) -> None:
    fails(run("du", message, "--schema", PERSON, where=tmp_path), 1, "people.bin: ")
    fails(run("du", unfinished, where=tmp_path), 1, "died.bin: an unfinished message")
