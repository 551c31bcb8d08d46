"""Exceptions in the code of values: an interruption is raised by each call of such code in turn.

It must reach the caller as it is, whichever way the value was being read, and the message must hold
what it held before.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

capnp = pytest.importorskip("capnp")
np = pytest.importorskip("numpy")

from column_schemas import HERE, columns_capnp  # noqa: E402

from mmapbuilder import MessageBuilder, MessageLog, schema_path  # noqa: E402

Root = columns_capnp.Root
meanings_capnp: Any = capnp.load(str(HERE / "meanings.capnp"), imports=[schema_path()])


class Code:
    """Counts the calls of the code of values, and raises an exception in one of them."""

    def __init__(self) -> None:
        self.calls = 0
        self.at = 0
        self.kind: type[BaseException] = KeyboardInterrupt
        self.raised: BaseException | None = None

    def start(self, at: int, kind: type[BaseException]) -> None:
        self.calls, self.at, self.kind, self.raised = 0, at, kind, None

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            self.raised = self.kind("by the code of a value")
            raise self.raised


code = Code()


# ---- values that run code ---------------------------------------------------------------------


class Key:
    """A key that is no str, and is compared with one of the same hash."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __hash__(self) -> int:
        code()
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        code()
        return other == self.name


class Name(str):
    __slots__ = ()

    def __hash__(self) -> int:
        code()
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        code()
        return str.__eq__(self, other)


class Number:
    def __index__(self) -> int:
        code()
        return 1

    def __float__(self) -> float:
        code()
        return 1.0

    def __len__(self) -> int:
        code()
        raise TypeError("a number has no length")

    def __getattr__(self, name: str) -> Any:
        code()
        raise AttributeError(name)


class Truth:
    def __bool__(self) -> bool:
        code()
        return True


Truth.__name__ = "bool_"  # as NumPy calls it


