"""fill(): which way columns take, and what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import open_message
from support import processes

HERE = Path(__file__).resolve().parent

WITHOUT_NUMPY = """
    import sys
    sys.modules["numpy"] = None
    import capnp
    from mmapbuilder import MessageBuilder

    schema = capnp.load(sys.argv[2])
    with MessageBuilder(sys.argv[1]) as b:
        root = b.init_root(schema.Root)
        b.fill("rows", id=[1, 2], name=["a", None], position={"x": [0.5, 1.5]})
        b.fill("rows", small=[-1, 7])
        root.init("numbers")
        b.fill("numbers", "i32", [3, 4])
        b.fill("numbers", "texts", ["x", "y"])
        for wrong in ({"small": [1, 300]}, {"nix": [1, 2]}, {"id": [1]}):
            try:
                b.fill("rows", wrong)
            except (OverflowError, KeyError, ValueError):
                continue
            raise AssertionError(wrong)
        try:
            b.array("rows")
        except ImportError as error:
            assert "mmapbuilder[numpy]" in str(error)
"""


def test_columns_are_written_without_numpy(target: Path) -> None:
    schema = HERE / "arrays.capnp"
    processes.python(WITHOUT_NUMPY, target, schema).ok()
    from array_schemas import arrays_capnp

    with open_message(target, arrays_capnp.Root) as m:
        rows = m.root.rows
        assert [(row.id, row.small, row.name, row.position.x) for row in rows] == [
            (1, -1, "a", 0.5),
            (2, 7, "", 1.5),
        ]
        assert list(m.root.numbers.i32) == [3, 4]
        assert list(m.root.numbers.texts) == ["x", "y"]
