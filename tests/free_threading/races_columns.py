"""Columns of strings taken from, and read from, memory that other threads change.

What comes out is what was there at some moment, or an error; never memory of others.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from mmapbuilder import InvalidMessage, _core

from .harness import generator, race, together

ROWS = 64
WORDS = ROWS + ROWS * 4


def _pointer(row: int, at: int, length: int) -> int:
    """A pointer in word `row` to `length` bytes at word `at`."""
    return (at - row - 1) << 2 & 0xFFFFFFFC | 1 | (length << 3 | 2) << 32


@race
def laid_list_changes(place: Path) -> None:
    """A list that others lengthen, shorten and overwrite while its strings are written."""
    values: list[str | bytes | None] = ["x" * (i % 50) for i in range(500)]

    def write() -> None:
        memory = bytearray(8 * (ROWS + 100 * ROWS))
        pointers = (0, 0, 1, ROWS)
        for _ in range(30):
            memory[:] = bytes(len(memory))
            try:
                _core.measure_list(values, False)
                done, _, _ = _core.write_list(
                    (memory,), pointers, values, 0, None, False, 0, (0, ROWS, 100 * ROWS)
                )
            except IndexError:
                continue
            assert done == ROWS
            read = _core.read_strings((memory,), pointers, None, False, b"")
            assert len(read) == ROWS
            assert set(b"".join(read)) <= {ord("x"), ord("y")}

    def change() -> None:
        random = generator()
        for n in range(100):
            values[random.randrange(100)] = random.choice(("y" * n, b"x" * n, None))
            values.append("y")
            values.pop()
            del values[300:]
            values.extend(["x"] * 200)

    together(write, write, background=(change, change))


@race
def read_strings_change(place: Path) -> None:
    """Pointers and bytes that change while they are followed."""
    memory = bytearray(8 * WORDS)
    words = memoryview(memory).cast("Q")
    places = [ROWS + 4 * row for row in range(ROWS)]
    for row in range(ROWS):
        words[row] = _pointer(row, places[row], 32)

    def read(view: memoryview) -> None:
        for _ in range(200):
            try:
                found = _core.read_strings((view,), (0, 0, 1, ROWS), None, False, None)
            except InvalidMessage:
                continue
            assert len(found) == ROWS
            assert all(one is None or len(one) <= len(memory) for one in found)

    def change() -> None:
        random = generator()
        for _ in range(200):
            row = random.randrange(ROWS)
            kind = random.randrange(4)
            if kind == 0:
                words[row] = 0
            elif kind == 1:
                words[row] = random.getrandbits(64)
            else:
                words[row] = _pointer(row, random.choice(places), random.randrange(33))

    # A view for each: bytearray, too, counts those who use it in a plain number.
    with memoryview(memory) as one, memoryview(memory) as two:
        together(partial(read, one), partial(read, two), background=(change, change))
    words.release()
