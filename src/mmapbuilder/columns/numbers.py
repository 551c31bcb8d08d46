"""Turns values of any kind into arrays that fit a field, or says which value does not fit."""

import numbers
import re
from typing import Any, NamedTuple

from . import arrow
from ._numpy import DTYPES, np
from .schema import Plan


class Type(NamedTuple):
    """A type of numbers, Bool or an enum."""

    kind: str
    name: str
    numbers: dict[str, int]
    """Of an enum: those of its names."""

    def __str__(self) -> str:
        return self.name


BOOL = Type("bool", "Bool", {})


def number_type(plan: Plan, number: int) -> Type:
    """Return a type of a plan."""
    kind, refers_to = plan.types[number]
    numbers = plan.enums[refers_to].numbers if kind == "enum" else {}
    return Type(kind, plan.spell(number), numbers)


class SomeRows(str):
    """What errors call a column of which only some rows are looked at."""

    rows: Any
    """The numbers of these rows."""


def _at(label: str, row: int) -> str:
    number = label.rows[row] if isinstance(label, SomeRows) else row
    return f"{label}, row {number}"


def numbers_of(values: Any, kind: Type, label: str) -> Any:
    """Return `values` as a one-dimensional array whose numbers all fit `kind`.

    The array has any dtype that can be stored by a plain cast then. `label` names the
    values in errors.

    Raises:
        OverflowError: a number does not fit.
        TypeError: values are of another kind: floats or text for ints, missing ones.
        ValueError: a name that the enum does not have, or more than one dimension.
    """
    if kind.kind == "enum":
        return named_numbers(values, kind.numbers, kind.name, label, unnamed=True)
    if kind.kind == "bool":
        return bools_of(values, label)
    dtype = np.dtype(DTYPES[kind.kind])
    array = _as_array(values, label, dtype.kind != "f")
    if dtype.kind == "f":
        return _check_floats(array, dtype, kind, label)
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, dtype):
        return array
    bounds = np.iinfo(dtype)
    return _check_integers(array, bounds.min, bounds.max, kind, label)


def bools_of(values: Any, label: str) -> Any:
    """Return `values` as an array of bool. Of numbers only 0 and 1 are taken."""
    array = _as_array(values, label, True)
    if array.dtype.kind != "b":
        array = _check_integers(array, 0, 1, BOOL, label).astype(bool)
    return array


def length_of(values: Any, label: str) -> int:
    """Return how many values a column has."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{label}: a column of values is required, not {type(values).__name__}")
    try:
        return len(values)
    except TypeError:
        raise TypeError(
            f"{label}: a column of values is required, not {type(values).__name__}"
        ) from None


def masked_of(values: Any, mask: Any) -> Any:
    """Return the values of the rows that a mask (an array of bool; None: all) tells."""
    if mask is None:
        return values
    module = arrow.library(values)
    if module == "pyarrow":
        return values.filter(arrow.load("a table of Arrow").array(mask))
    if module == "polars":
        return values.filter(mask.tolist())
    if hasattr(values, "dtype"):
        return values[mask]
    return [value for value, has in zip(values, mask.tolist(), strict=True) if has]


def is_inside(segments: tuple[memoryview, ...], buffer: Any) -> bool:
    """Tell whether a buffer or array may share its memory with the message."""
    array = buffer if isinstance(buffer, np.ndarray) else np.asarray(memoryview(buffer))
    return any(
        len(segment) and np.may_share_memory(array, np.frombuffer(segment, np.uint8))
        for segment in segments
    )


def is_masked(values: Any) -> bool:
    """Tell whether `values` is an array of NumPy's that knows what is missing."""
    return isinstance(values, np.ma.MaskedArray)


def null_count(values: Any) -> int:
    """Count what is missing from a column of Arrow, polars or pandas, or a masked array."""
    if is_masked(values):
        return int(values.mask.sum())
    count = getattr(values, "null_count", None)
    if count is not None:
        return int(count() if callable(count) else count)
    # A column of pandas: in a dtype of NumPy's own, NaN is a number like others.
    if hasattr(values, "isna") and not isinstance(values.dtype, np.dtype):
        return int(values.isna().sum())
    return 0


