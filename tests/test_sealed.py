"""Messages in memory: built, sealed, handed over, read."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

from mmapbuilder import InvalidMessage, MessageBuilder, open_message, verify
from support import processes
from support.messages import BOOK, fill_book
from support.readers import ADDRESS_BOOK, BLOCKS

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has files in memory with seals"
)

SCHEMA = ADDRESS_BOOK.schema


@pytest.fixture
def sealed() -> Iterator[int]:
    """A sealed message."""
    with MessageBuilder.in_memory("book") as b:
        fill_book(b.init_root(SCHEMA))
        fd = b.seal()
    yield fd
    os.close(fd)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---- sealing ---------------------------------------------------------------------------------


def test_a_sealed_message_is_read(sealed: int) -> None:
    with open_message(sealed, SCHEMA, require_seals=True) as m:
        assert m.root.to_dict() == BOOK
    assert verify(sealed).objects > 0


def test_nobody_can_change_it(sealed: int) -> None:
    size = os.fstat(sealed).st_size
    for attempt in (
        lambda: os.ftruncate(sealed, 0),
        lambda: os.ftruncate(sealed, size + 1),
        lambda: os.pwrite(sealed, b"x", 0),
        lambda: fcntl.fcntl(sealed, fcntl.F_ADD_SEALS, 0),
    ):
        with pytest.raises(PermissionError):
            attempt()
    assert os.fstat(sealed).st_size == size


def test_the_descriptor_is_not_inherited(sealed: int) -> None:
    assert not os.get_inheritable(sealed)


def test_views_become_a_private_snapshot() -> None:
    b = MessageBuilder.in_memory()
    book = b.init_root(SCHEMA)
    b.fill("people", id=[1, 2, 3])
    ids = b.array("people")["id"]
    fd = b.seal()
    ids[0] = 99
    book.people[1].id = 98
    assert ids.tolist() == [99, 98, 3]
    with open_message(fd, SCHEMA, require_seals=True) as m:
        assert m.column("people", "id").tolist() == [1, 2, 3]
    os.close(fd)


def test_sealing_after_the_with_block() -> None:
    with MessageBuilder.in_memory() as b:
        b.init_root(SCHEMA)
    fd = b.seal()
    open_message(fd, SCHEMA, require_seals=True).close()
    os.close(fd)


def test_nothing_is_left_open() -> None:
    before = open_descriptors()
    for how in ("seal", "close", "discard", "error"):
        b = MessageBuilder.in_memory()
        b.init_root(SCHEMA)
        if how == "seal":
            os.close(b.seal())
        elif how == "error":
            with pytest.raises(KeyError), b:
                raise KeyError
        else:
            getattr(b, how)()
        del b
        assert open_descriptors() == before, how


def test_the_memory_goes_with_the_last_reader(sealed: int) -> None:
    fd = os.dup(sealed)
    m = open_message(fd, SCHEMA, require_seals=True)
    os.close(fd)
    assert m.root.people[0].name == "Alice"


def test_a_large_one() -> None:
    with MessageBuilder.in_memory(size_hint=300 << 20) as b:
        block = b.init_root(BLOCKS.schema).init("blocks", 1)[0]
        block.init("values", 40_000_000)
        b.array("blocks", 0, "values")[:] = 7
        fd = b.seal()
    assert os.fstat(fd).st_size > 320_000_000
    with open_message(fd, BLOCKS.schema, require_seals=True) as m:
        assert (m.array("blocks", 0, "values") == 7).all()
    os.close(fd)


# ---- what cannot be sealed --------------------------------------------------------------------


def test_a_message_in_a_file_cannot_be_sealed(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(SCHEMA)
        with pytest.raises(ValueError, match="only a message that MessageBuilder.in_memory"):
            b.seal()
    open_message(target, SCHEMA).close()


def test_sealing_twice() -> None:
    b = MessageBuilder.in_memory("twice")
    b.init_root(SCHEMA)
    os.close(b.seal())
    with pytest.raises(ValueError, match="closed or sealed already: 'twice'"):
        b.seal()


@pytest.mark.parametrize("how", ["discard", "error"])
def test_what_was_given_up_cannot_be_sealed(how: str) -> None:
    b = MessageBuilder.in_memory("given up")
    b.init_root(SCHEMA)
    if how == "discard":
        b.discard()
    else:
        with pytest.raises(KeyError), b:
            raise KeyError
    with pytest.raises(InvalidMessage, match="given up"):
        b.seal()


def test_a_message_that_ran_out_of_capacity() -> None:
    b = MessageBuilder.in_memory("small", capacity=1 << 20)
    b.init_root(BLOCKS.schema).init("blocks", 100_000)
    with pytest.raises(OSError, match="capacity"):
        b.seal()
    with pytest.raises(InvalidMessage, match="unfinished|small"):
        b.seal()


def test_a_long_name() -> None:
    with pytest.raises(ValueError, match="249 bytes at most"):
        MessageBuilder.in_memory("x" * 250)


def test_errors_show_the_name() -> None:
    b = MessageBuilder.in_memory("a name", capacity=1 << 20)
    assert "a name" in repr(b)
    with pytest.raises(OSError, match="'a name'"):
        b.reserve(1 << 30)
    b.discard()


FORKED = """
    import os, signal, sys
    from mmapbuilder import MessageBuilder, open_message
    from support.readers import ADDRESS_BOOK
    b = MessageBuilder.in_memory("shared")
    b.init_root(ADDRESS_BOOK.schema, ).init("people", 1)[0].id = 7
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            b.seal()
        except PermissionError as error:
            os.write(ready[1], str(error).encode())
        os.close(go[1])
        os.read(go[0], 1)
        os._exit(0)
    print(os.read(ready[0], 200).decode())
    try:
        b.seal()
    except BlockingIOError as error:
        print(error)
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    with open_message(b.seal(), ADDRESS_BOOK.schema, require_seals=True) as m:
        print(m.root.people[0].id)
