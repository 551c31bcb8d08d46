"""One field of all messages: as an array of NumPy, or as a column of an Arrow table."""

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..columns._numpy import DTYPES
from ..columns.layout import Column, Layout, choose, layout_of, native
from ..columns.left_out import warn_of_columns, warn_of_values
from ..columns.meanings import dress
from ..columns.rows import OBJECTS
from ..columns.schema import TAG, Plan
from ..columns.table import Table, is_dense
from ..columns.values import names_of, objects

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
    names: tuple[str, ...]
    """Of the fields."""
    fields: tuple[int, ...]
    """Numbers of fields, each in its struct."""
    kind: str
    """What the value is: a kind of the plan, or tag."""
    default: Any
    type: int
    """The number of its type; of a tag, that of the struct."""


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
        kind, refers_to = plan.types[type_number]
        if kind not in ("struct", "group"):
            raise TypeError(f"{'.'.join(names[:position])} is a {plan.spell(type_number)}: "
                            f"it has no field {name!r}")  # fmt: skip
        struct = plan.structs[refers_to]
        if name == TAG and struct.tag_offset is not None and position == len(names) - 1:
            return Way(shown, tuple(names), tuple(fields), "tag", 0, type_number)
        if name not in struct.fields:
            raise KeyError(f"{struct.name} has no field {name!r}")
        fields.append(list(struct.fields).index(name))
        type_number, default = struct.fields[name].type, struct.fields[name].default
    kind = plan.types[type_number].kind
    return Way(shown, tuple(names), tuple(fields), kind, default, type_number)


def _parts(name: Any) -> list[str]:
    if not isinstance(name, str):
        raise TypeError(f"a path of names is required; {name!r} is none")
    return name.split(".")


def column(plan: Plan, path: tuple[Any, ...], frames: Frames, names: bool) -> Any:
    """Return the values of a field in all messages, as readers see them."""
    way = find(plan, path)
    if names and way.kind not in ("enum", "tag"):
        raise TypeError(f"names=True is for enums and for {TAG!r}: {way.name} is neither")
    asked = (plan.native, way.fields, way.kind == "tag", *frames)
    if way.kind in _DTYPES:
        values = np.frombuffer(_core.roots_numbers(*asked), _DTYPES[way.kind])
        return _named(plan, way, values) if names else _meant(plan, way, values)
    if way.kind in ("text", "data"):
        default = way.default or b""
        missing = default.decode() if way.kind == "text" else default
        return _meant(plan, way, objects(_core.roots_strings(*asked, missing)))
    if way.kind not in ("list", "struct", "group"):
        raise TypeError(f"{way.name} is a {plan.spell(way.type)}, which is no column")
    return objects(_nested(plan, way, frames))


def _nested(plan: Plan, way: Way, frames: Frames) -> list[Any]:
    """Return lists and structs as Python's lists and dicts, or None where they are not there."""
    first, *rest = way.names
    values, left_out = plan.native.read_roots(
        *frames, OBJECTS,
        lambda **fields: fields[first], frozenset([first]),
    )  # fmt: skip
    warn_of_values(left_out)
    for name in rest:
        values = [None if value is None else value.get(name) for value in values]
    return values


def _meant(plan: Plan, way: Way, values: Any) -> Any:
    """Return what numbers, or Data, mean if an annotation says it."""
    meaning = None if way.kind == "tag" else plan.meanings.get(way.type)
    return values if meaning is None else dress(meaning, values)


def _named(plan: Plan, way: Way, numbers: Any) -> Any:
    target = plan.types[way.type].refers_to
    if way.kind == "tag":
        return names_of(plan.structs[target].members, numbers)
    names = {number: name for name, number in plan.enums[target].numbers.items()}
    return names_of(names, numbers)


# ---- Arrow -----------------------------------------------------------------------------


def table(plan: Plan, names: "list[str] | None", depth: int, unions: str, frames: Frames) -> Any:
    """Return a table with a column for each field of the roots."""
    dense = is_dense(depth, unions)
    layout = layout_of(plan, 0, "", depth, dense)
    inner: dict[str, Column] = {}
    if names is None:
        warn_of_columns(frames.name, layout.left_out)
        chosen = layout.columns
    else:
        levels = max([depth, *(1 + name.count(".") for name in names)])
        inner = _in_structs(layout, layout_of(plan, 0, "", levels, dense), names)
        known = choose(layout, [name for name in names if name not in inner], frames.name)
        warn_of_columns(frames.name, layout.left_out, [column.name for column in known])
        others = iter(known)
        chosen = [inner[name] if name in inner else next(others) for name in names]
    made = plan.native.columns_of_roots(*frames, native(chosen))
    found = Table(made, [column.name for column in chosen])
    return found if names is None or not inner else _without_structs(found, chosen, names)


def _in_structs(layout: Layout, deep: Layout, names: list[str]) -> dict[str, Column]:
    """Return the columns of structs for the names of fields in them, with these fields alone."""
    known = {column.name for column in layout.columns}
    found = {}
    for name in names:
        for column in deep.columns:
            if name not in known and name.startswith(f"{column.name}.") and column.format == "+s":
                narrow = _narrow(column, name[len(column.name) + 1 :].split("."))
                if narrow is not None:
                    found[name] = narrow
    return found


def _narrow(column: Column, steps: list[str]) -> Column | None:
    """Return the column of a struct with one of its fields, which may be in a struct, too."""
    for child in column.children:
        if child.name == steps[0]:
            inner = _narrow(child, steps[1:]) if len(steps) > 1 else child
            return None if inner is None else column._replace(children=[inner])
    return None


def _without_structs(found: Table, chosen: list[Column], names: list[str]) -> Any:
    """Return the table with the fields instead of the structs."""
    arrow = found.to_pyarrow()
    import pyarrow
    import pyarrow.compute

    arrays = []
    for name, column, values in zip(names, chosen, arrow.columns, strict=True):
        steps = 0 if column.name == name else name[len(column.name) :].count(".")
        arrays.append(pyarrow.compute.struct_field(values, [0] * steps) if steps else values)
    return pyarrow.table(arrays, names)


def number_of(plan: Plan, way: Way, name: str) -> int:
    """Return the number of an enumerant.

    Raises:
        ValueError: the enum has none of that name.
    """
    numbers = plan.enums[plan.types[way.type].refers_to].numbers
    if name not in numbers:
        raise ValueError(f"the enum has {', '.join(numbers)}, but not {name!r}")
    return numbers[name]