def _first_missing(values: Any) -> int:
    if is_masked(values):
        return _first(values.mask)
    return _first(np.asarray(values.is_null() if hasattr(values, "is_null") else values.isna()))


def _as_array(values: Any, label: str, exact: bool) -> Any:
    """Make an array, without a copy where that can be; `exact` keeps integers exact."""
    length_of(values, label)
    values = arrow.decoded(values, label)
    if null_count(values):
        raise TypeError(
            f"{_at(label, _first_missing(values))}: the value is missing, and a number cannot be "
            'null (missing="default" stores the default)'
        )
    if isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "to_numpy"):
        array = _from_column(values)
    elif hasattr(values, "__array__") or hasattr(values, "__buffer__"):
        array = np.asarray(values)
    else:
        array = _from_sequence(list(values), exact)
    if array.ndim != 1:
        raise ValueError(f"{label}: one dimension is required, not {array.ndim}")
    if array.dtype.kind == "O":
        array = _from_sequence(array.tolist(), exact)
    return array


def _from_column(values: Any) -> Any:
    if arrow.library(values) == "pyarrow":
        return values.to_numpy(zero_copy_only=False)
    return values.to_numpy()


def _from_sequence(values: list[Any], exact: bool) -> Any:
    """Make an array of Python numbers, of integers without going through floats."""
    try:
        array = np.array(values) if values else np.empty(0, np.int64)
    except (OverflowError, ValueError):
        array = np.array(None)
    if array.ndim == 1 and (array.dtype.kind in "iub" or (array.dtype.kind == "f" and not exact)):
        return array
    # Big integers make NumPy fall back to floats, or to objects.
    result = np.empty(len(values), object)
    result[:] = values
    return result


def _first(bad: Any) -> int:
    return int(np.argmax(bad))


def _wrong_kind(array: Any, kind: Type | str, label: str) -> TypeError:
    name = array.dtype.name
    hint = ""
    if array.dtype.kind in "mM":
        hint = (
            ': count in a unit that you choose, as with .astype("datetime64[ns]").astype("i8"), or '
            f"say in the schema what the field counts: {_ANNOTATION}"
        )
    elif array.dtype.kind == "f":
        hint = ": round or truncate them as you mean it, as with .astype(int)"
    return TypeError(f"{label}: {name} values cannot be stored as {kind}{hint}")


_ANNOTATION = "$Arrow.timestamp and its like, annotations of /mmapbuilder/arrow.capnp"
_MEANT = ("datetime", "date", "time", "timedelta", "Decimal", "Timestamp", "Timedelta")


_MISSING = ': no value may be missing (missing="default" stores the default)'


def _hint(value: Any) -> str:
    known = type(value).__name__ in _MEANT
    return f": the schema must say what the field counts, by {_ANNOTATION}" if known else ""


def _check_objects(array: Any, abstract: type, kind: Type, label: str) -> None:
    for row, value in enumerate(array.tolist()):
        if not isinstance(value, abstract | np.bool_):
            raise TypeError(
                f"{_at(label, row)}: {value!r} cannot be stored as {kind}"
                + (_MISSING if value is None else _hint(value))
            )


def _check_integers(array: Any, least: int, most: int, kind: Type, label: str) -> Any:
    if array.dtype.kind == "O":
        _check_objects(array, numbers.Integral, kind, label)
    elif array.dtype.kind == "b":
        return array
    elif array.dtype.kind not in "iu":
        raise _wrong_kind(array, kind, label)
    else:
        own = np.iinfo(array.dtype)
        if least <= own.min and own.max <= most:
            return array
    if array.size == 0:
        return array.astype(np.int64)
    if array.min() < least or array.max() > most:
        row = _first((array < least) | (array > most))
        raise OverflowError(
            f"{_at(label, row)}: {int(array[row])} does not fit {kind}, which goes from "
            f"{least} to {most}"
        )
    if array.dtype.kind == "O":
        return array.astype(np.int64 if least < 0 else np.uint64)
    return array


