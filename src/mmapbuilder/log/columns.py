"""One field of all messages: as an array of NumPy, or as a column of an Arrow table."""

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..columns._numpy import DTYPES
from ..columns.layout import Column, layout_of, native
from ..columns.schema import TAG, Plan
from ..columns.table import Table

_DTYPES = DTYPES | {"bool": "?", "tag": "<u2"}


class Frames(NamedTuple):
    """Messages that lie back to back."""

    memory: memoryview
    number: int
    """How many there are."""
    first: int
    """The number of the first one in its log."""
    name: str
    """The log's, for errors."""


class Way(NamedTuple):
    """How a value is reached from each root."""

    name: str
    fields: tuple[int, ...]
    """Numbers of fields, each in its struct."""
    kind: str
    """What the value is: a kind of the plan, or tag."""
    default: Any
    type: int
    """The number of its type; of a tag, that of the struct."""


class Strings(NamedTuple):
    """Text or Data of all messages."""

    offsets: Any
    data: bytearray
    there: Any
    """Where the pointer is not null."""
    present: Any
    """Where the way is not cut off."""


def find(plan: Plan, path: tuple[Any, ...]) -> Way:
    """Find the field that `path` leads to from the root: names of fields, or dotted ones.

    Raises:
        KeyError: there is no such field.
        TypeError: the path leads through something else than groups and structs.
    """
    names = [part for name in path for part in _parts(name)]
    if not names:
        raise TypeError("the name of a field is required")
    shown = ".".join(names)
    fields: list[int] = []
    type_number, default = 0, None
    for position, name in enumerate(names):
        kind, target = plan.types[type_number]
        if kind not in ("struct", "group"):
            raise TypeError(f"{'.'.join(names[:position])} is a {plan.spell(type_number)}: "
                            f"it has no field {name!r}")  # fmt: skip
        struct = plan.structs[target]
        if name == TAG and struct.tag_offset is not None and position == len(names) - 1:
            return Way(shown, tuple(fields), "tag", 0, type_number)
        if name not in struct.fields:
            raise KeyError(f"{struct.name} has no field {name!r}")
        fields.append(list(struct.fields).index(name))
        type_number, default = struct.fields[name].type, struct.fields[name].default
    return Way(shown, tuple(fields), plan.types[type_number].kind, default, type_number)


def _parts(name: Any) -> list[str]:
    if not isinstance(name, str):
        raise TypeError(f"a path of names is required; {name!r} is none")
    return name.split(".")


def _numbers(plan: Plan, way: Way, frames: Frames) -> tuple[Any, Any]:
    tag = way.kind == "tag"
    values, present = _core.roots_numbers(
        plan.native, way.fields, tag, frames.memory, frames.number, frames.first, frames.name
    )
    return np.frombuffer(values, _DTYPES[way.kind]), np.frombuffer(present, bool)


def _strings(plan: Plan, way: Way, frames: Frames) -> Strings:
    offsets, data, there, present = _core.roots_strings(
        plan.native, way.fields, False, frames.memory, frames.number, frames.first, frames.name
    )
    return Strings(
        np.frombuffer(offsets, np.uint64), data, np.frombuffer(there, bool),
        np.frombuffer(present, bool),
    )  # fmt: skip


def column(plan: Plan, path: tuple[Any, ...], frames: Frames) -> Any:
    """Return the values of a field in all messages, as readers see them."""
    way = find(plan, path)
    if way.kind in _DTYPES:
        return _numbers(plan, way, frames)[0]
    if way.kind not in ("text", "data"):
        raise TypeError(f"{way.name} is a {plan.spell(way.type)}, which is no column")
    found = _strings(plan, way, frames)
    result = np.empty(frames.number, object)
    text = way.kind == "text"
    default = (way.default or b"").decode() if text else way.default or b""
    valid = np.packbits(found.there, bitorder="little")
    result[:] = _core.split_strings(found.offsets.data, found.data, valid.data, text, default)
    return result


# ---- Arrow -----------------------------------------------------------------------------


def table(plan: Plan, names: "list[str] | None", frames: Frames) -> Any:
    """Return a table with a column for each field of the roots that can be one."""
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("table() needs pyarrow: pip install pyarrow", name="pyarrow") from error
    known = {each.name: each for each in layout_of(plan, 0, "", 1).columns if _is_flat(each)}
    chosen = list(known) if names is None else names
    if all(name in known for name in chosen):
        columns = plan.native.columns_of_roots(
            frames.memory, frames.number, frames.first, frames.name,
            native([known[name] for name in chosen]),
        )  # fmt: skip
        return Table(columns, chosen).to_pyarrow()
    arrays = [_arrow_column(pyarrow, plan, find(plan, (name,)), frames) for name in chosen]
    return pyarrow.table(arrays, chosen)


def _is_flat(column: Column) -> bool:
    return not column.children and column.format != "n"


def _arrow_column(arrow: Any, plan: Plan, way: Way, frames: Frames) -> Any:
    if way.kind in ("text", "data"):
        return _arrow_strings(arrow, _strings(plan, way, frames), way)
    if way.kind not in _DTYPES:
        raise TypeError(f"{way.name} is a {plan.spell(way.type)}, which is no column")
    values, present = _numbers(plan, way, frames)
    missing = None if present.all() else ~present
    if way.kind in ("enum", "tag"):
        return _arrow_names(arrow, values, _names(plan, way), missing)
    return arrow.array(values, mask=missing)


def _names(plan: Plan, way: Way) -> list[str]:
    """List the names of an enum, or of the members of a union, by number."""
    target = plan.types[way.type].target
    if way.kind == "enum":
        known = {number: name for name, number in plan.enums[target].numbers.items()}
    else:
        known = plan.structs[target].members
    return [known.get(number, f"@{number}") for number in range(1 + max(known, default=-1))]


def _arrow_names(arrow: Any, values: Any, names: list[str], missing: Any) -> Any:
    """Make a dictionary-encoded column, in which unknown numbers are called ``@7``."""
    most = int(values.max(initial=0))
    names = names + [f"@{number}" for number in range(len(names), most + 1)]
    indices = arrow.array(values.astype(np.int32), mask=missing)
    return arrow.DictionaryArray.from_arrays(indices, arrow.array(names, arrow.string()))


def _arrow_strings(arrow: Any, found: Strings, way: Way) -> Any:
    small = len(found.data) < 1 << 31
    offsets = found.offsets.astype(np.int32) if small else found.offsets
    kinds = ("string", "large_string") if way.kind == "text" else ("binary", "large_binary")
    kind = getattr(arrow, kinds[not small])()
    valid = np.packbits(found.there, bitorder="little")
    buffers = [arrow.py_buffer(buffer) for buffer in (valid, offsets, found.data)]
    values = arrow.Array.from_buffers(kind, len(found.there), buffers)
    if not way.default:
        return values
    import pyarrow.compute

    default = way.default.decode() if way.kind == "text" else way.default
    filled = values.fill_null(default)
    return pyarrow.compute.if_else(arrow.array(found.present), filled, arrow.scalar(None, kind))