class Items:
    """A sequence by the old rules."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        code()
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        code()
        return self.items[index]


class Iterable:
    def __init__(self, *items: Any) -> None:
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        code()
        return Next(self.items)

    def __length_hint__(self) -> int:
        code()
        return len(self.items)


class Next:
    def __init__(self, items: tuple[Any, ...]) -> None:
        self.left = list(items)

    def __iter__(self) -> Next:
        code()
        return self

    def __next__(self) -> Any:
        code()
        if not self.left:
            raise StopIteration
        return self.left.pop(0)


class Pairs(Mapping[str, Any]):
    def __init__(self, **values: Any) -> None:
        self.values_ = values

    def __getitem__(self, name: str) -> Any:
        code()
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        code()
        return iter(self.values_)

    def __len__(self) -> int:
        code()
        return len(self.values_)

    def keys(self) -> Any:
        code()
        return self.values_.keys()


class Tuple(tuple[Any, ...]):
    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        code()
        return super().__getattribute__(name)

    def __len__(self) -> int:
        code()
        return tuple.__len__(self)

    def __getitem__(self, index: Any) -> Any:
        code()
        return super().__getitem__(index)


class List(list[Any]):
    def __len__(self) -> int:
        code()
        return super().__len__()

    def __iter__(self) -> Iterator[Any]:
        code()
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        code()
        return super().__getitem__(index)


class Bytes(bytearray):
    def __getattribute__(self, name: str) -> Any:
        code()
        return super().__getattribute__(name)

    def __len__(self) -> int:
        code()
        return super().__len__()


class Asked:
    def __init__(self, **values: Any) -> None:
        self.values = values

    def __getattr__(self, name: str) -> Any:
        code()
        try:
            return self.values[name]
        except KeyError:
            raise AttributeError(name) from None


class Attribute:
    """A descriptor."""

    def __get__(self, object_: object, kind: type) -> int:
        code()
        return 5


class Described:
    id = Attribute()

    @property
    def name(self) -> str:
        code()
        return "name"


class Plain:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


def with_key(key: Any, value: Any, **values: Any) -> Plain:
    """An object with a name in its dict that is compared whenever that name is searched."""
    made = Plain()
    vars(made)[key] = value
    vars(made).update(values)
    return made


class Zone(datetime.tzinfo):
    def utcoffset(self, _: datetime.datetime | None) -> datetime.timedelta:
        code()
        return datetime.timedelta(hours=1)

    def dst(self, _: datetime.datetime | None) -> None:
        code()

    def tzname(self, _: datetime.datetime | None) -> str:
        code()
        return "zone"


class AskedClass(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__dataclass_fields__", "__struct_fields__", "_fields", "__attrs_attrs__"):
            code()
        return super().__getattribute__(name)


class OfAsking(metaclass=AskedClass):
    def __init__(self) -> None:
        self.id = 5


@dataclasses.dataclass
class Data:
    id: Any
    score: Any


def whole(kind: Any, id_: Any) -> Any:
    """An item as a tuple of its 14 fields."""
    return kind((id_, "a", None, None, "red", True, None, None, Number(), *[None] * 5))


class Asking:
    """What rows are read into."""

    def __init__(self, id: int, name: str = "") -> None:  # noqa: A002
        code()


def make_asking(id: int, **values: Any) -> Asking:  # noqa: A002
    code()
    return Asking(id)


ROWS: dict[str, Callable[[], Any]] = {
    "key of a dict": lambda: {Key("id"): 5, "name": "a"},
    "name of a dict": lambda: {Name("id"): 5, "name": "a"},
    "key in the dict of an object": lambda: with_key(Key("id"), 5, name="a"),
    "name in the dict of an object": lambda: with_key(Name("id"), 5, name="a"),
    "key in the dict of an object in an object": lambda: Plain(
        points=[Plain(x=1, y=2), with_key(Key("x"), 5, y=1)]
    ),
    "key in the dict of an object in a group": lambda: {
        "position": {"place": with_key(Key("x"), 5, y=1)}
    },
    "index": lambda: {"id": Number()},
    "index in an object": lambda: Plain(id=Number()),
    "index in a tuple": lambda: whole(tuple, Number()),
    "index of a bool": lambda: {"flag": Number()},
    "truth": lambda: {"flag": Truth()},
    "enum": lambda: {"color": Number()},
    "name of an enum": lambda: {"color": Name("red")},
    "float": lambda: {"weight": Number()},
    "nullable number": lambda: {"score": Number()},
    "nullable number in a dataclass": lambda: Data(1, Number()),
    "nullable number in a mapping": lambda: {"score": Pairs(value=4)},
    "nullable number in an object": lambda: {"score": Asked(value=4)},
    "nullable number by a key": lambda: {"score": with_key(Key("value"), 4)},
    "sequence": lambda: {"points": Items({"x": 1})},
    "list": lambda: {"points": List([{"x": 1}, List([1, Number()])])},
    "iterable": lambda: {"points": Iterable({"x": 1}, {"x": Number()})},
    "mapping": lambda: Pairs(id=5, name="a"),
    "mapping in a mapping": lambda: Pairs(child=Pairs(id=Number())),
    "tuple": lambda: whole(Tuple, 5),
    "tuple in a list": lambda: {"points": [Tuple((1, 2))]},
    "getattr": lambda: Asked(id=5, name="a"),
    "property and descriptor": lambda: Described(),
    "class that is asked": lambda: OfAsking(),
    "bytes": lambda: {"blob": Bytes(b"abc")},
    "text": lambda: {"name": Bytes(b"abc")},
}

LISTS: dict[str, Callable[[], Any]] = {
    "buffer as a list": lambda: {"i8": Bytes(b"abc")},
    "indexes": lambda: {"i32": [1, Number(), 2]},
    "floats": lambda: {"f64": (1, Number(), 2)},
    "bools": lambda: {"bools": [Truth(), Number()]},
    "enums": lambda: {"colors": ["red", Name("red"), Number()]},
    "lists": lambda: {"matrix": [[1], Items(1, Number()), Iterable(3)]},
    "texts": lambda: {"texts": Items("a", Bytes(b"abc"))},
}

MEANINGS: dict[str, Callable[[], Any]] = {
    "time zone": lambda: {"ns": datetime.datetime(2024, 1, 1, tzinfo=Zone())},
    "time zone of a list": lambda: {"stamps": [datetime.datetime(2024, 1, 1, tzinfo=Zone())]},
    "count": lambda: {"span": Number()},
    "nullable time": lambda: {"maybe": Number()},
}

if sys.version_info >= (3, 12):

    class Buffer:
        def __init__(self, content: Any) -> None:
            self.content = content

        def __buffer__(self, _: int) -> memoryview:
            code()
            return memoryview(self.content)

        def __release_buffer__(self, _: memoryview) -> None:
            pass

        def __len__(self) -> int:
            code()
            return len(self.content)

    ROWS["buffer of bytes"] = lambda: {"blob": Buffer(b"abc")}
    LISTS["buffer"] = lambda: {"i8": Buffer(b"abc"), "i32": Buffer(np.arange(3, dtype="i4"))}


# ---- columns -----------------------------------------------------------------------------------


class Arrow:
    """Offers what an array or a table of pyarrow offers, by the methods of the interface."""

    def __init__(self, inner: Any, stream: bool = True) -> None:
        self.inner = inner
        self.stream = stream

    def __getattribute__(self, name: str) -> Any:
        if name in ("__arrow_c_stream__", "__arrow_c_array__", "__arrow_c_schema__"):
            code()
            if name == "__arrow_c_stream__" and not self.stream:
                raise AttributeError(name)
            return getattr(self.inner, name)
        return super().__getattribute__(name)

    def __len__(self) -> int:
        code()
        return len(self.inner)


class Array:
    """Is made an array of NumPy by its own method."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        code()
        return self.values if dtype is None else self.values.astype(dtype)

    def __len__(self) -> int:
        code()
        return len(self.values)


