"""mmapbuilder recover."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmapbuilder import MessageBuilder, MessageLog, open_log, open_message
from support.command import fails, lines, run
from support.readers import ADDRESS_BOOK, KINDS

pytest.importorskip("capnp")


def test_an_unfinished_message_is_finished(tmp_path: Path, unfinished: Path) -> None:
    shown = run("recover", "died.bin", where=tmp_path).ok().out
    assert shown.startswith("died.bin: recovered, message of 1 segment")
    with open_message(unfinished, ADDRESS_BOOK.schema) as m:
        assert m.root.people[0].name == "Alice"
    again = run("recover", "died.bin", where=tmp_path).ok().out
    assert again.startswith("died.bin: was finished already")
    (facts,) = lines(run("recover", "--json", "died.bin", where=tmp_path))
    assert facts["was"] == facts["is"] == unfinished.stat().st_size


def test_what_is_behind_the_messages_of_a_log_is_dropped(tmp_path: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-8])
    shown = run("recover", "people.log", where=tmp_path).ok().out
    assert "log of 99 messages" in shown
    assert "; dropped behind: " in shown
    with open_log(log) as found:
        assert len(found) == 99
        assert found.torn == 0
    run("verify", "people.log", where=tmp_path).ok()


def test_a_builder_at_work_keeps_its_file(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "busy.bin") as b:
        b.init_root(KINDS.schema)
        fails(run("recover", "busy.bin", where=tmp_path), 3, "busy.bin")
    with MessageLog(tmp_path / "busy.log", schema=KINDS.schema) as writer:
        writer.append(text="x")
        fails(run("recover", "busy.log", where=tmp_path), 3, "busy.log")


def test_junk_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"\1\2\3 junk")
    fails(run("recover", "junk", where=tmp_path), 1, "junk: ")
    assert (tmp_path / "junk").read_bytes() == b"\1\2\3 junk"
