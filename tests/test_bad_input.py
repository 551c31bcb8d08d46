"""Wrong arguments: refused at once, with a clear error, and nothing is touched."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmapbuilder import Builder, CapacityError, MessageBuilder
from support import processes

BUILDERS = [Builder, MessageBuilder]


@pytest.fixture(params=BUILDERS, ids=lambda builder: builder.__name__)
def builder(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize(
    "wrong", [None, 1.5, [b"list"], {"a": 1}, object(), Ellipsis, True], ids=repr
)
def test_a_file_of_the_wrong_type(builder: Any, wrong: object) -> None:
    with pytest.raises(TypeError):
        builder(wrong)


def test_a_fileno_of_the_wrong_type(builder: Any) -> None:
    class Odd:
        def fileno(self) -> Any:
            return "3"

    class Failing:
        def fileno(self) -> int:
            raise KeyError("ours")

    with pytest.raises(TypeError):
        builder(Odd())
    with pytest.raises(KeyError, match="ours"):
        builder(Failing())


def test_a_path_with_a_null_byte(builder: Any, tmp_path: Path) -> None:
    for path in (f"{tmp_path}/a\0b", f"{tmp_path}/a\0b".encode()):
        for atomic in (False, True):
            with pytest.raises(ValueError, match="null"):
                builder(path, atomic=atomic)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path(builder: Any) -> None:
    for path in ("", b""):
        for atomic in (False, True):
            with pytest.raises(OSError):
                builder(path, atomic=atomic)


def test_a_directory_that_does_not_exist(builder: Any, tmp_path: Path) -> None:
    for atomic in (False, True):
        with pytest.raises(FileNotFoundError) as caught:
            builder(tmp_path / "missing" / "file", atomic=atomic)
        assert caught.value.filename is not None
        assert "missing" in str(caught.value)


def test_a_name_that_is_too_long(builder: Any, tmp_path: Path) -> None:
    for atomic in (False, True):
        with pytest.raises(OSError) as caught:
            builder(tmp_path / ("n" * 256), atomic=atomic)
        assert caught.value.errno == errno.ENAMETOOLONG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["", "r", "a", "rb", "wb", "w+", "W", "r+b", "x+", "wx"])
def test_modes_that_do_not_exist(builder: Any, target: Path, mode: str) -> None:
    with pytest.raises(ValueError, match="mode"):
        builder(target, mode)
    assert not target.exists()


@pytest.mark.parametrize("mode", [None, 5, b"w", ["w"]])
def test_modes_of_the_wrong_type(builder: Any, target: Path, mode: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        builder(target, mode)
    assert not target.exists()


@pytest.mark.parametrize("capacity", [0, -1, -(1 << 70)])
def test_a_capacity_that_is_not_positive(builder: Any, target: Path, capacity: int) -> None:
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="capacity"):
        builder(target, capacity=capacity)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("capacity", ["1", 1.5, b"1", None, [1], True])
def test_a_capacity_of_the_wrong_type(builder: Any, target: Path, capacity: object) -> None:
    target.write_bytes(b"old")
    with pytest.raises(TypeError, match="capacity"):
        builder(target, capacity=capacity)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("capacity", [1 << 50, (1 << 63) - 1, 1 << 63, 1 << 64, 1 << 100])
def test_a_capacity_beyond_the_address_space(target: Path, capacity: int) -> None:
    target.write_bytes(b"old")
    for atomic in (False, True):
        with pytest.raises((OSError, ValueError), match="address space|capacity"):
            Builder(target, capacity=capacity, atomic=atomic)
    assert target.read_bytes() == b"old"
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_a_capacity_beyond_what_readers_accept(target: Path) -> None:
    target.write_bytes(b"old")
    for capacity in ((511 << 32) + 1, 1 << 50, 1 << 64, 1 << 100):
        with pytest.raises(ValueError, match="511"):
            MessageBuilder(target, capacity=capacity)
    assert target.read_bytes() == b"old"


@pytest.mark.parametrize("max_growth", [0, -1])
def test_a_growth_that_is_not_positive(builder: Any, target: Path, max_growth: int) -> None:
    with pytest.raises(ValueError, match="max_growth"):
        builder(target, max_growth=max_growth)
    assert not target.exists()


@pytest.mark.parametrize("max_growth", ["1", 1.5, None])
def test_a_growth_of_the_wrong_type(builder: Any, target: Path, max_growth: object) -> None:
    with pytest.raises(TypeError, match="max_growth"):
        builder(target, max_growth=max_growth)
    assert not target.exists()


@pytest.mark.parametrize("max_growth", [1, 4096, 1 << 40, 1 << 62, (1 << 64) - 1])
def test_unusual_growths_work(target: Path, max_growth: int) -> None:
    with Builder(target, max_growth=max_growth) as b:
        b[10 << 20] = 1
        assert target.stat().st_size < 1 << 30
    assert target.stat().st_size == (10 << 20) + 1


def test_options_are_keywords(builder: Any, target: Path) -> None:
    with pytest.raises(TypeError):
        builder(target, "w", 1 << 20)
    with pytest.raises(TypeError):
        builder(target, "w", compression=True)
    with pytest.raises(TypeError):
        builder()
    assert not target.exists()


def test_an_atomic_descriptor(builder: Any, target: Path) -> None:
    with target.open("w+b") as file:
        for given in (file, file.fileno()):
            with pytest.raises(ValueError, match="atomic"):
                builder(given, atomic=True)


@pytest.mark.skipif(sys.platform != "linux", reason="limits differ")
def test_the_error_says_which_limit(target: Path) -> None:
    code = """
        import resource, sys
        from mmapbuilder import Builder
        which = getattr(resource, sys.argv[2])
        resource.setrlimit(which, (int(sys.argv[3]), resource.getrlimit(which)[1]))
        try:
            Builder(sys.argv[1])
        except OSError as error:
            print(error.errno, error)
        Builder(sys.argv[1], capacity=1 << 20).close()
    """
    limits = {"RLIMIT_FSIZE": (1 << 30, errno.EFBIG), "RLIMIT_AS": (4 << 30, errno.ENOMEM)}
    for name, (limit, number) in limits.items():
        found = processes.python(code, target, name, limit).ok().out
        assert found.startswith(f"{number} ")
        assert name in found
        assert str(target) in found
    assert resource.getrlimit(resource.RLIMIT_AS)[0] != 4 << 30


def test_subclasses(target: Path) -> None:
    class Ours(Builder):
        def __init__(self, path: Path) -> None:
            super().__init__(path, capacity=1 << 20)
            self.extra = 1

    with Ours(target) as b:
        assert (b.extra, b.capacity) == (1, 1 << 20)
        b.write(b"x")
    assert target.read_bytes() == b"x"

    class Forgetful(Builder):
        def __init__(self) -> None:
            pass

    b2 = Forgetful()
    assert b2.closed
    with pytest.raises(ValueError, match="closed"):
        b2.write(b"x")
    assert "Forgetful" in repr(b2)
    del b2


def test_initialising_again_is_refused(target: Path, tmp_path: Path) -> None:
    with Builder(target) as b:
        b.write(b"content")
        with pytest.raises((RuntimeError, ValueError, TypeError, OSError)):
            b.__init__(tmp_path / "other")  # type: ignore[misc]
        b.write(b"!")
    assert target.read_bytes() == b"content!"


def test_closed_builders_are_refused_by_others(target: Path) -> None:
    b = Builder(target)
    b.close()
    for use in (memoryview, bytes, b"".join):
        with pytest.raises((ValueError, TypeError)):
            use(b)  # type: ignore[operator]


# ---- without pycapnp ---------------------------------------------------------------


def test_a_message_needs_pycapnp_and_says_how_to_get_it(target: Path) -> None:
    code = """
        import sys
        sys.modules["capnp"] = None  # an import of it fails now
        from mmapbuilder import Builder, MessageBuilder, open_message, verify
        with Builder(sys.argv[1]) as b:
            b.write(b"needs nothing")
        b = MessageBuilder(sys.argv[1])
        for use in (lambda: b.init_root(object), lambda: b.message,
                    lambda: open_message(sys.argv[1], object)):
            try:
                use()
            except ImportError as error:
                print(error)
        b.close()
        print(verify(sys.argv[1]).size)
    """
    lines = processes.python(code, target).ok().out.splitlines()
    assert len(lines) == 4
    for line in lines[:3]:
        assert "pip install mmapbuilder[capnp]" in line


def test_a_broken_pycapnp_is_not_hidden(target: Path, tmp_path: Path) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "capnp.py").write_text("import a_module_that_does_not_exist\n")
    code = """
        import sys
        sys.path.insert(0, sys.argv[2])
        from mmapbuilder import MessageBuilder
        b = MessageBuilder(sys.argv[1])
        try:
            b.message
        except ImportError as error:
            causes = [error]
            while causes[-1].__cause__ is not None:
                causes.append(causes[-1].__cause__)
            print(*(str(cause) for cause in causes), sep="; ")
        b.discard()
    """
    said = processes.python(code, target, tmp_path / "modules").ok().out
    assert "a_module_that_does_not_exist" in said


def test_schemas_that_are_none(target: Path) -> None:
    pytest.importorskip("capnp")
    for wrong in (None, object(), int, "AddressBook"):
        with MessageBuilder(target) as b, pytest.raises((TypeError, AttributeError)):
            b.init_root(wrong)


def test_fields_that_do_not_exist(target: Path) -> None:
    capnp = pytest.importorskip("capnp")
    from support.readers import BLOCKS

    with MessageBuilder(target) as b:
        with pytest.raises((AttributeError, capnp.KjException)):
            b.init_root(BLOCKS.schema, colour="red")


@pytest.mark.parametrize("wrong", ["10", 1.5, None, -1, 1 << 29, 1 << 70])
def test_segments_of_impossible_sizes(target: Path, wrong: Any) -> None:
    with MessageBuilder(target) as b, pytest.raises((TypeError, ValueError)):
        b.allocate_segment(wrong)


@pytest.mark.parametrize("words", [0, -1, 1 << 29, "1", 1.5, None])
def test_limits_of_segments_that_are_impossible(target: Path, words: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        MessageBuilder(target, segment_words=words)
    assert not target.exists()


def test_the_core_needs_no_package(target: Path) -> None:
    # -S: no site-packages at all, so whatever it imports comes with Python.
    package = str(Path(sys.modules["mmapbuilder"].__file__ or "").parent.parent)
    code = """
import sys; sys.path.insert(0, sys.argv[1])
from mmapbuilder import Builder, CapacityError
with Builder(sys.argv[2], capacity=10) as b:
    b.write(b"content")
    try:
        b.write(b"content")
    except CapacityError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code, package, str(target)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "capacity" in done.stdout
    assert issubclass(CapacityError, OSError)


def test_what_could_not_be_opened_can_be_closed(builder: Any, tmp_path: Path) -> None:
    b = builder.__new__(builder)
    with pytest.raises(FileNotFoundError):
        b.__init__(tmp_path / "no" / "file")
    b.close()
    b.discard()
    assert b.closed
