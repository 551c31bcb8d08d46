"""What numbers and Data mean beyond themselves: times, dates, durations and decimals.

A *meaning* is what an annotation of arrow.capnp says about a field. Where there is none, a
number is a number.
"""

import datetime as dt
from collections.abc import Callable
from decimal import Context, Decimal, InvalidOperation
from typing import Any, NamedTuple

UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Digits after the second."""

_WHATS = ("number", "timestamp", "date32", "date64", "time", "duration", "decimal")
"""Meanings, by the numbers of the C code."""

_LETTERS = {"s": "s", "ms": "m", "us": "u", "ns": "n"}
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_DIGITS = {
    "int8": 3,
    "int16": 5,
    "int32": 10,
    "int64": 19,
    "uint8": 3,
    "uint16": 5,
    "uint32": 10,
    "uint64": 20,
    "data": 38,
}
"""Digits of the largest number that a type can be."""

_MOST_DIGITS = 76


class Meaning(NamedTuple):
    """What the values of a type mean."""

    what: str
    unit: str = "s"
    zone: str = ""
    precision: int = 0
    scale: int = 0

    @property
    def format(self) -> str:
        """The type as Arrow spells it."""
        letter = _LETTERS[self.unit]
        if self.what == "decimal":
            wide = ",256" if self.precision > 38 else ""
            return f"d:{self.precision},{self.scale}{wide}"
        return {
            "timestamp": f"ts{letter}:{self.zone}",
            "date32": "tdD",
            "date64": "tdm",
            "time": f"tt{letter}",
            "duration": f"tD{letter}",
        }[self.what]

    def native(self, kind: str) -> tuple[Any, ...]:
        """Return what the native plan is told, with what converts values of rows."""
        into, out_of = _CONVERTERS[self.what]
        if kind == "data":
            into = _in_decimal_data
        return (
            _WHATS.index(self.what),
            UNITS[self.unit],
            self.precision,
            self.scale,
            bool(self.zone),
            lambda value: into(self, value),
            lambda stored: out_of(self, stored),
        )


def check(meaning: Meaning, kind: str) -> Meaning:
    """Return the meaning, completed for a type of that kind.

    Raises:
        TypeError: values of that type cannot mean that.
    """
    takes: tuple[str, ...] = ("int64",)
    if meaning.unit not in UNITS:
        raise TypeError(f'the unit must be "s", "ms", "us" or "ns", not {meaning.unit!r}')
    if meaning.what == "decimal":
        takes = (*_INTEGERS, "data")
        if kind in takes and meaning.precision == 0:
            meaning = meaning._replace(precision=_DIGITS[kind])
        if not -_MOST_DIGITS <= meaning.scale <= meaning.precision <= _MOST_DIGITS:
            raise TypeError(
                f"a decimal has a precision of at most {_MOST_DIGITS}, and no larger scale, not "
                f"({meaning.precision}, {meaning.scale})"
            )
    elif meaning.what == "date32" or (meaning.what == "time" and UNITS[meaning.unit] < 6):
        takes = ("int32",)
    if kind not in takes:
        raise TypeError(f"it is for {' or '.join(map(str.capitalize, takes))}, not {kind}")
    return meaning


# ---- times of Python ----------------------------------------------------------------------


# Python's times end at microseconds; pandas has the rest under the same names.
class Timestamp(dt.datetime):
    """A datetime with a part below its microseconds."""

    nanosecond = 0


class Time(dt.time):
    """A time of day with a part below its microseconds."""

    nanosecond = 0


class Duration(dt.timedelta):
    """A timedelta with a part below its microseconds."""

    nanoseconds = 0


_NAIVE = dt.datetime(1970, 1, 1)
_AWARE = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_DAY = dt.date(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)


def _wrong(meaning: Meaning, value: Any) -> TypeError:
    names = {"date32": "a date", "date64": "a date"}
    name = names.get(meaning.what, f"a {meaning.what}")
    return TypeError(f"{name} cannot be made of {type(value).__name__}")


def _not_a_time() -> TypeError:
    return TypeError("NaT is no value: None stands for what is missing")


def _count(nanoseconds: int, meaning: Meaning) -> int:
    step: int = 10 ** (9 - UNITS[meaning.unit])
    count, rest = divmod(nanoseconds, step)
    if rest:
        raise ValueError(
            f"the value has a part that is smaller than the field's unit, {meaning.unit}"
        )
    return count


def _plain_int(value: Any) -> int | None:
    """Return the count that is given as such, if it is."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value.__index__())


