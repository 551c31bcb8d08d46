"""Other programs write to the file while it is built.

Cut, it is reported and never made longer again. Deleted, renamed or replaced, the
builder finishes the file that it has, and touches no other. What others write into it
is theirs to answer for, but nothing crashes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, InvalidMessage, MessageBuilder, verify
from support.processes import python
from support.requirements import missing, tool
from support.wire import is_unfinished, table_of

MIB = 1 << 20
CONTENT = bytes(range(1, 256)) * 4096  # just below one MiB, no zeros


def hand(code: str, *args: object) -> None:
    """Let another process do it."""
    subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import os, sys\n_, p, *q = sys.argv\n{code}"]
        + [str(a) for a in args],
        check=True,
        timeout=60,
    )


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# ---- the kinds of builders, each with a way to fill it and to look at the result ------


class Bytes:
    """A plain builder."""

    def __init__(self, path: Path, at: int = 3 * MIB, **options: Any) -> None:
        self.builder: Any = Builder(path, **options)
        self.fill(at)

    def fill(self, at: int) -> None:
        with memoryview(self.builder) as view:  # a store has nobody to tell
            view[at : at + len(CONTENT)] = CONTENT

    def check(self, path: Path, at: int) -> None:
        data = path.read_bytes()
        assert len(data) == at + len(CONTENT)
        assert data[3 * MIB : 3 * MIB + len(CONTENT)] == CONTENT
        assert data[at:] == CONTENT


class ByHand:
    """A message whose segment is filled without pycapnp: one list of bytes."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.builder: Any = MessageBuilder(path, **options)
        self.segment = self.builder.allocate_segment(1)
        self.fill(3 * MIB)

    def fill(self, at: int) -> None:
        words = at // 8 + len(CONTENT) // 8
        pointer = 1 | 2 << 32 | (words * 8) << 35  # a list of that many bytes
        self.segment[0:8] = pointer.to_bytes(8, "little")
        self.segment[8 + at : 8 + at + len(CONTENT)] = CONTENT

    def check(self, path: Path, at: int) -> None:
        verify(path)
        data = path.read_bytes()
        place = table_of(path).bytes
        # The root pointer reaches over the words that the table had set aside.
        skipped = int.from_bytes(data[place : place + 4], "little") >> 2
        start = place + 8 + 8 * skipped
        assert len(data) == start + at + len(CONTENT)
        assert data[start + 3 * MIB : start + 3 * MIB + len(CONTENT)] == CONTENT
        assert data[start + at :] == CONTENT


class ByPycapnp:
    """A message that pycapnp makes."""

    def __init__(self, path: Path, **options: Any) -> None:
        from support.readers import BLOCKS

        self.builder: Any = MessageBuilder(path, **options)
        self.blocks = self.builder.init_root(BLOCKS.schema).init("blocks", 64)
        self.made = 0
        self.fill(3 * MIB)

    def fill(self, at: int) -> None:
        while self.made * MIB < at:
            self.blocks[self.made].note = str(self.made % 10) * MIB
            self.made += 1

    def check(self, path: Path, at: int) -> None:
        from support.readers import BLOCKS, read

        verify(path)
        with read(path, BLOCKS.schema) as root:
            notes = [block.note for block in root.blocks]
        assert notes[: self.made] == [str(n % 10) * MIB for n in range(self.made)]
        assert self.made * MIB >= at


KINDS: list[Any] = [Bytes, ByHand, ByPycapnp]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> Any:
    if request.param is ByPycapnp:
        pytest.importorskip("capnp")
    return request.param


def temporary_of(path: Path) -> Path:
    (name,) = set(names(path.parent)) - {path.name}
    return path.with_name(name)


@contextlib.contextmanager
def raises_truncated(path: Path) -> Iterator[None]:
    with pytest.raises(OSError, match="truncated by someone else") as caught:
        yield
    assert caught.value.errno == errno.EIO
    assert caught.value.filename == str(path)


