"""Schemas that Hypothesis makes, and rows of values for them."""

from __future__ import annotations

import collections
import itertools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capnp
from hypothesis import strategies as st

RANGES = {
    f"{sign}Int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if sign == ""
    else (0, 2**bits - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
COLORS = ["red", "green", "blue", "purple"]

_numbers = itertools.count(1)
# What a parser has loaded dies with it, in use or not; many at once exceed limits.
_parsers: collections.deque[Any] = collections.deque(maxlen=100)


@dataclass
class Slot:
    """A field that is not a group."""

    name: str
    type: str
    default: Any = None  # None: not given in the schema
    ordinal: int = 0


@dataclass
class Group:
    """A group, or a named union; the root of a struct is one without a name."""

    name: str
    fields: list[Slot | Group] = field(default_factory=list)
    union: list[Slot | Group] = field(default_factory=list)
    is_union: bool = False  # `name :union {...}`: all members are in `union`


def zero(kind: str) -> Any:
    if kind in RANGES:
        return 0
    return {
        "Bool": False,
        "Float32": 0.0,
        "Float64": 0.0,
        "Text": "",
        "Data": b"",
        "Color": "red",
        "Void": None,
    }[kind]


def default(slot: Slot) -> Any:
    return zero(slot.type) if slot.default is None else slot.default


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind in RANGES:
        return st.integers(*RANGES[kind])
    return {
        "Bool": st.booleans(),
        "Float32": st.floats(width=32),
        "Float64": st.floats(),
        "Text": st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
        "Data": st.binary(max_size=20),
        "Color": st.sampled_from(COLORS),
        "Void": st.none(),
    }[kind]


KINDS = [*RANGES, "Bool", "Float32", "Float64", "Text", "Data", "Color", "Void"]


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    kind = draw(st.sampled_from(KINDS))
    given_default = None
    if kind not in ("Void",) and draw(st.integers(0, 3)) == 0:
        if kind == "Text":
            given_default = draw(st.text("abc xyz", max_size=9))
        elif kind == "Data":
            given_default = draw(st.binary(min_size=1, max_size=9))
        else:
            given_default = draw(values_of(kind))
        if isinstance(given_default, float) and math.isnan(given_default):
            given_default = 1.5
    return Slot("", kind, given_default)


def members(depth: int, unions: bool) -> st.SearchStrategy[Slot | Group]:
    if depth == 0:
        return slots()
    return st.one_of(slots(), slots(), slots(), groups(depth - 1, unions))


@st.composite
def groups(draw: st.DrawFn, depth: int, unions: bool) -> Group:
    if unions and draw(st.booleans()):
        union = draw(st.lists(members(depth, False), min_size=2, max_size=4))
        return Group("", union=union, is_union=True)
    return draw(bodies(depth, unions))


@st.composite
def bodies(draw: st.DrawFn, depth: int, unions: bool) -> Group:
    group = Group("", fields=draw(st.lists(members(depth, unions), min_size=1, max_size=5)))
    if unions and draw(st.integers(0, 2)) == 0:
        # No unions in unions: the compiler refuses many of them (its issue 344), and
        # pycapnp dies of that. The schema of the other tests has some.
        group.union = draw(st.lists(members(depth, False), min_size=2, max_size=4))
    return group


def slots_in(group: Group) -> Iterator[Slot]:
    for member in [*group.fields, *group.union]:
        if isinstance(member, Slot):
            yield member
        else:
            yield from slots_in(member)


def by_tag(group: Group) -> list[str]:
    """The members of a union by their tags, which follow the ordinals."""

    def first(member: Slot | Group) -> int:
        if isinstance(member, Slot):
            return member.ordinal
        return min(slot.ordinal for slot in slots_in(member))

    return [member.name for member in sorted(group.union, key=first)]


def _name(group: Group, numbers: Iterator[int]) -> None:
    for member in [*group.fields, *group.union]:
        member.name = f"f{next(numbers)}"
        if isinstance(member, Group):
            _name(member, numbers)


def _has_groups_in_unions(group: Group) -> bool:
    inner = [member for member in [*group.fields, *group.union] if isinstance(member, Group)]
    return any(member in group.union for member in inner) or any(
        _has_groups_in_unions(member) for member in inner
    )


@st.composite
def structs(draw: st.DrawFn) -> Group:
    """A struct with names, and ordinals in any order, which decide about the layout."""
    body = draw(bodies(2, True))
    _name(body, itertools.count())
    all_slots = list(slots_in(body))
    if not _has_groups_in_unions(body):
        all_slots = draw(st.permutations(all_slots))
    for ordinal, slot in enumerate(all_slots):
        slot.ordinal = ordinal
    return body


def _literal(slot: Slot) -> str:
    value = slot.default
    if slot.type == "Bool":
        return str(value).lower()
    if slot.type == "Text":
        return f'"{value}"'
    if slot.type == "Data":
        return f'0x"{value.hex()}"'
    if slot.type.startswith("Float"):
        if math.isinf(value):
            return "inf" if value > 0 else "-inf"
        if slot.type == "Float32":
            (value,) = struct.unpack("<f", struct.pack("<f", value))
        return repr(value)
    return str(value)


def _text(group: Group, indent: str) -> Iterator[str]:
    for member in group.fields:
        yield from _member_text(member, indent)
    if group.union and not group.is_union:
        yield f"{indent}union {{"
        for member in group.union:
            yield from _member_text(member, indent + "  ")
        yield f"{indent}}}"
    elif group.union:
        for member in group.union:
            yield from _member_text(member, indent)


def _member_text(member: Slot | Group, indent: str) -> Iterator[str]:
    if isinstance(member, Slot):
        given = "" if member.default is None else f" = {_literal(member)}"
        yield f"{indent}{member.name} @{member.ordinal} :{member.type}{given};"
        return
    yield f"{indent}{member.name} :{'union' if member.is_union else 'group'} {{"
    yield from _text(member, indent + "  ")
    yield f"{indent}}}"


def load(struct_body: Group, directory: Path) -> Any:
    """Compile a schema with `struct_body` as Row, and lists of everything in Root."""
    number = next(_numbers)
    lines = [
        f"@0x{0xA000000000000000 + number:x};",
        f"enum Color {{ {' '.join(f'{c} @{i};' for i, c in enumerate(COLORS))} }}",
        "struct Row {",
        *_text(struct_body, "  "),
        "}",
        "struct Root {",
        "  rows @0 :List(Row);",
        "  filler @1 :Data;",
        "}",
    ]
    path = directory / f"random{number}.capnp"
    path.write_text("\n".join(lines))
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(path))


@st.composite
def rows(draw: st.DrawFn, body: Group) -> dict[str, Any]:
    """One row as pycapnp's dicts have it: of unions the active member only."""
    row = {}
    chosen = list(body.fields)
    if body.union:
        chosen.append(draw(st.sampled_from(body.union)))
    for member in chosen:
        if isinstance(member, Slot):
            row[member.name] = draw(values_of(member.type))
        else:
            row[member.name] = draw(rows(member))
    return row


@dataclass
class Column:
    """A column that is to be expected, with the steps to it."""

    name: str
    slot: Slot | None  # None: a tag
    union: Group | None = None


def columns(body: Group, prefix: str = "") -> Iterator[Column]:
    for member in [*body.fields, *body.union]:
        if isinstance(member, Slot):
            yield Column(prefix + member.name, member)
        else:
            yield from columns(member, f"{prefix}{member.name}.")
    if body.union:
        yield Column(f"{prefix}@which", None, body)


_ABSENT = object()


def expected(row: dict[str, Any], column: Column, absent: Any) -> Any:
    """What a row has in a column; `absent` if another member of a union is active."""
    *steps, last = column.name.split(".")
    value: Any = row
    for step in steps:
        value = value.get(step, _ABSENT)
        if value is _ABSENT:
            return absent
    if column.union is not None:
        names = [member.name for member in column.union.union]
        return next(name for name in names if name in value)
    return value.get(last, absent)


def table_columns(body: Group, prefix: str = "") -> Iterator[tuple[str, Column]]:
    """The columns of a table: a group that is a union of a value and Void is the value."""
    for member in [*body.fields, *body.union]:
        name = prefix + member.name
        if isinstance(member, Slot):
            yield name, Column(name, member)
            continue
        slots = [slot for slot in member.union if isinstance(slot, Slot)]
        values = [slot for slot in slots if slot.type != "Void"]
        if member.is_union and len(slots) == len(member.union) == 2 and len(values) == 1:
            yield name, Column(f"{name}.{values[0].name}", values[0])
        else:
            yield from table_columns(member, f"{name}.")
    if body.union:
        yield f"{prefix}@which", Column(f"{prefix}@which", None, body)
