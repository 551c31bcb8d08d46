"""Plans: what a schema says about bytes, compiled once from pycapnp's reflection.

A *plan* lists every type, struct and enum that can be reached from one struct; they refer
to each other by number, so that a struct may contain itself. The native code has a copy of
it (`Plan.native`), and works from that alone.

Parameters of generic types are bound while compiling: ``Map(Text, Data)`` and
``Map(Text, Int64List)`` are two structs of the plan.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _core
from .meanings import Meaning, annotated, check

KINDS = (
    "void",
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "text",
    "data",
    "list",
    "enum",
    "struct",
    "interface",
    "anyPointer",
    "group",
)
"""The kinds of types, as the schema of schemas calls them, by the numbers of the C code."""

BITS = {
    "bool": 1,
    "int8": 8,
    "int16": 16,
    "int32": 32,
    "int64": 64,
    "uint8": 8,
    "uint16": 16,
    "uint32": 32,
    "uint64": 64,
    "float32": 32,
    "float64": 64,
    "enum": 16,
}
"""Bits that a value takes in the data section or in a list."""

POINTERS = frozenset({"text", "data", "list", "struct", "anyPointer", "interface"})

TAG = "@which"
"""The name under which a union's tag is offered. No field can be called like this."""

# Types that are bound to each other more deeply than this are taken for AnyPointer: a
# generic struct can contain itself with a larger type each time, without end.
_DEEPEST_BINDING = 16

_MOST_STRUCTS = 1 << 16
_PACKED = {"float32": "<f", "float64": "<d"}
_NAMES = {"uint8": "UInt8", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64"} | {
    "anyPointer": "AnyPointer",
    "interface": "an interface",
}


class Type(NamedTuple):
    """A type of the plan."""

    kind: str
    refers_to: int
    """Of a list the type of its elements, of a struct, group or enum its number; else 0."""


class Field(NamedTuple):
    """A field of a struct."""

    name: str
    type: int
    """The number of its type."""
    offset: int
    """In the data section: bits. In the pointer section: pointers."""
    tag: int | None
    """The value of the union's tag if the field is a member of one."""
    default: Any
    """Of numbers and Bool the bits that stored ones are XORed with, of Text and Data what
    a null pointer stands for, of other pointers whether there is a default."""
    column: str
    """What it is called in tables."""
    content: tuple[bytes, int] | None = None
    """Of lists and structs their default: a message, and the word of the pointer to it."""


class Struct(NamedTuple):
    """A struct of the plan, or a group."""

    name: str
    fields: dict[str, Field]
    """In the order in which the schema declares them."""
    tag_offset: int | None
    """Where the tag of the union lies, in bits of the data section."""
    members: dict[int, str]
    """The members of the union by the value of the tag."""
    data_words: int
    pointer_words: int
    is_group: bool


class Enum(NamedTuple):
    """An enum of the plan."""

    name: str
    numbers: dict[str, int]


class _Binding(NamedTuple):
    """What a parameter of a generic type stands for."""

    proto: Any
    scopes: "_Scopes"
    key: Any
    depth: int


_Scopes = dict[int, tuple[_Binding | None, ...]]


class Plan:
    """What is known of a struct and of all that it can contain. Type 0 is the struct."""

    def __init__(self, schema: Any) -> None:
        self.schema = schema
        self.types: list[Type] = []
        self.structs: list[Struct] = []
        self.enums: list[Enum] = []
        # Of structs in arrays, kept by their number and the bits of data that they have.
        self.dtypes: dict[tuple[int, int], Any] = {}
        self.nodes: dict[int, Any] = {}  # pycapnp's descriptions of the types, by their ids
        self.meanings: dict[int, Meaning] = {}
        """What values mean, by the numbers of types that an annotation is about."""
        _Compiler(self).compile(schema)
        self.native = _core.Plan(
            [self._native_type(number) for number in range(len(self.types))],
            [_native_struct(each) for each in self.structs],
            [_by_number(each.numbers) for each in self.enums],
        )

    def _native_type(self, number: int) -> tuple[Any, ...]:
        kind, refers_to = self.types[number]
        meaning = self.meanings.get(number)
        said = () if meaning is None else meaning.native(kind)
        return (KINDS.index(kind), refers_to, *said)

    def meaning(self, number: int) -> Meaning | None:
        """Return what the values of a type mean, or the elements of a list in it."""
        while self.types[number].kind == "list":
            number = self.types[number].refers_to
        return self.meanings.get(number)

    def spell(self, number: int) -> str:
        """Write a type as a schema does: ``List(Person)``."""
        kind, refers_to = self.types[number]
        if kind == "list":
            return f"List({self.spell(refers_to)})"
        if kind in ("struct", "group"):
            return self.structs[refers_to].name
        if kind == "enum":
            return self.enums[refers_to].name
        return _NAMES.get(kind, kind.capitalize())


