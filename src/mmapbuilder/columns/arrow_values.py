"""The values of a column of Arrow as Python's, where a column beside it is not Arrow's."""

from typing import Any

from . import arrow
from .meanings import Meaning


def values_of(column: Any, label: str, meaning: Meaning | None) -> list[Any]:
    """Return the values: times count in the field's unit, and those of unions name their member.

    Raises:
        ImportError: pyarrow is not installed, and the column cannot be read without it.
        ValueError: a time does not fit the unit of the field, or the column is damaged.
    """
    if arrow.library(column) != "pyarrow":
        pyarrow = arrow.load_if_there()
        if pyarrow is None and hasattr(column, "to_list"):  # polars
            return column.to_list()  # type: ignore[no-any-return]
        column = arrow.unwrapped(arrow.load(label).chunked_array(column))
    arrow.check(column, label)
    if meaning is not None:
        column = arrow.decoded(column, label)
    if str(column.type).startswith(("dense_union", "sparse_union")):
        chunks = getattr(column, "chunks", [column])
        return [value for chunk in chunks for value in _by_member(chunk)]
    counts = None if meaning is None else _counts(column, label, meaning)
    return column.to_pylist() if counts is None else counts


def _by_member(union: Any) -> list[dict[str, Any]]:
    """Return each value as a dict, whose key is the name of its member."""
    kind = union.type
    names = {code: kind.field(place).name for place, code in enumerate(kind.type_codes)}
    # `type_codes` of a part of an array begins where the whole array begins.
    codes = memoryview(union.buffers()[1]).cast("b")[union.offset :]
    return [{names[code]: value} for code, value in zip(codes, union.to_pylist(), strict=False)]


def _counts(column: Any, label: str, meaning: Meaning) -> list[int | None] | None:
    """Return times as counts of the field's unit; None if they are not what the field has."""
    import pyarrow as pa

    what = str(column.type).rstrip("]").partition("[")[0]
    zone = getattr(column.type, "tz", None)
    if not what.startswith(meaning.what.rstrip("0123456789")) or bool(zone) != bool(meaning.zone):
        return None
    unit = meaning.unit
    short = unit in ("s", "ms")
    targets = {
        "timestamp": lambda: pa.timestamp(unit, zone),
        "date32": pa.date32,
        "date64": pa.date64,
        "time": lambda: pa.time32(unit) if short else pa.time64(unit),
        "duration": lambda: pa.duration(unit),
    }
    if meaning.what not in targets:
        return None
    target = targets[meaning.what]()
    try:
        stored = column.cast(target).cast(f"int{target.bit_width}")
    except pa.ArrowInvalid as error:
        raise ValueError(f"{label}: {error}") from None
    return stored.to_pylist()  # type: ignore[no-any-return]
