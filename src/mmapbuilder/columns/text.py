"""Takes Text and Data of any kind in the two forms that the native code knows, and writes them.

All strings of a column are checked and measured first. Then they are written into room that is
taken for all of them at once, near their pointers if it can be had there.
"""

import sys
from typing import Any, NamedTuple

from .. import _core
from . import arrow
from ._numpy import np
from .memory import GrowingMemory, Room
from .numbers import is_inside, is_masked, length_of

Segments = tuple[memoryview, ...]
Written = tuple[int, int, int]
"""The number of the first string that was not written; what is left of the room."""


class Part(NamedTuple):
    """Strings that lie one after the other in one buffer."""

    offsets: Any
    width: int
    """Bytes of an offset: 4 or 8."""
    data: Any
    valid: Any
    """A bitmap, or None if no string is missing."""
    first: int
    """Number of the first string in `offsets` and `valid`."""
    rows: int

    def after(self, rows: int) -> "Part":
        """Leave the first `rows` out."""
        return self._replace(first=self.first + rows, rows=self.rows - rows)

    def head(self, rows: int) -> "Part":
        """Keep the first `rows` only."""
        return self._replace(rows=rows)

    def measure(self, mask: Any, text: bool) -> tuple[int, int, bool]:
        """Check the strings.

        Returns the words that they take, how many there are, and whether some may lie in
        the memory of others.
        """
        return (*_core.measure_strings(self, mask, text), True)

    def apart(self, segments: Segments) -> "Part":
        """Copy what lies in the message itself, which would change while it is written."""
        offsets, data, valid = (
            bytes(buffer) if buffer is not None and is_inside(segments, buffer) else buffer
            for buffer in (self.offsets, self.data, self.valid)
        )
        return self._replace(offsets=offsets, data=data, valid=valid)

    def write(
        self, segments: Any, pointers: Any, mask: Any, text: bool, number: int, room: Any
    ) -> Written:
        """Write the strings from `number` on; see `_core.write_strings`."""
        return _core.write_strings(segments, pointers, self, mask, text, number, room)


class Listed(NamedTuple):
    """Strings that are Python objects in a list."""

    values: Any
    first: int
    rows: int

    def after(self, rows: int) -> "Listed":
        """Leave the first `rows` out."""
        return self._replace(first=self.first + rows, rows=self.rows - rows)

    def head(self, rows: int) -> "Listed":
        """Keep the first `rows` only."""
        return self._replace(rows=rows)

    def measure(self, mask: Any, text: bool) -> tuple[int, int, bool]:
        """Check the strings.

        Returns the words that they take, how many there are, and whether some may lie in
        the memory of others.

        Those outside the mask are missing from the list already.
        """
        return _core.measure_list(self._rows(), text)

    def _rows(self) -> Any:
        if self.rows == len(self.values):
            return self.values
        return self.values[self.first : self.first + self.rows]

    def apart(self, segments: Segments) -> "Listed":
        """Copy what lies in the message itself, which would change while it is written.

        Copy also what can run code when its bytes are asked for, and so fail halfway.
        """
        return _from_sequence([_apart(segments, value) for value in self._rows()])

    def write(
        self, segments: Any, pointers: Any, mask: Any, text: bool, number: int, room: Any
    ) -> Written:
        """Write the strings from `number` on; see `_core.write_list`."""
        return _core.write_list(
            segments, pointers, self.values, self.first, mask, text, number, room
        )


Strings = Part | Listed


_RUN_NO_CODE = (bytearray, memoryview, np.ndarray)


def _apart(segments: Segments, value: Any) -> Any:
    if isinstance(value, str | bytes | float) or value is None:
        return value
    if type(value) in _RUN_NO_CODE and not is_inside(segments, value):
        return value
    return bytes(memoryview(value))


