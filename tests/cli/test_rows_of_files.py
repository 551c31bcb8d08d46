"""mmapbuilder head, cat, tail, index and edit."""

from __future__ import annotations

import base64
import json
import os
import signal
from pathlib import Path

import pytest

from mmapbuilder import MessageBuilder, MessageLog, open_log, open_message, schema_path
from support import processes
from support.command import BOOK, PERSON, fails, lines, run, started
from support.messages import BOOK as CONTENT
from support.readers import ADDRESS_BOOK, KINDS, Kind

capnp = pytest.importorskip("capnp")

KINDS_OPTION = f"{KINDS.file}:Kinds"


# ---- head ------------------------------------------------------------------------------


def test_head_shows_a_table(tmp_path: Path, message: Path, log: Path) -> None:
    shown = run("head", message, "--schema", BOOK, "-n", "1", where=tmp_path).ok().out
    assert shown.splitlines()[0].split()[:2] == ["id", "name"]
    assert "Alice" in shown
    assert "... of 2 rows" in shown
    shown = run("head", log, "--schema", PERSON, "-n", "3", where=tmp_path).ok().out
    assert [line.split()[0] for line in shown.splitlines()[1:4]] == ["0", "1", "2"]


def test_head_chooses_columns_and_prints_json(tmp_path: Path, message: Path) -> None:
    arguments = ("--schema", BOOK, "--path", "people", "--columns", "id,employment.school")
    rows = lines(run("head", message, *arguments, "--json", where=tmp_path))
    assert rows == [
        {"id": 123, "employment.school": "MIT"},
        {"id": 456, "employment.school": None},
    ]
    fails(run("head", message, "--schema", BOOK, "--columns", "ids", where=tmp_path), 1, "'ids'")


def test_a_schema_may_use_the_annotations_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "days.capnp"
    file.write_text("""
        @0xd2f3a1b5c7e90b01;
        using Arrow = import "/mmapbuilder/arrow.capnp";
        struct Days { days @0 :List(Int32) $Arrow.date32; }
    """)
    schema = capnp.load(str(file), imports=[schema_path()]).Days
    with MessageBuilder(tmp_path / "days.bin") as b:
        b.init_root(schema, days=[1])
    shown = run("cat", "days.bin", "--schema", "days.capnp", where=tmp_path).ok().out
    assert json.loads(shown) == {"days": ["1970-01-02"]}


def test_head_goes_into_lists(tmp_path: Path, message: Path) -> None:
    arguments = ("--schema", BOOK, "--path", "people[1].phones", "--json")
    assert lines(run("head", message, *arguments, where=tmp_path)) == CONTENT["people"][1]["phones"]
    for path, said in (("people[7].phones", "2 elements"), ("persons", "no 'persons'")):
        done = run("head", message, "--schema", BOOK, "--path", path, where=tmp_path)
        fails(done, 1, "people.bin: ", said)
    done = run("head", message, "--schema", BOOK, "--path", "people[0].name", where=tmp_path)
    fails(done, 1, "not a list")


def test_head_asks_for_the_list_if_there_are_several(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "k.bin") as b:
        b.init_root(KINDS.schema, inners=[{"text": "x"}], bools=[True, False])
    shown = run("head", "k.bin", "--schema", KINDS_OPTION, "--json", where=tmp_path)
    assert json.loads(shown.ok().out)["text"] == "x"
    shown = run("head", "k.bin", "--schema", KINDS_OPTION, "--path", "bools", where=tmp_path)
    assert shown.ok().out.split() == ["value", "yes", "no"]


def test_the_struct_that_stands_in_no_other_needs_no_name(tmp_path: Path) -> None:
    (tmp_path / "one.capnp").write_text(
        "@0xa4d1c0ffee112201; struct Top { rows @0 :List(Row); at :group { x @1 :Int8; } "
        "struct Row { id @0 :Int32; parts @1 :List(Text); } }"
    )
    schema = capnp.load(str(tmp_path / "one.capnp")).Top
    with MessageBuilder(tmp_path / "one.bin") as b:
        b.init_root(schema)
        b.fill_rows("rows", [{"id": 7, "parts": [f"part {number}" for number in range(30)]}])
    shown = run("head", "one.bin", "--schema", "one.capnp", where=tmp_path).ok().out
    title, row = shown.splitlines()
    assert title.split() == ["id", "parts"]
    assert row.split()[0] == "7"
    assert row.endswith(" ...")  # a list is cut
    assert len(row) < 70
    rows = lines(run("head", "one.bin", "--schema", "one.capnp", "--json", where=tmp_path))
    assert len(rows[0]["parts"]) == 30
    groups = run("head", "one.bin", "--schema", "one.capnp:Top.At", where=tmp_path)
    fails(groups, 2, "has no struct Top.At; its structs are: Top, Top.Row\n")


