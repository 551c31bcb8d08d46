"""*Flat fields*: one field of all structs in a list, with single values, also through groups."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .locate import PathError, Step, spell
from .schema import BITS, POINTERS, TAG, Plan, Struct


class Union(NamedTuple):
    """A union of the structs in a list."""

    prefix: str
    """The dotted name of the group that it is, with a dot; empty for the struct's own."""
    struct: int
    """The number of the struct or group in the plan."""
    offset: int
    """Of the tag, in bits of the data section."""


class FlatField(NamedTuple):
    """A field of all structs in a list, or the tag of a union."""

    name: str
    """Dotted where it is in a group."""
    kind: str
    """As a plan has it; of a tag ``tag``."""
    type: int
    """The number of its type; not used for a tag."""
    offset: int
    """In the data section: bits. In the pointer section: pointers."""
    default: Any
    """As a field of a plan has it."""
    unions: tuple[tuple[Union, int], ...]
    """The unions that it is a member of, outermost first, with the tags it needs."""
    union: Union | None = None
    """The union whose tag it is."""

    @property
    def bits(self) -> int:
        """How many bits of the data section the field takes."""
        return 16 if self.union is not None else BITS.get(self.kind, 0)


def flat_field(plan: Plan, number: int, name: str, where: Sequence[Step]) -> FlatField:
    """Find the field of a dotted name, from the structs of the list at `where`.

    `number` is that of the struct in the plan.

    Raises:
        PathError: there is no such field.
        TypeError: it is a group, not one field.
    """
    steps = name.split(".")
    prefix = ""
    unions: tuple[tuple[Union, int], ...] = ()
    for position, step in enumerate(steps):
        struct = plan.structs[number]
        union = None
        if struct.tag_offset is not None:
            union = Union(prefix, number, struct.tag_offset)
        rest = steps[position + 1 :]
        if step == TAG and union is not None and not rest:
            return FlatField(prefix + TAG, "tag", 0, union.offset, 0, unions, union)
        if step not in struct.fields:
            known = ", ".join([*struct.fields, *([TAG] if union is not None else [])])
            raise PathError(
                f"{spell(where)}: its structs have no {prefix + step!r}; their fields are: "
                f"{known or 'none'}"
            )
        field = struct.fields[step]
        if union is not None and field.tag is not None:
            unions = (*unions, (union, field.tag))
        kind, refers_to = plan.types[field.type]
        if kind != "group":
            if rest:
                raise PathError(
                    f"{spell(where)}: {prefix + step!r} is a {plan.spell(field.type)}, of which "
                    f"a column has no {rest[0]!r}"
                )
            return FlatField(prefix + step, kind, field.type, field.offset, field.default, unions)
        prefix += f"{step}."
        number = refers_to
    raise TypeError(
        f"{spell(where)}: {name!r} is a group: name one of its fields, "
        f"{', '.join(prefix + each for each in plan.structs[number].fields)}"
    )


_HINTS = {
    "void": "Void has no bytes; in a union, its tag is all there is to it",
    "struct": "a struct of its own for each row: use pycapnp, or make it a group",
    "list": "a list of its own for each row: array() takes one at a time, with an index in the "
    "path",
}


def refuse(plan: Plan, field: FlatField, where: Sequence[Step]) -> TypeError:
    """Make the error for a field that no array of numbers or strings can hold."""
    hint = _HINTS.get(field.kind, "use pycapnp")
    return TypeError(f"{spell(where)}: {field.name!r} is of type {plan.spell(field.type)}: {hint}")


def members(plan: Plan, struct: Struct) -> tuple[int, set[int]]:
    """Find the bits of the data section and the pointers of all members of a union."""
    bits, pointers = 0, set[int]()
    for name, field in struct.fields.items():
        if field.tag is not None:
            more_bits, more_pointers = _sections(plan, struct, name)
            bits |= more_bits
            pointers |= more_pointers
    return bits, pointers


def _sections(plan: Plan, struct: Struct, name: str) -> tuple[int, set[int]]:
    field = struct.fields[name]
    kind, refers_to = plan.types[field.type]
    if kind in POINTERS:
        return 0, {field.offset}
    if kind != "group":
        return ((1 << BITS.get(kind, 0)) - 1) << field.offset, set()
    inner = plan.structs[refers_to]
    bits, pointers = 0, set[int]()
    if inner.tag_offset is not None:
        bits = 0xFFFF << inner.tag_offset
    for each in inner.fields:
        more_bits, more_pointers = _sections(plan, inner, each)
        bits |= more_bits
        pointers |= more_pointers
    return bits, pointers
