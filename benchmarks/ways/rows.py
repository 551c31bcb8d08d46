"""Rows and nested columns into a message and out of it, and what others do with the same rows.

Flat rows have six fields, two of them strings; nested ones a list of ten numbers and a list of two
structs of two floats. Ways of a message write a file, which is opened and closed each time; the
formats of others stay in memory. The best of seven times counts.
"""

import io
import os
from collections.abc import Callable
from typing import Any

import capnp

from benchmarks.clock import best_of
from mmapbuilder import MessageBuilder, open_message

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "..", "rows.capnp"))
Rows = list[dict[str, Any]]
Times = dict[str, float]


def flat(size: int) -> Rows:
    return [
        {"id": i, "x": i / 2, "flag": i % 2 == 0, "n": -i, "name": f"name {i}", "city": "Grenoble"}
        for i in range(size)
    ]


def nested(size: int) -> Rows:
    return [
        {
            "id": i,
            "values": list(range(i, i + 10)),
            "points": [{"x": i / 4, "y": 1.0}, {"x": 2.0, "y": 3.0}],
        }
        for i in range(size)
    ]


def _classes(rows: Rows) -> list[Any]:
    from dataclasses import make_dataclass

    kind = make_dataclass("Row", list(rows[0]))
    return [kind(**row) for row in rows]


def _structs(rows: Rows) -> list[Any]:
    import msgspec

    kind = msgspec.defstruct("Row", list(rows[0]))
    return [kind(**row) for row in rows]


# ---- in -----------------------------------------------------------------------------------


def _filled(path: str, name: str, rows: Any) -> None:
    with MessageBuilder(path) as b:
        b.init_root(SCHEMA.Root)
        b.fill_rows(name, rows)


def _in(path: str, name: str, rows: Any) -> Times:
    return best_of(lambda: _filled(path, name, rows), len(rows))


def ours_flat_dicts(path: str, size: int) -> Times:
    return _in(path, "flat", flat(size))


def ours_flat_tuples(path: str, size: int) -> Times:
    return _in(path, "flat", [tuple(row.values()) for row in flat(size)])


def ours_flat_dataclasses(path: str, size: int) -> Times:
    return _in(path, "flat", _classes(flat(size)))


def ours_flat_msgspec_structs(path: str, size: int) -> Times:
    return _in(path, "flat", _structs(flat(size)))


def ours_nested_dicts(path: str, size: int) -> Times:
    return _in(path, "nested", nested(size))


def pycapnp_flat_attributes(path: str, size: int) -> Times:
    rows = flat(size)

    def work() -> None:
        message = SCHEMA.Root.new_message()
        for row, to in zip(rows, message.init("flat", size), strict=True):
            to.id, to.x, to.flag, to.n = row["id"], row["x"], row["flag"], row["n"]
            to.name, to.city = row["name"], row["city"]
        with open(path, "wb") as file:
            message.write(file)

    return best_of(work, size, 3)


def _pycapnp_from_dicts(path: str, name: str, rows: Rows) -> Times:
    def work() -> None:
        with open(path, "wb") as file:
            SCHEMA.Root.new_message(**{name: rows}).write(file)

    return best_of(work, len(rows), 3)


def pycapnp_flat_dicts(path: str, size: int) -> Times:
    return _pycapnp_from_dicts(path, "flat", flat(size))


def pycapnp_nested_dicts(path: str, size: int) -> Times:
    return _pycapnp_from_dicts(path, "nested", nested(size))


def _encode(rows: Any, encode: Callable[[Any], object]) -> Times:
    return best_of(lambda: encode(rows), len(rows))


def _msgpack(rows: Any) -> Times:
    import msgspec

    return _encode(rows, msgspec.msgpack.encode)


def msgspec_flat_dicts(path: str, size: int) -> Times:
    return _msgpack(flat(size))


def msgspec_flat_dataclasses(path: str, size: int) -> Times:
    return _msgpack(_classes(flat(size)))


