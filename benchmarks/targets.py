"""The figures that the package wants to reach, against those that it did."""

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.clock import MIB
from benchmarks.measure import Series

GIB = 1 << 30


@dataclass
class Target:
    """One figure: what it should be, at least or at most, and what it is."""

    what: str
    place: str
    wanted: float
    at_least: bool
    figure: float | None
    unit: str = ""
    processor: float | None = None  # the same ratio of processor times, which others disturb less

    @property
    def reached(self) -> bool | None:
        """None where it was not measured."""
        if self.figure is None:
            return None
        return self.figure >= self.wanted if self.at_least else self.figure <= self.wanted


def _ratio(series: Series, slow: str, fast: str, number: str = "closed") -> float | None:
    """How many times as fast the second way is as the first."""
    a, b = series.median(slow, number), series.median(fast, number)
    return a / b if a is not None and b else None


def _both(series: Series, slow: str, fast: str) -> tuple[float | None, str, float | None]:
    """A ratio of times, and of the processor times of the threads that did the work."""
    return _ratio(series, slow, fast), "", _ratio(series, slow, fast, "processor")


def _size(s: Series) -> str:
    return "1 GiB" if s.size == GIB else f"{s.size // MIB} MiB"


def _against_sized(s: Series, what: str, way: str) -> Target:
    wanted = 0.95 if s.place == "tmpfs" else 1.2
    what = f"fill {_size(s)}{what}: speed against a sized mmap"
    return Target(what, s.place, wanted, True, *_both(s, "fill.mmap_sized", way))


def _large(s: Series) -> Iterable[Target]:
    yield _against_sized(s, "", "fill.builder")
    yield _against_sized(s, ", writeback", "fill.builder_writeback")


def _fill(s: Series) -> Iterable[Target]:
    size = _size(s)
    yield _against_sized(s, "", "fill.builder")
    if s.place == "ext4":
        yield Target(
            f"fill {size}, prefault: speed against os.write",
            s.place,
            1.0,
            True,
            _ratio(s, "fill.os_write", "fill.builder_prefault"),
        )
    yield Target(
        f"fill {size}, prefault: speed against without",
        s.place,
        1.3,
        True,
        _ratio(s, "fill.builder", "fill.builder_prefault"),
    )
    if s.size == GIB:
        growths = s.median("fill.builder", "growths")
        yield Target("growths for 1 GiB", s.place, 32, False, growths)


def _column(s: Series) -> Iterable[Target]:
    if s.size == GIB:
        yield Target(
            "column of 1 GiB: speed against memory and tofile",
            s.place,
            2.0,
            True,
            *_both(s, "column.memory_tofile", "column.builder"),
        )


def _message(s: Series) -> Iterable[Target]:
    old, new = "message.new_message_write", "message.builder"
    what = "message: speed against new_message and write"
    yield Target(what, s.place, 1.1, True, *_both(s, old, new))
    a, b = s.median(old, "file"), s.median(new, "file")
    figure = a / b if a and b else None
    yield Target("message: the other's file size against ours", s.place, 1.0, True, figure)


def _beyond(s: Series) -> Iterable[Target]:
    yield Target(
        "8 GiB in 256 MiB: speed against write(2)",
        s.place,
        0.5,
        True,
        *_both(s, "beyond.os_write", "beyond.builder"),
    )


def _small(s: Series) -> Iterable[Target]:
    for way in ("view", "slice", "write"):
        figures = _both(s, f"small.builder_{way}", "small.open_write_close")
        yield Target(f"1000 small files by {way}: time against open", s.place, 3, False, *figures)


def _many(s: Series) -> Iterable[Target]:
    for which in ("middle", "last"):
        alone, figure = s.median("costs.many_open", "alone"), s.median("costs.many_open", which)
        ratio = figure / alone if figure and alone else None
        yield Target(f"fault with 10,000 open ({which}) against one", s.place, 2, False, ratio)


def _threads(s: Series) -> Iterable[Target]:
    for count in (2, 4, 8, 16):
        ratio = _ratio(s, f"threads.mmap_sized:{count}", f"threads.builder:{count}")
        yield Target(f"{count} threads: speed against a sized mmap", s.place, 0.95, True, ratio)


def _import(s: Series) -> Iterable[Target]:
    bare, package = s.median("costs.import_time", "bare"), s.median("costs.import_time", "package")
    figure = 1000 * (package - bare) if bare and package else None
    yield Target("import", s.place, 20, False, figure, "ms")


# Of rows and messages the time of the processor is judged: all ways have one thread, which waits
# for nothing, and what else the machine does counts less.


def _at_most(s: Series, what: str, way: str, wanted: float) -> Target:
    figure = s.median(way, "processor_ns")
    return Target(f"{what}, {s.size:,}", s.place, wanted, False, figure, "ns")


def _at_least(s: Series, what: str, slow: str, fast: str, wanted: float) -> Target:
    figure = _ratio(s, slow, fast, "processor")
    return Target(f"{what}, {s.size:,}", s.place, wanted, True, figure)


