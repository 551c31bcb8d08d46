"""Rows: structs of a message as Python's dicts, tuples and objects, and back."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .._pycapnp import is_struct
from .left_out import warn_of_values
from .lists import POINTER, RECORD, ROWS, put_stage, target_at
from .locate import Found, Step, find, spell
from .memory import GrowingMemory, MessageMemory
from .schema import Plan

DICTS, TUPLES, OBJECTS = range(3)
"""What rows become, as the native code calls it."""

ALL = sys.maxsize
"""Where a range of rows ends that has no end."""


def to_dict(plan: Plan, memory: MessageMemory, trusted: bool) -> dict[str, Any]:
    """Return the root struct as a dict."""
    if not memory.segments:
        return {}
    result, left_out = plan.native.read(
        memory.segments, 0, 0, 0, 0, ALL, DICTS, None, None, trusted
    )
    warn_of_values(left_out)
    assert isinstance(result, dict)
    return result


def roots(plan: Plan, frames: Any, number: int, first: int, name: str, as_: Any) -> list[Any]:
    """Return the roots of `number` messages that lie back to back, as rows.

    `first` is the number of the first one in the log that is called `name`, for errors.
    """
    found, left_out = plan.native.read_roots(frames, number, first, name, *_style(as_))
    warn_of_values(left_out)
    return found


def rows(
    plan: Plan,
    memory: MessageMemory,
    path: tuple[Step, ...],
    as_: Any,
    start: int,
    stop: int | None,
    trusted: bool,
) -> list[Any]:
    """Return the list at `path`, or elements `start` to `stop` of it."""
    found = _list_at(plan, memory, path)
    return _read(plan, memory, found, as_, start, ALL if stop is None else stop, trusted)


def iter_rows(
    plan: Plan,
    memory: MessageMemory,
    path: tuple[Step, ...],
    as_: Any,
    chunk: int,
    trusted: bool,
) -> Iterator[Any]:
    """Return the elements of the list at `path` one by one, read `chunk` at a time."""
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    found = _list_at(plan, memory, path)
    _style(as_)

    def each() -> Iterator[Any]:
        start = 0
        while True:
            part = _read(plan, memory, found, as_, start, start + chunk, trusted)
            yield from part
            if len(part) < chunk:
                return
            start += chunk

    return each()


def _list_at(plan: Plan, memory: MessageMemory, path: Sequence[Step]) -> Found:
    found = find(plan, memory, path)
    if plan.types[found.type].kind != "list":
        raise TypeError(f"{spell(path)} is a {plan.spell(found.type)}, not a list of rows")
    return found


def _read(
    plan: Plan, memory: MessageMemory, found: Found, as_: Any, start: int, stop: int, trusted: bool
) -> list[Any]:
    style, row_class, fields = _style(as_)
    element = plan.types[plan.types[found.type].refers_to].kind
    if style == OBJECTS and element != "struct":
        raise TypeError(
            f"{spell(found.path)} is a {plan.spell(found.type)}: only structs become objects "
            f"of {row_class!r}"
        )
    if found.pointer is None:
        return []
    result, left_out = plan.native.read(
        found.within(memory),
        found.type,
        *found.pointer,
        start,
        stop,
        style,
        row_class,
        fields,
        trusted,
    )
    warn_of_values(left_out)
    assert isinstance(result, list)
    return result


def _style(as_: Any) -> tuple[int, Any, frozenset[str] | None]:
    if as_ is dict:
        return DICTS, None, None
    if as_ is tuple:
        return TUPLES, None, None
    if not callable(as_):
        raise TypeError(f"as_ must be dict, tuple or a class, not {as_!r}")
    names = field_names(as_)
    if names is None:
        names = _parameters(as_)
    if hasattr(as_, "__struct_encode_fields__"):
        as_, names = _from_fields(as_)
    return OBJECTS, as_, None if names is None else frozenset(names)


def _parameters(kind: Any) -> tuple[str, ...] | None:
    """Return the names of the parameters of a class or function; None if it takes any keyword."""
    import inspect

    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):  # it is not written in Python, and does not say
        return None
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        return None
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(parameter.name for parameter in parameters if parameter.kind in by_name) or None


def _from_fields(kind: Any) -> tuple[Any, tuple[str, ...]]:
    """Return what makes a msgspec Struct of the fields of a schema, and their names.

    A field is that of the name that ``rename=`` gives, or else of its own. What is not set is
    left to the default UNSET.
    """
    unset = getattr(sys.modules.get("msgspec"), "UNSET", None)
    own, encoded = kind.__struct_fields__, kind.__struct_encode_fields__
    defaults = kind.__struct_defaults__
    with_unset = {
        name
        for name, value in zip(reversed(own), reversed(defaults), strict=False)
        if value is unset
    }
    if own == encoded and not with_unset:
        return kind, own
    attributes = {name: name for name in own if name not in encoded}
    attributes |= dict(zip(encoded, own, strict=True))
    renamed = dict(zip(own, encoded, strict=True))

    def make(**values: Any) -> Any:
        content: dict[str, Any] = {}
        for name, value in values.items():
            attribute = attributes[name]
            if name not in encoded and renamed[name] in values:
                continue
            if value is not None or attribute not in with_unset:
                content[attribute] = value
        return kind(**content)

    return make, tuple(attributes)


def field_names(kind: Any) -> tuple[str, ...] | None:
    """Return the names of the fields of a class, if it says which it has.

    Dataclasses, attrs classes, msgspec Structs and named tuples do.
    """
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return tuple(field.name for field in fields(kind) if field.init)
    for attribute in ("__struct_fields__", "_fields"):
        found = getattr(kind, attribute, None)
        if isinstance(found, tuple) and all(isinstance(name, str) for name in found):
            return found
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return tuple(attribute.name for attribute in attributes if attribute.init)
    return None


# ---- in -----------------------------------------------------------------------------------


def fill_rows(
    plan: Plan,
    memory: GrowingMemory,
    path: tuple[Step, ...],
    rows: Any,
    fields: Any,
    length: int | None,
    extra: str,
    missing: str,
) -> int:
    """Write all rows into the list at `path`, or none; return how many there are."""
    found = _list_at(plan, memory, path)
    element = plan.types[plan.types[found.type].refers_to]
    what = ROWS if element.kind == "struct" else POINTER
    if what == POINTER:
        if fields is not None:
            raise TypeError(f"{spell(path)} is a {plan.spell(found.type)}: it has no fields")
        if not isinstance(rows, list | tuple):
            rows = list(rows)
        if length is not None and len(rows) != length:
            raise ValueError(f"there are {len(rows)} rows, but length is {length}")
    stage = _stage(plan, what, found.type, rows, fields, length, extra, missing, memory.make_file)
    # Rows that run code may have changed what is at the path.
    target = target_at(plan, memory, _list_at(plan, memory, path)).to_be_set()
    put_stage(memory, stage, target.found)
    return stage.count if what == ROWS else len(rows)


def set_root(plan: Plan, memory: GrowingMemory, value: Any, extra: str, missing: str) -> Any:
    """Convert the root; return what puts it into a message that has one."""
    stage = _stage(plan, RECORD, 0, value, None, None, extra, missing)

    def put() -> None:
        put_stage(memory, stage, Found(0, (), None, (0, 0)))

    return put


def _stage(
    plan: Plan,
    what: int,
    number: int,
    value: Any,
    fields: Any,
    length: int | None,
    extra: str,
    missing: str,
    make_file: Callable[[], int] | None = None,
) -> Any:
    if extra not in ("error", "ignore"):
        raise ValueError(f'extra must be "error" or "ignore", not {extra!r}')
    if missing not in ("default", "error"):
        raise ValueError(f'missing must be "default" or "error", not {missing!r}')
    if length is not None and length < 0:
        raise ValueError(f"length must not be negative: {length}")
    if isinstance(fields, str):  # its letters would be taken for names
        raise TypeError(f"fields is a list of names: [{fields!r}], not {fields!r}")
    return plan.native.stage(
        what,
        number,
        value,
        None if fields is None else tuple(fields),
        -1 if length is None else length,
        extra == "ignore",
        int(missing == "error"),
        attribute_names,
        make_file,
    )


def attribute_names(
    kind: Any,
) -> tuple[str | tuple[str, str], ...] | Callable[[Any], dict[str, Any]] | None:
    """Return the attributes of a class's objects that are fields, if it says which.

    One that has another name where it is stored comes with that name. For structs of pycapnp
    it is a function that makes a dict of one: it tells what is set.
    """
    if is_struct(kind):
        to_dict: Callable[[Any], dict[str, Any]] = kind.to_dict
        return to_dict
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return tuple(field.name for field in fields(kind))
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return tuple(attribute.name for attribute in attributes)
    names = field_names(kind)
    encoded: tuple[str, ...] | None = getattr(kind, "__struct_encode_fields__", None)
    if names is None or encoded is None or encoded == names:
        return names
    return tuple(zip(names, encoded, strict=True))  # msgspec's rename=
