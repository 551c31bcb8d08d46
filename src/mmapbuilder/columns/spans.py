"""Where the structs and lists of a message lie.

A *span* is where the elements of one list lie, as the pointer to it says. A *record* is where the
two sections of one struct lie. Both are within their segment. Other modules check whether they suit
the schema.
"""

from typing import NamedTuple

from .. import _core

NOTHING, STRUCT, LIST, CAPABILITY = range(4)
"""What a pointer leads to, as `_core.resolve` says it."""

BIT, BYTE, POINTER, COMPOSITE = 1, 2, 6, 7
"""Sizes of elements, as the pointer to a list gives them."""

# Bits of data in an element of each of the other sizes.
_ELEMENT_BITS = (0, 1, 8, 16, 32, 64, 0)


class Record(NamedTuple):
    """Where the two sections of one struct lie."""

    segment: int
    byte: int
    """Of the data section."""
    data_bits: int
    word: int
    """Of the pointer section."""
    pointers: int


class StructRows(NamedTuple):
    """Where the sections of all structs of a list lie."""

    segment: int
    byte: int
    """Of the first data section."""
    data_bits: int
    word: int
    """Of the first pointer section."""
    pointers: int
    length: int
    stride: int
    """Bytes from one struct to the next."""

    def record(self, index: int) -> Record:
        """Return where one of the structs lies."""
        byte = self.byte + index * self.stride
        word = self.word + index * self.stride // 8
        return Record(self.segment, byte, self.data_bits, word, self.pointers)


class ListSpan(NamedTuple):
    """Where a list lies. Text and Data are lists of bytes, too."""

    segment: int
    word: int
    length: int
    size: int
    """Of the elements, as the pointer gives it."""
    data_words: int
    pointers: int

    @property
    def data_bits(self) -> int:
        """Bits of data in each element."""
        return 64 * self.data_words if self.size == COMPOSITE else _ELEMENT_BITS[self.size]

    @property
    def stride(self) -> int:
        """Bytes from one element to the next; not used for bits."""
        return self.data_bits // 8 + 8 * self.pointers

    def part(self, first: int, length: int) -> "ListSpan":
        """Return where elements from `first` on lie, which must begin at a word."""
        bits = first if self.size == BIT else 8 * first * self.stride
        return self._replace(word=self.word + bits // 64, length=length)

    def elements(self) -> StructRows:
        """Return where the sections lie if the elements are taken as structs."""
        return StructRows(
            self.segment,
            8 * self.word,
            self.data_bits,
            self.word + self.data_bits // 64,
            self.pointers,
            self.length,
            self.stride,
        )

    def structs(self) -> StructRows:
        """Take the list as one of structs, which each but a list of bits can be."""
        if self.size == BIT:
            raise invalid("a list of bits stands for one of structs", self.segment, self.word)
        return self.elements()

    def strings(self) -> StructRows:
        """Take the list as one of pointers."""
        if self.pointers == 0 and self.length != 0:
            raise invalid(
                "a list without pointers stands for one of pointers", self.segment, self.word
            )
        return self.elements()


def invalid(reason: str, segment: int, word: int) -> _core.InvalidMessage:
    """Make the exception for a flaw at a place."""
    error = _core.InvalidMessage(f"{reason} (segment {segment}, word {word})")
    error.reason, error.segment, error.word = reason, segment, word
    return error


def record_at(segments: tuple[memoryview, ...], pointer: tuple[int, int]) -> Record | None:
    """Follow a pointer, given by its segment and word, to a struct; None if it is null.

    Raises:
        InvalidMessage: it leads out of bounds, or to something else.
    """
    kind, there, word, _, _, data, pointers = _core.resolve(segments, *pointer)
    if kind == NOTHING:
        return None
    if kind != STRUCT:
        raise invalid("a pointer leads to something else than a struct", *pointer)
    return Record(there, 8 * word, 64 * data, word + data, pointers)


_WANTED = {"text": "Text", "data": "Data"}


def span_at(
    segments: tuple[memoryview, ...], pointer: tuple[int, int] | None, kind: str = "list"
) -> ListSpan | None:
    """Follow a pointer to a list, to Text or to Data; None if it is null or not there.

    Raises:
        InvalidMessage: it leads out of bounds, or to something else.
    """
    if pointer is None:
        return None
    found, there, word, count, size, data, pointers = _core.resolve(segments, *pointer)
    if found == NOTHING:
        return None
    if found != LIST or (kind != "list" and size != BYTE):
        raise invalid(
            f"a pointer leads to something else than {_WANTED.get(kind, 'a list')}", *pointer
        )
    return ListSpan(there, word, count, size, data, pointers)
