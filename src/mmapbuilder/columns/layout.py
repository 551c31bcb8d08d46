"""Which columns of Apache Arrow a list of a message has.

Groups at the top of a table have dotted names; below it they are structs. A group that is
nothing but a union of a value and a Void member is a value that can be null. Of a struct
that contains itself as many levels are shown as the caller wants.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from .locate import PathError
from .schema import POINTERS, TAG, Field, Plan, Struct

_FIELD, _ELEMENT, _TAG, _GROUP = range(4)

_FORMATS = {
    "void": "n",
    "bool": "b",
    "int8": "c",
    "uint8": "C",
    "int16": "s",
    "uint16": "S",
    "int32": "i",
    "uint32": "I",
    "int64": "l",
    "uint64": "L",
    "float32": "f",
    "float64": "g",
    "text": "U",
    "data": "Z",
    "list": "+L",
    "struct": "+s",
    "group": "+s",
    "enum": "i",
}
"""Types as Arrow spells them; an enum has 32-bit numbers of names."""

_LEFT_OUT = ("anyPointer", "interface")


class Column(NamedTuple):
    """A column, as the native code wants it described."""

    name: str
    format: str
    source: int
    number: int
    nullable: bool
    conditions: list[tuple[int, int]]
    children: list["Column"]


class Layout(NamedTuple):
    """The columns of a table."""

    columns: list[Column]
    left_out: dict[str, str]
    """The names of fields that no column can hold, and why."""


class _Maker:
    """Goes through the fields of a struct."""

    def __init__(self, plan: Plan, depth: int) -> None:
        self._plan = plan
        self._depth = depth
        self._inside: list[int] = []
        # Where each field stands in the native plan: that of the first of each struct.
        self._first: list[int] = []
        total = 0
        for each in plan.structs:
            self._first.append(total)
            total += len(each.fields)
        self.left_out: dict[str, str] = {}

    def table(self, number: int) -> list[Column]:
        self._inside.append(number)
        return list(self._flat(number, "", [], False))

    def element(self, number: int, name: str) -> Column | None:
        """Return the column of the elements of a list."""
        return self._value(number, name, name, _ELEMENT, number, [], True)

    def _flat(
        self, number: int, prefix: str, conditions: list[tuple[int, int]], nullable: bool
    ) -> Iterator[Column]:
        struct = self._plan.structs[number]
        for position, field in enumerate(struct.fields.values()):
            inside = _inside_union(struct, field, conditions)
            name = prefix + field.name
            kind, target = self._plan.types[field.type]
            if kind == "group" and self._nullable(target) is None:
                yield from self._flat(target, f"{name}.", inside, nullable)
                continue
            column = self._field(number, position, field, name, name, inside)
            if column is not None:
                yield column
        if struct.tag_offset is not None:
            yield Column(prefix + TAG, "i", _TAG, number, bool(conditions), conditions, [])

    def _field(
        self,
        number: int,
        position: int,
        field: Field,
        name: str,
        path: str,
        conditions: list[tuple[int, int]],
    ) -> Column | None:
        kind, target = self._plan.types[field.type]
        if kind == "group":
            value = self._nullable(target)
            if value is not None:
                group = self._plan.structs[target]
                inner = list(group.fields.values())[value]
                conditions = _inside_union(group, inner, conditions)
                return self._field(target, value, inner, name, path, conditions)
            children = self._children(target, path)
            return Column(name, "+s", _GROUP, target, bool(conditions), conditions, children)
        source = self._first[number] + position
        return self._value(field.type, name, path, _FIELD, source, conditions, False)

    def _value(
        self,
        number: int,
        name: str,
        path: str,
        source: int,
        where: int,
        conditions: list[tuple[int, int]],
        in_list: bool,
    ) -> Column | None:
        kind, target = self._plan.types[number]
        nullable = bool(conditions) or kind == "void" or (kind in POINTERS and not in_list)
        children: list[Column] = []
        if kind in _LEFT_OUT:
            self.left_out[path] = f"{self._plan.spell(number)} is nothing that a column can hold"
            return None
        if kind == "struct":
            if self._inside.count(target) >= self._depth:
                self.left_out[path] = (
                    f"{self._plan.spell(number)} contains itself: depth= shows more levels"
                )
                return None
            self._inside.append(target)
            children = self._children(target, path)
            self._inside.pop()
        elif kind == "list":
            element = self._value(target, "item", path, _ELEMENT, target, [], True)
            if element is None:
                return None
            children = [element._replace(nullable=self._plan.types[target].kind in POINTERS)]
            if self._plan.types[target].kind == "struct":
                children = [children[0]._replace(nullable=False)]
        return Column(name, _FORMATS[kind], source, where, nullable, conditions, children)

    def _children(self, number: int, path: str) -> list[Column]:
        struct = self._plan.structs[number]
        columns = []
        for position, field in enumerate(struct.fields.values()):
            inside = _inside_union(struct, field, [])
            there = f"{path}.{field.name}"
            column = self._field(number, position, field, field.name, there, inside)
            if column is not None:
                # Where the struct is null, nothing in it is there.
                columns.append(column)
        if struct.tag_offset is not None:
            columns.append(Column(TAG, "i", _TAG, number, False, [], []))
        return [column._replace(nullable=True) for column in columns]

    def _nullable(self, number: int) -> int | None:
        """Return which field has the value if a group is a value that can be null."""
        struct = self._plan.structs[number]
        fields = list(struct.fields.values())
        if len(fields) != 2 or any(field.tag is None for field in fields):
            return None
        voids = [self._plan.types[field.type].kind == "void" for field in fields]
        kinds = [self._plan.types[field.type].kind for field in fields]
        if voids.count(True) != 1 or "group" in kinds:
            return None
        return voids.index(False)


def _inside_union(
    struct: Struct, field: Field, conditions: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    if field.tag is None or struct.tag_offset is None:
        return conditions
    return [*conditions, (struct.tag_offset, field.tag)]


def layout_of(plan: Plan, number: int, name: str, depth: int) -> Layout:
    """Return the columns of a list whose elements are of the type `number`.

    `name` is that of the one column if they are no structs.
    """
    maker = _Maker(plan, depth)
    kind, target = plan.types[number]
    if kind == "struct":
        return Layout(maker.table(target), maker.left_out)
    column = maker.element(number, name)
    return Layout([] if column is None else [column], maker.left_out)


def choose(plan: Plan, layout: Layout, names: list[str], where: str) -> list[Column]:
    """Return some of the columns.

    Raises:
        PathError: there is none of that name.
        TypeError: the name is that of a group, or of what no column can hold.
    """
    known = {column.name: column for column in layout.columns}
    chosen = []
    for name in names:
        if name in layout.left_out:
            raise TypeError(f"{where}: {name!r}: {layout.left_out[name]}")
        if name not in known:
            inner = [each for each in known if each.startswith(f"{name}.")]
            if inner:
                raise TypeError(
                    f"{where}: {name!r} is a group: name one of its fields, {', '.join(inner)}"
                )
            raise PathError(
                f"{where}: its structs have no {name!r}; their columns are: "
                f"{', '.join(known) or 'none'}"
            )
        chosen.append(known[name])
    return chosen


def native(columns: list[Column]) -> list[Any]:
    """Return columns as the native code takes them."""
    return [(*column[:-1], native(column.children)) for column in columns]
