# Private: use the names that mmapbuilder itself offers.

from collections.abc import Callable, Sequence
from typing import (
    Any,
    ParamSpec,
    Self,
    SupportsIndex,
    TypeAlias,
    TypeVar,
    final,
    overload,
    type_check_only,
)

from typing_extensions import Buffer, disjoint_base

_P = ParamSpec("_P")
_T = TypeVar("_T")

MAX_SEGMENTS: int
MAX_SEGMENT_WORDS: int
HEAD_BYTES: int

class CapacityError(OSError, ValueError): ...

class InvalidMessage(ValueError):  # noqa: N818
    segment: int | None
    word: int | None
    reason: str

# Before 3.12 exporters have these methods for type checkers only.
@type_check_only
class _Exporter:
    def __buffer__(self, flags: int, /) -> memoryview: ...

@disjoint_base
class Map(_Exporter):
    def __init__(
        self,
        fd: int,
        capacity: SupportsIndex,
        *,
        max_growth: SupportsIndex = 67108864,
        prefault: bool = False,
        writeback: bool = False,
        hidden: bool = False,
        replace: bool = False,
        name: object = None,
        said: SupportsIndex = 0,
        size_hint: SupportsIndex = 0,
    ) -> None: ...
    @property
    def size(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    @property
    def name(self) -> Any: ...
    def write(self, data: Buffer, /) -> int: ...
    def tell(self) -> int: ...
    def seek(self, offset: SupportsIndex, whence: int = 0, /) -> int: ...
    def truncate(self, size: SupportsIndex | None = None, /) -> int: ...
    def reserve(self, end: SupportsIndex) -> None: ...
    def allocate(self, n: SupportsIndex, align: SupportsIndex = 8) -> memoryview: ...
    def flush(self, durable: bool = False) -> None: ...
    def fileno(self) -> int: ...
    def readable(self) -> bool: ...
    def writable(self) -> bool: ...
    def seekable(self) -> bool: ...
    def _finish(
        self, size: SupportsIndex | None = None, *, force: bool = False, cut: bool = True
    ) -> bool | OSError: ...
    def _take_fd(self) -> int: ...
    def _is_owner(self) -> bool: ...
    def _stats(self) -> tuple[int, int, int, int, int]: ...
    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> memoryview: ...
    @overload
    def __setitem__(self, key: SupportsIndex, value: SupportsIndex, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Buffer, /) -> None: ...
    def __delitem__(self, key: SupportsIndex | slice, /) -> None: ...
    def __reduce__(self) -> str | tuple[Any, ...]: ...

@final
class Window(_Exporter): ...

@final
class Segments:
    def __new__(
        cls, core: Map, /, entries: int, segment_words: int, durable: bool = False
    ) -> Segments: ...
    @property
    def sizes(self) -> tuple[int, ...]: ...
    def allocate(self, min_words: SupportsIndex, /) -> memoryview: ...
    def views(self) -> tuple[memoryview, ...]: ...
    def make_readable(self) -> None: ...
    def finish(
        self, used: Sequence[int] | None, /, durable: bool = False
    ) -> bool | OSError | InvalidMessage: ...

@final
class LogReader(_Exporter):
    def __new__(cls, fd: int, index_fd: int, name: str) -> LogReader: ...
    @property
    def committed(self) -> int: ...
    @property
    def indexed(self) -> int: ...
    @property
    def tail(self) -> tuple[str, int]: ...
    def refresh(self, fd: int, index_fd: int, /) -> int: ...
    def write_index(self, fd: int, index_fd: int, /) -> None: ...
    def place(self, number: SupportsIndex, /) -> tuple[int, int]: ...
    def offsets(self, first: int, buffer: Buffer, /) -> None: ...
    def __len__(self) -> int: ...

@disjoint_base
class LogWriter:
    def __init__(
        self,
        fd: int,
        index_fd: int,
        count: int,
        end: int,
        capacity: int,
        writeback: bool,
        name: object,
    ) -> None: ...
    def append_bytes(self, frame: Buffer, /) -> int: ...
    def _append_frames(self, frames: Buffer, /) -> int: ...
    def _begin(self, reach: SupportsIndex, /) -> int: ...
    def _go_on(self, reach: SupportsIndex, /) -> int: ...
    def _commit(self, words: tuple[int, ...], /) -> int: ...
    def _abandon(self) -> None: ...
    def _cut(self) -> None: ...
    def _close(self, cut: bool = True, /) -> None: ...
    def _stats(self) -> tuple[int, int, int, int, int]: ...
    def __len__(self) -> int: ...

def log_window(map: Map, start: int, length: int, /) -> memoryview: ...

@final
class Gate:
    def __new__(cls) -> Gate: ...
    def run(
        self, name: str, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _T: ...

def table_entries(capacity: SupportsIndex, segment_words: SupportsIndex, /) -> int: ...
def framing(head: Buffer, file_bytes: SupportsIndex, /) -> list[tuple[int, int]]: ...
def verify(
    fd: int, name: str | bytes, /
) -> tuple[int, int, int, int, int, int, int, int, bool]: ...
def recover(
    fd: int, name: str | bytes, durable: bool, /
) -> tuple[int, int, int, int, int, int, int, int, bool]: ...

# Offsets, their width, bytes, valid bits, number of the first string, count.
_Strings: TypeAlias = tuple[Buffer, int, Buffer, Buffer | None, int, int]

@final
class Plan:
    def __new__(
        cls,
        types: list[tuple[int, int]],
        structs: list[tuple[Any, ...]],
        enums: list[list[str | None]],
        /,
    ) -> Self: ...
    def read(
        self,
        segments: tuple[Buffer, ...],
        type: int,
        segment: int,
        word: int,
        start: int,
        stop: int,
        style: int,
        row_class: Any,
        fields: frozenset[str] | None,
        trusted: bool,
        /,
    ) -> tuple[Any, str | None]: ...
    def stage(
        self,
        what: int,
        type: int,
        value: Any,
        fields: tuple[str, ...] | None,
        length: int,
        ignore_extra: bool,
        want_all: bool,
        describe: Callable[[type[Any]], tuple[str, ...] | None],
        /,
    ) -> Stage: ...

@final
class Stage:
    @property
    def count(self) -> int: ...
    @property
    def list_words(self) -> int: ...
    @property
    def heap_words(self) -> int: ...
    @property
    def row_pointers(self) -> int: ...
    def put(
        self,
        segments: tuple[Buffer, ...],
        segment: int,
        word: int,
        room: tuple[int, int, int],
        /,
    ) -> None: ...

def resolve(
    segments: tuple[Buffer, ...], segment: int, word: int, /
) -> tuple[int, int, int, int, int, int, int]: ...
def store_columns(
    segments: tuple[Buffer, ...],
    rows: tuple[int, int, int, int],
    columns: tuple[tuple[Buffer, int, int], ...],
    /,
) -> None: ...
def measure_strings(strings: _Strings, wanted: Buffer | None, text: bool, /) -> tuple[int, int]: ...
def lay_strings(
    segments: tuple[Buffer, ...],
    pointers: tuple[int, int, int, int],
    strings: _Strings,
    wanted: Buffer | None,
    text: bool,
    next: int,
    block: tuple[int, int, int],
    /,
) -> tuple[int, int, int]: ...
def read_strings(
    segments: tuple[Buffer, ...],
    pointers: tuple[int, int, int, int],
    wanted: Buffer | None,
    text: bool,
    /,
) -> tuple[bytearray, bytearray, bytearray]: ...
def measure_list(
    values: Sequence[str | Buffer | float | None], text: bool, /
) -> tuple[int, int, bool]: ...
def lay_list(
    segments: tuple[Buffer, ...],
    pointers: tuple[int, int, int, int],
    values: Sequence[str | Buffer | float | None],
    start: int,
    wanted: Buffer | None,
    text: bool,
    next: int,
    block: tuple[int, int, int],
    /,
) -> tuple[int, int, int]: ...
def join_fixed(
    data: Buffer, width: int, count: int, wide: bool, /
) -> tuple[bytearray, bytearray]: ...
def split_strings(
    offsets: Buffer, bytes: Buffer, valid: Buffer, text: bool, missing: object, /
) -> list[Any]: ...
