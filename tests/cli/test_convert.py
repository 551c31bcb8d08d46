"""mmapbuilder convert: there and back, whole or not at all, and in little memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmapbuilder import MessageBuilder, MessageLog, open_log, open_message
from support.command import BOOK, COMMAND, PERSON, fails, lines, on_a_terminal, run
from support.processes import environment
from support.readers import ADDRESS_BOOK, KINDS, Kind
from support.requirements import missing

pytest.importorskip("capnp")

KINDS_OPTION = f"{KINDS.file}:Kinds"
TABLES = ["parquet", "arrow"]
ALL = [
    *("bool", "int64", "uInt64", "float64", "text", "data", "colour", "bools", "texts", "lists"),
    *("group.left", "group.right", "choice.@which", "choice.number", "choice.name"),
]

arrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")


def rows_of(path: Path, schema: Any, *where: str) -> list[Any]:
    with open_message(path, schema) as m:
        return list(m.rows(*where))


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Rows of every type, more than one part of them."""
    path = tmp_path / "many.bin"
    rows = [
        {
            "bool": i % 3 == 0,
            "int64": -i,
            "uInt64": 2**64 - 1 - i,
            "float64": i / 4,
            "text": f"text {i}" * (i % 5),
            "data": bytes([i % 256]) * (i % 9),
            "colour": ("red", "green", "blue")[i % 3],
            "bools": [True, False] * (i % 4),
            "texts": ["a", "b"][: i % 3],
            "lists": [[1, 2], []][: i % 3],
            "group": {"left": i, "right": "r"},
            "choice": {"name": "n"} if i % 2 else {"number": i},
        }
        for i in range(5000)
    ]
    with MessageBuilder(path) as b:
        b.schema = KINDS.schema
        b.set_root({"inners": rows})
    return path


@pytest.mark.parametrize("suffix", [*TABLES, "jsonl"])
def test_rows_come_back_as_they_were(suffix: str, tmp_path: Path, many: Path) -> None:
    there, back = tmp_path / f"rows.{suffix}", tmp_path / "back.bin"
    arguments = ("--schema", KINDS_OPTION, "--path", "inners")
    names = ALL if suffix != "jsonl" else [name.split(".")[0] for name in ALL]
    columns = ("--columns", ",".join(dict.fromkeys(names)))
    shown = run("convert", many, there, *arguments, *columns, where=tmp_path)
    assert shown.code == 0, shown
    assert f"{there}: 5,000 rows" in shown.out
    run("convert", there, back, *arguments, where=tmp_path).ok()
    run("verify", back, where=tmp_path).ok()
    before = rows_of(many, KINDS.schema, "inners")
    after = rows_of(back, KINDS.schema, "inners")
    for old, new in zip(before, after, strict=True):
        assert without_defaults(old) == without_defaults(new)


