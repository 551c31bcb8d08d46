"""Messages sent to other processes by pickle: by their path, arrays without a copy."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("capnp")
pytest.importorskip("numpy")

import capnp
import numpy as np

from mmapbuilder import Message, MessageBuilder, open_message, schema_path
from support.messages import BOOK, fill_book
from support.readers import ADDRESS_BOOK, BLOCKS

SCHEMA = ADDRESS_BOOK.schema


@pytest.fixture
def book(target: Path) -> Path:
    with MessageBuilder(target) as b:
        fill_book(b.init_root(SCHEMA))
    return target


def content_of(message: Message) -> Any:
    return message.to_dict()


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_in_another_process(book: Path, how: str) -> None:
    with (
        open_message(book, SCHEMA) as m,
        multiprocessing.get_context(how).Pool(1) as pool,
    ):
        assert pool.apply_async(content_of, [m]).get(60) == BOOK


def test_a_schema_that_imports_others(tmp_path: Path) -> None:
    deep = tmp_path / "project" / "deep"
    deep.mkdir(parents=True)
    (deep.parent / "shared.capnp").write_text("@0xd2f3a1b5c7e90a01; struct Shared { id @0 :Int8; }")
    (deep / "near.capnp").write_text(
        '@0xd2f3a1b5c7e90a02; using S = import "/shared.capnp"; struct Near { s @0 :S.Shared; }'
    )
    (deep / "mine.capnp").write_text("""
        @0xd2f3a1b5c7e90a03;
        using Arrow = import "/mmapbuilder/arrow.capnp";  # and not import "/nowhere.capnp"
        struct Mine {
          near @0 :import "near.capnp".Near;
          day @1 :Int32 $Arrow.date32;
          text @2 :Text = "import";
        }
    """)
    imports = [schema_path(), str(deep.parent)]
    schema = capnp.load(str(deep / "mine.capnp"), imports=imports).Mine
    with MessageBuilder(tmp_path / "mine.bin") as b:
        b.init_root(schema).near.s.id = 5
    with (
        open_message(tmp_path / "mine.bin", schema) as m,
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        assert pool.submit(content_of, m).result(60)["near"] == {"s": {"id": 5}}
        (deep.parent / "shared.capnp").rename(tmp_path / "elsewhere.capnp")
        with pytest.raises(TypeError, match="near.capnp imports /shared.capnp, which is neither"):
            pickle.dumps(m)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol(book: Path, protocol: int) -> None:
    with open_message(book, SCHEMA, nesting_limit=17) as m:
        again = pickle.loads(pickle.dumps(m, protocol))
    assert again.to_dict() == BOOK
    assert again._nesting_limit == 17


def test_a_relative_path(book: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(book.parent)
    m = open_message(book.name, SCHEMA)
    monkeypatch.chdir("/")
    assert pickle.loads(pickle.dumps(m)).to_dict() == BOOK


def test_a_closed_one(book: Path) -> None:
    m = open_message(book, SCHEMA)
    m.close()
    assert not pickle.loads(pickle.dumps(m)).closed


def test_the_file_is_gone(book: Path) -> None:
    with open_message(book, SCHEMA) as m:
        pickled = pickle.dumps(m)
    book.unlink()
    with pytest.raises(FileNotFoundError, match=str(book)):
        pickle.loads(pickled)


def test_without_a_path(book: Path) -> None:
    for content in (book.read_bytes(), os.open(book, os.O_RDONLY)):
        with open_message(content, SCHEMA) as m:
            with pytest.raises(TypeError, match="not opened by a path"):
                pickle.dumps(m)
        if isinstance(content, int):
            number = f"/proc/self/fd/{content}"
            if os.path.exists(number):
                with open_message(number, SCHEMA) as m:
                    with pytest.raises(TypeError, match="not opened by a path"):
                        pickle.dumps(m)
            os.close(content)


def test_a_schema_without_a_file(book: Path) -> None:
    node = capnp._MallocMessageBuilder().init_root(SCHEMA.schema.node.schema)
    node.id = 0xC0FFEE0123456789
    node.displayName = "nowhere:Empty"
    node.init("struct").preferredListEncoding = "inlineComposite"
    loader = capnp.SchemaLoader()
    struct = loader.load_dynamic(node.as_reader()).as_struct()
    loaded = capnp.lib.capnp._StructModule(struct, "Empty")
    with (
        open_message(book, loaded) as m,
        pytest.raises(TypeError, match="cannot pickle the schema"),
    ):
        pickle.dumps(m)


def test_builders_are_not_pickled(target: Path) -> None:
    with MessageBuilder(target) as b:
        b.init_root(SCHEMA)
        with pytest.raises(TypeError, match="cannot pickle"):
            pickle.dumps(b)


# ---- arrays ----------------------------------------------------------------------------------


@pytest.fixture
def blocks(target: Path) -> Message:
    with MessageBuilder(target) as b:
        root = b.init_root(BLOCKS.schema)
        root.label = "a label"
        root.init("blocks", 3)[1].init("values", 100_000)
        b.array("blocks", 1, "values")[:] = range(100_000)
        b.array("blocks")["index"] = [4, 5, 6]
    return open_message(target, BLOCKS.schema)


@pytest.mark.parametrize("what", ["values", "part of the values", "Data", "a column"])
def test_arrays_go_out_of_band(blocks: Message, what: str) -> None:
    array = {
        "values": lambda: blocks.array("blocks", 1, "values"),
        "part of the values": lambda: blocks.array("blocks", 1, "values")[10:20],
        "Data": lambda: blocks.array("label"),
        "a column": lambda: blocks.column("blocks", "index"),
    }[what]()
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(array, protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 1
    assert len(pickled) < 1000
    assert np.shares_memory(np.frombuffer(buffers[0].raw(), "u1"), array)  # nothing was copied
    again = pickle.loads(pickled, buffers=buffers)
    assert again.dtype == array.dtype
    assert (again == array).all()
    assert np.shares_memory(again, array)


@pytest.mark.parametrize("what", ["structs", "a field", "backwards"])
def test_arrays_with_gaps_are_copied(blocks: Message, what: str) -> None:
    """As NumPy does it for all such arrays: between their elements lies what is not theirs."""
    array = {
        "structs": lambda: blocks.array("blocks"),
        "a field": lambda: blocks.array("blocks")["index"],
        "backwards": lambda: blocks.array("blocks", 1, "values")[::-1],
    }[what]()
    again = pickle.loads(pickle.dumps(array, protocol=5, buffer_callback=lambda _: True))
    assert again.dtype == array.dtype
    assert (again == array).all()
