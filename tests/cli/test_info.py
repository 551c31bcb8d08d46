"""mmapbuilder info."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmapbuilder import MessageBuilder, MessageLog, NpyBuilder, commit, write_shard
from support.command import fails, lines, run
from support.readers import ADDRESS_BOOK, KINDS
from support.requirements import missing

pytest.importorskip("capnp")


def test_a_message_is_told_with_its_segments(tmp_path: Path) -> None:
    with MessageBuilder(tmp_path / "m.bin", segment_words=512, capacity=1 << 20) as b:
        b.init_root(KINDS.schema, inners=[{"text": "x" * 100}] * 100)
    (facts,) = lines(run("info", "--json", "m.bin", where=tmp_path))
    assert facts["kind"] == "message"
    assert len(facts["segments"]) > 1
    size = (tmp_path / "m.bin").stat().st_size
    assert facts["size"] == size
    assert facts["segments"][0]["start"] + sum(s["bytes"] for s in facts["segments"]) == size
    shown = run("info", "m.bin", where=tmp_path).ok().out
    assert "segment" in shown


def test_holes_are_told(tmp_path: Path, message: Path) -> None:
    with open(message, "r+b") as file:
        file.truncate(message.stat().st_size + (64 << 20))
    if message.stat().st_blocks * 512 >= message.stat().st_size:
        missing("this file system has no holes")
    (facts,) = lines(run("info", "--json", message, where=tmp_path))
    assert facts["holes"] > 60 << 20
    assert facts["trailing"] == 64 << 20


def test_each_kind_is_told(tmp_path: Path, message: Path, log: Path, unfinished: Path) -> None:
    with NpyBuilder(tmp_path / "a.npy", "f4", (-1, 3)) as array:
        array.append([[1, 2, 3]])
        (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes())
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("this is a text and no message")
    (tmp_path / "packed.bz2").write_bytes(b"BZh91AY&SY")
    names = ["people.bin", "people.log", "people.log.idx", "died.bin", "a.npy", "b.npy"]
    found = lines(run("info", "--json", *names, "empty", "text", "packed.bz2", where=tmp_path))
    assert [facts["kind"] for facts in found] == [
        "message",
        "log",
        "index of a log",
        "unfinished message",
        "NumPy array",
        "unfinished NumPy array",
        "empty file",
        "unknown",
        "compressed file",
    ]
    assert found[1]["messages"] == 100
    assert found[1]["index"]
    assert found[4]["shape"] == [1, 3]
    assert run("info", *names, where=tmp_path).ok().out.count("kind") == 6


@pytest.mark.parametrize(
    "numbers",
    [
        np.zeros(1000),
        np.arange(1000),
        np.ones(1000, "i4"),
        np.arange(1000, dtype="i4"),
        np.arange(1000, dtype="u1"),
        np.full(3, -1, "i2"),
        np.zeros(1),
    ],
    ids=lambda numbers: f"{len(numbers)} {numbers.dtype} from {numbers[0]}",
)
def test_numbers_are_no_message(numbers: np.ndarray, tmp_path: Path) -> None:
    """Zeros and small numbers can be read as a table, but what follows does not suit it."""
    numbers.tofile(tmp_path / "numbers.raw")
    (facts,) = lines(run("info", "--json", "numbers.raw", where=tmp_path))
    assert facts["kind"] == "unknown"
    fails(run("du", "numbers.raw", where=tmp_path), 1, "numbers.raw", "no message")


def test_bytes_behind_a_message_are_told(tmp_path: Path, message: Path) -> None:
    """Whatever its root is: a struct, or a far pointer to one."""
    for words in (1 << 20, 16):
        with MessageBuilder(message, segment_words=words, capacity=1 << 12) as b:
            b.init_root(KINDS.schema, text="x" * 100)
        size = message.stat().st_size
        with open(message, "ab") as file:
            file.write(bytes(100))
        (facts,) = lines(run("info", "--json", message, where=tmp_path))
        assert (facts["kind"], facts["trailing"]) == ("message", 100), (words, size)
        told = run("verify", message, where=tmp_path).ok().out
        assert told.endswith(f"{size:,} bytes; 100 bytes behind it\n")


def test_a_log_without_messages_is_a_log(tmp_path: Path) -> None:
    MessageLog(tmp_path / "new.log", schema=KINDS.schema).close()
    assert "log of 0 messages" in run("verify", "new.log", where=tmp_path).ok().out
    (facts,) = lines(run("info", "--json", "new.log", where=tmp_path))
    assert (facts["kind"], facts["size"], facts["messages"]) == ("log", 0, 0)
    run("du", "new.log", where=tmp_path).ok()


def test_sizes_have_a_unit(tmp_path: Path, message: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 12)
    (tmp_path / "large").write_bytes(b"x" * 2048)
    shown = run("info", "small", "large", where=tmp_path).ok().out
    assert "size  12 bytes\n" in shown
    assert "size  2 KiB (2,048 bytes)\n" in shown


def test_a_log_at_work_has_a_fence(tmp_path: Path) -> None:
    with MessageLog(tmp_path / "open.log", schema=KINDS.schema) as writer:
        (empty,) = lines(run("info", "--json", "open.log", where=tmp_path))
        assert (empty["kind"], empty["messages"], empty["fence"]) == ("log", 0, True)
        writer.append(text="x")
        (facts,) = lines(run("info", "--json", "open.log", where=tmp_path))
        assert (facts["kind"], facts["messages"], facts["fence"]) == ("log", 1, True)
        assert facts["committed"] < facts["size"]
    (facts,) = lines(run("info", "--json", "open.log", where=tmp_path))
    assert not facts["fence"]


def test_a_torn_log_is_told(tmp_path: Path, log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-8])
    (facts,) = lines(run("info", "--json", log, where=tmp_path))
    assert facts["messages"] == 99
    assert facts["torn"] > 0


def test_a_dataset_is_told_with_its_shards(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path / "d", {"id": [1, 2]}, ADDRESS_BOOK.schema, "people", index=index)
        for index in range(2)
    ]
    fails(run("info", "d", where=tmp_path), 3, "d: Is a directory")
    size = commit(tmp_path / "d", shards, schema=ADDRESS_BOOK.schema).bytes
    (facts,) = lines(run("info", "--json", "d", where=tmp_path))
    assert facts.pop("hint").startswith("its shards are the files part-*.bin")
    assert facts == {"file": "d", "kind": "dataset", "shards": 2, "rows": 4, "bytes": size}
    assert "open_dataset" in run("info", "d", where=tmp_path).ok().out
    for command in ("verify", "index", "du"):
        fails(run(command, "d", where=tmp_path), 1, "d: a dataset: ", "part-*.bin", "open_dataset")
    shown = run("verify", "d/part-*.bin", where=tmp_path).ok().out
    assert shown.count(": ok, message") == 2


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    fails(run("info", "/dev/null", where=tmp_path), 3, "/dev/null")
