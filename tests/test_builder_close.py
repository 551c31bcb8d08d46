"""How a Builder ends: close, discard, with, exceptions, being dropped, fork."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import warnings
import weakref
from pathlib import Path

import pytest

from mmapbuilder import Builder, CapacityError
from support import processes
from support.mounts import no_room

MIB = 1 << 20
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


class OurError(Exception):
    """Raised in the body of a with statement."""


# ---- close -------------------------------------------------------------------------


def test_close_cuts_to_what_is_used(target: Path) -> None:
    b = Builder(target)
    assert not b.closed
    b[10 * MIB] = 1
    assert target.stat().st_size > 10 * MIB + 1
    b.close()
    assert b.closed
    assert target.stat().st_size == 10 * MIB + 1


def test_close_again_does_nothing(target: Path) -> None:
    b = Builder(target)
    b.write(b"content")
    b.close()
    target.write_bytes(b"someone else's")
    b.close()
    b.close(size=3)
    b.discard()
    with pytest.raises(ValueError):
        b.__enter__()
    assert target.read_bytes() == b"someone else's"


@pytest.mark.parametrize("size", [0, 3, 10, 5000, 3 * MIB])
def test_close_at_a_size(target: Path, size: int) -> None:
    b = Builder(target)
    b.write(b"0123456789")
    b.close(size=size)
    assert target.read_bytes() == b"0123456789"[:size].ljust(size, b"\0")


def test_close_refuses_sizes_and_stays_open(target: Path) -> None:
    b = Builder(target, capacity=100)
    b.write(b"content")
    with pytest.raises(ValueError):
        b.close(size=-1)
    with pytest.raises(CapacityError):
        b.close(size=101)
    for wrong in ("1", 1.5):
        with pytest.raises(TypeError):
            b.close(size=wrong)  # type: ignore[arg-type]
    assert not b.closed
    b.write(b"!")
    b.close(100)
    assert target.read_bytes() == b"content!".ljust(100, b"\0")


@pytest.mark.parametrize("size", [None, 3])
def test_views_that_are_alive_become_a_private_snapshot(target: Path, size: int | None) -> None:
    b = Builder(target)
    b.write(b"written")
    views = [memoryview(b), b[100:200], memoryview(b)[0:7]]
    views[1][0] = 1
    b.close(size)
    assert b.closed
    content = b"written".ljust(100, b"\0") + b"\1" + bytes(11)
    assert target.read_bytes() == content[:size]
    assert bytes(views[2])[:3] == b"wri"
    assert size is not None or views[1][0] == 1
    for view in views:
        view[0:3] = b"new"  # anywhere, also where the file had nothing
    views[0][60 * MIB] = 1
    assert views[0][60 * MIB] == 1
    assert target.read_bytes() == content[:size]
    with Builder(target) as again:  # nothing is locked
        again.write(b"again")
    assert bytes(views[2]) == b"new" + (b"tten" if size is None else bytes(4))


USES = {
    "write": lambda b: b.write(b"x"),
    "tell": lambda b: b.tell(),
    "seek": lambda b: b.seek(0),
    "truncate": lambda b: b.truncate(0),
    "truncate at the cursor": lambda b: b.truncate(),
    "reserve": lambda b: b.reserve(1),
    "allocate": lambda b: b.allocate(1),
    "flush": lambda b: b.flush(),
    "flush durable": lambda b: b.flush(durable=True),
    "fileno": lambda b: b.fileno(),
    "descriptor": lambda b: b.descriptor,
    "len": len,
    "read": lambda b: b.read(),
    "readinto": lambda b: b.readinto(bytearray(1)),
    "readline": lambda b: b.readline(),
    "readlines": lambda b: b.readlines(),
    "iterate": iter,
    "peek": lambda b: b.peek(),
    "getvalue": lambda b: b.getvalue(),
    "getbuffer": lambda b: b.getbuffer(),
    "bytes": bytes,
    "find": lambda b: b.find(b"x"),
    "writelines nothing": lambda b: b.writelines([]),
    "zeros": lambda b: b.zeros(1),
    "isatty": lambda b: b.isatty(),
    "readable": lambda b: b.readable(),
    "writable": lambda b: b.writable(),
    "seekable": lambda b: b.seekable(),
    "memoryview": memoryview,
    "item": lambda b: b[0],
    "slice": lambda b: b[0:1],
    "set item": lambda b: b.__setitem__(0, 1),
    "set slice": lambda b: b.__setitem__(slice(0, 1), b"x"),
    "with": lambda b: b.__enter__(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
@pytest.mark.parametrize("end", ["close", "discard"])
def test_a_closed_builder_is_of_no_use(target: Path, use, end: str) -> None:
    b = Builder(target)
    b.write(b"content")
    getattr(b, end)()
    with pytest.raises(ValueError, match="closed"):
        use(b)


def test_what_can_be_asked_after_close(target: Path) -> None:
    with Builder(str(target), capacity=5 * MIB) as b:
        b[3 * MIB] = 1
        open_stats = b.stats
    assert b.closed
    assert b.name == str(target)
    assert b.mode == "wb+"
    assert b.capacity == 5 * MIB
    assert b.size == 3 * MIB + 1
    assert b
    assert b.stats.growths == open_stats.growths
    assert b.stats.used == 3 * MIB + 1
    assert "closed" in repr(b)
    assert str(target) in repr(b)


def test_repr_of_an_open_builder(target: Path) -> None:
    with Builder(target) as b:
        assert str(target) in repr(b)
        assert "closed" not in repr(b)


# ---- discard -----------------------------------------------------------------------


@pytest.mark.parametrize("atomic", [False, True])
def test_discard_leaves_no_file(tmp_path: Path, atomic: bool) -> None:
    b = Builder(tmp_path / "file", atomic=atomic)
    b.write(b"content")
    b.discard()
    assert b.closed
    b.discard()
    assert list(tmp_path.iterdir()) == []


def test_discard_does_not_touch_another_file_of_that_name(target: Path, tmp_path: Path) -> None:
    b = Builder(target)
    os.rename(target, tmp_path / "elsewhere")
    target.write_bytes(b"another")
    b.discard()
    assert target.read_bytes() == b"another"


def test_discard_of_a_descriptor_empties_the_file(target: Path) -> None:
    with target.open("w+b") as file:
        b = Builder(file)
        b.write(b"content")
        b.discard()
    assert target.read_bytes() == b""


def test_discard_of_a_file_that_was_there_before_keeps_it(target: Path) -> None:
    target.write_bytes(b"0123456789")
    b = Builder(target, "r+")
    with memoryview(b) as view:
        view[40 * MIB] = 1
        view[40 * MIB] = 0  # grown, but no content
    b.discard()
    assert target.read_bytes() == b"0123456789"


def test_discard_is_not_stopped_by_views(target: Path) -> None:
    b = Builder(target)
    view = b[0:10]
    view[:] = b"0123456789"
    b.discard()
    assert not target.exists()
    assert view == b"0123456789"
    view[0] = ord("x")  # memory still, but of no file
    assert bytes(view[:2]) == b"x1"
    view.release()


# ---- with --------------------------------------------------------------------------


def test_with_closes(target: Path) -> None:
    with Builder(target) as b:
        assert isinstance(b, Builder)
        b.write(b"content")
    assert b.closed
    assert target.read_bytes() == b"content"


def test_closing_inside_of_with(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"content")
        b.close(size=4)
    assert target.read_bytes() == b"cont"
    with Builder(target) as b:
        b.discard()
    assert not target.exists()


def test_an_exception_is_not_masked_and_the_content_is_kept(target: Path) -> None:
    with pytest.raises(OurError) as caught, Builder(target) as b:
        b.write(b"so far")
        raise OurError("ours")
    assert b.closed
    assert target.read_bytes() == b"so far"
    assert caught.value.__context__ is None


def test_an_exception_is_not_masked_by_live_views(target: Path) -> None:
    views = []
    with pytest.raises(OurError), Builder(target) as b:
        views.append(b[0:16])
        views[0][:] = b"0123456789abcdef"
        raise OurError("ours")
    assert b.closed
    assert target.read_bytes() == b"0123456789abcdef"
    views[0][0] = 7  # a snapshot
    assert target.read_bytes() == b"0123456789abcdef"


def test_live_views_do_not_stop_an_orderly_with(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"content")
        view = b[0:10]
    assert b.closed
    assert target.read_bytes() == b"content"
    assert bytes(view) == b"content\0\0\0"


@pytest.mark.root
def test_an_exception_is_not_masked_by_a_full_disk(mount, tmp_path: Path) -> None:
    disk = mount("tmpfs", 8 * MIB)
    with pytest.raises(OurError) as caught, Builder(disk / "file") as b:
        memoryview(b)[0 : 16 * MIB : 4096] = b"x" * (4 * 1024)
        raise OurError("ours")
    assert b.closed
    assert any("space" in note for note in caught.value.__notes__)


# ---- errors that no store can report -----------------------------------------------


@pytest.mark.root
def test_a_full_disk_is_reported_by_the_next_call_and_by_close(mount, tmp_path: Path) -> None:
    path = mount("tmpfs", 8 * MIB) / "file"
    b = Builder(path)
    with memoryview(b) as view:
        view[0 : 32 * MIB : 4096] = b"x" * (8 * 1024)  # does not die
    for use in (lambda: b.write(b"x"), lambda: b.size, lambda: b.flush(), b.close):
        with no_room() as caught:
            use()
        assert caught.value.filename == str(path)
    assert b.closed
    b.close()  # reported once is enough
    assert path.stat().st_size <= 8 * MIB
    path.unlink()
    with Builder(path) as again:
        again.write(b"there is room again")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_file_cut_by_someone_else_is_reported_and_not_grown_back(target: Path) -> None:
    b = Builder(target)
    b[0 : 4 * MIB] = b"x" * (4 * MIB)
    os.truncate(target, 0)
    with memoryview(b) as view:
        view[1 * MIB] = 1
    with pytest.raises(OSError, match="truncated"):
        b.close()
    assert b.closed
    assert target.stat().st_size == 0


# ---- dropped without close ---------------------------------------------------------


def test_dropped_without_close(target: Path) -> None:
    b = Builder(target)
    b.write(b"content")
    with memoryview(b) as view:
        view[40 * MIB] = 1
        view[40 * MIB] = 0  # grown, but no content
    with pytest.warns(ResourceWarning, match="target"):
        del b
        gc.collect()
    assert target.read_bytes() == b"content"


def test_dropped_in_a_cycle(target: Path) -> None:
    class Holder:
        pass

    holder = Holder()
    holder.builder = Builder(target)  # type: ignore[attr-defined]
    holder.builder.write(b"content")  # type: ignore[attr-defined]
    holder.itself = holder  # type: ignore[attr-defined]
    with pytest.warns(ResourceWarning):
        del holder
        gc.collect()
    assert target.read_bytes() == b"content"


def test_a_view_keeps_the_builder(target: Path) -> None:
    b = Builder(target)
    gone = weakref.ref(b)
    view = b.allocate(7)
    del b
    gc.collect()
    view[:] = b"content"
    assert gone() is not None
    with pytest.warns(ResourceWarning):
        view.release()
        del view
        gc.collect()
    assert gone() is None
    assert target.read_bytes() == b"content"


def test_a_closed_builder_goes_silently(target: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        b = Builder(target)
        b.close()
        del b
        gc.collect()


def test_a_builder_that_could_not_be_made_goes_silently(tmp_path: Path) -> None:
    code = """
        import gc, sys
        from mmapbuilder import Builder
        for arguments in ((sys.argv[1],), (object(),), (sys.argv[1] + "/x", "q"), ()):
            try:
                Builder(*arguments)
            except (OSError, TypeError, ValueError):
                pass
        Builder.__new__(Builder)
        gc.collect()
    """
    processes.python(code, tmp_path).ok()


def test_open_at_the_end_of_the_interpreter(target: Path) -> None:
    code = """
        import sys
        from mmapbuilder import Builder
        b = Builder(sys.argv[1])
        b.write(b"content")
        view = b[100:200]
    """
    ended = processes.python(code, target, options=("-W", "default"))
    assert ended.code == 0, str(ended)
    with target.open("rb") as file:
        assert file.read(7) == b"content"


# ---- copies ------------------------------------------------------------------------


def test_not_picklable(target: Path) -> None:
    with Builder(target) as b:
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="pickle"):
                pickle.dumps(b, protocol)
        with pytest.raises(TypeError):
            copy.copy(b)
        with pytest.raises(TypeError):
            copy.deepcopy(b)


# ---- fork --------------------------------------------------------------------------


@needs_fork
def test_a_child_may_fill_but_only_the_parent_finishes(target: Path) -> None:
    code = """
        import fcntl, os, sys
        from mmapbuilder import Builder
        for end in "close", "discard", "exit", "drop":
            b = Builder(sys.argv[1], atomic=end == "drop")
            b[0] = 1
            if os.fork() == 0:
                b[30 << 20] = 2
                if end == "close" or end == "discard":
                    view = b[0:10]  # stops nobody here
                    getattr(b, end)()
                elif end == "drop":
                    import warnings
                    warnings.simplefilter("ignore")
                    del b
                os._exit(0)
            assert os.wait()[1] == 0
            assert b[30 << 20] == 2
            there = os.path.dirname(sys.argv[1])
            (built,) = [
                path for path in (os.path.join(there, name) for name in os.listdir(there))
                if os.path.samestat(os.stat(path), os.fstat(b.descriptor))
            ]
            with open(built, "rb") as other:
                try:  # the lock is not the child's to give up
                    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    raise AssertionError(end)
            b[31 << 20] = 3
            b.close()
            assert os.stat(sys.argv[1]).st_size == (31 << 20) + 1, end
            assert os.listdir(there) == [os.path.basename(sys.argv[1])]
    """
    processes.python(code, target).ok()