def _is_float(value: Any) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _check_floats(array: Any, dtype: Any, kind: Type, label: str) -> Any:
    if array.dtype.kind == "O":
        _check_objects(array, numbers.Real, kind, label)
        try:
            array = array.astype(np.float64)
        except OverflowError:
            row = next(row for row, value in enumerate(array.tolist()) if not _is_float(value))
            raise OverflowError(f"{_at(label, row)}: an integer does not fit {kind}") from None
    elif array.dtype.kind not in "iufb":
        raise _wrong_kind(array, kind, label)
    if array.dtype.kind == "f" and array.dtype.itemsize > dtype.itemsize:
        # What rounds to infinity without being infinite does not fit.
        with np.errstate(over="ignore"):
            cast = array.astype(dtype)
        bad = np.isinf(cast)
        bad &= ~np.isinf(array)
        if bad.any():
            row = _first(bad)
            raise OverflowError(f"{_at(label, row)}: {array[row]!r} does not fit {kind}")
        return cast
    return array


def named_numbers(
    values: Any, known: dict[str, int], what: str, label: str, *, unnamed: bool = False
) -> Any:
    """Return numbers for names, or for numbers that have a name.

    With `unnamed` a name may also be ``@7``, for a number without one.
    """
    values = arrow.decoded(values, label)
    if null_count(values):
        row = _first_missing(values)
        hint = ' (missing="default" stores the default)' if unnamed else ""
        raise TypeError(f"{_at(label, row)}: the value of {what} is missing{hint}")
    array = _raw_names(values, label)
    if array.ndim != 1:
        raise ValueError(f"{label}: one dimension is required, not {array.ndim}")
    if array.dtype.kind in "iu":
        legal = np.fromiter(known.values(), np.int64, len(known))
        good = np.isin(array, legal)
        if not good.all():
            row = _first(~good)
            raise ValueError(f"{_at(label, row)}: {what} has no number {int(array[row])}")
        return array.astype(np.uint16)
    if array.dtype.kind == "U":
        names, index = np.unique(array, return_inverse=True)
        if unnamed:
            known = _with_unnamed(names.tolist(), known)
        numbers_by_name = [_number(name, known, what, label, array) for name in names.tolist()]
        return np.array(numbers_by_name, np.uint16)[index.reshape(-1)]
    if array.dtype.kind != "O":
        raise _wrong_kind(array, what, label)
    if unnamed:
        known = _with_unnamed(array.tolist(), known)
    array = array.copy()  # in which numbers take the places of enums of pycapnp
    array[:] = [each.raw if type(each).__name__ == "_DynamicEnum" else each for each in array]
    return np.array(
        [_number(value, known, what, label, array) for value in array.tolist()], np.uint16
    )


def _raw_names(values: Any, label: str) -> Any:
    length_of(values, label)
    if isinstance(values, np.ndarray):
        array = values
    elif hasattr(values, "to_numpy"):
        if arrow.library(values) == "pyarrow":
            arrow.check(values, label)
        array = _from_column(values)
    else:
        array = np.empty(len(values), object)
        array[:] = list(values)
    if array.dtype.kind == "T":
        array = array.astype(object)
    return array


def _with_unnamed(values: list[Any], known: dict[str, int]) -> dict[str, int]:
    """Add names like ``@7``, as table() calls numbers without a name."""
    more = {}
    for value in values:
        if isinstance(value, str) and value[:1] == "@" and re.fullmatch("@[0-9]{1,5}", value):
            number = int(value[1:])
            if number < 1 << 16 and number not in known.values():
                more[value] = number
    return known | more


def _number(value: Any, known: dict[str, int], what: str, label: str, array: Any) -> int:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if isinstance(value, str) and value in known:
        return known[value]
    if is_number and int(value) in known.values():
        return int(value)
    row = next(row for row, other in enumerate(array.tolist()) if other is value or other == value)
    where = _at(label, row)
    if is_number or isinstance(value, str):
        raise ValueError(f"{where}: {what} has no {value!r}; it has {', '.join(known)}")
    raise TypeError(f"{where}: {what} takes names or numbers, not {value!r}")