"""


def test_a_forked_child_that_has_it_mapped() -> None:
    """It cannot seal it, and the owner can when the child has ended."""
    child, owner, value = processes.python(FORKED).ok().out.splitlines()
    assert "a forked child cannot seal" in child
    assert "seal() again when it has ended" in owner
    assert value == "7"


# ---- readers that demand seals ------------------------------------------------------------------


def test_without_seals_it_is_refused(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(SCHEMA)
    with pytest.raises(InvalidMessage, match="not sealed.*F_SEAL_SHRINK") as caught:
        open_message(target, SCHEMA, require_seals=True)
    assert caught.value.filename == str(target)
    with target.open("rb") as file, pytest.raises(InvalidMessage, match="not sealed"):
        open_message(file.fileno(), SCHEMA, require_seals=True)
    with pytest.raises(InvalidMessage, match="a buffer has no seals"):
        open_message(target.read_bytes(), SCHEMA, require_seals=True)


@pytest.mark.parametrize("seal", ["SHRINK", "GROW", "WRITE"])
def test_each_seal_counts(sealed: int, seal: str) -> None:
    fd = os.memfd_create("part", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, os.pread(sealed, 1 << 20, 0))
        for other in {"SHRINK", "GROW", "WRITE"} - {seal}:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, getattr(fcntl, f"F_SEAL_{other}"))
        with pytest.raises(InvalidMessage, match=f"missing: F_SEAL_{seal}\\)"):
            open_message(fd, SCHEMA, require_seals=True)
        open_message(fd, SCHEMA).close()
    finally:
        os.close(fd)


def test_what_is_sealed_but_no_message() -> None:
    fd = os.memfd_create("no message", os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, b"some text")
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
        with pytest.raises(InvalidMessage, match="text"):
            open_message(fd, SCHEMA, require_seals=True)
    finally:
        os.close(fd)


# ---- to other processes -------------------------------------------------------------------------

READER = """
    import socket, sys
    from mmapbuilder import open_message
    from support.readers import ADDRESS_BOOK
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        name, fds, _, _ = socket.recv_fds(channel, 100, 1)
    with open_message(fds[0], ADDRESS_BOOK.schema, require_seals=True) as m:
        print(name.decode(), [person.name for person in m.root.people])
"""


def test_sent_over_a_socket_to_several_processes(sealed: int) -> None:
    readers: list[tuple[Any, socket.socket]] = []
    for _ in range(3):
        ours, theirs = socket.socketpair()
        os.set_inheritable(theirs.fileno(), True)
        process = processes.start(READER, theirs.fileno(), close_fds=False)
        theirs.close()
        readers.append((process, ours))
    for _, ours in readers:
        socket.send_fds(ours, [b"book"], [sealed])
        ours.close()
    for process, _ in readers:
        assert processes.end(process).ok().out == "book ['Alice', 'Bob']\n"


BUILDER = """
    import os, signal, socket, sys
    from mmapbuilder import MessageBuilder
    from support.readers import ADDRESS_BOOK
    b = MessageBuilder.in_memory()
    b.init_root(ADDRESS_BOOK.schema).init("people", 1)[0].name = "Ada"
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        socket.send_fds(channel, [b"x"], [b.seal()])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_outlives_its_builder() -> None:
    ours, theirs = socket.socketpair()
    os.set_inheritable(theirs.fileno(), True)
    process = processes.start(BUILDER, theirs.fileno(), close_fds=False)
    theirs.close()
    ours.settimeout(60)
    with ours:
        _, (fd,), _, _ = socket.recv_fds(ours, 100, 1)
    assert processes.end(process).signal == signal.SIGKILL.name
    with open_message(fd, SCHEMA, require_seals=True) as m:
        assert m.root.people[0].name == "Ada"
    os.close(fd)
