"""mmapbuilder verify."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmapbuilder import NpyBuilder
from support.command import fails, lines, run

pytest.importorskip("capnp")


def test_what_is_whole_is_told(tmp_path: Path, message: Path, log: Path) -> None:
    shown = run("verify", "people.bin", "people.log", where=tmp_path).ok().out.splitlines()
    assert shown[0].startswith("people.bin: ok, message of 1 segment, ")
    assert shown[1].startswith("people.log: ok, log of 100 messages, 200 objects, ")
    first, second = lines(run("verify", "--json", "people.bin", "people.log", where=tmp_path))
    assert first["ok"]
    assert second["ok"]
    assert first["size"] == message.stat().st_size
    assert second["messages"] == 100


def test_a_bad_pointer_is_told_with_its_place(tmp_path: Path, message: Path) -> None:
    content = bytearray(message.read_bytes())
    content[12:16] = b"\xff\xff\xff\x7f"
    message.write_bytes(content)
    fails(run("verify", message, where=tmp_path), 1, "people.bin: ", "segment 0, word 0")


def test_a_bad_message_in_a_log_is_told_with_its_number(tmp_path: Path, log: Path) -> None:
    content = bytearray(log.read_bytes())
    size = len(content) // 100
    content[size * 50 + 12 : size * 50 + 16] = b"\xff\xff\xff\x7f"
    log.write_bytes(content)
    fails(run("verify", log, where=tmp_path), 1, "people.log: message ", "segment 0, word 0")


def test_what_a_checksum_finds_is_told(tmp_path: Path, log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[-2] ^= 1  # of a text
    with log.open("r+b") as file:
        status = log.stat()
        file.write(content)
        file.flush()
        os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))
    fails(run("verify", log, where=tmp_path), 1, "people.log: messages 0 to 99", "checksum")


def test_a_torn_log_fails(tmp_path: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-8])
    fails(run("verify", log, where=tmp_path), 1, "no message: ", "recover")


def test_an_unfinished_message_fails(tmp_path: Path, unfinished: Path) -> None:
    fails(run("verify", unfinished, where=tmp_path), 1, "died.bin: ", "unfinished")


def test_what_is_no_message_fails(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("just some text in a file")
    fails(run("verify", "a.txt", where=tmp_path), 1, "a.txt: this is text and no message")


def test_other_kinds_of_files_are_named(tmp_path: Path, log: Path) -> None:
    with NpyBuilder(tmp_path / "a.npy", "f4") as array:
        array.append([1, 2, 3])
    fails(run("verify", "a.npy", where=tmp_path), 1, "a NumPy array: this needs a message or a log")
    fails(run("verify", "people.log.idx", where=tmp_path), 1, "an index of a log")


def test_a_name_with_a_line_end_is_one_line(tmp_path: Path, message: Path) -> None:
    message.rename(tmp_path / "two\nlines.bin")
    shown = run("verify", "two\nlines.bin", where=tmp_path).ok().out
    assert shown.startswith("two\\nlines.bin: ok, message of ")
    assert shown.count("\n") == 1
