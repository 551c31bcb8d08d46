"""The package as a whole: what it exports, imports, and leaves behind."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.resources
import inspect
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import mmapbuilder
from support import processes
from support.requirements import missing

PUBLIC = {
    "Builder",
    "CapacityError",
    "InvalidMessage",
    "Message",
    "MessageBuilder",
    "Report",
    "Stats",
    "open_message",
    "recover",
    "verify",
}


def test_what_is_exported() -> None:
    assert set(mmapbuilder.__all__) >= PUBLIC
    assert list(mmapbuilder.__all__) == sorted(mmapbuilder.__all__)
    for name in mmapbuilder.__all__:
        assert getattr(mmapbuilder, name) is not None


def test_names_come_from_where_checkers_find_them() -> None:
    """The package imports its names late; the imports that tools read must say the same."""
    tree = ast.parse(inspect.getsource(mmapbuilder))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    read = {alias.asname: node.module for node in imports if node.level for alias in node.names}
    assert sorted(read) == list(mmapbuilder.__all__)
    for name, module in read.items():
        home = importlib.import_module(f"mmapbuilder.{module}")
        assert getattr(mmapbuilder, name) is getattr(home, name), name


def test_import_loads_what_is_used() -> None:
    program = "import mmapbuilder, sys; print(*(m for m in sys.modules if 'mmapbuilder' in m))"
    loaded = processes.python(program).out.split()
    assert set(loaded) == {"mmapbuilder", "mmapbuilder._core"}


THREADS = """
import sys, threading, time
from importlib.machinery import SourceFileLoader
import mmapbuilder

errors = []

def make_late(loader, spec):
    if spec.name == "mmapbuilder.dataset":
        other.start()
        time.sleep(0.3)  # while the other thread begins to wait for this module

def get(name):
    getattr(mmapbuilder, name)

SourceFileLoader.create_module = make_late
threading.excepthook = errors.append
other = threading.Thread(target=get, args=(sys.argv[1],))
get("open_dataset")
other.join()
assert not errors, errors
"""


@pytest.mark.parametrize("name", ["commit", "write_shard", "open_dataset"])
def test_two_threads_ask_for_names_at_once(name: str) -> None:
    assert processes.python(THREADS, name).code == 0


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'mmapbuilder' has no attribute 'Buidler'"):
        mmapbuilder.Buidler
    with pytest.raises(ImportError, match="cannot import name 'Buidler'"):
        from mmapbuilder import Buidler  # noqa: F401
    assert set(mmapbuilder.__all__) <= set(dir(mmapbuilder))


def test_everything_exported_is_documented() -> None:
    for name in mmapbuilder.__all__:
        thing = getattr(mmapbuilder, name)
        assert inspect.getdoc(thing), name
        if not inspect.isclass(thing) or thing.__module__ == "builtins":
            continue
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"
    for name in ("write", "tell", "seek", "truncate", "reserve", "allocate", "flush", "fileno"):
        assert inspect.getdoc(getattr(mmapbuilder.Builder, name)), name


def test_signatures_are_told() -> None:
    for name in ("write", "seek", "truncate", "reserve", "allocate", "flush", "close", "discard"):
        inspect.signature(getattr(mmapbuilder.Builder, name))
    parameters = inspect.signature(mmapbuilder.Builder).parameters
    assert list(parameters)[:2] == ["file", "mode"]
    assert parameters["mode"].default == "w"
    assert parameters["capacity"].default == 64 << 30
    assert parameters["max_growth"].default == 64 << 20
    assert parameters["atomic"].default is parameters["durable"].default is False
    for builder in (mmapbuilder.Builder, mmapbuilder.MessageBuilder):
        for parameter in list(inspect.signature(builder).parameters.values())[2:]:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


def test_it_is_typed() -> None:
    files = importlib.resources.files("mmapbuilder")
    assert (files / "py.typed").is_file()
    assert (files / "_core.pyi").is_file()


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        installed = importlib.metadata.version("mmapbuilder")
    except importlib.metadata.PackageNotFoundError:
        missing("run from the source tree, not installed")
    assert mmapbuilder.__version__ == installed


def test_errors_are_what_they_look_like() -> None:
    assert issubclass(mmapbuilder.CapacityError, OSError)
    assert issubclass(mmapbuilder.CapacityError, ValueError)
    assert issubclass(mmapbuilder.InvalidMessage, ValueError)
    for error in (mmapbuilder.CapacityError, mmapbuilder.InvalidMessage):
        assert error.__module__ == "mmapbuilder"
    for error in (
        mmapbuilder.CapacityError(27, "text", "file"),
        mmapbuilder.InvalidMessage("text"),
    ):
        error.reason = "why"
        copy = pickle.loads(pickle.dumps(error))  # as between processes
        assert (type(copy), copy.args, str(copy)) == (type(error), error.args, str(error))
        assert copy.reason == "why"
    plain = mmapbuilder.InvalidMessage("text")
    assert (plain.segment, plain.word) == (None, None)


def test_nothing_heavy_is_imported() -> None:
    code = """
        import sys
        before = set(sys.modules)
        import mmapbuilder
        new = set(sys.modules) - before
        print(*sorted(name for name in new if not name.startswith("mmapbuilder")))
    """
    found = set(processes.python(code).ok().out.split())
    heavy = {
        *("capnp", "numpy", "pyarrow", "typing", "dataclasses", "inspect", "subprocess"),
        *("tempfile", "shutil", "pathlib", "logging", "ctypes", "hashlib", "asyncio", "re"),
    }
    assert not {name.split(".")[0] for name in found} & heavy
    assert len(found) <= 15, found


def test_a_builder_needs_no_pycapnp_and_no_numpy(target: Path) -> None:
    code = """
        import sys
        from mmapbuilder import Builder, MessageBuilder, verify
        with Builder(sys.argv[1], atomic=True, durable=True) as b:
            b[100] = 1
            b.write(b"x")
        MessageBuilder(sys.argv[1]).close()
        verify(sys.argv[1])
        assert "capnp" not in sys.modules and "numpy" not in sys.modules
    """
    processes.python(code, target).ok()


def test_importing_changes_nothing() -> None:
    """No handler, no thread, no descriptor before the first builder."""
    code = """
        import os, signal, threading
        def state():
            fds = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
            tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
            caught = ""
            if os.path.exists("/proc/self/status"):
                with open("/proc/self/status") as status:
                    caught = next(line for line in status if line.startswith("SigCgt"))
            return fds, tasks, caught, threading.active_count(), signal.getsignal(signal.SIGBUS)
        before = state()
        import mmapbuilder
        assert state() == before
    """
    processes.python(code).ok()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """Descriptors, mappings and threads come back to where they were."""
    if not os.path.isdir("/proc/self/fd"):
        missing("this cannot be counted here")
    code = """
        import gc, os, sys
        from mmapbuilder import Builder

        def state():
            gc.collect()
            with open("/proc/self/maps") as maps:
                mapped = sum(sys.argv[1] in line for line in maps)
            return len(os.listdir("/proc/self/fd")), mapped, len(os.listdir("/proc/self/task"))

        def use(number):
            path = os.path.join(sys.argv[1], "file")
            b = Builder(path, atomic=number % 2 == 0, capacity=1 << 30)
            b[number] = 1
            view = b[0:10]
            if number % 5 == 0:
                b.discard()
                view.release()
            else:
                view.release()
                b.close()

        use(1)
        before = state()
        for number in range(500):
            use(number)
        assert state() == before, (before, state())
        with open("/proc/self/status") as status:
            virtual = next(int(line.split()[1]) for line in status if line.startswith("VmSize"))
        assert virtual < 4 << 20, virtual
    """
    processes.python(code, tmp_path).ok()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_modules_can_be_reloaded(target: Path) -> None:
    code = """
        import importlib, sys
        import mmapbuilder
        with mmapbuilder.Builder(sys.argv[1]) as old:
            old.write(b"old")
            for name in [name for name in sys.modules if name.startswith("mmapbuilder")]:
                del sys.modules[name]
            new = importlib.import_module("mmapbuilder")
            assert new is not mmapbuilder
            with new.Builder(sys.argv[1] + "-new") as b:
                b[40 << 20] = 1
            old[40 << 20] = 1
        importlib.reload(new)
    """
    processes.python(code, target).ok()
    assert target.stat().st_size == (40 << 20) + 1


def test_faulthandler_may_come_and_go(target: Path) -> None:
    """pytest turns it on before us; after us it must not hurt either."""
    code = """
        import faulthandler, sys
        from mmapbuilder import Builder
        faulthandler.enable()
        with Builder(sys.argv[1]) as b:
            b[0] = 1
            faulthandler.disable()
            b.flush()
            b[40 << 20] = 1
            faulthandler.enable()
            b.flush()
            b[90 << 20] = 1
    """
    processes.python(code, target).ok()
    assert target.stat().st_size == (90 << 20) + 1


def test_mypy_agrees_with_how_it_is_used(tmp_path: Path) -> None:
    """What the documentation shows is well typed for a user under --strict."""
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(
        """\
