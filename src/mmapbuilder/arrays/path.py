"""Following a path from the root of a message, by its bytes and its schema.

The bytes are never trusted: where they contradict the schema or lead out of the
message the answer is InvalidMessage, and nothing outside is read.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, SupportsIndex

from .. import _core
from ..columns.locate import PathError, invalid, spell
from .layout import POINTERS, Field, Struct, Type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..message import MessageBuilder

Step = str | SupportsIndex

_NULL, _STRUCT, _LIST, _CAPABILITY = range(4)

# Bits of one element of a list, by the element size that its pointer gives.
ELEMENT_BITS = (0, 1, 8, 16, 32, 64)
BIT, BYTE, POINTER, COMPOSITE = 1, 2, 6, 7


@dataclass(frozen=True, slots=True)
class Space:
    """The memory of a message, and what its root is."""

    segments: tuple[memoryview, ...]
    schema: Any
    """pycapnp's schema of the root struct."""
    building: bool
    """Whether the message is being built: then what is not set can be set."""
    dtypes: dict[Any, Any]
    """Those of structs that were made before; they are worth keeping."""
    builder: "MessageBuilder | None" = None

    def load(self, segment: int, byte: int, length: int) -> int:
        """Read a number, which is known to be in bounds."""
        return int.from_bytes(self.segments[segment][byte : byte + length], "little")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the two sections of a struct lie, or of all structs of a list."""

    segment: int
    byte: int
    """Of the (first) data section."""
    data_bits: int
    word: int
    """Of the (first) pointer section."""
    pointers: int
    count: int = 1
    stride: int = 0
    """Bytes from one struct of a list to the next."""


@dataclass(frozen=True, slots=True)
class Elements:
    """Where a list lies. Text and Data are lists of bytes, too."""

    segment: int
    word: int
    count: int
    size: int
    """Of the elements, as the pointer gives it."""
    data_words: int
    pointers: int

    @property
    def stride(self) -> int:
        """Bytes from one element to the next; of no use for bits."""
        if self.size == COMPOSITE:
            return 8 * (self.data_words + self.pointers)
        return 8 if self.size == POINTER else ELEMENT_BITS[self.size] // 8

    @property
    def data_bits(self) -> int:
        """Bits of data in each element."""
        if self.size == COMPOSITE:
            return 64 * self.data_words
        return 0 if self.size == POINTER else ELEMENT_BITS[self.size]

    def structs(self) -> Place:
        """Where the sections lie if the elements are taken as structs."""
        data = 8 * self.data_words if self.size == COMPOSITE else 0
        return Place(
            self.segment,
            8 * self.word,
            self.data_bits,
            self.word + data // 8,
            self.pointers,
            self.count,
            self.stride,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """Where a path has led."""

    type: Type
    place: Place | Elements | None
    """A struct's or a list's (Text's, Data's) place; None if the pointer is null, or
    if the type is a plain value."""
    field: Field | None
    """The field whose value this is, if the last step was one."""
    path: tuple[Step, ...]
    """The steps taken."""
    rest: tuple[str, ...]
    """Steps that are left: fields of the structs in the list that was reached."""


def active(space: Space, place: Place | None, tag_offset: int) -> int:
    """Read the tag of a union."""
    if place is None or tag_offset + 16 > place.data_bits:
        return 0
    return space.load(place.segment, place.byte + tag_offset // 8, 2)


def follow(space: Space, path: Sequence[Step]) -> Target:
    """Go from the root along `path`, to its end or to a list whose fields it names.

    Raises:
        PathError: no such field; while building, something on the way is not set; a
            union's member is not the active one.
        IndexError: a list is shorter.
        TypeError: a step is neither a name nor an index.
        InvalidMessage: the bytes are no valid message.
    """
    if not space.segments:
        raise PathError("the message has no root yet: init_root() makes it")
    root = Type("struct", space.schema)
    target = Target(root, _resolve(space, root, 0, 0), None, (), ())
    for number, step in enumerate(path):
        kind = target.type.kind
        if not isinstance(step, str):
            step = _index(step, path)
        if kind in ("struct", "group"):
            target = _to_field(space, target, step, path)
        elif kind == "list":
            assert target.type.element is not None
            if isinstance(step, str) and target.type.element.kind == "struct":
                rest = path[number:]
                return replace(target, rest=tuple(_name(step, path) for step in rest))
            target = _to_element(space, target, step)
        else:
            raise PathError(
                f"{spell(target.path)} is of type {target.type}: "
                f"nothing is in it that {step!r} could name"
            )
    return target


def _index(step: Any, path: Sequence[Step]) -> int:
    if not isinstance(step, bool):
        try:
            return operator.index(step)
        except TypeError:
            pass
    raise TypeError(
        f"a path consists of field names and list indexes, not of {type(step).__name__!r}: "
        f"{tuple(path)!r}"
    )


def _name(step: Any, path: Sequence[Step]) -> str:
    if isinstance(step, str):
        return step
    raise PathError(f"{spell(path)}: an index cannot follow the fields of all structs in a list")


def _to_field(space: Space, target: Target, step: str | int, path: Sequence[Step]) -> Target:
    where = target.path
    layout = Struct(target.type.schema)
    if not isinstance(step, str) or step not in layout:
        names = ", ".join(layout.names)
        raise PathError(
            f"{spell(path)}: {spell(where)} is a {target.type}, which has no {step!r}; "
            f"its fields are: {names or 'none'}"
        )
    place = target.place
    assert not isinstance(place, Elements)
    if place is None and space.building:
        raise PathError(f"{spell(where)} is not set: init() it before going on to {step!r}")
    field = layout[step]
    there = (*where, step)
    if field.tag is not None and layout.tag_offset is not None:
        tag = active(space, place, layout.tag_offset)
        if tag != field.tag:
            other = layout.members.get(tag, f"unknown member {tag}")
            raise PathError(f"{spell(there)} is not the active member of its union: {other} is")
    if field.type.kind == "group":
        return Target(field.type, place, field, there, ())
    if field.type.kind not in POINTERS:
        return Target(field.type, None, field, there, ())
    found = None
    if place is not None and field.offset < place.pointers:
        found = _resolve(space, field.type, place.segment, place.word + field.offset)
    if found is None and field.default is True and not space.building:
        raise TypeError(
            f"{spell(there)} is not set, and its default is in the schema, not in the message: "
            "read it with pycapnp"
        )
    return Target(field.type, found, field, there, ())


def _to_element(space: Space, target: Target, step: str | int) -> Target:
    where = target.path
    element = target.type.element
    assert element is not None
    if isinstance(step, str):
        raise PathError(f"{spell(where)} is a {target.type}: an index must follow, not {step!r}")
    elements = target.place
    assert not isinstance(elements, Place)
    if elements is None and space.building:
        raise PathError(f"{spell(where)} is not set: init() it first")
    count = 0 if elements is None else elements.count
    if not -count <= step < count:
        raise IndexError(f"{spell((*where, step))}: the list has {count} elements")
    assert elements is not None
    step %= count
    there = (*where, step)
    if element.kind == "struct":
        all_of_them = structs_of(elements)
        place = replace(
            all_of_them,
            byte=all_of_them.byte + step * all_of_them.stride,
            word=all_of_them.word + step * all_of_them.stride // 8,
            count=1,
        )
        return Target(element, place, None, there, ())
    if element.kind not in POINTERS:
        return Target(element, None, None, there, ())
    pointers = pointers_of(elements)
    found = _resolve(space, element, elements.segment, pointers.word + step * pointers.stride // 8)
    return Target(element, found, None, there, ())


def structs_of(elements: Elements) -> Place:
    """Take a list as one of structs, which each but a list of bits can be."""
    if elements.size == BIT:
        raise invalid("a list of bits stands for one of structs", elements.segment, elements.word)
    return elements.structs()


def pointers_of(elements: Elements) -> Place:
    """Take a list as one of pointers."""
    if elements.pointers == 0 and elements.count != 0:
        raise invalid(
            "a list without pointers stands for one of pointers", elements.segment, elements.word
        )
    return elements.structs()


_WANTED = {"struct": "a struct", "list": "a list", "text": "Text", "data": "Data"}


def _resolve(space: Space, kind: Type, segment: int, word: int) -> Place | Elements | None:
    """Follow one pointer, and check that what is there is of the right kind."""
    found, there, at, count, size, data, pointers = _core.resolve(space.segments, segment, word)
    if found == _NULL:
        return None
    if kind.kind == "struct":
        if found == _STRUCT:
            return Place(there, 8 * at, 64 * data, at + data, pointers)
    elif kind.kind in ("list", "text", "data"):
        if found == _LIST and (kind.kind == "list" or size == BYTE):
            return Elements(there, at, count, size, data, pointers)
    else:
        return None
    raise invalid(f"a pointer leads to something else than {_WANTED[kind.kind]}", segment, word)


__all__ = ["PathError", "Space", "follow", "invalid", "spell"]
