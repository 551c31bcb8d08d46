"""One field of all structs in a list, as a NumPy array, for types that arrays cannot be."""

from typing import Any

from .locate import Step, find_columns
from .memory import MessageMemory
from .schema import TAG, Plan

_OBJECTS = 2
_ALL = (1 << 63) - 1


def column(plan: Plan, memory: MessageMemory, path: tuple[Step, ...]) -> Any:
    """Return the values of a field that is a list, a struct or a group, or of a list of lists.

    They are an array of Python objects: lists, dicts, or None. The answer is None for what
    `arrays.column` is to do.
    """
    found, rest = find_columns(plan, memory, path)
    if found is None or found.pointer is None:
        return None
    element = plan.types[found.type].target
    kind, target = plan.types[element]
    if not rest:
        if kind not in ("list", "void"):
            return None
        return _objects(_read(plan, memory, found.type, found.pointer, 0, None, None))
    steps = [step for name in rest for step in name.split(".")]
    if not _is_nested(plan, target, steps):
        return None
    first = steps[0]
    rows = _read(
        plan,
        memory,
        found.type,
        found.pointer,
        _OBJECTS,
        lambda **fields: fields[first],
        frozenset([first]),
    )
    for step in steps[1:]:
        rows = [None if row is None else row.get(step) for row in rows]
    return _objects(rows)


def _is_nested(plan: Plan, number: int, steps: list[str]) -> bool:
    kind = "struct"
    for step in steps:
        struct = plan.structs[number]
        if kind not in ("struct", "group") or step == TAG or step not in struct.fields:
            return False
        kind, number = plan.types[struct.fields[step].type]
        if kind == "struct" or (struct.is_generic and kind != "anyPointer"):
            return True
    return kind in ("list", "group")


def _read(
    plan: Plan,
    memory: MessageMemory,
    number: int,
    pointer: tuple[int, int],
    style: int,
    row_class: Any,
    fields: frozenset[str] | None,
) -> list[Any]:
    values, _ = plan.native.read(
        memory.segments, number, *pointer, 0, _ALL, style, row_class, fields, False
    )
    assert isinstance(values, list)
    return values


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), object)
    array[:] = values
    return array


def with_names(plan: Plan, memory: MessageMemory, path: tuple[Step, ...], numbers: Any) -> Any:
    """Return the names of enumerants, or of a union's members, for their numbers.

    Raises:
        TypeError: the values at the path are neither.
    """
    import numpy as np

    found, rest = find_columns(plan, memory, path)
    names: dict[int, str] | None = None
    if found is not None:
        kind, number = plan.types[plan.types[found.type].target]
        for step in [step for name in rest for step in name.split(".")]:
            struct = plan.structs[number]
            if step == TAG:
                kind, names = "tag", dict(struct.members)
                break
            if step not in struct.fields:
                break
            kind, number = plan.types[struct.fields[step].type]
        if kind == "enum":
            names = {value: name for name, value in plan.enums[number].numbers.items()}
    if names is None:
        raise TypeError(f"names are those of enums and of {TAG!r}: the values are neither")
    known = [names.get(i, f"@{i}") for i in range(max(int(numbers.max(initial=0)), *names) + 1)]
    return np.array(known)[numbers]