def strings_of(values: Any, label: str, mask: Any = None) -> list[Strings]:
    """Return the strings of a list, of an array, or of a column of a table.

    None, NaN and nulls are missing: their pointers are left null. Where `mask`, an array
    of bool, is given and False, a list may hold anything.

    Raises:
        TypeError: something is neither str nor bytes.
    """
    length_of(values, label)
    try:
        if isinstance(values, np.ndarray):
            return [_from_numpy(values, label, mask)]
        if arrow.library(values) == "pyarrow":
            return _from_arrow(values, label)
        if _is_arrow(values):
            pyarrow = arrow.load_if_there()
            if pyarrow is not None:
                return _from_arrow(arrow.unwrapped(pyarrow.chunked_array(values)), label)
        return [_from_sequence(_only(_as_list(values), mask))]
    except TypeError as error:
        raise TypeError(f"{label}: {error}") from None


def _is_arrow(values: Any) -> bool:
    """Tell whether a column lies in memory as Arrow's do; objects of Python do not."""
    offers = hasattr(values, "__arrow_c_stream__") or hasattr(values, "__arrow_c_array__")
    return offers and getattr(values, "dtype", None) != np.dtype(object)


def _from_sequence(values: Any) -> Listed:
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        values = tuple(values)  # which no thread can change; the native code insists on it
    return Listed(values, 0, len(values))


def _only(values: Any, mask: Any) -> Any:
    if mask is None:
        return values
    pairs = zip(values, mask.tolist(), strict=True)
    return [value if want else None for value, want in pairs]


def _as_list(values: Any) -> Any:
    """Make a list of a column that is no list; what is missing becomes None."""
    if isinstance(values, list | tuple):
        return values
    if hasattr(values, "isna"):
        array = values.to_numpy(dtype=object, copy=True)
        array[np.asarray(values.isna(), bool)] = None
        return array.tolist()
    if hasattr(values, "to_list"):
        return values.to_list()
    return list(values)


def _from_numpy(array: Any, label: str, mask: Any) -> Strings:
    if array.ndim != 1:
        raise ValueError(f"{label}: one dimension is required, not {array.ndim}")
    if is_masked(array):
        return _from_sequence(_only(array.tolist(), mask))  # with None for what is masked
    kind = array.dtype.kind
    if kind not in "US" or array.dtype.itemsize == 0:
        if kind == "V" and array.dtype.names is None:
            return _from_sequence(_only([bytes(value) for value in array], mask))
        if kind not in "OTUS":
            raise TypeError(f"str or bytes are required, not {array.dtype.name}")
        return _from_sequence(_only(array.astype(object).tolist(), mask))
    plain = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    width = plain.dtype.itemsize
    try:
        offsets, data = _core.join_fixed(plain.view(np.uint8).data, width, len(plain), kind == "U")
    except ValueError as error:
        raise ValueError(f"{label}, {error}") from None  # it begins with the row
    return Part(offsets, 8, data, None, 0, len(plain))


_LAYOUTS = {"string": 4, "binary": 4, "large_string": 8, "large_binary": 8}


_VIEWS = ("string_view", "binary_view")


def _without_views(chunk: Any, label: str) -> Any:
    """Copy the bytes that views lead to. pyarrow does not look where that is."""
    pyarrow = arrow.load("a column of views")
    views = chunk.view(pyarrow.binary_view())  # bytes that are no UTF-8 are named by their row
    arrow.check(views, label)
    try:
        return views.cast("large_binary")
    except NotImplementedError:  # older releases of pyarrow
        return pyarrow.array(views.to_pylist(), "large_binary")


def _decoded(chunk: Any, label: str) -> Any:
    """Replace the indices of a dictionary by its names."""
    names = chunk.dictionary
    if str(names.type) in _VIEWS:  # there is no kernel for these
        names = _without_views(names, label)
    return names.take(chunk.indices)


