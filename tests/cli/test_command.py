"""The command as a whole: help, errors, exit codes, pipes and terminals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mmapbuilder
from mmapbuilder.cli.completion import commands_of
from mmapbuilder.cli.ends import CODES, explain
from mmapbuilder.cli.parser import MODULES, make_parser
from support import processes
from support.command import (
    BOOK,
    COMMAND,
    PERSON,
    fails,
    lines,
    on_a_terminal,
    run,
    started,
    without,
)
from support.processes import environment
from support.requirements import missing

pytest.importorskip("capnp")

NAMES = [module.NAME for module in MODULES]


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    shown = run("--version", where=tmp_path).ok()
    assert shown.out == f"mmapbuilder {mmapbuilder.__version__}\n"


def test_it_is_installed_as_a_program(tmp_path: Path, message: Path) -> None:
    program = Path(sysconfig.get_path("scripts")) / "mmapbuilder"
    if not program.exists():
        missing("run from the source tree, not installed")
    done = subprocess.run([program, "verify", message], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok" in done.stdout


def test_help_has_examples_and_exit_codes(tmp_path: Path) -> None:
    shown = run("--help", where=tmp_path).ok().out
    for name in NAMES:
        assert f"\n    {name} " in shown
    for code, meaning in CODES.items():
        assert f"  {code:<4} {meaning}" in shown
    assert "examples:\n" in shown


@pytest.mark.parametrize("name", NAMES)
def test_each_command_has_help_with_examples(name: str, tmp_path: Path) -> None:
    shown = run(name, "--help", where=tmp_path).ok().out
    assert f"mmapbuilder {name}" in shown
    assert "examples:\n" in shown
    assert all(line.isascii() for line in shown.splitlines())


@pytest.mark.parametrize("name", [name for name in NAMES if name != "completion"])
def test_all_that_print_can_print_json(name: str) -> None:
    options = commands_of(make_parser())[name]._option_string_actions
    assert "--json" in options


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["verify"],
        ["verify", "--nothing", "x"],
        ["head", "x", "-n", "many"],
        ["completion", "tcsh"],
        ["head", "people.bin"],
        ["layout", "people.bin"],
        ["edit", "people.bin", "novalue", "--schema", BOOK],
        ["edit", "people.bin", "people[=1", "--schema", BOOK],
        ["convert", "people.bin", "x.bin", "--schema", BOOK, "--path", "people"],
        ["convert", "-", "x.parquet", "--schema", BOOK],
        ["head", "people.bin", "--schema", BOOK.replace("AddressBook", "Nothing")],
        ["verify", "-", "-"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_is_told_in_one_line(
    arguments: list[str], tmp_path: Path, message: Path
) -> None:
    fails(run(*arguments, where=tmp_path), 2)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("info", "verify", "recover", "du", "index"):
        fails(run(name, "absent.bin", where=tmp_path), 3, "absent.bin: No such file")
    for name in ("head", "cat", "tail"):
        fails(run(name, "absent.bin", "--schema", BOOK, where=tmp_path), 3, "absent.bin")
    fails(run("verify", "*.none", where=tmp_path), 3, "*.none: no file matches")
    fails(run("verify", tmp_path, where=tmp_path), 3, "Is a directory")


def test_a_schema_that_is_wrong(tmp_path: Path, message: Path) -> None:
    fails(run("du", message, "--schema", "absent.capnp:X", where=tmp_path), 3, "absent.capnp")
    (tmp_path / "bad.capnp").write_text("struct {")
    fails(run("du", message, "--schema", "bad.capnp:X", where=tmp_path), 1, "bad.capnp")
    fails(run("du", message, "--schema", BOOK.split(":")[0], where=tmp_path), 2, ":STRUCT")
    fails(run("du", message, "--schema", PERSON, where=tmp_path), 1, "people.bin")


def test_one_bad_file_does_not_keep_the_others_back(tmp_path: Path, message: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(b"nonsense, and no message")
    done = run("verify", "bad.bin", "people.bin", where=tmp_path)
    fails(done, 1, "bad.bin: ")
    assert done.out.startswith("people.bin: ok")
    found = run("verify", "--json", "bad.bin", "people.bin", where=tmp_path)
    assert '"ok": false' in found.out.splitlines()[0]


def test_patterns_are_expanded(tmp_path: Path, message: Path, log: Path) -> None:
    done = run("verify", "*.[bl]*", where=tmp_path)
    assert done.code == 1  # the index beside the log is neither
    assert "people.bin: ok" in done.out
    assert "people.log: ok" in done.out
    (tmp_path / "*.odd").write_bytes(message.read_bytes())
    assert "*.odd: ok" in run("verify", "*.odd", where=tmp_path).ok().out


def test_a_pipe_is_read(tmp_path: Path, message: Path, log: Path) -> None:
    shown = run("verify", "-", where=tmp_path, stdin=message.read_bytes()).ok().out
    assert shown.startswith("<stdin>: ok, message")
    shown = run("cat", "-", "--schema", PERSON, where=tmp_path, stdin=log.read_bytes()).ok().out
    assert len(shown.splitlines()) == 100
    fails(run("verify", "-", where=tmp_path, stdin=b"junk that is no message"), 1, "<stdin>: ")


def test_who_stops_reading_ends_it_quietly(tmp_path: Path, log: Path) -> None:
    for command in (["cat", log, "--schema", PERSON], ["du", log], ["info", log], ["--help"]):
        process = subprocess.Popen(
            [*COMMAND, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(PYTHONUNBUFFERED="1"),
        )
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        with processes.limit(process):
            said = process.stderr.read()
        process.stderr.close()
        code = process.wait(60)
        assert said == b"", said
        assert code in (141, 0), command


def test_a_closed_stdout_is_no_traceback(tmp_path: Path, message: Path) -> None:
    shell = f"exec {' '.join(map(repr, COMMAND))} verify {message} >&-"
    done = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert "Traceback" not in done.stderr


def test_an_interruption_is_told_in_one_line(tmp_path: Path, log: Path) -> None:
    with started("tail", "-f", log, "--schema", PERSON, where=tmp_path) as process:
        processes.line(process)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        assert said == b"mmapbuilder: interrupted\n"


def test_a_full_disk_is_told(tmp_path: Path, log: Path) -> None:
    if not os.path.exists("/dev/full"):
        missing("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "cat", str(log), "--schema", PERSON],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env=environment(),
        )
    assert done.returncode == 3
    assert "standard output: No space left" in done.stderr
    assert done.stderr.count("\n") == 1


def test_faults_of_our_own_are_told_apart() -> None:
    end = explain(ZeroDivisionError("division by zero"))
    assert end.code == 70
    assert "ZeroDivisionError" in end.text


def test_names_with_control_characters_are_harmless(tmp_path: Path, message: Path) -> None:
    name = "evil\x1b[31m\nname.bin"
    (tmp_path / name).write_bytes(message.read_bytes())
    shown = run("verify", name, where=tmp_path).ok().out
    assert "\x1b" not in shown
    (tmp_path / name).write_bytes(b"no message")
    said = run("verify", name, where=tmp_path)
    assert "\x1b" not in said.err
    assert said.err.count("\n") == 1


# ---- with and without rich, on a terminal and not -------------------------------------------


def test_a_pipe_gets_the_same_with_and_without_rich(tmp_path: Path, message: Path) -> None:
    plain = run("du", message, "--schema", BOOK, where=tmp_path, **without(tmp_path, "rich")).ok()
    assert run("du", message, "--schema", BOOK, where=tmp_path).ok() == plain
    assert "\x1b" not in plain.out


def test_a_terminal_gets_colours_from_rich(tmp_path: Path, message: Path) -> None:
    pytest.importorskip("rich")
    shown = on_a_terminal("du", message, "--schema", BOOK, where=tmp_path)
    assert shown.code == 0
    assert "\x1b[" in shown.out
    assert "people[].name" in shown.out  # and rich takes no brackets for orders
    for quiet in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, without(tmp_path, "rich")):
        plain = on_a_terminal("du", message, "--schema", BOOK, where=tmp_path, **quiet)
        assert plain.code == 0
        assert "\x1b[" not in plain.out, quiet
        assert "people[].name" in plain.out
    asked = run("--color", "always", "du", message, "--schema", BOOK, where=tmp_path).ok()
    assert "\x1b[" in asked.out


def test_a_narrow_terminal_cuts_no_number(tmp_path: Path, message: Path) -> None:
    pytest.importorskip("rich")
    plain = run("du", message, "--schema", BOOK, where=tmp_path).ok().out
    for columns in (30, 60):
        shown = on_a_terminal("du", message, "--schema", BOOK, where=tmp_path, columns=columns)
        words = re.sub(r"\x1b\[[0-9;]*m", "", shown.out).split()
        numbers = [word for word in plain.split() if re.fullmatch(r"[0-9,.]+", word)]
        assert [word for word in words if re.fullmatch(r"[0-9,.]+", word)] == numbers


@pytest.mark.parametrize("has_rich", [True, False])
def test_large_files_show_a_bar_and_the_speed(
    has_rich: bool, tmp_path: Path, message: Path
) -> None:
    changes = {"MMAPBUILDER_PROGRESS": "0"}
    if has_rich:
        pytest.importorskip("rich")
    else:
        changes |= without(tmp_path, "rich")
    for name in ("verify", "recover", "du"):
        shown = on_a_terminal(name, "people.bin", where=tmp_path, **changes)
        assert shown.code == 0
        assert " in 0." in shown.out
        assert "/s" in shown.out
    quiet = run("verify", "people.bin", where=tmp_path, **changes).ok()
    assert "/s" not in quiet.out


def test_it_needs_no_package_for_what_needs_no_schema(tmp_path: Path, message: Path) -> None:
    bare = without(tmp_path, "capnp", "numpy", "pyarrow", "rich")
    for name in ("info", "verify", "du", "recover"):
        assert run(name, message, where=tmp_path, **bare).ok().out
    fails(run("head", message, "--schema", BOOK, where=tmp_path, **bare), 4, "mmapbuilder[capnp]")
    fails(
        run(
            *("convert", message, "x.parquet", "--path", "people", "--schema", BOOK),
            where=tmp_path,
            **without(tmp_path, "pyarrow"),
        ),
        4,
        "pyarrow",
    )
    assert not (tmp_path / "x.parquet").exists()


def test_importing_the_package_does_not_import_the_command() -> None:
    code = "import sys, mmapbuilder; print({'argparse', 'mmapbuilder.cli'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment()
    )
    assert done.stdout == "set()\n"


def test_json_is_one_object_a_line(tmp_path: Path, message: Path, log: Path) -> None:
    for name in ("info", "verify", "recover", "du"):
        found = lines(run(name, "--json", message, log, where=tmp_path))
        assert [os.path.basename(each["file"]) for each in found] == ["people.bin", "people.log"]