def _flat_in(s: Series) -> Iterable[Target]:
    loop = "rows.pycapnp_flat_attributes"
    for name, wanted in (("dicts", 150), ("tuples", 100), ("dataclasses", 200)):
        way = f"rows.ours_flat_{name}"
        yield _at_most(s, f"flat rows in, {name}", way, wanted)
        yield _at_least(s, f"flat rows in, {name}: speed against pycapnp's loop", loop, way, 10)
        if name != "tuples":
            what = f"flat rows in, {name}: time against msgspec's msgpack"
            ratio = _ratio(s, way, f"rows.msgspec_flat_{name}", "processor")
            yield Target(f"{what}, {s.size:,}", s.place, 2, False, ratio)


def _nested_in(s: Series) -> Iterable[Target]:
    way = "rows.ours_nested_dicts"
    yield _at_most(s, "nested rows in, dicts", way, 500)
    what = "nested rows in: speed against pycapnp from dicts"
    yield _at_least(s, what, "rows.pycapnp_nested_dicts", way, 10)


def _rows_out(s: Series) -> Iterable[Target]:
    slow = "rows.pycapnp_out_flat_to_dict"
    for name, wanted in (("dicts", 700), ("tuples", 400)):
        way = f"rows.ours_out_flat_{name}"
        yield _at_most(s, f"flat rows out, {name}", way, wanted)
        yield _at_least(s, f"flat rows out, {name}: speed against to_dict", slow, way, 10)
    slow, way = "rows.pycapnp_out_nested_to_dict", "rows.ours_out_nested_dicts"
    yield _at_least(s, "nested rows out, dicts: speed against to_dict", slow, way, 10)


def _nested_columns(s: Series) -> Iterable[Target]:
    for name, there, back in (("ragged", 30, 20), ("points", 60, 60)):
        for way, wanted in (("in", there), ("out", back)):
            yield _at_most(s, f"{name} {way}", f"rows.ours_{name}_{way}", wanted)
    for name, way, wanted in (("ragged", "in", 50), ("ragged", "out", 50), ("text", "in", 15)):
        what = f"{name} {way}: speed against pycapnp's loop"
        yield _at_least(s, what, f"rows.pycapnp_{name}_{way}", f"rows.ours_{name}_{way}", wanted)


def _log_in(s: Series) -> Iterable[Target]:
    loop = "logs.pycapnp_attributes_write"
    yield _at_most(s, "append_bytes", "logs.ours_append_bytes", 150)
    keywords = "logs.pycapnp_keywords_write"
    what = "append of fields: speed against new_message(**) and write"
    yield _at_least(s, what, keywords, "logs.ours_append_fields", 8)
    both = s.median("logs.ours_append_builder", "processor_ns")
    alone = s.median("logs.pycapnp_build", "processor_ns")
    what = f"append of a builder, beyond building it, {s.size:,}"
    yield Target(what, s.place, 350, False, both - alone if both and alone else None, "ns")
    write = s.median(loop, "processor_ns")
    what = "append of a builder: time against write, both beyond building"
    ratio = (both - alone) / (write - alone) if both and alone and write else None
    yield Target(what, s.place, 0.26, False, ratio)
    for name, wanted in (("dicts", 10), ("arrow", 40), ("arrays", 40)):
        what = f"extend, {name}: speed against pycapnp's loop"
        yield _at_least(s, what, loop, f"logs.ours_extend_{name}", wanted)
    for name in ("arrow", "arrays"):
        yield _at_most(s, f"extend, {name}", f"logs.ours_extend_{name}", 60)
    yield _at_least(s, "append_bytes: speed against MCAP", "logs.mcap_write",
                    "logs.ours_append_bytes", 30)  # fmt: skip


def _log_out(s: Series) -> Iterable[Target]:
    what = "table: speed against a loop over read_multiple_bytes"
    yield _at_least(s, what, "logs.pycapnp_fields", "logs.ours_table", 50)
    ratio = _ratio(s, "logs.ours_iterate", "logs.pycapnp_iterate", "processor")
    what = f"iteration: time against read_multiple_bytes, {s.size:,}"
    yield Target(what, s.place, 1.5, False, ratio)
    yield _at_most(s, "one message by its number", "logs.ours_item", 1200)
    yield _at_least(s, "iteration: speed against MCAP", "logs.mcap_read", "logs.ours_iterate", 30)


_OF = {
    "rows flat in": _flat_in,
    "rows nested in": _nested_in,
    "rows out": _rows_out,
    "nested columns": _nested_columns,
    "log in": _log_in,
    "log out": _log_out,
    "fill": _fill,
    "large": _large,
    "column": _column,
    "message": _message,
    "beyond": _beyond,
    "small": _small,
    "many": _many,
    "threads": _threads,
    "import": _import,
}


def judge(results: list[Series], memory: dict[str, int]) -> list[Target]:
    """All targets that the results have figures for."""
    found = [target for s in results if s.subject in _OF for target in _OF[s.subject](s)]
    for way in ("column.builder", "message.builder"):
        if way in memory:
            peak = memory[way] / MIB
            found.append(Target(f"{way}: peak private memory", "ext4", 16, False, peak, "MiB"))
    handler = [s for s in results if s.subject == "handler"]
    fills = [s for s in results if s.subject == "fill" and s.size == GIB and s.place == "ext4"]
    if handler and fills:
        cost = next(iter(handler[0].runs))
        one, faults = handler[0].median(cost, "handler"), fills[0].median("fill.builder", "faults")
        total = fills[0].median("fill.builder", "closed")
        if one and faults and total:
            share = 100 * one * faults / 1e9 / total
            found.append(Target("handler's share of a 1 GiB fill", "ext4", 1, False, share, "%"))
    return found
