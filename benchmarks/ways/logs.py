"""Messages of three fields, one of them a string, into a log and out of it.

The peers write the same messages, or the same bytes, to a file of their own. Opening and closing it
is not counted, for logs as for others: one log takes the messages of all rounds.
"""

import bisect
import os
import random
from collections.abc import Callable
from typing import Any

import capnp

from benchmarks.clock import best_of
from mmapbuilder import MessageLog, open_log

SCHEMA: Any = capnp.load(os.path.join(os.path.dirname(__file__), "..", "rows.capnp")).Event
Times = dict[str, float]


def _rows(size: int) -> list[dict[str, Any]]:
    return [{"id": i, "x": i / 2, "name": f"name {i}"} for i in range(size)]


def _written(path: str, size: int, write: Callable[[MessageLog], object]) -> Times:
    with MessageLog(path, "w", schema=SCHEMA) as log:
        return best_of(lambda: write(log), size)


# ---- in -----------------------------------------------------------------------------------


def ours_append_bytes(path: str, size: int) -> Times:
    frame = SCHEMA.new_message(id=1, x=0.5, name="name 1").to_bytes()

    def write(log: MessageLog) -> None:
        append = log.append_bytes
        for _ in range(size):
            append(frame)

    return _written(path, size, write)


def ours_append_fields(path: str, size: int) -> Times:
    rows = [tuple(row.values()) for row in _rows(size)]

    def write(log: MessageLog) -> None:
        append = log.append
        for number, x, name in rows:
            append(id=number, x=x, name=name)

    return _written(path, size, write)


def ours_append_builder(path: str, size: int) -> Times:
    """What is built before counts; `pycapnp_build` is that alone."""
    rows = [tuple(row.values()) for row in _rows(size)]

    def write(log: MessageLog) -> None:
        append, new = log.append, SCHEMA.new_message
        for number, x, name in rows:
            message = new()
            message.id, message.x, message.name = number, x, name
            append(message)

    return _written(path, size, write)


def ours_extend_dicts(path: str, size: int) -> Times:
    rows = _rows(size)
    return _written(path, size, lambda log: log.extend(rows))


def ours_extend_arrow(path: str, size: int) -> Times:
    import pyarrow

    table = pyarrow.Table.from_pylist(_rows(size))
    return _written(path, size, lambda log: log.extend(table))


def ours_extend_arrays(path: str, size: int) -> Times:
    import numpy as np
    import pyarrow

    columns = {
        "id": np.arange(size, dtype="u8"),
        "x": np.arange(size) / 2,
        "name": pyarrow.array([row["name"] for row in _rows(size)]),
    }
    return _written(path, size, lambda log: log.extend(columns))


def pycapnp_build(path: str, size: int) -> Times:
    rows = [tuple(row.values()) for row in _rows(size)]

    def work() -> None:
        new = SCHEMA.new_message
        for number, x, name in rows:
            message = new()
            message.id, message.x, message.name = number, x, name

    return best_of(work, size, 5)


def pycapnp_attributes_write(path: str, size: int) -> Times:
    rows = [tuple(row.values()) for row in _rows(size)]

    new = SCHEMA.new_message
    with open(path, "wb") as file:

        def work() -> None:
            for number, x, name in rows:
                message = new()
                message.id, message.x, message.name = number, x, name
                message.write(file)

        return best_of(work, size, 3)


def pycapnp_keywords_write(path: str, size: int) -> Times:
    rows = _rows(size)

    new = SCHEMA.new_message
    with open(path, "wb") as file:

        def work() -> None:
            for row in rows:
                new(**row).write(file)

        return best_of(work, size, 3)


def plain_buffered_write(path: str, size: int) -> Times:
    frame = SCHEMA.new_message(id=1, x=0.5, name="name 1").to_bytes()

    with open(path, "wb") as file:
        write = file.write

        def work() -> None:
            for _ in range(size):
                write(frame)

        return best_of(work, size)


def plain_os_write(path: str, size: int) -> Times:
    frame = SCHEMA.new_message(id=1, x=0.5, name="name 1").to_bytes()

    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def work() -> None:
        for _ in range(size):
            os.write(fd, frame)

    try:
        return best_of(work, size)
    finally:
        os.close(fd)


