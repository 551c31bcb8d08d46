"""A column: one field of all structs in a list, through groups and unions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .layout import TAG, Field, Struct, Type
from .path import PathError, Step, spell

_TAG_TYPE = Type("tag")


@dataclass(frozen=True, slots=True)
class Union:
    """A union of the structs in a list."""

    prefix: str
    """The dotted name of the group that it is, with a dot; empty for the struct's own."""
    schema: Any
    offset: int
    """Of the tag, in bits of the data section."""

    @property
    def members(self) -> dict[int, str]:
        """The names of the members by their tags."""
        return Struct(self.schema).members


@dataclass(frozen=True, slots=True)
class Column:
    """A field of all structs in a list."""

    name: str
    """Dotted where it is in a group."""
    field: Field
    """Of a union's tag: of the type ``tag``."""
    unions: tuple[tuple[Union, int], ...]
    """The unions that it is a member of, outermost first, with the tags it needs."""
    union: Union | None = None
    """The union whose tag it is."""


def columns(
    schema: Any, prefix: str = "", unions: tuple[tuple[Union, int], ...] = ()
) -> Iterator[Column]:
    """Go through the fields of a struct, those of its groups and its tags included."""
    layout = Struct(schema)
    union = _union(layout, prefix)
    for name in layout.names:
        field = layout[name]
        inside = unions
        if union is not None and field.tag is not None:
            inside = (*unions, (union, field.tag))
        if field.type.kind == "group":
            yield from columns(field.type.schema, f"{prefix}{name}.", inside)
        else:
            yield Column(prefix + name, field, inside)
    if union is not None:
        yield _tag_column(union, unions)


def find(schema: Any, names: Sequence[str], where: Sequence[Step]) -> Column:
    """Find the column that `names` spell, from the structs of the list at `where`.

    Raises:
        PathError: there is no such field.
        TypeError: it is a group, not one field.
    """
    steps = [step for name in names for step in name.split(".")]
    prefix = ""
    unions: tuple[tuple[Union, int], ...] = ()
    for number, step in enumerate(steps):
        layout = Struct(schema)
        union = _union(layout, prefix)
        last = number == len(steps) - 1
        if step == TAG and union is not None and last:
            return _tag_column(union, unions)
        if step not in layout:
            known = ", ".join([*layout.names, *([TAG] if union is not None else [])])
            raise PathError(
                f"{spell(where)}: its structs have no {prefix + step!r}; their fields are: "
                f"{known or 'none'}"
            )
        field = layout[step]
        if union is not None and field.tag is not None:
            unions = (*unions, (union, field.tag))
        if field.type.kind != "group":
            if not last:
                raise PathError(
                    f"{spell(where)}: {prefix + step!r} is a {field.type}, of which a column has "
                    f"no {steps[number + 1]!r}"
                )
            return Column(prefix + step, field, unions)
        prefix += f"{step}."
        schema = field.type.schema
    raise TypeError(
        f"{spell(where)}: {'.'.join(steps)!r} is a group: name one of its fields, "
        f"{', '.join(prefix + name for name in Struct(schema).names)}"
    )


def _union(layout: Struct, prefix: str) -> Union | None:
    if layout.tag_offset is None:
        return None
    return Union(prefix, layout.schema, layout.tag_offset)


def _tag_column(union: Union, unions: tuple[tuple[Union, int], ...]) -> Column:
    field = Field(TAG, _TAG_TYPE, union.offset, 0, None)
    return Column(union.prefix + TAG, field, unions, union)


def refuse(column: Column, where: Sequence[Step]) -> TypeError:
    """Make the error for a field that no column can hold."""
    kind = column.field.type.kind
    hints = {
        "void": "Void has no bytes; in a union, its tag is all there is to it",
        "struct": "a struct of its own for each row: use pycapnp, or make it a group",
        "list": "a list of its own for each row: array() and fill() take one at a time, with an "
        "index in the path",
    }
    hint = hints.get(kind, "use pycapnp")
    return TypeError(f"{spell(where)}: {column.name!r} is of type {column.field.type}: {hint}")
