"""Schemas with types nested in each other that Hypothesis makes, and values for them.

A value is what pycapnp's to_dict() gives: of a union the active member only, and no key for
a pointer that is not set.
"""

from __future__ import annotations

import collections
import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import capnp
from hypothesis import strategies as st

COLORS = ["red", "green", "blue"]
RANGES = {
    f"{sign}Int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
PLAIN = {name: st.integers(*limits) for name, limits in RANGES.items()} | {
    "Bool": st.booleans(),
    "Float32": st.floats(width=32, allow_nan=False),
    "Float64": st.floats(allow_nan=False),
    "Color": st.sampled_from(COLORS),
    "Void": st.none(),
    "Text": st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    "Data": st.binary(max_size=9),
}
POINTERS = ("Text", "Data")

_numbers = itertools.count(1)
# What a parser has loaded dies with it, in use or not; many at once exceed limits.
_parsers: collections.deque[Any] = collections.deque(maxlen=60)


@dataclass
class Kind:
    """A type: a plain one, a list of `element`, or the struct `body`."""

    name: str
    element: Kind | None = None
    body: Body | None = None

    @property
    def is_pointer(self) -> bool:
        return self.name in POINTERS or self.element is not None or self.body is not None

    def __str__(self) -> str:
        return f"List({self.element})" if self.element is not None else self.name


@dataclass
class Member:
    """A field, or a group if `group` is set."""

    kind: Kind | None
    group: Body | None = None
    name: str = ""
    ordinal: int = 0


@dataclass
class Body:
    """What is in a struct or group."""

    fields: list[Member] = field(default_factory=list)
    union: list[Member] = field(default_factory=list)


@st.composite
def kinds(draw: st.DrawFn, depth: int) -> Kind:
    choice = draw(st.integers(0, 9)) if depth else 0
    if choice <= 5:
        return Kind(draw(st.sampled_from(list(PLAIN))))
    if choice <= 7:
        return Kind("List", element=draw(kinds(depth - 1)))
    return Kind("", body=draw(bodies(depth - 1)))


@st.composite
def bodies(draw: st.DrawFn, depth: int) -> Body:
    body = Body([Member(draw(kinds(depth))) for _ in range(draw(st.integers(1, 4)))])
    if depth and draw(st.integers(0, 3)) == 0:
        body.fields.append(Member(None, Body([Member(draw(kinds(depth - 1)))])))
    if depth and draw(st.integers(0, 1)) == 0:
        count = draw(st.integers(2, 4))
        body.union = [Member(draw(kinds(depth - 1))) for _ in range(count)]
    return body


class _Writer:
    def __init__(self) -> None:
        self.structs: list[str] = []

    def struct(self, body: Body) -> str:
        name = f"S{len(self.structs)}"
        self.structs.append("")
        lines = "\n".join(self.members(body, itertools.count()))
        self.structs[int(name[1:])] = f"struct {name} {{\n{lines}\n}}"
        return name

    def members(self, body: Body, ordinals: Any) -> list[str]:
        lines = [self.member(each, ordinals) for each in body.fields]
        if body.union:
            inner = "\n".join(self.member(each, ordinals) for each in body.union)
            lines.append(f"union {{\n{inner}\n}}")
        return lines

    def member(self, member: Member, ordinals: Any) -> str:
        if member.group is not None:
            inner = "\n".join(self.members(member.group, ordinals))
            return f"{member.name} :group {{\n{inner}\n}}"
        assert member.kind is not None
        self.name_structs(member.kind)
        return f"{member.name} @{next(ordinals)} :{member.kind};"

    def name_structs(self, kind: Kind) -> None:
        if kind.body is not None:
            kind.name = self.struct(kind.body)
        elif kind.element is not None:
            self.name_structs(kind.element)


def _name(body: Body, names: Any) -> None:
    for member in [*body.fields, *body.union]:
        member.name = f"f{next(names)}"
        kind = member.kind
        while kind is not None and kind.element is not None:
            kind = kind.element
        inner = member.group if kind is None else kind.body
        if inner is not None:
            _name(inner, names)


def load(body: Body, directory: Path) -> Any:
    """Compile a schema with `body` as the struct S0, and lists of it in Root."""
    number = next(_numbers)
    writer = _Writer()
    writer.struct(body)
    colors = " ".join(f"{color} @{i};" for i, color in enumerate(COLORS))
    lines = [
        f"@0x{0xB000000000000000 + number:x};",
        f"enum Color {{ {colors} }}",
        *writer.structs,
        "struct Root { rows @0 :List(S0); one @1 :S0; filler @2 :Data; }",
    ]
    path = directory / f"nested{number}.capnp"
    path.write_text("\n".join(lines))
    parser = capnp.SchemaParser()
    _parsers.append(parser)
    return parser.load(str(path))


@st.composite
def values(draw: st.DrawFn, kind: Kind) -> Any:
    if kind.body is not None:
        return draw(records(kind.body))
    if kind.element is not None:
        return [draw(values(kind.element)) for _ in range(draw(st.integers(0, 3)))]
    return draw(PLAIN[kind.name])


@st.composite
def records(draw: st.DrawFn, body: Body) -> dict[str, Any]:
    record = {}
    for member in body.fields:
        if member.group is not None:
            record[member.name] = draw(records(member.group))
        elif member.kind is not None and not (
            member.kind.is_pointer and draw(st.integers(0, 4)) == 0
        ):
            record[member.name] = draw(values(member.kind))
    if body.union:
        member = draw(st.sampled_from(body.union))
        assert member.kind is not None
        record[member.name] = draw(values(member.kind))
    return record


@st.composite
def messages(draw: st.DrawFn) -> tuple[Body, dict[str, Any]]:
    """A schema, and what a message of it holds."""
    body = draw(bodies(3))
    _name(body, itertools.count())
    rows = [draw(records(body)) for _ in range(draw(st.integers(0, 5)))]
    return body, {"rows": rows, "one": draw(records(body))}
