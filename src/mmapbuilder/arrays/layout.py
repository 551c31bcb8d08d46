"""What a schema says about bytes: where the fields of a struct lie, and as what.

A struct has a data section and a pointer section. The offset of a number counts in
units of its own size from the start of the data, that of a pointer in pointers. The
members of a group lie in the sections of the struct around it, and those of a union
share places; which of them is there says a 16-bit number, the tag.
"""

import struct
from dataclasses import dataclass
from typing import Any

TAG = "@which"
"""The name under which a union's tag is offered. No field can be called like this."""

NUMBERS = {
    "int8": ("<i1", 8),
    "int16": ("<i2", 16),
    "int32": ("<i4", 32),
    "int64": ("<i8", 64),
    "uint8": ("<u1", 8),
    "uint16": ("<u2", 16),
    "uint32": ("<u4", 32),
    "uint64": ("<u8", 64),
    "float32": ("<f4", 32),
    "float64": ("<f8", 64),
    "enum": ("<u2", 16),
}
"""Kinds of which an array can be a view: the dtype, and how many bits one takes."""

POINTERS = frozenset({"text", "data", "list", "struct", "anyPointer", "interface"})

_PACKED = {"float32": "<f", "float64": "<d"}


@dataclass(frozen=True, slots=True)
class Type:
    """The type of a field or of the elements of a list."""

    kind: str
    """As the schema of schemas calls it: ``int8``, ``text``, ``list``, ..."""
    schema: Any = None
    """pycapnp's schema of a struct or an enum."""
    element: "Type | None" = None
    """Of a list."""

    def __str__(self) -> str:
        if self.element is not None:
            return f"List({self.element})"
        if self.schema is not None:
            name: str = self.schema.node.displayName
            return name.rpartition(":")[2]
        return _NAMES.get(self.kind, self.kind.capitalize())


_NAMES = {"uint8": "UInt8", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"} | {
    "anyPointer": "AnyPointer"
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a struct."""

    name: str
    type: Type
    """Of a group: the kind ``group`` and its schema."""
    offset: int
    """In the data section: bits. In the pointer section: pointers."""
    default: Any
    """Of numbers and bools the bits that stored ones are XORed with, of Text and Data
    what a null pointer stands for, of other pointers whether there is a default."""
    tag: int | None
    """The value of the union's tag if the field is a member of one."""

    @property
    def bits(self) -> int:
        """How many bits of the data section the field takes."""
        if self.type.kind == "bool":
            return 1
        return NUMBERS[self.type.kind][1] if self.type.kind in NUMBERS else 0


class Struct:
    """The fields of a struct or group, by name."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self._found = schema.fields
        self._fields: dict[str, Field] = {}
        body = schema.node.struct
        self.tag_offset: int | None = None
        """Where the tag of the union lies, in bits of the data section."""
        if body.discriminantCount:
            self.tag_offset = 16 * body.discriminantOffset

    @property
    def names(self) -> list[str]:
        """In the order in which the schema declares them."""
        return sorted(self._found, key=lambda name: int(self._found[name].proto.codeOrder))

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def __getitem__(self, name: str) -> Field:
        field = self._fields.get(name)
        if field is None:
            field = self._fields[name] = _field(name, self._found[name])
        return field

    @property
    def members(self) -> dict[int, str]:
        """The members of the union by the value of the tag."""
        fields = (self[name] for name in self._found)
        return {field.tag: field.name for field in fields if field.tag is not None}


def _field(name: str, found: Any) -> Field:
    proto = found.proto
    tag = proto.discriminantValue
    if tag == 0xFFFF:
        tag = None
    if proto.which() == "group":
        return Field(name, Type("group", found.schema), 0, None, tag)
    slot = proto.slot
    kind = _type(slot.type, found)
    offset = slot.offset
    if kind.kind in NUMBERS:
        offset *= NUMBERS[kind.kind][1]
    return Field(name, kind, offset, _default(slot, kind.kind), tag)


def _type(proto: Any, holder: Any) -> Type:
    """Make the type that `proto` describes; `holder.schema` is pycapnp's view of it."""
    kind = str(proto.which())
    if kind == "list":
        return _list_of(proto.list.elementType, holder.schema)
    if kind in ("struct", "enum"):
        return Type(kind, holder.schema)
    if kind == "anyPointer":
        # A parameter of a generic type, which may stand for a struct or a list here.
        try:
            bound = holder.schema
        except Exception:
            return Type(kind)
        if hasattr(bound, "fields"):
            return Type("struct", bound)
        return Type(kind)
    return Type(kind)


def _list_of(proto: Any, schema: Any) -> Type:
    kind = str(proto.which())
    if kind == "list":
        return Type("list", None, _list_of(proto.list.elementType, schema.elementType))
    if kind in ("struct", "enum"):
        return Type("list", None, Type(kind, schema.elementType))
    return Type("list", None, Type(kind))


def _default(slot: Any, kind: str) -> Any:
    if kind == "void":
        return None
    if kind in POINTERS:
        if kind in ("text", "data"):
            return getattr(slot.defaultValue, kind)
        return bool(slot.hadExplicitDefault)
    value = getattr(slot.defaultValue, kind)
    if kind in _PACKED:
        return int.from_bytes(struct.pack(_PACKED[kind], value), "little")
    if kind == "bool":
        return int(value)
    return int(value) & ((1 << NUMBERS[kind][1]) - 1)


def enumerants(schema: Any) -> dict[str, int]:
    """Return the numbers of an enum's names."""
    return {str(name): int(number) for name, number in schema.enumerants.items()}
