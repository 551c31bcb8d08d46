"""The text of a Cap'n Proto schema for a table of Apache Arrow.

The types are those that `fill` takes and `table` gives back. Names that a schema cannot have are
kept in an annotation, so that tables still have them.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from .. import _core

_PLAIN = {
    "n": "Void",
    "b": "Bool",
    "c": "Int8",
    "C": "UInt8",
    "s": "Int16",
    "S": "UInt16",
    "i": "Int32",
    "I": "UInt32",
    "l": "Int64",
    "L": "UInt64",
    "e": "Float32",
    "f": "Float32",
    "g": "Float64",
    "u": "Text",
    "U": "Text",
    "vu": "Text",
    "z": "Data",
    "Z": "Data",
    "vz": "Data",
}
_LISTS = ("+l", "+L", "+vl", "+vL")
_UNITS = {"s": "s", "m": "ms", "u": "us", "n": "ns"}
_NUMBERS = re.compile(r"Bool|U?Int\d+|Float\d+")
_ENUMERANT = re.compile(r"[a-z][a-zA-Z0-9]*")
_MOST_ENUMERANTS = 1 << 16

# What begins a declaration, so that a field cannot have the name.
_KEYWORDS = frozenset(
    {
        "annotation",
        "const",
        "enum",
        "extends",
        "group",
        "import",
        "interface",
        "struct",
        "union",
        "using",
    }
)


class _Described(NamedTuple):
    """A column or a type of Arrow."""

    format: str
    name: str
    nullable: bool
    nulls: int
    """How many there are; -1 if that is not known."""
    children: list["_Described"]
    dictionary: "_Described | None"
    strings: list[str | None] | None
    """Of a dictionary of strings these."""


def schema_from(table: Any, name: str, nullable: Collection[str] | None) -> str:
    """Return the text of a schema, see `mmapbuilder.schema_from`."""
    if not re.fullmatch("[A-Z][a-zA-Z0-9]*", name):
        raise ValueError(f"the name of a struct must begin with a capital letter: {name!r}")
    described = _describe(table)
    if described.format != "+s":
        raise TypeError("a table of Arrow is required, or an array of structs")
    schema = _Schema(nullable)
    body = schema.struct("Row", described.children, "")
    using = ['using Arrow = import "/mmapbuilder/arrow.capnp";', ""] if schema.annotates else []
    lines = [*using, f"struct {name} {{", "  rows @0 :List(Row);", "", *_indented(body), "}", ""]
    text = "\n".join(lines)
    # The highest bit of an id is one.
    digest = hashlib.sha256(text.encode()).digest()
    number = int.from_bytes(digest[:8], "big") | 1 << 63
    return f"@{number:#x};\n\n{text}"


def _describe(table: Any) -> _Described:
    if hasattr(table, "__arrow_c_stream__"):
        given = table.__arrow_c_stream__()
    elif hasattr(table, "__arrow_c_array__"):
        given = table.__arrow_c_array__()
    elif hasattr(table, "__arrow_c_schema__"):
        given = table.__arrow_c_schema__()
    else:
        raise TypeError(
            "a table that has Arrow's PyCapsule interface is required, as those of pyarrow, "
            f"polars, pandas and duckdb are, not {type(table).__name__}"
        )
    return _described(_core.describe_arrow(given))


def _described(found: tuple[Any, ...]) -> _Described:
    form, name, nullable, nulls, children, dictionary, strings = found
    if form == "+r" and len(children) == 2:  # runs of the values that the second child has
        return _described(children[1])._replace(name=name)
    return _Described(
        form,
        name,
        bool(nullable),
        nulls,
        [_described(child) for child in children],
        None if dictionary is None else _described(dictionary),
        strings,
    )


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" if line else line for line in lines]


class _Type(NamedTuple):
    """A type as a schema spells it."""

    text: str
    annotation: str = ""


class _Schema:
    """Writes structs, one within the other."""

    def __init__(self, nullable: Collection[str] | None) -> None:
        self._nullable = nullable
        self.annotates = False

    def struct(self, name: str, columns: list[_Described], path: str) -> list[str]:
        """Return the lines of a struct."""
        scope = _Scope()
        body = self._fields(columns, path, scope)
        return [f"struct {name} {{", *_indented(body + scope.nested), "}"]

    def _fields(self, columns: list[_Described], path: str, scope: "_Scope") -> list[str]:
        lines = []
        names = _Names(_KEYWORDS)
        for column in columns:
            there = f"{path}.{column.name}" if path else column.name
            name = names.field(column.name)
            called = "" if name == column.name else f" $Arrow.name({_quoted(column.name)})"
            self.annotates = self.annotates or bool(called)
            lines.extend(self._field(name, called, column, there, scope))
        return lines

    def _field(
        self, name: str, called: str, column: _Described, path: str, scope: "_Scope"
    ) -> list[str]:
        if column.format[:2] == "+u":
            inner = self._fields(column.children, path, scope)
            return [f"{name} :union{called} {{", *_indented(inner), "}"]
        kind = self._type(column, name, path, scope)
        if self._can_be_null(kind.text, column, path, scope):
            members = [
                f"value @{scope.next()} :{kind.text}{kind.annotation};",
                f"none @{scope.next()} :Void;",
            ]
            return [f"{name} :union{called} {{", *_indented(members), "}"]
        return [f"{name} @{scope.next()} :{kind.text}{kind.annotation}{called};"]

    def _can_be_null(self, kind: str, column: _Described, path: str, scope: "_Scope") -> bool:
        if not _NUMBERS.fullmatch(kind) and kind not in scope.enums:
            return False
        if self._nullable is not None:
            return path in self._nullable
        return column.nulls > 0 or (column.nulls < 0 and column.nullable)

    def _type(self, column: _Described, name: str, path: str, scope: "_Scope") -> _Type:
        form = column.format
        if column.dictionary is not None:
            return self._dictionary(column.dictionary, name, path, scope)
        if form in _PLAIN:
            return _Type(_PLAIN[form])
        if form[:2] == "w:":
            return _Type("Data")
        if form[:1] == "t" or form[:2] == "d:":
            kind = _time(form) if form[:1] == "t" else _decimal(form)
            if kind is None:
                raise TypeError(f"column {path!r}: intervals have no type in a schema")
            self.annotates = True
            return kind
        if form == "+s":
            return _Type(scope.add(name, lambda each: self.struct(each, column.children, path)))
        if (form in (*_LISTS, "+m") or form[:3] == "+w:") and len(column.children) != 1:
            raise ValueError(f"column {path!r}: the Arrow schema is damaged: a list has one child")
        if form == "+m":
            entry = column.children[0]._replace(name="entry")
            return _Type(f"List({self._element(entry, name, path, scope).text})")
        if form in _LISTS or form[:3] == "+w:":
            element = self._element(column.children[0], name, path, scope)
            return _Type(f"List({element.text})", element.annotation)
        raise TypeError(f"column {path!r}: there is no type for Arrow's {form!r}")

    def _element(self, element: _Described, name: str, path: str, scope: "_Scope") -> _Type:
        kind = self._type(element, name, path, scope)
        is_pointer = kind.text in ("Text", "Data") or kind.text.startswith("List(")
        if element.nulls > 0 and not is_pointer and kind.text != "Void":
            raise ValueError(
                f"column {path!r}: elements of its lists are missing, and numbers and structs in "
                "lists cannot be null: replace or drop the missing ones"
            )
        return kind

    def _dictionary(self, dictionary: _Described, name: str, path: str, scope: "_Scope") -> _Type:
        names = dictionary.strings
        if not names or len(names) > _MOST_ENUMERANTS:
            return self._type(dictionary, name, path, scope)
        if any(each is None or not _ENUMERANT.fullmatch(each) for each in names):
            return self._type(dictionary, name, path, scope)

        def write(kind: str) -> list[str]:
            numbered = [f"{each} @{number};" for number, each in enumerate(names)]
            return [f"enum {kind} {{", *_indented(numbered), "}"]

        kind = scope.add(name, write)
        scope.enums.add(kind)
        return _Type(kind)


class _Scope:
    """What has been declared in one struct: ordinals are counted through its groups."""

    def __init__(self) -> None:
        self._ordinal = 0
        self._names = _Names(frozenset())
        self.nested: list[str] = []
        self.enums: set[str] = set()

    def next(self) -> int:
        self._ordinal += 1
        return self._ordinal - 1

    def add(self, name: str, write: Any) -> str:
        """Declare a struct or enum that is named after a field."""
        kind = self._names.unique(name[0].upper() + name[1:])
        self.nested += ["", *write(kind)]
        return kind


class _Names:
    """Names that are used once each."""

    def __init__(self, used: Collection[str]) -> None:
        self._used = set(used)

    def unique(self, name: str) -> str:
        found = next(each for each in _numbered(name) if each not in self._used)
        self._used.add(found)
        return found

    def field(self, name: str) -> str:
        """Return a name that a field can have, which begins with a small letter."""
        words = [word for word in re.split("[^a-zA-Z0-9]+", name) if word]
        text = "".join(
            [words[0], *(word[0].upper() + word[1:] for word in words[1:])] if words else ["column"]
        )
        text = text[0].lower() + text[1:]
        return self.unique(text if text[0].isalpha() else f"column{text}")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}{number}"
        number += 1


def _quoted(text: str) -> str:
    parts = []
    for character in text.encode():
        plain = 32 <= character < 127 and character not in b'"\\'
        parts.append(chr(character) if plain else f"\\x{character:02x}")
    return '"' + "".join(parts) + '"'


def _time(form: str) -> _Type | None:
    if form in ("tdD", "tdm"):
        return _Type(
            *(("Int32", " $Arrow.date32") if form == "tdD" else ("Int64", " $Arrow.date64"))
        )
    if form[1:2] not in ("s", "t", "D") or form[2:3] not in _UNITS:
        return None
    unit = f'unit = "{_UNITS[form[2]]}"'
    if form[1] == "s":
        zone = form[4:]
        zoned = f", timezone = {_quoted(zone)}" if zone else ""
        return _Type("Int64", f" $Arrow.timestamp({unit}{zoned})")
    if form[1] == "t":
        return _Type("Int32" if form[2] in "sm" else "Int64", f" $Arrow.time({unit})")
    return _Type("Int64", f" $Arrow.duration({unit})")


def _decimal(form: str) -> _Type:
    precision, scale, *_ = (int(part) for part in form[2:].split(","))  # a ValueError if not
    kind = "Int32" if precision <= 9 else "Int64" if precision <= 18 else "Data"
    return _Type(kind, f" $Arrow.decimal(precision = {precision}, scale = {scale})")