# ---- cut --------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [0, 100, 2 * MIB, 3 * MIB + 8, -1, -MIB])
@pytest.mark.parametrize("meanwhile", ["nothing", "above", "below"])
def test_cut(target: Path, kind: Any, rest: int, meanwhile: str) -> None:
    """To nothing, into a page, at a page, just behind the content: all the same."""
    made = kind(target)
    rest = rest if rest >= 0 else target.stat().st_size + rest
    hand("os.truncate(p, int(q[0]))", target, rest)
    if meanwhile == "above":
        made.fill(40 * MIB)
    elif meanwhile == "below":
        made.fill(3 * MIB)
    with raises_truncated(target):
        made.builder.close()
    assert made.builder.closed
    made.builder.close()  # once is enough
    assert target.stat().st_size == rest
    if kind is not Bytes and rest >= 4:
        assert is_unfinished(target)


CALLS: dict[str, Callable[[Any], object]] = {
    "write": lambda b: b.write(b"x"),
    "allocate": lambda b: b.allocate(8),
    "reserve": lambda b: b.reserve(1),
    "truncate": lambda b: b.truncate(10),
    "slice": lambda b: b.__setitem__(slice(50 * MIB, 50 * MIB + 1), b"x"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_cut_is_found_by_the_next_call(target: Path, call: str) -> None:
    made = Bytes(target)
    hand("os.truncate(p, 4096)", target)
    with raises_truncated(target):
        CALLS[call](made.builder)
    for again in CALLS.values():
        with raises_truncated(target):
            again(made.builder)
    with raises_truncated(target):
        made.builder.close()
    assert target.stat().st_size == 4096


def test_a_cut_that_a_store_met_is_told_by_every_call(target: Path) -> None:
    made = Bytes(target)
    hand("os.truncate(p, 0)", target)
    view = memoryview(made.builder)
    view[40 * MIB] = 1
    for call in (*CALLS.values(), lambda b: b.tell(), lambda b: b.flush(), lambda b: b.size):
        with raises_truncated(target):
            call(made.builder)
    assert view[40 * MIB] == 1  # what was stored is there, but in no file
    view.release()
    with raises_truncated(target):
        made.builder.close()


@pytest.mark.parametrize("there", [False, True])
def test_a_temporary_file_that_is_cut(target: Path, kind: Any, there: bool) -> None:
    if there:
        target.write_bytes(b"old")
    made = kind(target, atomic=True)
    hand("os.truncate(p, 5000)", temporary_of(target))
    with raises_truncated(target):
        made.builder.close()
    assert names(target.parent) == ["target"] * there
    assert not there or target.read_bytes() == b"old"


def test_a_cut_in_a_with_body_that_raises(target: Path) -> None:
    """The exception of the body comes out, with a note of the other."""
    with pytest.raises(KeyError) as caught:
        with Builder(target) as b:
            b[0 : len(CONTENT)] = CONTENT
            hand("os.truncate(p, 7)", target)
            raise KeyError
    assert any("truncated by someone else" in note for note in caught.value.__notes__)
    assert target.read_bytes() == CONTENT[:7]


CUT_AND_LENGTHEN = "n = os.path.getsize(p); os.truncate(p, 0); os.truncate(p, n)"


def test_cut_and_made_longer_again(target: Path) -> None:
    """What was in it is gone, though the length is right: where blocks are counted, found."""
    made = Bytes(target, at=0)
    for at in range(MIB, 4 * MIB, MIB):  # without a hole
        made.fill(at)
    hand(CUT_AND_LENGTHEN, target)
    if counts_blocks(target.parent):
        with raises_truncated(target):
            made.builder.close()
    else:  # a file system that allocates late, such as btrfs: a limit, and documented
        with contextlib.suppress(OSError):
            made.builder.close()
        assert target.read_bytes().strip(b"\0") == b""


def test_with_a_hole_a_cut_that_was_made_longer_again_is_not_found(target: Path) -> None:
    """How many blocks such a file must have is not known: a limit, and documented."""
    made = Bytes(target, at=30 * MIB)
    hand(CUT_AND_LENGTHEN, target)
    made.builder.close()
    assert target.read_bytes().strip(b"\0") == b""


CUTTER = """
import os, sys, time
for line in sys.stdin:
    time.sleep(float(line))
    size = os.path.getsize(sys.argv[1]) // 2
    os.truncate(sys.argv[1], size)
    print(size, flush=True)
"""


def counts_blocks(directory: Path) -> bool:
    """Whether the file system says at once how many blocks a file has."""
    if sys.platform != "linux":
        return False
    done = subprocess.run(
        ["stat", "-f", "-c", "%T", str(directory)], capture_output=True, text=True, check=True
    )
    return done.stdout.strip() in ("ext2/ext3", "xfs", "tmpfs")


def test_cut_at_any_moment_while_threads_store(target: Path) -> None:
    """It is told, even where EOF was moved on before anyone could see it."""
    code = """
        import errno, os, random, subprocess, sys, threading
        from mmapbuilder import Builder
        path, rounds = sys.argv[1], int(sys.argv[2])
        cutter = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", sys.argv[3], path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(rounds):
            b = Builder(path, capacity=1 << 30, max_growth=2 << 20)
            b[0] = 1
            stop = False
            def fill(first):
                for at in range(first, 1 << 30, 4 << 14):
                    if stop:
                        break
                    view[at] = 1
            view = memoryview(b)
            threads = [threading.Thread(target=fill, args=(n << 14,)) for n in range(4)]
            for t in threads: t.start()
            print(random.random() * 0.02, file=cutter.stdin, flush=True)
            assert int(cutter.stdout.readline()) > 0
            stop = True
            for t in threads: t.join()
            view.release()
            try:
                b.close()
            except OSError as e:
                assert e.errno == errno.EIO and e.filename == path, e
            else:
                print("missed")
        cutter.communicate()
    """
    ended = python(code, target, 10, CUTTER).ok()
    assert ended.out == "" or not counts_blocks(target.parent)


# ---- deleted, renamed, replaced -------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_deleted(target: Path, kind: Any, again: bool, durable: bool) -> None:
    """It is finished, for those who have it open; another of that name is not touched."""
    made = kind(target, durable=durable)
    with target.open("rb") as file:
        hand("os.unlink(p)", target)
        if again:
            hand("open(p, 'w').write('other')", target)
        made.fill(20 * MIB)
        made.builder.close()
        copy = target.with_name("copy")
        with copy.open("wb") as out:
            shutil.copyfileobj(file, out)
    made.check(copy, 20 * MIB)
    copy.unlink()
    assert names(target.parent) == ["target"] * again
    assert not again or target.read_bytes() == b"other"


@pytest.mark.parametrize("again", [False, True])
def test_renamed(target: Path, kind: Any, again: bool) -> None:
    """It is finished where it is now."""
    made = kind(target)
    elsewhere = target.with_name("elsewhere")
    hand("os.rename(p, q[0])", target, elsewhere)
    if again:
        hand("open(p, 'w').write('other')", target)
    made.fill(20 * MIB)
    made.builder.close()
    made.check(elsewhere, 20 * MIB)
    assert names(target.parent) == ["elsewhere"] + ["target"] * again
    assert not again or target.read_bytes() == b"other"


def test_replaced(target: Path, kind: Any) -> None:
    made = kind(target)
    hand("open(p + '2', 'w').write('other'); os.replace(p + '2', p)", target)
    made.fill(20 * MIB)
    made.builder.close()
    assert target.read_bytes() == b"other"
    assert names(target.parent) == ["target"]


@pytest.mark.parametrize("end", ["discard", "leave", "drop"])
@pytest.mark.parametrize("how", ["renamed", "replaced"])
def test_no_other_file_is_removed_in_its_place(target: Path, kind: Any, end: str, how: str) -> None:
    made = kind(target)
    hand("os.rename(p, q[0]); open(p, 'w').write('other')", target, target.with_name("elsewhere"))
    if how == "replaced":
        target.with_name("elsewhere").unlink()
    if end == "discard":
        made.builder.discard()
    elif end == "leave":
        with pytest.raises(KeyError), made.builder:
            raise KeyError
    else:
        with pytest.warns(ResourceWarning):
            made.__dict__.clear()
    assert target.read_bytes() == b"other"


def test_a_deleted_directory(tmp_path: Path, kind: Any) -> None:
    directory = tmp_path / "directory"
    directory.mkdir()
    made = kind(directory / "target")
    hand("import shutil; shutil.rmtree(p)", directory)
    made.fill(20 * MIB)
    made.builder.close()
    assert names(tmp_path) == []


@pytest.mark.parametrize("durable", [False, True])
def test_a_directory_renamed(tmp_path: Path, kind: Any, durable: bool) -> None:
    """Finished where it is. That its name is safe can be told no more, which is said."""
    directory, elsewhere = tmp_path / "directory", tmp_path / "elsewhere"
    directory.mkdir()
    made = kind(directory / "target", durable=durable)
    hand("os.rename(p, q[0])", directory, elsewhere)
    made.fill(20 * MIB)
    if durable:
        with pytest.raises(FileNotFoundError):
            made.builder.close()
    else:
        made.builder.close()
    assert made.builder.closed
    made.check(elsewhere / "target", 20 * MIB)
    assert names(tmp_path) == ["elsewhere"]


# ---- atomic: the target and the temporary file -------------------------------------------


@pytest.mark.parametrize(
    "deed",
    [
        "os.unlink(p)",
        "open(p + '2', 'w').write('other'); os.replace(p + '2', p)",
        "open(p, 'w').write('written into')",
        "os.unlink(p); os.symlink(q[0], p)",
    ],
)
def test_the_target_of_atomic_changes_meanwhile(
    target: Path, tmp_path: Path, kind: Any, deed: str
) -> None:
    """Whatever has that name at close is replaced; what a link leads to is left alone."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"victim")
    target.write_bytes(b"old")
    made = kind(target, atomic=True)
    hand(deed, target, victim)
    made.fill(20 * MIB)
    made.builder.close()
    assert not target.is_symlink()
    made.check(target, 20 * MIB)
    assert victim.read_bytes() == b"victim"
    assert names(tmp_path) == ["target", "victim"]


@pytest.mark.parametrize("deed", ["os.unlink(p)", "os.rename(p, q[0])", "os.rename(q[1], p)"])
def test_the_temporary_file_is_taken_away(
    target: Path, tmp_path: Path, kind: Any, deed: str
) -> None:
    """The target keeps its old content, and nothing that is not ours is removed."""
    target.write_bytes(b"old")
    made = kind(target, atomic=True)
    (temporary,) = set(names(tmp_path)) - {"target"}
    other = tmp_path / "other"
    other.write_bytes(b"other")
    hand(deed, tmp_path / temporary, tmp_path / "taken", other)
    made.fill(20 * MIB)
    with pytest.raises(FileNotFoundError):
        made.builder.close()
    assert made.builder.closed
    assert target.read_bytes() == b"old"
    theirs = tmp_path / temporary if "q[1]" in deed else other
    assert theirs.read_bytes() == b"other"


# ---- written ---------------------------------------------------------------------------


def test_written_into_by_others(target: Path) -> None:
    """Two writers of one file: each store is in it, the last one wins."""
    made = Bytes(target)
    hand("f = open(p, 'r+b'); f.seek(10); f.write(b'theirs'); f.seek(5 << 20)", target)
    with target.open("r+b") as file:
        file.seek(3 * MIB)
        file.write(b"theirs")
    assert made.builder[10:16] == b"theirs"
    made.builder[10:12] = b"OU"
    made.builder.close()
    data = target.read_bytes()
    assert data[10:16] == b"OUeirs"
    assert data[3 * MIB :] == b"theirs" + CONTENT[6:]


def test_what_others_append_is_not_cut_unless_it_is_beyond_the_size(target: Path) -> None:
    for size in (None, 10):
        with Builder(target) as b:
            b.write(b"ours")
            hand("f = open(p, 'ab'); f.write(b'theirs' * 1000)", target)
            length = target.stat().st_size
            b.close(size)
        assert target.stat().st_size == (length + -length % 16 if size is None else size)


def test_holes_punched_by_others(target: Path, kind: Any) -> None:
    """Content that is gone reads as zeros; filling it again is in the file again."""
    made = kind(target)
    done = subprocess.run(
        [
            tool("fallocate", "util-linux"),
            "--punch-hole",
            "--offset",
            str(2 * MIB),
            "--length",
            str(MIB),
            str(target),
        ],
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        missing(f"no hole can be made here: {done.stderr.decode().strip()}")
    if kind is ByPycapnp:
        assert made.builder.message is not None
    made.fill(40 * MIB)
    made.builder.close()
    assert target.stat().st_size >= 40 * MIB
    if kind is not Bytes:
        verify(target)


@pytest.mark.parametrize("word", [(1 << 64) - 1, 1 | 5 << 32 | ((1 << 29) - 1) << 35])
def test_pointers_overwritten_by_others(target: Path, word: int) -> None:
    """Without pycapnp the pointers say what is used; if they lie, it is no message."""
    made = ByHand(target)
    start = 4 + 4 * 16 + 4
    hand("f = open(p, 'r+b'); f.seek(int(q[0])); f.write(int(q[1]).to_bytes(8, 'little'))",
         target, start, word)  # fmt: skip
    with pytest.raises(InvalidMessage):
        made.builder.close()
    assert made.builder.closed
    assert is_unfinished(target)


def test_the_mark_overwritten_by_others(target: Path, kind: Any) -> None:
    """Close writes the whole table, whatever has become of it."""
    made = kind(target)
    hand("f = open(p, 'r+b'); f.write(bytes(64))", target)
    made.fill(20 * MIB)
    made.builder.close()
    if kind is not Bytes:
        made.check(target, 20 * MIB)


# ---- after close, and while reading -----------------------------------------------------


def test_what_is_read_by_others_is_cut(target: Path) -> None:
    """An ordinary mapping's SIGBUS, as without us, a builder being open or not."""
    code = """
        import mmap, os, sys
        from mmapbuilder import Builder
        path, ours = sys.argv[1], sys.argv[2] == "True"
        with open(path, "wb") as f:
            f.write(bytes(1 << 20))
        b = Builder(path + "2") if ours else None
        if ours:
            b[1 << 24] = 1
        with open(path, "rb") as f:
            m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        os.truncate(path, 0)
        m[1 << 19]
    """
    for ours in (False, True):
        assert python(code, target, ours).signal == "SIGBUS"


def test_a_message_that_is_cut_while_it_is_read(target: Path) -> None:
    """The limit that the documents name: the reader dies, as with any mapped file."""
    pytest.importorskip("capnp")
    made = ByPycapnp(target)
    made.builder.close()
    code = """
        import os, sys
        from mmapbuilder import open_message
        from support.readers import BLOCKS
        m = open_message(sys.argv[1], BLOCKS.schema)
        assert len(m.root.blocks) == 64
        os.truncate(sys.argv[1], 4096)
        m.root.blocks[2].note
    """
    assert python(code, target).signal == "SIGBUS"


def test_without_pycapnp(target: Path) -> None:
    """The same where pycapnp cannot be imported."""
    code = """
        import errno, os, sys
        sys.modules["capnp"] = None
        from mmapbuilder import MessageBuilder, verify
        path = sys.argv[1]
        b = MessageBuilder(path)
        segment = b.allocate_segment(1)
        segment[0:8] = (1 | 2 << 32 | (8 << 20) << 35).to_bytes(8, "little")
        os.rename(path, path + "2")
        segment[(8 << 20) + 7] = 1
        b.close()
        assert verify(path + "2").size == 72 + 8 + (8 << 20)
        b = MessageBuilder(path)
        segment = b.allocate_segment(1)
        segment[8 << 20] = 1
        os.truncate(path, 100)
        segment[4 << 20] = 1
        try:
            b.close()
        except OSError as e:
            assert e.errno == errno.EIO and e.filename == path
        else:
            raise AssertionError("nothing was raised")
        assert os.path.getsize(path) == 100
    """
    python(code, target).ok()
    assert os.listdir(target.parent)