def _mcap(path: str, frames: list[bytes]) -> None:
    from mcap.writer import CompressionType, Writer

    with open(path, "wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        schema = writer.register_schema(name="Event", encoding="", data=b"")
        channel = writer.register_channel(topic="event", message_encoding="", schema_id=schema)
        for number, frame in enumerate(frames):
            writer.add_message(channel, log_time=number, data=frame, publish_time=number)
        writer.finish()


def _frames(size: int) -> list[bytes]:
    return [SCHEMA.new_message(**row).to_bytes() for row in _rows(size)]


def mcap_write(path: str, size: int) -> Times:
    frames = _frames(size)
    return best_of(lambda: _mcap(path, frames), size, 3)


# ---- out ----------------------------------------------------------------------------------


def _log(path: str, size: int) -> Any:
    with MessageLog(path, "w", schema=SCHEMA) as log:
        log.extend(_rows(size))
    return open_log(path, SCHEMA)


def ours_table(path: str, size: int) -> Times:
    log = _log(path, size)
    log.table()  # pyarrow is imported
    return best_of(log.table, size)


def ours_rows_dicts(path: str, size: int) -> Times:
    return best_of(_log(path, size).rows, size)


def ours_rows_tuples(path: str, size: int) -> Times:
    log = _log(path, size)
    return best_of(lambda: log.rows(tuple), size)


def ours_iterate(path: str, size: int) -> Times:
    log = _log(path, size)
    return best_of(lambda: [None for _ in log], size)


def ours_item(path: str, size: int) -> Times:
    """One message by its number, with its frame known to be there."""
    log = _log(path, size)
    numbers = range(0, size, 7)
    return best_of(lambda: [log[number] for number in numbers], len(numbers))


def pycapnp_fields(path: str, size: int) -> Times:
    """Three fields of each message, as lists."""
    _log(path, size)
    with open(path, "rb") as file:
        data = file.read()

    def work() -> None:
        numbers, xs, names = [], [], []
        for message in SCHEMA.read_multiple_bytes(data):
            numbers.append(message.id)
            xs.append(message.x)
            names.append(message.name)

    return best_of(work, size, 3)


def pycapnp_to_dict(path: str, size: int) -> Times:
    _log(path, size)
    with open(path, "rb") as file:
        data = file.read()
    read = SCHEMA.read_multiple_bytes
    return best_of(lambda: [message.to_dict() for message in read(data)], size, 3)


def pycapnp_iterate(path: str, size: int) -> Times:
    _log(path, size)
    with open(path, "rb") as file:
        data = file.read()
    return best_of(lambda: [None for _ in SCHEMA.read_multiple_bytes(data)], size)


def mcap_read(path: str, size: int) -> Times:
    """The messages of an MCAP file, as bytes; the fields of each are not read yet."""
    from mcap.reader import make_reader

    _mcap(path, _frames(size))

    def work() -> None:
        with open(path, "rb") as file:
            for _ in make_reader(file).iter_messages():
                pass

    return best_of(work, size, 3)


# ---- finding ------------------------------------------------------------------------------


def _large_log(path: str, size: int) -> Any:
    import numpy as np

    with MessageLog(path, "w", schema=SCHEMA, key="id") as log:
        log.extend({"id": np.arange(size, dtype="u8"), "x": np.arange(size) / 2})
    return open_log(path, SCHEMA)


def _keys(size: int) -> list[int]:
    return random.Random(1).sample(range(size), 1000)


def ours_seek(path: str, size: int) -> Times:
    log, keys = _large_log(path, size), _keys(size)
    return best_of(lambda: [log.seek(key) for key in keys], len(keys))


def pycapnp_bisect(path: str, size: int) -> Times:
    """The offsets of all messages are known before, and are not counted."""
    starts, keys = _large_log(path, size).offsets.tolist(), _keys(size)
    with open(path, "rb") as file:
        data = memoryview(file.read())
    read = SCHEMA.read_multiple_bytes

    def key_at(start: int) -> Any:
        return next(read(data[start:])).id

    return best_of(
        lambda: [bisect.bisect_left(starts, key, key=key_at) for key in keys], len(keys), 3
    )
