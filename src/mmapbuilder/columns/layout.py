"""Which columns of Apache Arrow a list of a message has.

Groups at the top of a table have dotted names; below it they are structs. A group that is
nothing but a union of a value and a Void member is a value that can be null. Of a struct
that contains itself as many levels are shown as the caller wants.

A union is columns of its members, of which all but one are null in a row, and a column of
their names; or, if it is wanted, one dense union of Arrow.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .locate import PathError
from .schema import POINTERS, TAG, Field, Plan, Struct

_FIELD, _ELEMENT, _TAG, _GROUP, _UNION, _NOTHING = range(6)

_VIEWS = {"text": "vu", "data": "vz", "list": "+vL"}
"""Types that can stay where they are, as Arrow spells them then."""

_VIEWED = frozenset(
    {
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        "float32",
        "float64",
    }
)
"""Elements of lists that can."""

_MOST_CODES = 128
"""The codes of a union of Arrow are bytes that are not negative."""

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
    subject: int
    number: int
    nullable: bool
    code: int
    """Of a member of a dense union: its tag."""
    conditions: list[tuple[int, int]]
    children: list["Column"]


class Layout(NamedTuple):
    """The columns of a table."""

    columns: list[Column]
    left_out: dict[str, str]
    """The names of fields that no column can hold, and why."""


class _Maker:
    """Goes through the fields of a struct."""

    def __init__(self, plan: Plan, depth: int, dense: bool, views: bool) -> None:
        self._plan = plan
        self._depth = depth
        self._dense = dense
        self._views = views
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
            if self._dense and field.tag is not None:
                continue
            inside = _inside_union(struct, field, conditions)
            name = prefix + field.column
            kind, refers_to = self._plan.types[field.type]
            if (
                kind == "group"
                and self._nullable(refers_to) is None
                and not self._is_dense(refers_to)
            ):
                yield from self._flat(refers_to, f"{name}.", inside, nullable)
                continue
            column = self._field(number, position, field, name, name, inside)
            if column is not None:
                yield column
        if struct.tag_offset is not None and self._dense:
            yield self._union(number, prefix + TAG, prefix)
        elif struct.tag_offset is not None:
            yield Column(prefix + TAG, "i", _TAG, number, bool(conditions), 0, conditions, [])

    def _is_dense(self, number: int) -> bool:
        """Whether a group is nothing but a union, and is shown as one."""
        return self._dense and all(
            field.tag is not None for field in self._plan.structs[number].fields.values()
        )

    def _union(self, number: int, name: str, path: str) -> Column:
        """Return the union of a struct or group as one column, of its members."""
        members = []
        struct = self._plan.structs[number]
        if max(struct.members) >= _MOST_CODES:
            raise TypeError(
                f"{name!r} has more than {_MOST_CODES} members, which a union of Arrow cannot "
                'have: unions="members" shows them as columns'
            )
        for position, field in enumerate(struct.fields.values()):
            if field.tag is not None:
                column = self._field(number, position, field, field.column, path + field.name, [])
                if column is None:  # a field that is left out has a place, too
                    column = Column(field.column, "n", _NOTHING, 0, True, 0, [], [])
                members.append(column._replace(code=field.tag, nullable=True))
        codes = ",".join(str(member.code) for member in members)
        return Column(name, f"+ud:{codes}", _UNION, number, False, 0, [], members)

    def _field(
        self,
        number: int,
        position: int,
        field: Field,
        name: str,
        path: str,
        conditions: list[tuple[int, int]],
    ) -> Column | None:
        kind, refers_to = self._plan.types[field.type]
        if kind == "group":
            value = self._nullable(refers_to)
            if value is not None:
                group = self._plan.structs[refers_to]
                inner = list(group.fields.values())[value]
                conditions = _inside_union(group, inner, conditions)
                return self._field(refers_to, value, inner, name, path, conditions)
            if self._is_dense(refers_to):
                return self._union(refers_to, name, f"{path}.")
            children = self._children(refers_to, path)
            return Column(name, "+s", _GROUP, refers_to, bool(conditions), 0, conditions, children)
        where = self._first[number] + position
        return self._value(field.type, name, path, _FIELD, where, conditions, False)

    def _value(
        self,
        number: int,
        name: str,
        path: str,
        subject: int,
        where: int,
        conditions: list[tuple[int, int]],
        in_list: bool,
    ) -> Column | None:
        kind, refers_to = self._plan.types[number]
        nullable = bool(conditions) or kind == "void" or (kind in POINTERS and not in_list)
        children: list[Column] = []
        if kind in _LEFT_OUT:
            self.left_out[path] = f"{self._plan.spell(number)} is nothing that a column can hold"
            return None
        if kind == "struct":
            if self._inside.count(refers_to) >= self._depth:
                self.left_out[path] = (
                    f"{self._plan.spell(number)} contains itself: depth= shows more levels"
                )
                return None
            self._inside.append(refers_to)
            children = self._children(refers_to, path)
            self._inside.pop()
        elif kind == "list":
            element = self._value(refers_to, "item", path, _ELEMENT, refers_to, [], True)
            if element is None:
                return None
            children = [element._replace(nullable=self._plan.types[refers_to].kind in POINTERS)]
            if self._plan.types[refers_to].kind == "struct":
                children = [children[0]._replace(nullable=False)]
        form = self._format(number, kind, refers_to)
        return Column(name, form, subject, where, nullable, 0, conditions, children)

    def _format(self, number: int, kind: str, target: int) -> str:
        meaning = self._plan.meanings.get(number)
        if meaning is not None:
            return meaning.format
        if self._views and kind in _VIEWS:
            element = self._plan.types[target]
            plain = element.kind in _VIEWED and not self._is_decimal(target)
            if kind != "list" or plain:
                return _VIEWS[kind]
        return _FORMATS[kind]

    def _is_decimal(self, number: int) -> bool:
        meaning = self._plan.meanings.get(number)
        return meaning is not None and meaning.what == "decimal"

    def _children(self, number: int, path: str) -> list[Column]:
        struct = self._plan.structs[number]
        columns = []
        for position, field in enumerate(struct.fields.values()):
            if self._dense and field.tag is not None:
                continue
            inside = _inside_union(struct, field, [])
            there = f"{path}.{field.name}"
            column = self._field(number, position, field, field.column, there, inside)
            if column is not None:
                # Where the struct is null, nothing in it is there.
                columns.append(column)
        if struct.tag_offset is not None and self._dense:
            columns.append(self._union(number, TAG, f"{path}."))
        elif struct.tag_offset is not None:
            columns.append(Column(TAG, "i", _TAG, number, False, 0, [], []))
        return [
            column if column.subject == _UNION else column._replace(nullable=True)
            for column in columns
        ]

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


def layout_of(
    plan: Plan, number: int, name: str, depth: int, dense: bool = False, views: bool = False
) -> Layout:
    """Return the columns of a list whose elements are of the type `number`.

    `name` is that of the one column if they are no structs. `dense`: unions are dense unions of
    Arrow. `views`: strings and lists of numbers stay where they are.
    """
    maker = _Maker(plan, depth, dense, views)
    kind, refers_to = plan.types[number]
    if kind == "struct":
        return Layout(maker.table(refers_to), maker.left_out)
    column = maker.element(number, name)
    if column is not None and kind in POINTERS:
        column = column._replace(nullable=True)  # as in a list within another
    return Layout([] if column is None else [column], maker.left_out)


def choose(layout: Layout, names: Sequence[str], where: str) -> list[Column]:
    """Return some of the columns.

    Raises:
        PathError: there is none of that name.
        TypeError: a name is that of a group, or of what no column can hold; or `names` is a str,
            whose letters would be taken for names.
    """
    if isinstance(names, str):
        raise TypeError(f"{where}: columns is a list of names: [{names!r}], not {names!r}")
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