class Interface(Array):
    __array__ = None  # type: ignore[assignment]

    @property
    def __array_interface__(self) -> Any:
        code()
        return self.values.__array_interface__


def _arrow(stream: bool) -> Callable[[Any], Any]:
    pa = pytest.importorskip("pyarrow")
    return lambda values: Arrow(pa.chunked_array([values]) if stream else pa.array(values), stream)


COLUMNS: dict[str, Callable[[], dict[str, Any]]] = {
    "indexes": lambda: {"id": [1, Number()]},
    "bools": lambda: {"flag": [True, Number()]},
    "floats": lambda: {"weight": [1.5, Number()]},
    "enums": lambda: {"color": ["red", Name("red")]},
    "numbers of enums": lambda: {"color": [0, Number()]},
    "texts": lambda: {"name": ["a", Bytes(b"abc")]},
    "blobs": lambda: {"blob": [b"a", Bytes(b"abc")]},
    "sequence": lambda: {"id": Items(1, 2)},
    "sequence of texts": lambda: {"name": Items("a", "b")},
    "lists": lambda: {"points": [Items({"x": 1}), Iterable({"x": Number()})]},
    "nullable": lambda: {"score": [1, Number()]},
    "structs": lambda: {"position.place": [{"x": Number()}, with_key(Key("x"), 5, y=1)]},
    "array": lambda: {"id": Array([1, 2])},
    "array of texts": lambda: {"name": Array(["a", "b"])},
    "array by its interface": lambda: {"id": Interface([1, 2])},
    "stream of Arrow": lambda: {"id": _arrow(True)([1, 2])},
    "array of Arrow": lambda: {"id": _arrow(False)([1, 2])},
    "texts of Arrow": lambda: {"name": _arrow(False)(["a", "b"])},
    "nullable numbers of Arrow": lambda: {"score": _arrow(True)([1, None])},
}


# ---- the tests ---------------------------------------------------------------------------------


def interrupt_each(use: Callable[[], None], look: Callable[[], Any]) -> None:
    """Let each call of code that `use` makes raise an exception, until all of them have done so."""
    for kind in (KeyboardInterrupt, MemoryError):
        at = 0
        while True:
            at += 1
            code.start(0, kind)
            before = look()
            code.start(at, kind)
            try:
                use()
            except BaseException as error:
                if code.raised is not None:
                    assert error is code.raised, f"call {at} of {code.calls}: {error!r}"
                elif not isinstance(error, TypeError | ValueError):
                    raise
            else:
                assert code.raised is None, f"call {at} of {code.calls} was not heard of"
            ended = code.raised is None
            code.start(0, kind)
            if ended:
                assert at > 1, "no code was run"
                break
            assert look() == before


@pytest.fixture
def b(b: MessageBuilder) -> MessageBuilder:
    """A builder of a message with rows."""
    b.init_root(Root)
    b.set_root({"items": [{"id": 1}] * 2, "rows": [{"i8": [1, 2]}] * 4, "numbers": {"i32": [4]}})
    return b