def msgspec_flat_structs(path: str, size: int) -> Times:
    return _msgpack(_structs(flat(size)))


def msgspec_nested_dicts(path: str, size: int) -> Times:
    return _msgpack(nested(size))


def orjson_flat_dicts(path: str, size: int) -> Times:
    import orjson

    return _encode(flat(size), orjson.dumps)


def orjson_nested_dicts(path: str, size: int) -> Times:
    import orjson

    return _encode(nested(size), orjson.dumps)


def _protobuf() -> tuple[Any, Any]:
    """Messages like Flat and Nested, made while the program runs."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="rows.proto", package="rows", syntax="proto3")
    types = {"id": 4, "flag": 8, "n": 5, "name": 9, "city": 9, "values": 5}

    def add(name: str, /, **fields: Any) -> None:
        message = file.message_type.add(name=name)
        for number, (field, label) in enumerate(fields.items(), 1):
            made = message.field.add(name=field, number=number, label=label)
            made.type = types.get(field, 2 if name == "Point" else 1)
            if field == "points":
                made.type, made.type_name = 11, ".rows.Point"

    add("Point", x=1, y=1)
    add("Flat", id=1, x=1, flag=1, n=1, name=1, city=1)
    add("Nested", id=1, values=3, points=3)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    get = message_factory.GetMessageClass
    return get(find("rows.Flat")), get(find("rows.Nested"))


def protobuf_flat_dicts(path: str, size: int) -> Times:
    kind, rows = _protobuf()[0], flat(size)
    return _encode(rows, lambda rows: [kind(**row).SerializeToString() for row in rows])


def protobuf_nested_dicts(path: str, size: int) -> Times:
    kind, rows = _protobuf()[1], nested(size)
    return _encode(rows, lambda rows: [kind(**row).SerializeToString() for row in rows])


def _avro_schema(rows: Rows) -> Any:
    import fastavro

    types: dict[str, Any] = {"id": "long", "x": "double", "flag": "boolean", "n": "int"}
    types["values"] = {"type": "array", "items": "int"}
    point = [{"name": name, "type": "float"} for name in "xy"]
    types["points"] = {
        "type": "array",
        "items": {"type": "record", "name": "Point", "fields": point},
    }
    fields = [{"name": name, "type": types.get(name, "string")} for name in rows[0]]
    return fastavro.parse_schema({"type": "record", "name": "Row", "fields": fields})


def _fastavro(rows: Rows) -> Times:
    import fastavro

    schema = _avro_schema(rows)
    return _encode(rows, lambda rows: fastavro.writer(io.BytesIO(), schema, rows))


def fastavro_flat_dicts(path: str, size: int) -> Times:
    return _fastavro(flat(size))


def fastavro_nested_dicts(path: str, size: int) -> Times:
    return _fastavro(nested(size))


def pyarrow_flat_dicts(path: str, size: int) -> Times:
    import pyarrow

    return _encode(flat(size), pyarrow.Table.from_pylist)


def pyarrow_nested_dicts(path: str, size: int) -> Times:
    import pyarrow

    return _encode(nested(size), pyarrow.Table.from_pylist)


# ---- out ----------------------------------------------------------------------------------


def _read(path: str, name: str, rows: Rows) -> Any:
    _filled(path, name, rows)
    return open_message(path, SCHEMA.Root)


def ours_out_flat_dicts(path: str, size: int) -> Times:
    message = _read(path, "flat", flat(size))
    return best_of(lambda: message.rows("flat"), size)


def ours_out_flat_tuples(path: str, size: int) -> Times:
    message = _read(path, "flat", flat(size))
    return best_of(lambda: message.rows("flat", as_=tuple), size)


def ours_out_nested_dicts(path: str, size: int) -> Times:
    message = _read(path, "nested", nested(size))
    return best_of(lambda: message.rows("nested"), size)


def pycapnp_out_flat_to_dict(path: str, size: int) -> Times:
    root = _read(path, "flat", flat(size)).root
    return best_of(lambda: [row.to_dict() for row in root.flat], size, 3)


def pycapnp_out_nested_to_dict(path: str, size: int) -> Times:
    root = _read(path, "nested", nested(size)).root
    return best_of(lambda: [row.to_dict() for row in root.nested], size, 3)


def _decode(rows: Rows) -> Times:
    import msgspec

    encoded = msgspec.msgpack.encode(rows)
    return best_of(lambda: msgspec.msgpack.decode(encoded), len(rows))


def msgspec_out_flat_dicts(path: str, size: int) -> Times:
    return _decode(flat(size))


def msgspec_out_nested_dicts(path: str, size: int) -> Times:
    return _decode(nested(size))


def pyarrow_out_flat_dicts(path: str, size: int) -> Times:
    import pyarrow

    table = pyarrow.Table.from_pylist(flat(size))
    return best_of(table.to_pylist, size)


def pyarrow_out_nested_dicts(path: str, size: int) -> Times:
    import pyarrow

    table = pyarrow.Table.from_pylist(nested(size))
    return best_of(table.to_pylist, size)


# ---- columns of Arrow -----------------------------------------------------------------------


def _column(path: str, rows: Rows, name: str, field: str) -> Any:
    """A column of Arrow, with the types that the message gives."""
    return _read(path, name, rows).table(name, columns=[field]).to_pyarrow()


def _fill(path: str, rows: Rows, name: str, field: str) -> Times:
    table = _column(path, rows, name, field)
    columns = {field: table.column(field)}

    def work() -> None:
        with MessageBuilder(path) as b:
            b.init_root(SCHEMA.Root)
            b.fill(name, columns)

    return best_of(work, len(rows))


def _table(path: str, rows: Rows, name: str, field: str) -> Times:
    message = _read(path, name, rows)
    return best_of(lambda: message.table(name, columns=[field]), len(rows))


def ours_ragged_in(path: str, size: int) -> Times:
    return _fill(path, nested(size), "nested", "values")


def ours_ragged_out(path: str, size: int) -> Times:
    return _table(path, nested(size), "nested", "values")


def ours_points_in(path: str, size: int) -> Times:
    return _fill(path, nested(size), "nested", "points")


def ours_points_out(path: str, size: int) -> Times:
    return _table(path, nested(size), "nested", "points")


def ours_text_in(path: str, size: int) -> Times:
    return _fill(path, flat(size), "flat", "name")


def ours_text_out(path: str, size: int) -> Times:
    return _table(path, flat(size), "flat", "name")


def _pycapnp_loop(path: str, name: str, field: str, values: list[Any]) -> Times:
    def work() -> None:
        message = SCHEMA.Root.new_message()
        for value, to in zip(values, message.init(name, len(values)), strict=True):
            setattr(to, field, value)
        with open(path, "wb") as file:
            message.write(file)

    return best_of(work, len(values), 3)


def pycapnp_ragged_in(path: str, size: int) -> Times:
    return _pycapnp_loop(path, "nested", "values", [row["values"] for row in nested(size)])


def pycapnp_points_in(path: str, size: int) -> Times:
    return _pycapnp_loop(path, "nested", "points", [row["points"] for row in nested(size)])


def pycapnp_text_in(path: str, size: int) -> Times:
    return _pycapnp_loop(path, "flat", "name", [row["name"] for row in flat(size)])


def pycapnp_ragged_out(path: str, size: int) -> Times:
    root = _read(path, "nested", nested(size)).root
    return best_of(lambda: [list(row.values) for row in root.nested], size, 3)


def pycapnp_points_out(path: str, size: int) -> Times:
    root = _read(path, "nested", nested(size)).root
    return best_of(lambda: [[(p.x, p.y) for p in row.points] for row in root.nested], size, 3)


def pycapnp_text_out(path: str, size: int) -> Times:
    root = _read(path, "flat", flat(size)).root
    return best_of(lambda: [row.name for row in root.flat], size, 3)
