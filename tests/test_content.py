"""What open_message and verify take, and what they say of content that is no message."""

from __future__ import annotations

import array
import bz2
import gzip
import io
import mmap
import os
import socket
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

import numpy as np

from mmapbuilder import Builder, InvalidMessage, MessageBuilder, open_message, recover, verify
from support import processes
from support.messages import BOOK, fill_book, in_memory
from support.readers import ADDRESS_BOOK, Programs

SCHEMA = ADDRESS_BOOK.schema
ALL = ["open_message", "verify"]


def look(how: str, content: Any) -> Any:
    return open_message(content, SCHEMA) if how == "open_message" else verify(content)


@pytest.fixture
def book(target: Path) -> Path:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(SCHEMA))
    return target


# ---- what they take ------------------------------------------------------------------


BUFFERS: dict[str, Callable[[bytes], Any]] = {
    "bytes": lambda data: data,
    "bytearray": bytearray,
    "a memoryview": memoryview,
    "a memoryview at an odd address": lambda data: memoryview(b"x" + data)[1:],
    "an array": lambda data: array.array("Q", data),
    "BytesIO": io.BytesIO,
    "big-endian numbers": lambda data: np.frombuffer(data, ">u8"),
    "columns first": lambda data: np.asfortranarray(np.frombuffer(data, "u1").reshape(-1, 8)),
    "with gaps": lambda data: np.repeat(np.frombuffer(data, "u1"), 2)[::2],
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_buffers(kind: str) -> None:
    data = in_memory(SCHEMA, fill_book)
    content = BUFFERS[kind](data)
    report = verify(content)
    assert (report.size, report.trailing) == (len(data), 0)
    with open_message(content, SCHEMA) as m:
        del content
        assert m.name is None
        assert m.root.to_dict() == BOOK
        assert all(segment.readonly for segment in m.segments)
    with pytest.raises(InvalidMessage) as caught:
        verify(BUFFERS[kind](data[:-8]))
    assert caught.value.filename is None


def test_a_mapping_of_the_caller(book: Path) -> None:
    with book.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with open_message(mapped, SCHEMA) as m:
        assert m.root.to_dict() == BOOK
    assert verify(mapped).size == len(mapped)


def test_descriptors_and_files(book: Path) -> None:
    with book.open("rb") as file:
        file.seek(17)  # where it stands is no matter, and does not change
        for content in (file, file.fileno()):
            assert verify(content).size == book.stat().st_size
            with open_message(content, SCHEMA) as m:
                assert m.root.to_dict() == BOOK
                assert m.name == (str(book) if content is file else content)
        assert file.tell() == 17
        assert not file.closed


@pytest.mark.parametrize("how", ALL)
def test_bytes_are_content_and_never_a_path(
    book: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify(book.read_bytes()) == verify(book)
    monkeypatch.chdir(book.parent)
    for path in (os.fsencode(book), os.fsencode(book.name), b"/no/such/file"):
        with pytest.raises(InvalidMessage, match=r"never a path.*os\.fsdecode"):
            look(how, path)
    for content in (b"", b"abc", b"two\nlines", b"\0"):
        with pytest.raises(InvalidMessage) as caught:
            look(how, content)
        assert "never a path" not in str(caught.value)
    with pytest.raises(InvalidMessage):  # a message without a zero byte, which could be a path
        look(how, b"\x01\x01\x01\x01" * 30)


@pytest.mark.parametrize("how", ALL)
def test_what_could_hold_no_message(how: str) -> None:
    for content in (None, True, 1.5, object(), [b""]):
        with pytest.raises(TypeError):
            look(how, content)
    with pytest.raises(ValueError, match="negative"):
        look(how, -1)


def test_a_thousand_open_messages_hold_no_descriptor(book: Path) -> None:
    code = """
        import resource, sys
        import mmapbuilder
        from support.readers import ADDRESS_BOOK
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        messages = [
            mmapbuilder.open_message(sys.argv[1], ADDRESS_BOOK.schema) for _ in range(1000)
        ]
        views = [m.segments[0] for m in messages]
        names = [m.root.people[1].name for m in messages]
        for m in messages:
            m.close()
        assert {bytes(view[:8]) for view in views} == {bytes(views[0][:8])}
        assert set(names) == {"Bob"}
    """
    processes.python(code, book).ok()


# ---- what is no message ----------------------------------------------------------------


def packed(data: bytes, programs: Programs) -> bytes:
    command = [programs.tool, "convert", "binary:packed", ADDRESS_BOOK.file, ADDRESS_BOOK.struct]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.mark.parametrize("how", ALL)
def test_it_says_what_the_content_is(how: str, target: Path, programs: Programs) -> None:
    data = in_memory(SCHEMA, fill_book)
    contents = {
        "empty": b"",
        "zeros": bytes(1 << 20),
        "gzip": gzip.compress(data),
        "bzip2": bz2.compress(data),
        "packed message": packed(data, programs),
        "text": '(people = [(name = "Käse")])\n'.encode() * 100,
        "unfinished": b"\xff" * 4 + bytes(60),
    }
    for what, content in contents.items():
        target.write_bytes(content)
        with pytest.raises(InvalidMessage, match=what) as caught:
            look(how, target)
        assert caught.value.filename == str(target)
        assert repr(str(target)) in str(caught.value)
        assert what in caught.value.reason
        assert caught.value.segment is None
        assert str(target) not in caught.value.reason


def test_zeros_of_any_length_are_no_message(target: Path) -> None:
    for length in (8, 16, 4096):
        target.write_bytes(bytes(length))
        for check in (verify, recover, lambda path: open_message(path, SCHEMA)):
            with pytest.raises(InvalidMessage, match="zeros"):
                check(target)


def test_several_messages(target: Path) -> None:
    data = in_memory(SCHEMA, fill_book)
    target.write_bytes(data * 3)
    with pytest.raises(InvalidMessage, match="several messages.*open_log") as caught:
        open_message(target, SCHEMA)
    assert caught.value.filename == str(target)
    assert verify(target).trailing == 2 * len(data)
    for rest in (b"12345", bytes(64), b"\xff" * 64):
        target.write_bytes(data + rest)
        with open_message(target, SCHEMA) as m:
            assert m.root.to_dict() == BOOK


def test_flaws_name_the_file(target: Path) -> None:
    target.write_bytes(b"\0\0\0\0\2\0\0\0" + (1 << 32 | 4 << 2).to_bytes(8, "little") + bytes(8))
    for check in (verify, recover):
        with pytest.raises(InvalidMessage) as caught:
            check(target)
        assert caught.value.filename == str(target)
        assert repr(str(target)) in str(caught.value)
    with pytest.raises(InvalidMessage) as caught:
        open_message(target, SCHEMA).to_dict()
    assert caught.value.filename == str(target)


def test_what_a_file_object_holds_back_is_looked_at(target: Path) -> None:
    with target.open("w+b") as file:
        file.write(in_memory(SCHEMA, fill_book))
        assert verify(file).trailing == 0
        with open_message(file, SCHEMA) as m:
            assert m.root.to_dict() == BOOK


@pytest.mark.parametrize("how", ALL)
def test_what_has_no_file_of_the_system(how: str, tmp_path: Path) -> None:
    """It says what to do: the bytes will do."""
    with zipfile.ZipFile(tmp_path / "zip", "w") as archive:
        archive.writestr("message", in_memory(SCHEMA, fill_book))
    with zipfile.ZipFile(tmp_path / "zip") as archive, archive.open("message") as member:
        with pytest.raises(io.UnsupportedOperation, match=r"ZipExtFile.*read\(\)"):
            look(how, member)
        look(how, member.read())
    with pytest.raises(io.UnsupportedOperation, match=r"BufferedReader.*read\(\)"):
        look(how, io.BufferedReader(io.BytesIO(b"")))  # type: ignore[type-var]


@pytest.mark.parametrize("how", ALL)
def test_pipes_and_sockets(how: str) -> None:
    ends = os.pipe()
    one, other = socket.socketpair()
    try:
        for content, kind in ((ends[0], "a pipe"), (one, "a socket")):
            with pytest.raises(io.UnsupportedOperation, match=kind):
                look(how, content)
    finally:
        one.close()
        other.close()
        for end in ends:
            os.close(end)


def test_a_message_in_a_plain_builder(target: Path) -> None:
    data = in_memory(SCHEMA, fill_book)
    with Builder(target) as b:
        b.write(data)
        assert (verify(b).size, verify(b).trailing) == (len(data), 0)
        with open_message(b, SCHEMA) as m:
            assert m.root.to_dict() == BOOK


def test_a_builder_is_no_message(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"something else, and long enough")
        with pytest.raises(InvalidMessage):
            verify(b)


# ---- time and memory --------------------------------------------------------------------


def test_holes_take_no_time(target_in_memory: Path) -> None:
    """16 GiB of null pointers, of which 8 KiB are there. (An overlay does not tell holes.)"""
    code = """
        import resource, sys
        from mmapbuilder import verify
        report = verify(sys.argv[1])
        assert report.objects == 5, report
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime < 20
    """
    words = 2**29 - 1
    table = b"".join(n.to_bytes(4, "little") for n in (3, words, words, words, words, 0))
    with target_in_memory.open("wb") as file:
        file.write(table)
        pointers = 2**29 - 8
        # The root leads to four lists of pointers, one in each segment.
        file.write((3 << 48 | 0).to_bytes(8, "little"))
        for segment in (1, 2, 3):
            file.write((2 | segment << 32).to_bytes(8, "little"))
        for segment in (1, 2, 3):
            file.seek(24 + segment * words * 8)
            file.write((1 | 6 << 32 | pointers << 35).to_bytes(8, "little"))
            file.seek(24 + segment * words * 8 + 8 * 12345678)
            if segment == 2:
                file.write(0xFFFFFFFC.to_bytes(8, "little"))
        file.truncate(24 + 4 * words * 8)
    processes.python(code, target_in_memory, timeout=60).ok()


def test_an_interruption_ends_verify_and_leaves_the_file_alone(target: Path) -> None:
    code = """
        import signal, sys
        from mmapbuilder import recover, verify
        def stop(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.SIGALRM, stop)
        for check in verify, recover:
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            try:
                check(sys.argv[1] + "." + check.__name__)
            except KeyboardInterrupt:
                print("interrupted")
            signal.setitimer(signal.ITIMER_REAL, 0)
    """
    count = 1 << 25
    pointer = (1 | 6 << 32 | count << 35).to_bytes(8, "little")
    for how in ("verify", "recover"):
        with open(f"{target}.{how}", "wb") as file:
            if how == "verify":
                file.write(b"\0\0\0\0" + (count + 1).to_bytes(4, "little") + pointer)
            else:
                code_of_size = (10 << 16 | (1 << 25 >> 10) + 1) << 3 | 7
                file.write(b"\xff\xff\xff\xff\1\0\0\0" + code_of_size.to_bytes(8, "little"))
                file.write(pointer)
            for _ in range(count >> 17):
                file.write(0xFFFFFFFC.to_bytes(8, "little") * (1 << 17))
    before = os.stat(f"{target}.recover")
    assert processes.python(code, target, timeout=60).ok().out == "interrupted\n" * 2
    after = os.stat(f"{target}.recover")
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_small_file_makes_no_large_table(target: Path) -> None:
    pytest.importorskip("pyarrow")
    # people, a list of 2^20 structs without a word.
    root = (1 << 48).to_bytes(8, "little")
    people = (1 | 7 << 32 | 0 << 35).to_bytes(8, "little")
    tag = ((1 << 20) << 2).to_bytes(8, "little")
    target.write_bytes(b"\0\0\0\0\3\0\0\0" + root + people + tag)
    assert verify(target).objects == 2
    with open_message(target, SCHEMA) as m:
        assert m.array("people").nbytes == 0
        for make in (
            lambda: m.table("people"),
            lambda: m.column("people", "name"),
            lambda: m.column("people", "id"),
            lambda: m.rows("people"),
            m.to_dict,
        ):
            with pytest.raises(InvalidMessage) as caught:
                make()
            assert caught.value.filename == str(target)