ALL_ROWS = [("items", name, make) for name, make in ROWS.items()]
ALL_ROWS += [("rows", name, make) for name, make in LISTS.items()]
each_row = pytest.mark.parametrize(
    ("path", "make"),
    [(path, make) for path, _, make in ALL_ROWS],
    ids=[name for _, name, _ in ALL_ROWS],
)


def around(path: str, make: Callable[[], Any]) -> list[Any]:
    """The row behind one of the same kind, and behind objects of classes that are known then."""
    plain = Plain(id=3, points=[Plain(x=1, y=2)]) if path == "items" else {"i8": [1]}
    return [plain, make(), plain, make()]


@each_row
def test_rows(b: MessageBuilder, path: str, make: Callable[[], Any]) -> None:
    def look() -> Any:
        return b.to_dict()

    interrupt_each(lambda: b.fill_rows(path, around(path, make)) and None, look)
    interrupt_each(lambda: b.fill_rows(path, iter(around(path, make))) and None, look)
    interrupt_each(lambda: b.fill_rows(path, Iterable(*around(path, make))) and None, look)
    interrupt_each(lambda: b.fill_rows(path, List(around(path, make))) and None, look)
    if path == "items":
        interrupt_each(lambda: b.set_root({"items": around(path, make)}) and None, look)
    else:
        interrupt_each(lambda: b.set_root({"numbers": make()}) and None, look)


@each_row
def test_messages_of_a_log(tmp_path: Path, path: str, make: Callable[[], Any]) -> None:
    with MessageLog(tmp_path / "f.log", schema=Root) as log:
        log.append({})

        def look() -> int:
            return len(log)

        interrupt_each(lambda: log.append({path: around(path, make)}) and None, look)
        interrupt_each(lambda: log.append(**{path: around(path, make)}) and None, look)
        interrupt_each(lambda: log.extend([{path: around(path, make)}]), look)
        interrupt_each(lambda: log.extend(iter([{path: around(path, make)}])), look)


@pytest.mark.parametrize("make", MEANINGS.values(), ids=MEANINGS)
def test_rows_with_a_meaning(target: Path, make: Callable[[], Any]) -> None:
    with MessageBuilder(target) as b:
        b.init_root(meanings_capnp.Root)
        b.fill_rows("rows", [{"plain": 1}])
        interrupt_each(lambda: b.fill_rows("rows", [make(), make()]) and None, b.to_dict)


@pytest.mark.parametrize("make", COLUMNS.values(), ids=COLUMNS)
def test_columns(b: MessageBuilder, make: Callable[[], dict[str, Any]]) -> None:
    interrupt_each(lambda: b.fill("items", **make()), b.to_dict)
    interrupt_each(lambda: b.fill("items", make()), b.to_dict)


@pytest.mark.parametrize(
    ("path", "make"),
    [
        (("numbers", "f64"), lambda: Items(1, 2)),
        (("numbers", "texts"), lambda: ["a", Bytes(b"b")]),
        (("numbers", "words"), lambda: [["a"], Items("b", Bytes(b"c"))]),
        (("numbers", "i32"), lambda: Array([1, 2])),
        (("numbers", "i32"), lambda: _arrow(True)([1, 2])),
        (("numbers", "texts"), lambda: _arrow(False)(["a", "b"])),
        (("numbers", "matrix"), lambda: _arrow(False)([[1], None, [2, 3]])),
    ],
)
def test_one_column(b: MessageBuilder, path: tuple[str, ...], make: Callable[[], Any]) -> None:
    interrupt_each(lambda: b.fill(*path, make()), b.to_dict)


def test_tables_of_arrow(b: MessageBuilder) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"id": [1, 2], "name": ["a", None]})
    interrupt_each(lambda: b.fill("items", Arrow(table)), b.to_dict)


@pytest.mark.parametrize("as_", [Asking, lambda **values: code(), make_asking], ids=str)
def test_rows_that_are_read(b: MessageBuilder, as_: Any) -> None:
    interrupt_each(lambda: b.rows("items", as_=as_) and None, b.to_dict)
    interrupt_each(lambda: list(b.iter_rows("items", as_=as_)) and None, b.to_dict)