def test_a_number_of_rows_is_not_negative(tmp_path: Path, log: Path) -> None:
    for command in "head", "tail":
        for number in "-1", "x", "1.5":
            done = run(command, log, "--schema", PERSON, "-n", number, where=tmp_path)
            fails(done, 2, "is no whole number of 0 or more")
    assert run("tail", log, "--schema", PERSON, "-n", "0", where=tmp_path).ok().out == ""


# ---- cat -------------------------------------------------------------------------------


def test_cat_prints_a_message_as_one_object(tmp_path: Path, message: Path) -> None:
    assert lines(run("cat", message, "--schema", BOOK, where=tmp_path)) == [CONTENT]


def test_cat_prints_rows_and_messages_one_a_line(tmp_path: Path, message: Path, log: Path) -> None:
    rows = lines(run("cat", message, "--schema", BOOK, "--path", "people", where=tmp_path))
    assert rows == CONTENT["people"]
    rows = lines(run("cat", log, log, "--schema", PERSON, where=tmp_path))
    assert [row["id"] for row in rows] == [*range(100)] * 2
    table = run("cat", log, "--schema", PERSON, "--table", "--columns", "id", where=tmp_path).ok()
    assert table.out.split() == ["id", *map(str, range(100))]


def test_errors_are_not_among_the_rows(tmp_path: Path, log: Path) -> None:
    done = run("cat", "nothing.log", log, "--schema", PERSON, where=tmp_path)
    fails(done, 3, "nothing.log")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["id"] for row in rows] == list(range(100))


def test_what_json_has_no_form_for_gets_one(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "k.bin") as b:
        b.init_root(
            KINDS.schema,
            data=b"\0\xff",
            float64=float("inf"),
            float64s=[float("nan")],
            text="ä\x1b",
        )
    (row,) = lines(run("cat", "k.bin", "--schema", KINDS_OPTION, where=tmp_path))
    assert base64.b64decode(row["data"]) == b"\0\xff"
    assert row["float64"] == "Infinity"
    assert row["float64s"] == ["NaN"]
    assert row["text"] == "ä\x1b"


# ---- tail ------------------------------------------------------------------------------


def test_tail_prints_the_last_messages(tmp_path: Path, log: Path) -> None:
    rows = lines(run("tail", "-n", "2", log, "--schema", PERSON, where=tmp_path))
    assert [row["id"] for row in rows] == [98, 99]
    places = lines(run("tail", "-n", "2", log, where=tmp_path))
    assert [place["message"] for place in places] == [98, 99]
    assert places[-1]["offset"] + places[-1]["bytes"] == log.stat().st_size


@pytest.mark.parametrize("schema", [["--schema", PERSON], []], ids=["rows", "places"])
def test_tail_follows(schema: list[str], tmp_path: Path) -> None:
    person = Kind(ADDRESS_BOOK.file, "Person").schema
    with MessageLog(tmp_path / "live.log", schema=person) as writer:
        writer.append(id=0)
        with started("tail", "-f", "live.log", *schema, where=tmp_path) as process:
            first = json.loads(processes.line(process))
            for number in range(1, 4):
                writer.append(id=number)
                row = json.loads(processes.line(process))
                assert row.get("id", row.get("message")) == number
            os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=30)
            assert process.returncode == 130
        assert first.get("id", first.get("message")) == 0


def test_tail_ends_when_nothing_comes(tmp_path: Path, log: Path) -> None:
    for schema in ([], ["--schema", PERSON]):
        done = run("tail", "-f", "--timeout", "0.2", "-n", "1", log, *schema, where=tmp_path)
        assert len(lines(done)) == 1


# ---- index -----------------------------------------------------------------------------


def test_an_index_is_made(tmp_path: Path, log: Path) -> None:
    index = tmp_path / "people.log.idx"
    index.unlink()
    shown = run("index", "people.log", where=tmp_path).ok().out
    assert shown.startswith("people.log.idx: index of 100 messages")
    before = index.stat().st_ino
    run("index", "people.log", where=tmp_path).ok()
    assert index.stat().st_ino == before
    (facts,) = lines(run("index", "--force", "--json", "people.log", where=tmp_path))
    assert facts["messages"] == 100
    with open_log(log) as found:
        assert len(found) == 100


def test_a_message_with_an_index_still_has_its_lists(tmp_path: Path, message: Path) -> None:
    shown = run("index", message, where=tmp_path).ok().out
    assert "index of 1 message, " in shown
    for command in ("head", "cat"):
        rows = run(command, message, "--path", "people", "--schema", BOOK, where=tmp_path)
        assert "Alice" in rows.ok().out
    shown = run("convert", message, "x.jsonl", "--path", "people[0].phones", "--schema", BOOK,
                where=tmp_path).ok().out  # fmt: skip
    assert shown.startswith("x.jsonl: 1 row, ")


def test_a_log_has_no_lists(tmp_path: Path, log: Path) -> None:
    done = run("head", log, "--path", "phones", "--schema", PERSON, where=tmp_path)
    fails(done, 2, "people.log: a log; --path is for a list in a message")