def _from_arrow(values: Any, label: str) -> list[Strings]:
    parts: list[Strings] = []
    for chunk in values.chunks if hasattr(values, "chunks") else [values]:
        name = str(chunk.type)
        if name.startswith("dictionary"):
            chunk = _decoded(chunk, label)
            name = str(chunk.type)
        if name == "null":
            chunk = chunk.cast("large_binary")
        elif name in _VIEWS:
            chunk = _without_views(chunk, label)
        elif name.startswith("fixed_size_binary"):
            chunk = chunk.cast("binary")
        elif name not in _LAYOUTS:
            raise TypeError(f"str or bytes are required, not Arrow's {name}")
        width = _LAYOUTS[str(chunk.type)]
        valid, offsets, data = chunk.buffers()
        parts.append(
            Part(
                bytes(width) if offsets is None or offsets.size == 0 else offsets,
                width,
                b"" if data is None else data,
                valid,
                chunk.offset,
                len(chunk),
            )
        )
    return parts


# ---- into a message ------------------------------------------------------------------------

# If the segment of the pointers has less room than this, the room is taken elsewhere.
_WORTHWHILE = 1 << 20


class Need(NamedTuple):
    """What strings need."""

    words: int
    strings: int
    """How many there are; those in another segment than their pointer need a word more."""
    lent: bool
    """Whether some may lie in memory of others, of which the message may be one."""


def _after(rows: int, text: str) -> str:
    """Let an error about a row of a part tell the row of the column."""
    row, colon, rest = text.removeprefix("row ").partition(":")
    return f"row {rows + int(row)}{colon}{rest}" if row.isdecimal() else text


def measure(parts: list[Strings], mask: Any, text: bool, label: str) -> Need:
    """Check strings, and return what they need."""
    words = strings = row = 0
    lent = False
    for part in parts:
        own = None if mask is None else mask[row : row + part.rows]
        try:
            more_words, more_strings, is_lent = part.measure(own, text)
        except (ValueError, TypeError) as error:
            raise type(error)(f"{label}, {_after(row, str(error))}") from None
        words += more_words
        strings += more_strings
        lent = lent or is_lent
        row += part.rows
    return Need(words, strings, lent)


def reserve(memory: GrowingMemory, segment: int, need: Need) -> Room:
    """Take room for strings whose pointers are in `segment`, before any is written.

    Where it cannot be had at once, it is left to `write`.
    """
    nothing = Room(segment, 0, 0)
    if not need.words:
        return nothing
    near = memory.room_in(segment)
    if need.words <= near:
        return memory.make_room(need.words)
    words = need.words + need.strings
    if near >= _WORTHWHILE or words > memory.most_words:
        return nothing
    return memory.make_room(words)


def write(
    memory: GrowingMemory,
    pointers: tuple[int, int, int, int],
    parts: list[Strings],
    mask: Any,
    text: bool,
    room: Room,
) -> None:
    """Write strings, which were measured, into the message and set their pointers.

    `pointers` is the segment and word of the first, the words from one to the next, and
    their number; `room` is what `reserve` gave.
    """
    segment, word, stride, _ = pointers
    segments = memory.segments
    row = 0
    for number, part in enumerate(parts):
        own = None if mask is None else mask[row : row + part.rows]
        rows = (segment, word + row * stride, stride, part.rows)
        done = 0
        while True:
            done, at, left = part.write(segments, rows, own, text, done, room)
            room = room._replace(word=at, words=left)
            if done == part.rows:
                break
            rest = [part.after(done), *parts[number + 1 :]]
            room = _next_room(
                memory, segment, rest, None if mask is None else mask[row + done :], text
            )
            segments = memory.segments
        row += part.rows


def _next_room(
    memory: GrowingMemory, segment: int, parts: list[Strings], mask: Any, text: bool
) -> Room:
    """Take room for strings, near their pointers if it can be had there."""
    need = measure(parts, mask, text, "")
    words = need.words
    first = measure([parts[0].head(1)], None, text, "").words
    near = memory.room_in(segment)
    if words > near:
        if near >= max(first, _WORTHWHILE):
            words = near
        else:
            words += need.strings
    return memory.make_room(min(words, max(memory.most_words, first + 1)))