def test_what_is_left_out_is_told(tmp_path: Path, many: Path) -> None:
    """Warnings are told in one line as well."""
    done = subprocess.run(
        [
            *(COMMAND[0], "-m", "mmapbuilder", "convert", str(many), "x.parquet"),
            *("--schema", KINDS_OPTION, "--path", "inners"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("mmapbuilder: warning: left out of the table of inners: ")
    assert done.stderr.count("\n") == 1


def without_defaults(row: Any) -> Any:
    """Tables have no difference between what is not set and what is default."""
    if isinstance(row, dict):
        return {
            name: without_defaults(value)
            for name, value in row.items()
            if value not in (None, 0, False, 12345, [], {}, "") or name == "choice"
        }
    return row


@pytest.mark.parametrize("suffix", [*TABLES, "jsonl"])
def test_logs_come_back_as_they_were(suffix: str, tmp_path: Path) -> None:
    schema = Kind(KINDS.file, "Blocks").schema
    option = f"{KINDS.file}:Blocks"
    block = {"index": 1, "values": [2, 3], "note": "n"}
    rows = [
        {"label": f"label {i}", "blocks": [block] * (i % 3)} | ({"last": block} if i % 2 else {})
        for i in range(3000)
    ]
    with MessageLog(tmp_path / "a.log", schema=schema) as log:
        log.extend(rows)
    there = tmp_path / f"rows.{suffix}"
    run("convert", "a.log", there, "--schema", option, where=tmp_path).ok()
    run("convert", there, "b.log", "--schema", option, where=tmp_path).ok()
    with open_log(tmp_path / "b.log", schema) as found:
        assert found.rows() == rows
    assert not (tmp_path / "b.log.idx").exists() or len(open_log(tmp_path / "b.log")) == 3000


def test_numbers_go_to_npy_and_back(tmp_path: Path, many: Path) -> None:
    arguments = ("--schema", KINDS_OPTION, "--path", "inners")
    run(
        *("convert", many, "two.npy", "--columns", "int64,float64", *arguments), where=tmp_path
    ).ok()
    array = np.load(tmp_path / "two.npy")
    assert array.dtype.names == ("int64", "float64")
    assert array["int64"].tolist() == [-i for i in range(5000)]
    run("convert", "two.npy", "back.bin", *arguments, where=tmp_path).ok()
    with open_message(tmp_path / "back.bin", KINDS.schema) as m:
        assert m.column("inners", "float64").tolist() == [i / 4 for i in range(5000)]
    run("convert", many, "one.npy", "--columns", "bool", *arguments, where=tmp_path).ok()
    assert np.load(tmp_path / "one.npy").dtype == np.bool_
    done = run("convert", many, "text.npy", "--columns", "text", *arguments, where=tmp_path)
    fails(done, 1, "many.bin", "'text'", "--columns")
    assert not (tmp_path / "text.npy").exists()


def test_lists_of_numbers_are_rows_as_well(tmp_path: Path) -> None:
    numbers = [i / 8 for i in range(20_001)]
    with MessageBuilder(tmp_path / "n.bin") as b:
        b.init_root(KINDS.schema, float64s=numbers, bools=[i % 3 == 0 for i in range(20_001)])
    for path, wanted in (("float64s", numbers), ("bools", [i % 3 == 0 for i in range(20_001)])):
        arguments = ("--schema", KINDS_OPTION, "--path", path)
        for name in ("x.npy", "x.parquet", "x.jsonl"):
            run("convert", "n.bin", name, "--force", *arguments, where=tmp_path).ok()
            run("convert", name, "back.bin", "--force", *arguments, where=tmp_path).ok()
            assert rows_of(tmp_path / "back.bin", KINDS.schema, path) == wanted, (path, name)


def test_lists_of_texts_and_of_lists_are_rows_as_well(tmp_path: Path) -> None:
    texts = [None if i % 7 == 3 else f"text {i}" * (i % 4) for i in range(9001)]
    lists = [None if i % 7 == 3 else list(range(i % 5)) for i in range(9001)]
    with MessageBuilder(tmp_path / "n.bin") as b:
        b.init_root(KINDS.schema)
        b.fill("texts", texts)
        b.fill("lists", lists)
    for path in ("texts", "lists"):
        arguments = ("--schema", KINDS_OPTION, "--path", path)
        before = rows_of(tmp_path / "n.bin", KINDS.schema, path)
        for name in ("x.arrow", "x.parquet", "x.jsonl"):
            run("convert", "n.bin", name, "--force", *arguments, where=tmp_path).ok()
            run("convert", name, "back.bin", "--force", *arguments, where=tmp_path).ok()
            assert rows_of(tmp_path / "back.bin", KINDS.schema, path) == before, (path, name)


def test_batches_of_any_length_are_joined(tmp_path: Path) -> None:
    """Elements that are smaller than a word are written by whole words."""
    for path, values in (
        ("bools", [i % 3 == 0 for i in range(1000)]),
        ("int16s", list(range(1000))),
        ("texts", [f"text {i}" for i in range(1000)]),
    ):
        batches = arrow.table({"value": values}).to_batches(max_chunksize=7)
        with arrow.ipc.new_file(str(tmp_path / "x.arrow"), batches[0].schema) as file:
            for batch in batches:
                file.write(batch)
        arguments = ("--schema", KINDS_OPTION, "--path", path, "--force")
        run("convert", "x.arrow", "x.bin", *arguments, where=tmp_path).ok()
        assert rows_of(tmp_path / "x.bin", KINDS.schema, path) == values


def test_missing_numbers_of_a_list_become_zero_if_one_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("1\nnull\n3\n")
    arrow.parquet.write_table(arrow.table({"value": [1, None, 3]}), tmp_path / "x.parquet")
    for name in ("x.jsonl", "x.parquet"):
        arguments = ("convert", name, "x.bin", "--schema", KINDS_OPTION, "--path", "int16s")
        fails(run(*arguments, where=tmp_path), 1, name)
        assert not (tmp_path / "x.bin").exists()
        run(*arguments, "--missing", "default", where=tmp_path).ok()
        assert rows_of(tmp_path / "x.bin", KINDS.schema, "int16s") == [1, 0, 3]
        (tmp_path / "x.bin").unlink()


def test_a_table_is_read_in_slices(many: Path) -> None:
    with open_message(many, KINDS.schema) as m:
        whole = m.table("inners", columns=["int64", "bool", "text"]).to_pyarrow()
        for start, stop in ((0, 7), (3, 4000), (4999, None), (5000, None), (-3, -1), (13, 2)):
            part = m.table("inners", columns=whole.column_names, start=start, stop=stop)
            wanted = range(5000)[start:stop]
            assert part.to_pyarrow().equals(whole.slice(wanted.start, len(wanted)))
        bools = m.table("inners", 4999, "bools").to_pyarrow()
        for start in range(5):
            part = m.table("inners", 4999, "bools", start=start).to_pyarrow()
            assert part.column(0).to_pylist() == bools.column(0).to_pylist()[start:]


def test_stdout_gets_json_lines(tmp_path: Path, message: Path) -> None:
    done = run("convert", message, "-", "--schema", BOOK, "--path", "people", where=tmp_path)
    assert lines(done)[0]["id"] == 123


def test_a_name_that_tells_no_format_is_shown_with_those_that_do(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id,name\n")
    done = run("convert", "people.csv", "x.bin", "--schema", BOOK, "--path", "p", where=tmp_path)
    fails(done, 2, "people.csv is taken for message, and x.bin for message", ".parquet", "--from")


def test_pipes(tmp_path: Path, message: Path) -> None:
    arguments = ("--schema", BOOK, "--path", "people")
    shown = run("convert", message, "-", "--to", "jsonl", *arguments, where=tmp_path).ok().out
    assert [json.loads(line)["name"] for line in shown.splitlines()] == ["Alice", "Bob"]
    back = ("convert", "-", "back.bin", "--from", "jsonl", *arguments)
    run(*back, where=tmp_path, stdin=shown.encode()).ok()
    assert rows_of(tmp_path / "back.bin", ADDRESS_BOOK.schema, "people") == rows_of(
        message, ADDRESS_BOOK.schema, "people"
    )
    fails(run("convert", message, "-", "--to", "parquet", *arguments, where=tmp_path), 2, "parquet")


def test_what_is_there_is_kept_without_force(tmp_path: Path, message: Path) -> None:
    (tmp_path / "x.jsonl").write_text("mine")
    arguments = ("convert", message, "x.jsonl", "--schema", BOOK, "--path", "people")
    fails(run(*arguments, where=tmp_path), 3, "x.jsonl", "--force")
    assert (tmp_path / "x.jsonl").read_text() == "mine"
    (facts,) = lines(run(*arguments, "--force", "--json", where=tmp_path))
    assert facts["rows"] == 2
    fails(run("convert", message, message, "--to", "jsonl", "--schema", BOOK, "--path", "people",
              "--force", where=tmp_path), 2, "itself")  # fmt: skip


@pytest.mark.parametrize("target", ["x.bin", "x.log"])
def test_a_conversion_that_fails_leaves_nothing(target: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n{"id": "many"}\n')
    (tmp_path / "broken.jsonl").write_text('{"id": 1}\n{"id": \n')
    (tmp_path / "far.parquet").write_bytes(b"PAR1 and no table")
    arrow.parquet.write_table(arrow.table({"id": [1, None]}), tmp_path / "null.parquet")
    arrow.parquet.write_table(arrow.table({"nothing": [1]}), tmp_path / "other.parquet")
    path = ("--path", "people") if target == "x.bin" else ()
    schema = BOOK if target == "x.bin" else PERSON
    (tmp_path / target).write_text("what was there")
    before = sorted(os.listdir(tmp_path))
    for name, said in {
        "bad.jsonl": "id",
        "broken.jsonl": "line 2",
        "far.parquet": "far.parquet",
        "other.parquet": "nothing",
    }.items():
        done = run(*("convert", name, target, "--force", "--schema", schema, *path), where=tmp_path)
        fails(done, 1, name, said)
        assert (tmp_path / target).read_text() == "what was there"
        assert sorted(os.listdir(tmp_path)) == before


def test_rows_that_are_no_messages_are_told_of_the_path(tmp_path: Path) -> None:
    arrow.parquet.write_table(arrow.table({"id": [1]}), tmp_path / "t.parquet")
    done = run("convert", "t.parquet", "z.bin", "--schema", BOOK, where=tmp_path)
    fails(done, 1, "t.parquet: column 'id': ", "--path", "lists of structs in AddressBook: people")
    assert os.listdir(tmp_path) == ["t.parquet"]


def test_a_column_that_is_not_there_is_told_without_quotes(tmp_path: Path) -> None:
    with arrow.ipc.new_file(tmp_path / "t.arrow", arrow.schema({"id": arrow.int64()})) as file:
        file.write_table(arrow.table({"id": [1]}))
    done = run("convert", "t.arrow", "z.bin", "--schema", BOOK, "--path", "people", "--columns",
               "name", where=tmp_path)  # fmt: skip
    fails(done, 1, "t.arrow: ", "name")
    assert "t.arrow: '" not in done.err
    assert os.listdir(tmp_path) == ["t.arrow"]


def test_nulls_become_defaults_if_one_says_so(tmp_path: Path) -> None:
    arrow.parquet.write_table(arrow.table({"id": [1, None]}), tmp_path / "null.parquet")
    arguments = ("convert", "null.parquet", "x.bin", "--schema", BOOK, "--path", "people")
    fails(run(*arguments, where=tmp_path), 1, "null.parquet", "id")
    run(*arguments, "--missing", "default", where=tmp_path).ok()
    assert [row["id"] for row in rows_of(tmp_path / "x.bin", ADDRESS_BOOK.schema, "people")] == [
        1,
        0,
    ]


def test_a_terminal_sees_a_bar(tmp_path: Path, many: Path) -> None:
    arguments = ("--schema", KINDS_OPTION, "--path", "inners")
    shown = on_a_terminal("convert", "many.bin", "x.jsonl", *arguments, where=tmp_path)
    assert shown.code == 0, shown
    assert "5,000 rows in " in shown.out
    assert "rows/s" in shown.out


# ---- memory ------------------------------------------------------------------------------

SCHEMA = """\
@0xb3a1c5d7e9f00124;
struct Root { rows @0 :List(Row); }
struct Row { id @0 :Int64; value @1 :Float64; name @2 :Text; }
"""
ROWS = 1_000_000
# What a conversion may take of memory of its own; the file is larger.
MOST_MEMORY = 120 << 20


def limited(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Run the command; the peak of its own memory is told by the last line of stderr."""
    code = """
        import os, sys, threading, time
        from mmapbuilder.cli import main
        peak = 0
        done = threading.Event()
        def watch():
            global peak
            while not done.wait(0.005):
                with open("/proc/self/status") as status:
                    for line in status:
                        if line.startswith("RssAnon"):
                            peak = max(peak, int(line.split()[1]) << 10)
        watcher = threading.Thread(target=watch)
        import pyarrow, pyarrow.parquet, numpy, capnp
        import mmapbuilder.cli.parser, mmapbuilder.cli.schemas as schemas
        schemas._try_apart = lambda *given: ""  # no fork beside a thread
        with open("/proc/self/status") as status:
            before = next(int(line.split()[1]) << 10 for line in status if "RssAnon" in line)
        watcher.start()
        code = main(sys.argv[1:])
        done.set()
        watcher.join()
        print(before, peak, file=sys.stderr)
        sys.exit(code)
    """
    import textwrap

    return subprocess.run(
        [*COMMAND[:-2], "-c", textwrap.dedent(code), *arguments],
        cwd=where,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment(ARROW_DEFAULT_MEMORY_POOL="system"),
    )


@pytest.mark.slow
def test_memory_is_bounded_whatever_the_size(tmp_path: Path) -> None:
    if not os.path.exists("/proc/self/status") or resource.getpagesize() == 0:
        missing("the memory of a process is not told here")
    (tmp_path / "big.capnp").write_text(SCHEMA)
    import capnp

    schema = capnp.load(str(tmp_path / "big.capnp")).Root
    with MessageBuilder(tmp_path / "big.bin") as b:
        b.init_root(schema).init("rows", ROWS)
        b.fill("rows", id=np.arange(ROWS), value=np.arange(ROWS) / 3)
        b.fill("rows", name=arrow.array([f"name of row {i}" * 10 for i in range(ROWS)]))
    assert (tmp_path / "big.bin").stat().st_size > 1.5 * MOST_MEMORY
    arguments = ("--schema", "big.capnp:Root", "--path", "rows", "--force")
    for source, target in [
        ("big.bin", "big.parquet"),
        ("big.parquet", "again.bin"),
        ("big.bin", "big.arrow"),
        ("big.arrow", "again.bin"),
        ("big.bin", "big.jsonl"),
        ("big.jsonl", "again.bin"),
    ]:
        done = limited("convert", source, target, *arguments, where=tmp_path)
        assert done.returncode == 0, done.stderr
        before, peak = map(int, done.stderr.split()[-2:])
        assert peak - before < MOST_MEMORY, (source, target, before >> 20, peak >> 20)
    with open_message(tmp_path / "again.bin", schema) as m:
        assert m.rows("rows", start=-1) == [
            {"id": ROWS - 1, "value": (ROWS - 1) / 3, "name": f"name of row {ROWS - 1}" * 10}
        ]