def test_what_cannot_have_an_index(tmp_path: Path, unfinished: Path) -> None:
    fails(run("index", unfinished, where=tmp_path), 1, "died.bin: an unfinished message")
    with MessageLog(tmp_path / "busy.log", schema=KINDS.schema) as writer:
        writer.append(text="x")
        fails(run("index", "busy.log", where=tmp_path), 3, "busy.log", "fence")


# ---- edit ------------------------------------------------------------------------------


def test_values_are_changed(tmp_path: Path, message: Path) -> None:
    changes = [
        "people[0].id=7",
        "people[0].name=Alma",
        "people[1].phones[0].type=mobile",
        "people[1].email=null",
    ]
    shown = run("edit", message, *changes, "--schema", BOOK, where=tmp_path).ok().out
    assert shown.splitlines()[:2] == [
        "people[0].id: 123 -> 7",
        'people[0].name: "Alice" -> "Alma"',
    ]
    with open_message(message, ADDRESS_BOOK.schema) as m:
        assert (m.root.people[0].id, m.root.people[0].name) == (7, "Alma")
        assert str(m.root.people[1].phones[0].type) == "mobile"
        assert not m.root.people[1].email
    run("verify", message, where=tmp_path).ok()


def test_values_of_all_kinds_are_changed(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "k.bin") as b:
        root = b.init_root(KINDS.schema, data=b"12345678", bools=[True] * 9, texts=["one", "two"])
        root.group.left = 1
    changes = {
        "bool": "true",
        "float64": "1e300",
        "float32": "Infinity",
        "int64": "-9223372036854775808",
        "data": base64.b64encode(b"abc").decode(),
        "bools[8]": "false",
        "texts[-1]": "2",
        "group.left": "9",
        "colour": "blue",
    }
    given = [f"{path}={value}" for path, value in changes.items()]
    found = lines(run("edit", "k.bin", "--json", *given, "--schema", KINDS_OPTION, where=tmp_path))
    assert {each["path"]: each["after"] for each in found} == {
        "bool": True,
        "float64": 1e300,
        "float32": "Infinity",
        "int64": -(2**63),
        "data": "YWJj",
        "bools[8]": False,
        "texts[-1]": "2",
        "group.left": 9,
        "colour": "blue",
    }


def test_what_json_has_no_form_for_is_shown_as_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "moments.capnp"
    file.write_text("""
        @0xd2f3a1b5c7e90b02;
        using Arrow = import "/mmapbuilder/arrow.capnp";
        struct Moment { day @0 :Int32 $Arrow.date32; level @1 :Float64; data @2 :Data; }
    """)
    schema = capnp.load(str(file), imports=[schema_path()]).Moment
    with MessageBuilder(tmp_path / "moment.bin") as b:
        b.init_root(schema, day=1, level=0.5, data=b"xy")
    changes = ["day=2", "level=NaN", "data=eHo="]
    shown = run("edit", "moment.bin", *changes, "--schema", "moments.capnp", where=tmp_path)
    assert shown.ok().out.splitlines() == [
        'day: "1970-01-02" -> "1970-01-03"',
        'level: 0.5 -> "NaN"',
        'data: "eHk=" -> "eHo="',
    ]


def test_what_cannot_be_changed(tmp_path: Path, message: Path, log: Path) -> None:
    for change, said in {
        "people[0].id=many": "people[0].id",
        "people[0].id=-1": "people[0].id",
        "people[0].name=Alexandrine": "room",
        "people[0].nothing=1": "nothing",
        "people[9].id=1": "2 elements",
        "people[0].phones[0].type=fax": "fax",
        "people=null=1": "people",
    }.items():
        fails(run("edit", message, change, "--schema", BOOK, where=tmp_path), 1, "people.bin", said)
    done = run(
        "edit", message, "people[0].id=5", "people[0].id=x", "--schema", BOOK, where=tmp_path
    )
    fails(done, 1, "changed before that: people[0].id")
    fails(run("edit", log, "id=5", "--schema", PERSON, where=tmp_path), 1, "people.log: a log")


def test_a_bool_is_edited_as_it_is_printed(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "k.bin") as b:
        b.init_root(KINDS.schema, bool=True)
    for text, value in (("no", False), ("yes", True), ("0", False), ("true", True)):
        done = run("edit", "k.bin", "--json", f"bool={text}", "--schema", KINDS_OPTION,
                   where=tmp_path)  # fmt: skip
        assert lines(done)[0]["after"] is value
    done = run("edit", "k.bin", "bool=maybe", "--schema", KINDS_OPTION, where=tmp_path)
    fails(done, 1, "k.bin: bool: a Bool is true, yes, 1, false, no, 0, and not 'maybe'")


@pytest.mark.parametrize(
    "arguments", [["recover", "-"], ["index", "-"], ["edit", "-", "id=1", "--schema", PERSON]]
)
def test_a_stream_cannot_be_changed(arguments: list[str], tmp_path: Path) -> None:
    done = run(*arguments, where=tmp_path, stdin=b"")
    fails(done, 2, f"-: {arguments[0]} needs a file, not a stream")
