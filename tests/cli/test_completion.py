"""mmapbuilder completion: what the shells themselves say that can follow."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mmapbuilder.cli.completion import commands_of
from mmapbuilder.cli.parser import make_parser
from support.command import run
from support.missing import tool

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


def test_zsh(tmp_path: Path, message: Path) -> None:
    """In a real zsh on a terminal of its own, as zsh has no other way to ask."""
    shell = tool("zsh", "zsh")
    folder = tmp_path / "functions"
    folder.mkdir()
    script("zsh", tmp_path).rename(folder / "_mmapbuilder")
    program = f"""
        zmodload zsh/zpty
        zpty z {shell} -f
        zpty -w z 'PROMPT=; fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D'
        zpty -w z 'zstyle ":completion:*" list-prompt ""; LISTMAX=1000; stty cols 200'
        ask() {{
            zpty -n -w z "$1"$'\\t\\t'
            sleep 1
            zpty -r -t z shown "*" && print -r -- "$shown"
            while zpty -r -t z shown; do print -rn -- "$shown"; done
            zpty -n -w z $'\\025'
        }}
        sleep 1
        while zpty -r -t z shown; do :; done
        ask 'mmapbuilder ver'
        print '=== options'
        ask 'mmapbuilder du --sort '
    """
    done = subprocess.run(
        [shell, "-f", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    first, _, second = done.stdout.partition("=== options")
    assert "mmapbuilder verify" in first, done.stdout
    assert "schema" in second, done.stdout
    assert "bytes" in second, done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_option_of_each_command_is_there(shell: str, tmp_path: Path) -> None:
    text = script(shell, tmp_path).read_text()
    for name, parser in commands_of(make_parser()).items():
        assert name in text
        for action in parser._actions:
            for option in action.option_strings:
                wanted = option if shell != "fish" else option.lstrip("-")
                assert wanted in text, (name, option)
