"""What goes into the file of a shard: data of any kind as a message, or as a log."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from .._errors import PathError
from ..columns.schema import Plan, plan_of
from ..log import MessageLog
from ..message import MessageBuilder
from ..reader import open_message
from .shard import LOG, ShardPath, spell_path


def build(file: str, data: Any, schema: Any, path: ShardPath) -> int:
    """Build the shard in a new file, and return how many rows it has.

    Raises: as `fill`, `fill_rows` and `MessageLog.extend`; the file may be there then.
    """
    if isinstance(path, str):
        with MessageLog(file, "x", schema=schema, index=False) as log:
            log.extend(data)
            return len(log)
    plan = plan_of(schema)
    of_structs = plan.types[element_of(plan, path)].kind == "struct"
    with MessageBuilder(file, "x") as builder:
        parent = builder.init_root(schema)
        for step in path[:-1]:
            parent = parent.init(step)
        if of_structs and not _is_columns(data):
            return builder.fill_rows(*path, data)
        builder.fill(*path, _values(data))
    with open_message(file, schema) as message:
        return count_rows(message.root, path)


def count_rows(root: Any, path: ShardPath) -> int:
    """Return the length of the list that `path` leads to from pycapnp's reader of the root."""
    for step in path:
        root = root._get(step)
    return len(root)


def element_of(plan: Plan, path: ShardPath) -> int:
    """Return the number of the type that the elements of the list at `path` have.

    Raises:
        PathError: there is no such field.
        TypeError: it is no list, or the path leads through something else than structs.
    """
    number = 0
    for position, step in enumerate(path):
        kind, refers_to = plan.types[number]
        where = spell_path(tuple(path[:position])) or "the root"
        if kind not in ("struct", "group"):
            raise TypeError(f"{where} is a {plan.spell(number)}: it has no field {step!r}")
        struct = plan.structs[refers_to]
        if step not in struct.fields:
            known = ", ".join(struct.fields) or "none"
            raise PathError(f"{struct.name} has no field {step!r}; its fields are: {known}")
        number = struct.fields[step].type
    kind, refers_to = plan.types[number]
    if kind != "list":
        raise TypeError(
            f"{spell_path(path)} is a {plan.spell(number)}; the rows of a shard are a list, "
            f'or messages where the path is "{LOG}"'
        )
    return refers_to


def _is_columns(data: Any) -> bool:
    """Whether data is a table, and not rows."""
    return (
        isinstance(data, Mapping)
        or hasattr(data, "__arrow_c_stream__")
        or hasattr(data, "__arrow_c_array__")
        or hasattr(data, "get_columns")  # an older polars
        or _is_pandas(data)
        or bool(getattr(getattr(data, "dtype", None), "names", None))
    )


def _is_pandas(data: Any) -> bool:
    return hasattr(data, "items") and hasattr(data, "columns") and hasattr(data, "itertuples")


def _values(data: Any) -> Any:
    """Return what an iterator gives as a list, and other data as it is."""
    return list(data) if hasattr(data, "__next__") and not _is_columns(data) else data


def settle(file: str) -> tuple[int, str]:
    """Wait until a file is on the device; return its size in bytes, and its digest."""
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
        digest = digest_of(opened)
        return os.fstat(opened.fileno()).st_size, digest


def digest_of(file: Any) -> str:
    """Return the digest of a file that is open for reading, from where it stands."""
    state = hashlib.sha256()
    while block := file.read(1 << 20):
        state.update(block)
    return f"sha256:{state.hexdigest()}"