def _from_numpy(value: Any, kind: str) -> int | None:
    """Return the nanoseconds of a datetime64 or timedelta64."""
    if type(value).__name__ != kind:
        return None
    import numpy as np

    if np.isnat(value):
        raise _not_a_time()
    unit, count = np.datetime_data(value.dtype)
    steps = {"W": 604800 * 10**9, "D": 86400 * 10**9, "h": 3600 * 10**9, "m": 60 * 10**9}
    steps |= {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
    if unit not in steps:
        value = value.astype(f"{kind}[D]")  # months and years; an error for durations of them
        unit, count = "D", 1
    return int(value.astype("i8")) * steps[unit] * count


def _plain_count(meaning: Meaning, value: Any, numpy: str, kind: type) -> int | None:
    """Return the number that NumPy's value or a plain int stands for; None if it is a `kind`."""
    nanoseconds = _from_numpy(value, numpy)
    if nanoseconds is not None:
        return _count(nanoseconds, meaning)
    count = _plain_int(value)
    if count is None and not isinstance(value, kind):
        raise _wrong(meaning, value)
    if count is None and value != value:  # that of pandas
        raise _not_a_time()
    return count


def _in_timestamp(meaning: Meaning, value: Any) -> int:
    count = _plain_count(meaning, value, "datetime64", dt.datetime)
    if count is not None:
        return count
    if (value.utcoffset() is not None) != bool(meaning.zone):
        raise TypeError(
            "the field has a time zone, and the datetime has none"
            if meaning.zone
            else "the datetime has a time zone, and the field has none"
        )
    nanoseconds = _nanoseconds(value - (_AWARE if meaning.zone else _NAIVE))
    if not hasattr(value - value, "nanoseconds"):  # pandas counts them itself
        nanoseconds += getattr(value, "nanosecond", 0)
    return _count(nanoseconds, meaning)


def _nanoseconds(value: dt.timedelta) -> int:
    micros = (value.days * 86400 + value.seconds) * 10**6 + value.microseconds
    return micros * 1000 + getattr(value, "nanoseconds", 0)


def _split(meaning: Meaning, count: int) -> tuple[int, int]:
    """Return microseconds, and nanoseconds below them."""
    step: int = 10 ** (9 - UNITS[meaning.unit])
    return divmod(count * step, 1000)


def _out_timestamp(meaning: Meaning, count: int) -> Any:
    micros, nanos = _split(meaning, count)
    try:
        value = (_AWARE if meaning.zone else _NAIVE) + micros * _MICROSECOND
        if meaning.zone:
            value = value.astimezone(_zone(meaning.zone))
    except OverflowError:
        return count
    if meaning.unit == "ns":
        fine = Timestamp.combine(value.date(), value.timetz())
        fine.nanosecond = nanos
        return fine
    return value


_zones: dict[str, dt.tzinfo] = {"UTC": dt.UTC}


def _zone(name: str) -> dt.tzinfo:
    found = _zones.get(name)
    if found is None:
        try:
            if name[:1] in ("+", "-"):
                found = dt.datetime.strptime(name, "%z").tzinfo
            else:
                from zoneinfo import ZoneInfo

                found = ZoneInfo(name)
        except (ValueError, OSError, ImportError, LookupError):
            found = None
        found = _zones.setdefault(name, found or dt.UTC)  # the same moments, otherwise written
    return found


def _in_date(meaning: Meaning, value: Any) -> int:
    day = 86400 * 10**9
    nanoseconds = _from_numpy(value, "datetime64")
    if nanoseconds is None:
        count = _plain_int(value)
        if count is not None:
            return count
        if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
            raise _wrong(meaning, value)
        nanoseconds = (value - _DAY).days * day
    if nanoseconds % day:
        raise ValueError("the value has a time of day, and the field is a date")
    return nanoseconds // (day if meaning.what == "date32" else 10**6)


def _out_date(meaning: Meaning, count: int) -> Any:
    if meaning.what == "date64":
        days, rest = divmod(count, 86400000)
        if rest:
            return count
    else:
        days = count
    try:
        return _DAY + dt.timedelta(days=days)
    except OverflowError:
        return count


def _in_time(meaning: Meaning, value: Any) -> int:
    count = _plain_int(value)
    if count is not None:
        return count
    if not isinstance(value, dt.time):
        raise _wrong(meaning, value)
    if value.tzinfo is not None:
        raise TypeError("a time of day in a column has no time zone")
    seconds = value.hour * 3600 + value.minute * 60 + value.second
    micros = seconds * 10**6 + value.microsecond
    return _count(micros * 1000 + getattr(value, "nanosecond", 0), meaning)


def _out_time(meaning: Meaning, count: int) -> Any:
    micros, nanos = _split(meaning, count)
    if not 0 <= micros < 86400 * 10**6:
        return count
    seconds, micros = divmod(micros, 10**6)
    kind = Time if meaning.unit == "ns" else dt.time
    value = kind(seconds // 3600, seconds // 60 % 60, seconds % 60, micros)
    if isinstance(value, Time):
        value.nanosecond = nanos
    return value


def _in_duration(meaning: Meaning, value: Any) -> int:
    count = _plain_count(meaning, value, "timedelta64", dt.timedelta)
    return _count(_nanoseconds(value), meaning) if count is None else count


def _out_duration(meaning: Meaning, count: int) -> Any:
    micros, nanos = _split(meaning, count)
    try:
        if meaning.unit != "ns":
            return dt.timedelta(microseconds=micros)
        value = Duration(microseconds=micros)
    except OverflowError:
        return count
    value.nanoseconds = nanos
    return value


# ---- decimals -----------------------------------------------------------------------------

_EXACT = Context(prec=200, Emax=10**6, Emin=-(10**6), traps=[InvalidOperation])


def _in_decimal(meaning: Meaning, value: Any) -> Any:
    count = _plain_int(value)
    if count is not None:
        value = Decimal(count)
    if not isinstance(value, Decimal):
        hint = ": say how it is rounded" if isinstance(value, float) else ""
        raise TypeError(f"a decimal cannot be made of {type(value).__name__}{hint}")
    if not value.is_finite():
        raise ValueError(f"{value} is no decimal that can be stored")
    scaled = value.scaleb(meaning.scale, _EXACT)
    number = int(scaled)
    if number != scaled:
        raise ValueError(
            f"{value} has more digits after the point than the field, which has {meaning.scale}"
        )
    if abs(number) >= 10**meaning.precision:
        raise OverflowError(f"{value} has more than {meaning.precision} digits")
    return number


def _out_decimal(meaning: Meaning, stored: Any) -> Decimal:
    number = stored
    if isinstance(stored, bytes):
        if len(stored) != _width(meaning):
            raise ValueError(f"{len(stored)} bytes are no decimal, which has {_width(meaning)}")
        number = int.from_bytes(stored, "little", signed=True)
    return Decimal(number).scaleb(-meaning.scale, _EXACT)


def _in_decimal_data(meaning: Meaning, value: Any) -> bytes:
    number: int = _in_decimal(meaning, value)
    return number.to_bytes(_width(meaning), "little", signed=True)


def _width(meaning: Meaning) -> int:
    return 32 if meaning.precision > 38 else 16


_Converter = Callable[[Meaning, Any], Any]
_CONVERTERS: dict[str, tuple[_Converter, _Converter]] = {
    "timestamp": (_in_timestamp, _out_timestamp),
    "date32": (_in_date, _out_date),
    "date64": (_in_date, _out_date),
    "time": (_in_time, _out_time),
    "duration": (_in_duration, _out_duration),
    "decimal": (_in_decimal, _out_decimal),
}


def comparable(meaning: Meaning, key: Any) -> Any:
    """Return what stored numbers are compared with for a value; it need not fit their unit.

    Raises:
        TypeError: the value is not what the numbers mean.
    """
    from fractions import Fraction

    digits = meaning.scale if meaning.what == "decimal" else UNITS[meaning.unit] - 9
    if isinstance(key, float) or (_plain_int(key) is not None and meaning.what != "decimal"):
        return key * 10.0**meaning.scale if meaning.what == "decimal" else key
    if meaning.what == "decimal":
        return Fraction(key) * Fraction(10) ** digits
    if meaning.what in ("date32", "date64"):
        return _in_date(meaning, key)
    into, _ = _CONVERTERS[meaning.what]
    return into(meaning._replace(unit="ns"), key) * Fraction(10) ** digits


# ---- columns of NumPy ---------------------------------------------------------------------


def counts(meaning: Meaning, values: Any) -> list[int | None] | None:
    """Return the counts of a datetime64 or timedelta64 array; None if it is no such array.

    Raises:
        TypeError: the array has something else than the field.
        ValueError, OverflowError: a value does not fit the field's unit.
    """
    import numpy as np

    letter = getattr(getattr(values, "dtype", None), "kind", "")
    if letter not in ("M", "m") or not isinstance(values, np.ndarray):
        return None
    if (letter == "M") != (meaning.what in ("timestamp", "date32", "date64")) or (
        meaning.what in ("time", "decimal")
    ):
        raise TypeError(f"a {meaning.what} cannot be made of {values.dtype}")
    units = {"date32": "D", "date64": "ms"}
    wanted = values.astype(f"{letter}8[{units.get(meaning.what, meaning.unit)}]")
    gone = np.isnat(values)
    changed = (wanted != values) & ~gone
    if changed.any():
        row = int(changed.argmax())
        raise ValueError(f"row {row}: {values[row]} does not fit the field's unit")
    return [
        None if missing else count
        for count, missing in zip(wanted.astype("i8").tolist(), gone.tolist(), strict=True)
    ]


def dress(meaning: Meaning, stored: Any) -> Any:
    """Return numbers of a column as what they mean, an array as well."""
    import numpy as np

    if meaning.what in ("timestamp", "duration"):
        letter = "M" if meaning.what == "timestamp" else "m"
        return stored.astype("i8").view(f"{letter}8[{meaning.unit}]")
    if meaning.what in ("date32", "date64"):
        unit = "D" if meaning.what == "date32" else "ms"
        return stored.astype("i8").view(f"M8[{unit}]")
    out_of = _CONVERTERS[meaning.what][1]
    dressed = np.empty(len(stored), object)
    empty = (None, b"")  # Data that are not there
    dressed[:] = [None if each in empty else out_of(meaning, each) for each in stored.tolist()]
    return dressed


# ---- annotations --------------------------------------------------------------------------

_IDS = {
    0x9A3F5C07E1D8B264: "timestamp",
    0xA7E20B5D94C6F813: "date32",
    0xC05D8E31F72A496B: "date64",
    0xD8164FB2A395C07E: "time",
    0xE42B97D60F1C853A: "duration",
    0xF3C8A06E5B27D914: "decimal",
}
_NAME_ID = 0x8D71E3B94A06F52C
_loaded: list[Any] = []


def annotated(proto: Any) -> tuple[Meaning | None, str | None]:
    """Return what the annotations of a field say: a meaning, and the name of its column.

    Raises:
        TypeError: two meanings.
    """
    meaning = name = None
    for annotation in proto.annotations:
        number = int(annotation.id)
        if number == _NAME_ID:
            name = str(annotation.value.text)
        elif number in _IDS:
            if meaning is not None:
                raise TypeError("two annotations say what it means")
            meaning = _meaning(_IDS[number], annotation.value)
    return meaning, name


def _meaning(what: str, value: Any) -> Meaning:
    if what in ("date32", "date64"):
        return Meaning(what)
    schemas = own_schemas()
    if what == "decimal":
        found = value.struct.as_struct(schemas.Decimal.schema)
        return Meaning(what, precision=int(found.precision), scale=int(found.scale))
    if what == "timestamp":
        found = value.struct.as_struct(schemas.Timestamp.schema)
        return Meaning(what, str(found.unit), str(found.timezone))
    found = value.struct.as_struct(schemas.Unit.schema)
    return Meaning(what, str(found.unit))


def own_schemas() -> Any:
    """Return arrow.capnp, loaded by a parser of its own: no other file gets in its way."""
    if not _loaded:
        import os

        from .. import _pycapnp

        parser = _pycapnp.load().SchemaParser()
        here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        _loaded.extend([parser.load(os.path.join(here, "arrow.capnp")), parser])
    return _loaded[0]
