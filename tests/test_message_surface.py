"""What a message builder shows of itself, and what it refuses, without ending the process."""

from __future__ import annotations

import errno
import inspect
import io
import os
import typing
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")

import mmapbuilder
from mmapbuilder import CapacityError, MessageBuilder, open_message, recover, verify
from support import processes
from support.readers import BLOCKS, KINDS, capnp

MIB = 1 << 20

# ---- roots that are none ---------------------------------------------------------------

NO_ROOTS = {
    "None": ("None", "not None"),
    "a group": ("group.schema", "is a group"),
    "the field of a group": ("group", "is a group"),
    "something with an empty schema": ("type('Empty', (), {'schema': None})()", "Empty"),
    "a string": ("'KINDS'", "str"),
    "a module": ("capnp", "module"),
    "a number type": ("capnp.types.Int32", "_SchemaType"),
    "an enum": ("capnp.lib.capnp._EnumSchema()", "_EnumSchema"),
    "an interface": ("capnp.lib.capnp._InterfaceSchema()", "_InterfaceSchema"),
    "a list": ("capnp._ListSchema(KINDS.schema)", "_ListSchema"),
    "a message": ("KINDS.schema.new_message()", "set_root"),
}


@pytest.mark.parametrize(("root", "text"), NO_ROOTS.values(), ids=NO_ROOTS)
@pytest.mark.parametrize("way", ["b.init_root({})", "setattr(b, 'schema', {})"])
def test_what_is_no_struct_cannot_be_a_root(target: Path, root: str, text: str, way: str) -> None:
    processes.python(
        f"""
        import sys
        from mmapbuilder import MessageBuilder
        from support.readers import KINDS, capnp
        (group,) = [f for f in KINDS.schema.schema.fields_list if f.proto.name == "group"]
        b = MessageBuilder(sys.argv[1])
        try:
            {way.format(root)}
        except TypeError as error:
            assert {text!r} in str(error), error
        else:
            raise AssertionError("nothing was raised")
        b.init_root(KINDS.schema).text = "x"
        b.close()
        """,
        target,
    ).ok()


# ---- what is no text ------------------------------------------------------------------------


def no_text() -> dict[str, Any]:
    np = pytest.importorskip("numpy")
    import array

    return {
        "dates": list(np.array([0, 65], "M8[s]")),
        "numbers of NumPy": [np.int64(65), np.int64(66)],
        "floats of NumPy": [np.float64(1.5), np.float64(2)],
        "arrays of numbers": [array.array("i", [65]), array.array("i", [66])],
        "views of numbers": [memoryview(array.array("i", [1])), memoryview(b"x")],
    }


@pytest.mark.parametrize("kind", ["dates", "numbers of NumPy", "floats of NumPy",
                                  "arrays of numbers", "views of numbers"])  # fmt: skip
def test_the_bytes_of_numbers_and_dates_are_no_text(target: Path, kind: str) -> None:
    values = no_text()[kind]
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema)
        with pytest.raises(TypeError):
            b.fill("blocks", note=values)
        with pytest.raises(TypeError, match="row 0"):
            b.fill_rows("blocks", [{"note": value} for value in values])
        b.fill("blocks", note=[b"bytes", bytearray(b"array"), memoryview(b"view"), "text"])
        notes = [str(block.note) for block in b.message.get_root(BLOCKS.schema).blocks]
        assert notes == ["bytes", "array", "view", "text"]


# ---- no room -----------------------------------------------------------------------------------


def test_a_capacity_that_is_used_up_is_named_and_what_was_built_recovered(target: Path) -> None:
    pytest.importorskip("numpy")
    b = MessageBuilder(target, capacity=MIB)
    blocks = b.init_root(BLOCKS.schema).init("blocks", 10)
    for block in list(blocks)[:9]:
        block.note = "kept"
    with pytest.raises(CapacityError, match=r"1048576 bytes.*capacity="):
        for _ in range(10):
            b.fill("blocks", note=["x" * 30_000] * 10)
    with pytest.raises(CapacityError, match=r"1048576 bytes.*capacity=") as caught:
        b.close()
    assert caught.value.filename == str(target)
    recover(target)
    with open_message(target, BLOCKS.schema) as m:
        assert len(m.root.blocks) == 10
        assert {str(block.note) for block in m.root.blocks} == {"x" * 30_000}


@pytest.mark.root
def test_a_full_disk_in_the_middle_of_a_fill_is_named(mount) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("numpy")
    path = mount("tmpfs", 8 * MIB) / "full"
    b = MessageBuilder(path)
    b.init_root(BLOCKS.schema).init("blocks", 100)
    ways = {
        "fill": lambda: b.fill("blocks", note=["x" * 10_000] * 100),
        "fill_rows": lambda: b.fill_rows("blocks", [{"note": "x" * 10_000}] * 100),
        "close": b.close,
    }
    for name, way in ways.items():
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            for _ in range(20):
                way()
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path)), name


