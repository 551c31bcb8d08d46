"""The kernel reads into a builder's memory: where it is backed, not beyond."""

from __future__ import annotations

import errno
import os
import socket
import threading
from pathlib import Path

import pytest

from mmapbuilder import Builder, open_message
from support import processes
from support.requirements import missing

MIB = 1 << 20
SIZE = 6 * MIB + 123


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    # A zero at the end, stored through a view, would not count.
    path.write_bytes(os.urandom(SIZE - 1) + b"\x01")
    return path


def test_readinto_a_reserved_range(target: Path, content: Path) -> None:
    with content.open("rb", buffering=0) as file, Builder(target) as b:
        b.reserve(SIZE)
        with b[0:SIZE] as view:
            assert file.readinto(view) == SIZE
        b.truncate(SIZE)  # exact, unlike what is only there
    assert target.read_bytes() == content.read_bytes()


@pytest.mark.parametrize("buffering", [0, -1])
def test_readinto_an_allocated_range(target: Path, content: Path, buffering: int) -> None:
    with content.open("rb", buffering=buffering) as file, Builder(target) as b:
        b.write(b"head....")
        with b.allocate(SIZE) as view:
            assert file.readinto(view) == SIZE
        b.write(b"tail")
    assert target.read_bytes() == b"head...." + content.read_bytes() + b"tail"


def test_preadv_into_several_ranges(target: Path, content: Path) -> None:
    if not hasattr(os, "preadv"):
        missing("no preadv here")
    with content.open("rb") as file, Builder(target) as b:
        parts = [b.allocate(n, align=1) for n in (1, 4096, MIB, 3 * MIB + 7)]
        length = sum(map(len, parts))
        assert os.preadv(file.fileno(), parts, 1000) == length
        for part in parts:
            part.release()
    assert target.read_bytes() == content.read_bytes()[1000 : 1000 + length]


def test_recv_into(target: Path, content: Path) -> None:
    data = content.read_bytes()
    ours, theirs = socket.socketpair()
    with ours, theirs, Builder(target) as b:
        sender = threading.Thread(target=theirs.sendall, args=(data,))
        sender.start()
        with b.allocate(SIZE) as view:
            done = 0
            while done < SIZE:
                done += ours.recv_into(view[done:])
        sender.join()
    assert target.read_bytes() == data


def test_the_kernel_reads_from_a_builder(target: Path, tmp_path: Path) -> None:
    with Builder(target) as b:
        b[0:SIZE] = b"\x5a" * SIZE
        with (tmp_path / "copy").open("wb", buffering=0) as file, b[0:SIZE] as view:
            assert file.write(view) == SIZE
            assert os.pwritev(file.fileno(), [view[:10], view[20:30]], SIZE) == 20
    assert (tmp_path / "copy").read_bytes() == b"\x5a" * (SIZE + 20)


def test_a_buffered_file_reads_in_small_pieces(target: Path, content: Path) -> None:
    with content.open("rb") as file, Builder(target) as b:
        while True:
            with b.allocate(1000, align=1) as view:
                got = file.readinto(view)
            if got < 1000:
                b.truncate(b.tell() - 1000 + got)
                break
    assert target.read_bytes() == content.read_bytes()


def test_a_message_takes_a_file_without_a_copy_between(target: Path, content: Path) -> None:
    pytest.importorskip("capnp")
    from support.readers import KINDS

    # Apart, since get_data_as_view keeps the message alive for ever.
    code = """
        import os, sys
        from mmapbuilder import MessageBuilder
        from support.readers import KINDS
        target, content = sys.argv[1:]
        size = os.path.getsize(content)
        with MessageBuilder(target) as b:
            root = b.init_root(KINDS.schema)
            root.init("data", size)
            b.reserve(size + 4096)
            room = root.get_data_as_view("data")
            with open(content, "rb", buffering=0) as file:
                assert file.readinto(room) == size
            root.text = "after"
    """
    processes.python(code, target, content).ok()
    with open_message(target, KINDS.schema) as m:
        assert m.root.data == content.read_bytes()
        assert m.root.text == "after"


# ---- the limit: the kernel gets EFAULT, not a signal ---------------------------------


def test_beyond_what_is_backed_the_kernel_answers_efault(target: Path, content: Path) -> None:
    with content.open("rb", buffering=0) as file, Builder(target) as b:
        with b[0:SIZE] as view:
            with pytest.raises(OSError) as caught:
                file.readinto(view)
            assert caught.value.errno == errno.EFAULT
            view[:] = b"\1" * SIZE  # the map is none the worse
            file.seek(0)
            assert file.readinto(view) == SIZE
        assert b.size == SIZE + -SIZE % 16
        b.truncate(SIZE)
    assert target.read_bytes() == content.read_bytes()


def test_a_range_that_straddles_the_end_is_read_in_part(target: Path, content: Path) -> None:
    with content.open("rb", buffering=0) as file, Builder(target, max_growth=2 * MIB) as b:
        b.reserve(2 * MIB)
        backed = b.stats.backed
        assert backed < SIZE
        with b[0:SIZE] as view:
            try:
                got = file.readinto(view)
            except OSError as error:
                assert error.errno == errno.EFAULT
            else:
                assert got is not None
                assert got <= backed
                assert view[:got] == content.read_bytes()[:got]
