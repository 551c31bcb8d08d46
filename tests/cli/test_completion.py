"""mmapbuilder completion: what the shells themselves say that can follow."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from mmapbuilder.cli.completion import commands_of
from mmapbuilder.cli.parser import make_parser
from support.command import run
from support.processes import stop
from support.requirements import tool

pytest.importorskip("capnp")

NAMES = list(commands_of(make_parser()))


def script(shell: str, tmp_path: Path) -> Path:
    path = tmp_path / f"completion.{shell}"
    path.write_text(run("completion", shell, where=tmp_path).ok().out)
    return path


def bash(path: Path, where: Path, *words: str) -> list[str]:
    shell = tool("bash", "bash")
    program = f"""
        source {path}
        COMP_WORDS=(mmapbuilder {" ".join(map(repr, words))})
        COMP_CWORD={len(words)}
        _mmapbuilder
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [shell, "--norc", "-c", program], cwd=where, capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash(tmp_path: Path, message: Path) -> None:
    path = script("bash", tmp_path)
    assert bash(path, tmp_path, "ve") == ["verify"]
    assert set(NAMES) <= set(bash(path, tmp_path, ""))
    assert bash(path, tmp_path, "du", "--so") == ["--sort"]
    assert bash(path, tmp_path, "du", "--sort", "") == ["schema", "bytes"]
    assert bash(path, tmp_path, "du", "--sort", "bytes", "peo") == ["people.bin"]
    assert bash(path, tmp_path, "--color", "never", "du", "--schema", "peo") == ["people.bin"]
    assert bash(path, tmp_path, "--color", "al") == ["always"]
    assert bash(path, tmp_path, "completion", "f") == ["fish"]
    assert bash(path, tmp_path, "convert", "--to", "pa") == ["parquet"]


@pytest.mark.slow
def test_fish(tmp_path: Path, message: Path) -> None:
    shell = tool("fish", "fish")
    path = script("fish", tmp_path)

    def ask(line: str) -> list[str]:
        done = subprocess.run(
            [shell, "--no-config", "-c", f"source {path}; complete -C '{line}'"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.stderr == ""
        return [each.split("\t")[0] for each in done.stdout.splitlines()]

    assert ask("mmapbuilder ver") == ["verify"]
    assert set(NAMES) <= set(ask("mmapbuilder "))
    assert ask("mmapbuilder du --so") == ["--sort"]
    assert set(ask("mmapbuilder du --sort ")) == {"schema", "bytes"}
    assert "people.bin" in ask("mmapbuilder du peo")
    assert set(ask("mmapbuilder completion ")) == {"bash", "zsh", "fish"}


class Zsh:
    """A real zsh on a terminal, as it has no other way to be asked."""

    def __init__(self, functions: Path, where: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self.process = subprocess.Popen(
            [tool("zsh", "zsh"), "-f"],
            cwd=where,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=os.environ | {"TERM": "dumb", "HOME": str(where)},
            start_new_session=True,
        )
        os.close(slave)
        self.say(
            f"PROMPT='> '; fpath=({functions} $fpath); autoload -Uz compinit; compinit -u -D; "
            "echo rea''dy\n",
            "ready",
        )

    def say(self, text: str, wanted: str) -> str:
        """Type a text, and wait until something is shown."""
        os.write(self.master, text.encode())
        shown = ""
        end = time.monotonic() + 60
        while wanted not in shown:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            assert ready, f"no {wanted!r} in {shown!r}"
            shown += os.read(self.master, 1 << 16).decode(errors="replace")
        return shown

    def close(self) -> None:
        stop(self.process)
        os.close(self.master)


@pytest.mark.slow
def test_zsh(tmp_path: Path, message: Path) -> None:
    functions = tmp_path / "functions"
    functions.mkdir()
    script("zsh", tmp_path).rename(functions / "_mmapbuilder")
    zsh = Zsh(functions, tmp_path)
    try:
        zsh.say("mmapbuilder ver\t", "verify")
        zsh.say("\x15mmapbuilder du --so\t", "--sort")
        zsh.say("\x15mmapbuilder du --sort by\t", "bytes")
        zsh.say("\x15mmapbuilder completion f\t", "fish")
        zsh.say("\x15mmapbuilder verify peo\t", "people.bin")
    finally:
        zsh.close()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_option_of_each_command_is_there(shell: str, tmp_path: Path) -> None:
    text = script(shell, tmp_path).read_text()
    for name, parser in commands_of(make_parser()).items():
        assert name in text
        for action in parser._actions:
            for option in action.option_strings:
                wanted = option if shell != "fish" else option.lstrip("-")
                assert wanted in text, (name, option)