def _native_struct(each: Struct) -> tuple[Any, ...]:
    fields = []
    for name, number, offset, tag, default, column, content in each.fields.values():
        if isinstance(default, bool):  # a pointer
            default = content
        other = None if column == name else column
        fields.append((name, number, offset, -1 if tag is None else tag, default, other))
    tag_offset = -1 if each.tag_offset is None else each.tag_offset
    members = 1 + max(each.members, default=-1)
    return (
        each.name,
        each.data_words,
        each.pointer_words,
        tag_offset,
        members,
        each.is_group,
        fields,
    )


def _by_number(numbers: dict[str, int]) -> list[str | None]:
    names: list[str | None] = [None] * (1 + max(numbers.values(), default=-1))
    for name, number in numbers.items():
        names[number] = name
    return names


class _Compiler:
    """Goes through a schema, and through what it refers to, once each."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._type_numbers: dict[tuple[Type, Meaning | None], int] = {}
        self._struct_numbers: dict[Any, int] = {}
        self._enum_numbers: dict[int, int] = {}
        self._pending: list[tuple[Any, _Scopes]] = []

    def compile(self, schema: Any) -> None:
        structs = self._plan.structs
        self._intern(Type("struct", self._struct(schema, {})))
        while len(structs) < len(self._pending):
            structs.append(self._read(*self._pending[len(structs)]))

    def _intern(self, kind: Type, meaning: Meaning | None = None) -> int:
        number = self._type_numbers.get((kind, meaning))
        if number is None:
            number = self._type_numbers[kind, meaning] = len(self._plan.types)
            self._plan.types.append(kind)
            if meaning is not None:
                self._plan.meanings[number] = meaning
        return number

    def _mean(self, number: int, meaning: Meaning) -> int:
        """Return the number of the same type whose values, or elements, mean something."""
        kind, refers_to = self._plan.types[number]
        if kind == "list":
            return self._intern(Type(kind, self._mean(refers_to, meaning)))
        return self._intern(Type(kind, refers_to), check(meaning, kind))

    def _struct(self, schema: Any, scopes: _Scopes) -> int:
        """Return the number of a struct, which is read later."""
        key = (int(schema.node.id), _key_of(scopes))
        number = self._struct_numbers.get(key)
        if number is None:
            number = self._struct_numbers[key] = len(self._pending)
            self._pending.append((schema, scopes))
            self._plan.nodes[key[0]] = schema.node
            if number == _MOST_STRUCTS:
                raise ValueError(f"the schema has more than {_MOST_STRUCTS} structs")
        return number

    def _read(self, schema: Any, scopes: _Scopes) -> Struct:
        node = schema.node
        body = node.struct
        found = schema.fields
        fields = {}
        for name in sorted(found, key=lambda each: int(found[each].proto.codeOrder)):
            fields[name] = self._field(name, found[name], scopes)
        members = {field.tag: field.name for field in fields.values() if field.tag is not None}
        return Struct(
            str(node.displayName).rpartition(":")[2],
            fields,
            16 * int(body.discriminantOffset) if body.discriminantCount else None,
            members,
            int(body.dataWordCount),
            int(body.pointerCount),
            bool(body.isGroup),
        )

    def _field(self, name: str, found: Any, scopes: _Scopes) -> Field:
        proto = found.proto
        tag = int(proto.discriminantValue)
        in_union = None if tag == 0xFFFF else tag
        if proto.which() == "group":
            group = Type("group", self._struct(found.schema, scopes))
            called = annotated(proto)[1]
            column = name if called is None else called
            return Field(name, self._intern(group), 0, in_union, None, column)
        slot = proto.slot
        number = self._type(slot.type, scopes, lambda: found.schema)
        column = name
        if len(proto.annotations):
            try:
                meaning, called = annotated(proto)
                number = number if meaning is None else self._mean(number, meaning)
            except TypeError as error:
                raise TypeError(f"an annotation of the field {name!r}: {error}") from None
            column = name if called is None else called
        kind = self._plan.types[number].kind
        offset = int(slot.offset) * BITS.get(kind, 1)
        default = _default(slot, kind)
        content = _content(slot, kind) if default is True else None
        return Field(name, number, offset, in_union, default, column, content)

    def _type(self, proto: Any, scopes: _Scopes, schema: Callable[[], Any]) -> int:
        """Return the number of the type that `proto` describes.

        `schema` gives pycapnp's view of it, if it is a list, a struct or an enum.
        """
        kind = str(proto.which())
        if kind == "anyPointer":
            bound = _bound(proto, scopes)
            if bound is not None:
                return self._type(bound.proto, bound.scopes, schema)
        elif kind == "list":
            element = proto.list.elementType
            return self._intern(
                Type(kind, self._type(element, scopes, lambda: schema().elementType))
            )
        elif kind == "struct":
            inner = _scopes_of(proto.struct.brand, scopes)
            return self._intern(Type(kind, self._struct(schema(), inner)))
        elif kind == "enum":
            return self._intern(Type(kind, self._enum(schema())))
        return self._intern(Type(kind, 0))

    def _enum(self, schema: Any) -> int:
        key = int(schema.node.id)
        number = self._enum_numbers.get(key)
        if number is None:
            number = self._enum_numbers[key] = len(self._plan.enums)
            self._plan.nodes[key] = schema.node
            numbers = {str(name): int(value) for name, value in schema.enumerants.items()}
            name = str(schema.node.displayName).rpartition(":")[2]
            self._plan.enums.append(Enum(name, numbers))
        return number


# ---- generic types ------------------------------------------------------------------------


def _bound(proto: Any, scopes: _Scopes) -> _Binding | None:
    """Return what an AnyPointer stands for if it is a parameter that is bound."""
    if proto.anyPointer.which() != "parameter":
        return None
    parameter = proto.anyPointer.parameter
    bindings = scopes.get(int(parameter.scopeId), ())
    index = int(parameter.parameterIndex)
    return bindings[index] if index < len(bindings) else None


def _scopes_of(brand: Any, around: _Scopes) -> _Scopes:
    """Return what the parameters stand for in a struct of that brand."""
    scopes: _Scopes = {}
    for scope in brand.scopes:
        number = int(scope.scopeId)
        if scope.which() == "inherit":
            if number in around:
                scopes[number] = around[number]
        else:
            scopes[number] = tuple(_binding(each, around) for each in scope.bind)
    return scopes


def _binding(proto: Any, around: _Scopes) -> _Binding | None:
    if proto.which() != "type":
        return None
    kind: Any = proto.type
    if kind.which() == "anyPointer":
        return _bound(kind, around)
    key, depth = _type_key(kind, around)
    if depth > _DEEPEST_BINDING:
        return None
    return _Binding(kind, around, key, depth)


def _type_key(proto: Any, scopes: _Scopes) -> tuple[Any, int]:
    """Return what tells a type from others, and how deeply types are bound in it."""
    kind = str(proto.which())
    if kind == "list":
        key, depth = _type_key(proto.list.elementType, scopes)
        return (kind, key), depth + 1
    if kind == "struct":
        inner = _scopes_of(proto.struct.brand, scopes)
        deepest = max((b.depth for each in inner.values() for b in each if b), default=0)
        return (kind, int(proto.struct.typeId), _key_of(inner)), deepest + 1
    if kind == "enum":
        return (kind, int(proto.enum.typeId)), 0
    if kind == "anyPointer":
        bound = _bound(proto, scopes)
        if bound is not None:
            return bound.key, bound.depth
    return kind, 0


def _key_of(scopes: _Scopes) -> Any:
    return tuple(
        (number, tuple(None if each is None else each.key for each in bindings))
        for number, bindings in sorted(scopes.items())
    )


# ---- defaults -----------------------------------------------------------------------------


def _default(slot: Any, kind: str) -> Any:
    if kind == "void":
        return None
    if kind in POINTERS:
        if kind in ("text", "data") and slot.defaultValue.which() == kind:
            value = getattr(slot.defaultValue, kind) if slot.hadExplicitDefault else None
            return value.encode() if isinstance(value, str) else value and bytes(value)
        return bool(slot.hadExplicitDefault)
    value = getattr(slot.defaultValue, kind)
    if kind in _PACKED:
        return int.from_bytes(struct.pack(_PACKED[kind], value), "little")
    if kind == "bool":
        return int(value)
    return int(value) & ((1 << BITS[kind]) - 1)


def _content(slot: Any, kind: str) -> tuple[bytes, int] | None:
    """Return the default of a list or struct: a message, and the word of the pointer to it."""
    if kind not in ("list", "struct") or slot.defaultValue.which() != kind:
        return None
    value = slot.defaultValue
    # All of it is in the first segment, since that has room for it.
    segments = value.as_builder(int(value.total_size.word_count) + 1).to_segments()
    # The root is what the schema of schemas calls a Value: its one pointer leads there.
    root = int.from_bytes(segments[0][:8], "little")
    return bytes(segments[0]), 1 + (root >> 2 & 0x3FFFFFFF) + (root >> 32 & 0xFFFF)


# ---- kept plans ---------------------------------------------------------------------------

# The plans that were made last, by the Python object of the schema. pycapnp's own comparison looks
# at addresses, and another schema may get the same address after a parser was freed.
_MOST_KEPT = 32
_kept: list[Plan] = []


def plan_of(schema: Any) -> Plan:
    """Return the plan of a struct of a schema, made when it is first asked for.

    Raises:
        TypeError: `schema` is no struct of a schema.
    """
    schema = getattr(schema, "schema", schema)
    for plan in _kept:
        if plan.schema is schema:
            return plan
    if not hasattr(schema, "node") or str(schema.node.which()) != "struct":
        raise TypeError(f"a struct of a schema is required, not {schema!r}")
    plan = Plan(schema)
    _kept.insert(0, plan)
    del _kept[_MOST_KEPT:]
    return plan