import os
import pickle
import shutil
import struct
from pathlib import Path

from mmapbuilder import Builder, CapacityError, InvalidMessage, MessageBuilder
from mmapbuilder import Report, open_message, recover, verify


def build(path: Path, fd: int) -> int:
    with Builder(path, "x", capacity=1 << 30, atomic=True) as b:
        view: memoryview = memoryview(b)
        part: memoryview = b[0:10]
        byte: int = b[0]
        b[0:5] = b"hello"
        b[5] = byte
        struct.pack_into("<I", b, 0, 7)
        pickle.dump([1], b)
        with open(path, "rb") as file:
            shutil.copyfileobj(file, b)
            room: memoryview = b.allocate(100, align=16)
            os.readv(file.fileno(), [room])
        b.reserve(1000)
        b.flush(durable=True)
        size: int = b.size + b.seek(0, os.SEEK_END) + b.truncate() + b.write(part)
        view.release()
        size += b.stats.growths + b.stats.used
        b.close(size=size)
    with Builder(fd), Builder(b"path"), Builder(open(path, "r+b")):
        pass
    return size


def message(path: Path) -> Report:
    with MessageBuilder(path, durable=True) as b:
        root = b.init_root(object, name="x")
        root.anything = b.message
        segment: memoryview = b.allocate_segment(10)
    try:
        with open_message(path, object) as m:
            print(m.root.name)
    except InvalidMessage as error:
        place: int | None = error.word
        print(error.reason, place)
    except CapacityError as error:
        print(error.errno)
    recover(path)
    return verify(str(path))
"""
    )
    # mypy finds what is installed by itself, and refuses to be told of it.
    place = Path(mmapbuilder.__file__).parent.parent
    environment = processes.environment(
        MYPYPATH="" if "site-packages" in place.parts else str(place)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(program)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = program.read_text().replace('"x", capacity=1 << 30', '"x", capacity="large"')
    program.write_text(wrong)
    done = subprocess.run(done.args, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "arg-type" in done.stdout