def test_no_memory_for_objects_is_no_reason_to_die(target: Path) -> None:
    """pycapnp would end the process, were its allocator to raise."""
    pytest.importorskip("_testcapi")
    processes.python(
        """
        import _testcapi, sys
        from mmapbuilder import MessageBuilder, verify
        from support.readers import BLOCKS
        b = MessageBuilder(sys.argv[1], capacity=1 << 24, segment_words=1 << 13)
        allocate = b._segments.allocate
        _ = b.message
        for failing in range(1, 7):
            _testcapi.set_nomemory(0, failing)
            try:
                given = allocate(10)
            finally:
                _testcapi.remove_mem_hooks()
            view = memoryview(given)
            assert view.nbytes == 8 << 13 and not any(view[:100]), failing
            allocate(10)                     # there is some again
        assert len(b._segments.sizes) == 12
        b.discard()
        """,
        target,
    ).ok()


# ---- what it shows -----------------------------------------------------------------------------


def test_size_and_stats_stay_after_close(target: Path) -> None:
    b = MessageBuilder(target)
    b.init_root(BLOCKS.schema).label = "x" * 1000
    assert 1000 < b.size < 1200
    b.close()
    assert b.size == b.stats.used == target.stat().st_size
    assert f"size={b.size}" in repr(b)


def test_a_descriptor_to_look_at_but_not_to_write_through(target: Path) -> None:
    with MessageBuilder(target) as b:
        assert os.fstat(b.descriptor).st_ino == target.stat().st_ino
        with pytest.raises(io.UnsupportedOperation, match="descriptor"):
            b.fileno()
        message = capnp.lib.capnp._MallocMessageBuilder()
        message.init_root(BLOCKS.schema).label = "elsewhere"
        with pytest.raises(io.UnsupportedOperation):
            message.get_root(BLOCKS.schema).write(b)  # type: ignore[arg-type]
        b.init_root(BLOCKS.schema).label = "mine"
    verify(target)
    with pytest.raises(ValueError, match="closed"):
        b.descriptor


def test_a_builder_is_true(target: Path) -> None:
    b = MessageBuilder(target)
    assert b
    b.close()
    assert b


def test_repr_says_how_large_it_is(target: Path) -> None:
    b = MessageBuilder(target, capacity=MIB)
    assert repr(b) == (
        f"<MessageBuilder {str(target)!r} mode='w' size=16 capacity={MIB} unfinished>"
    )
    b.close()
    assert repr(b).endswith("closed>")
    assert "None" in repr(MessageBuilder.__new__(MessageBuilder))


def test_notebooks_show_tables(tmp_path: Path) -> None:
    path = tmp_path / "a <b> & c"
    with MessageBuilder(path, capacity=MIB) as b:
        b.init_root(KINDS.schema).text = "x"
        shown = b._repr_html_()
        assert "a &lt;b&gt; &amp; c" in shown
        assert "1 MiB" in shown
        assert "Kinds" in shown
    assert "closed" in b._repr_html_()
    with open_message(path, KINDS.schema) as m:
        assert "Kinds" in m._repr_html_()
    assert "closed" in m._repr_html_()
    assert "lost values" in verify(path)._repr_html_()


def test_a_table_without_columns_has_its_rows(target: Path) -> None:
    pytest.importorskip("numpy")
    with MessageBuilder(target) as b:
        b.init_root(BLOCKS.schema).init("blocks", 3)
    with open_message(target, BLOCKS.schema) as m:
        assert m.table("blocks", columns=[]).num_rows == 3


# ---- pycapnp that does not load -----------------------------------------------------------------

LOADING = {
    "not there": ("raise ModuleNotFoundError('No module named', name='capnp')", "pip install"),
    "not loading": ("raise ImportError('undefined symbol: x')", "undefined symbol: x"),
    "in a subinterpreter": (
        "raise ImportError('module capnp does not support loading in subinterpreters')",
        "in a subinterpreter (use it in the main one)",
    ),
}


@pytest.mark.parametrize(("code", "text"), LOADING.values(), ids=LOADING)
def test_pycapnp_that_is_missing_and_one_that_does_not_load(
    target: Path, tmp_path: Path, code: str, text: str
) -> None:
    (tmp_path / "capnp.py").write_text(code + "\n")
    ended = processes.python(
        """
        import sys
        sys.path.insert(0, sys.argv[2])
        from mmapbuilder import MessageBuilder
        b = MessageBuilder(sys.argv[1])
        try:
            b.message
        except ImportError as error:
            print(error)
        b.discard()
        """,
        target,
        tmp_path,
    ).ok()
    assert text in ended.out
    assert ("pip install" in ended.out) == (text == "pip install")


# ---- types, at run time --------------------------------------------------------------------------


def callables(name: str) -> list[Any]:
    """A public name, and if it is a class, its public methods and properties."""
    public = getattr(mmapbuilder, name)
    found = [public]
    for attribute in dir(public) if isinstance(public, type) else ():
        member = inspect.getattr_static(public, attribute)
        member = member.fget if isinstance(member, property) else member
        if inspect.isfunction(member) and (attribute == "__init__" or attribute[0] != "_"):
            found.append(member)
    return found


@pytest.mark.parametrize("name", mmapbuilder.__all__)
def test_annotations_can_be_evaluated(name: str) -> None:
    for found in callables(name):
        typing.get_type_hints(found)
        if not (isinstance(found, type) and issubclass(found, Exception)):
            inspect.signature(found, eval_str=True)


def test_the_mode_of_a_message_is_one_of_two() -> None:
    hints = typing.get_type_hints(MessageBuilder.__init__)
    assert hints["mode"] == typing.Literal["w", "x"]
    assert typing.get_type_hints(MessageBuilder.fill)["columns"] is typing.Any
