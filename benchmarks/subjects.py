"""Which ways are run where, with which sizes, and how often."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.clock import MIB

GIB = 1 << 30


@dataclass(frozen=True)
class Subject:
    """Ways that do the same work."""

    name: str
    ways: tuple[str, ...]
    sizes: tuple[int, ...]
    rounds: int
    places: tuple[str, ...] = ("ext4", "xfs", "tmpfs")
    warm: Callable[[int], int] = lambda size: 0  # bytes of memory to touch before each run
    cgroup: int = 0  # bytes of memory, page cache included, that a run may have
    keep: bool = False  # files until all runs are done: ext4 makes new ones slowly after many
    # were removed
    memory: tuple[str, ...] = ()  # ways whose private memory is looked at as well
    about: str = ""  # what the ways do, for the table


def _limit(way: str) -> str:
    return f"limits.fill:{way} {{path}} {{size}}"


_FILL = (
    "fill.builder",
    "fill.builder_prefault",
    "fill.builder_write",
    "fill.mmap_sized",
    "fill.mmap_huge",
    "fill.numpy_memmap",
    "fill.numpy_open_memmap",
    "fill.pyarrow_memory_map",
    "fill.pyarrow_os_file",
    "fill.os_write",
)
_LIMITS = tuple(
    _limit(way)
    for way in (
        "write",
        "sized",
        "huge",
        "single",
        "allocated",
        "steps",
        "cut",
        "ahead",
        "populated",
        "memory",
    )
)
_MOST_THREADS = (1, 2, 4, 8, 16)


def _page_cache(size: int) -> int:
    return size + size // 4 + 64 * MIB


def _ways(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


# Of rows and messages: what their guides say about speed is told for so many.
_ROWS = 20_000

_ROW_SUBJECTS = (
    Subject(
        "rows flat in",
        _ways(
            "rows",
            "ours_flat_dicts ours_flat_tuples ours_flat_dataclasses ours_flat_msgspec_structs "
            "pycapnp_flat_attributes pycapnp_flat_dicts msgspec_flat_dicts "
            "msgspec_flat_dataclasses msgspec_flat_structs orjson_flat_dicts protobuf_flat_dicts "
            "fastavro_flat_dicts pyarrow_flat_dicts",
        ),
        (_ROWS,),
        3,
        places=("tmpfs",),
        about="rows of six fields, two of them strings, into a message, or into other formats",
    ),
    Subject(
        "rows nested in",
        _ways(
            "rows",
            "ours_nested_dicts pycapnp_nested_dicts msgspec_nested_dicts orjson_nested_dicts "
            "protobuf_nested_dicts fastavro_nested_dicts pyarrow_nested_dicts",
        ),
        (_ROWS,),
        3,
        places=("tmpfs",),
        about="rows with a list of ten numbers and a list of two structs",
    ),
    Subject(
        "rows out",
        _ways(
            "rows",
            "ours_out_flat_dicts ours_out_flat_tuples ours_out_nested_dicts "
            "pycapnp_out_flat_to_dict pycapnp_out_nested_to_dict msgspec_out_flat_dicts "
            "msgspec_out_nested_dicts pyarrow_out_flat_dicts pyarrow_out_nested_dicts",
        ),
        (_ROWS,),
        3,
        places=("tmpfs",),
        about="the same rows out of a message, or out of other formats",
    ),
    Subject(
        "nested columns",
        _ways(
            "rows",
            "ours_ragged_in ours_ragged_out ours_points_in ours_points_out ours_text_in "
            "ours_text_out pycapnp_ragged_in pycapnp_ragged_out pycapnp_points_in "
            "pycapnp_points_out pycapnp_text_in pycapnp_text_out",
        ),
        (_ROWS, 5 * _ROWS),
        3,
        places=("ext4", "tmpfs"),
        about="columns of Arrow into a message and back: ten numbers, two structs, a string a row",
    ),
    Subject(
        "log in",
        _ways(
            "logs",
            "ours_append_bytes ours_append_fields ours_append_builder ours_extend_dicts "
            "ours_extend_arrow ours_extend_arrays pycapnp_build pycapnp_attributes_write "
            "pycapnp_keywords_write plain_buffered_write plain_os_write mcap_write",
        ),
        (_ROWS,),
        3,
        places=("tmpfs",),
        about="messages of three fields, one of them a string, into a log",
    ),
    Subject(
        "log out",
        _ways(
            "logs",
            "ours_table ours_rows_dicts ours_rows_tuples ours_iterate ours_item pycapnp_fields "
            "pycapnp_to_dict pycapnp_iterate mcap_read",
        ),
        (_ROWS,),
        3,
        places=("tmpfs",),
        about="the same messages out of it",
    ),
    Subject(
        "log seek",
        _ways("logs", "ours_seek pycapnp_bisect"),
        (1_000_000,),
        3,
        places=("tmpfs",),
        about="the number of a message with a key, in a log of a million",
    ),
)

SUBJECTS = (
    *_ROW_SUBJECTS,
    Subject(
        "fill",
        _FILL,
        (64 * MIB, GIB),
        9,
        warm=_page_cache,
        about="a new file filled from start to end, 1 MiB at a time",
    ),
    Subject(
        "limits",
        _LIMITS,
        (64 * MIB, GIB),
        7,
        warm=lambda size: 2 * size + size // 4,
        about="the same by C programs that do nothing else",
    ),
    Subject(
        "large",
        (
            "fill.builder",
            "fill.builder_prefault",
            "fill.builder_writeback",
            "fill.mmap_sized",
            "fill.os_write",
            _limit("sized"),
            _limit("steps"),
        ),
        (2 * GIB,),
        7,
        places=("ext4", "xfs"),
        cgroup=512 * MIB,
        about="the same, four times as large as the page cache may be",
    ),
    Subject(
        "column",
        (
            "column.builder",
            "column.builder_prefault",
            "column.memory_tofile",
            "column.memory_save",
            "column.memory_write",
            "column.numpy_memmap",
            "column.numpy_open_memmap",
        ),
        (64 * MIB, GIB),
        7,
        warm=lambda size: 2 * size + size // 4 + 64 * MIB,
        memory=("column.builder", "column.builder_prefault", "column.memory_tofile"),
        about="a NumPy column computed and kept",
    ),
    Subject(
        "message",
        (
            "message.builder",
            "message.builder_prefault",
            "message.builder_columns",
            "message.new_message_write",
        ),
        (1_000_000,),
        7,
        warm=lambda size: 512 * MIB,
        memory=("message.builder", "message.new_message_write"),
        about="a pycapnp message of structs with two texts each",
    ),
    Subject(
        "beyond",
        (
            "beyond.builder",
            "beyond.builder_writeback",
            "beyond.new_message_write",
            "beyond.os_write",
        ),
        (8 * GIB,),
        3,
        places=("ext4",),
        cgroup=256 * MIB,
        about="a message of 8 GiB where 256 MiB of memory are allowed",
    ),
    Subject(
        "small",
        (
            "small.builder_view",
            "small.builder_slice",
            "small.builder_write",
            "small.open_write_close",
            "limits.small:write {path} {size}",
            "limits.small:sized {path} {size}",
            "limits.small:called {path} {size}",
            "limits.small:grown {path} {size}",
        ),
        (1000,),
        7,
        keep=True,
        about="files of 4 KiB, each opened, given its content and closed",
    ),
    Subject(
        "many",
        ("costs.many_open",),
        (10_000,),
        3,
        warm=lambda size: GIB,
        about="builders open at once, and what a growth fault costs then",
    ),
    Subject(
        "threads",
        tuple(
            f"threads.{kind}:{count}"
            for count in _MOST_THREADS
            for kind in ("builder", "mmap_sized")
        ),
        (GIB,),
        7,
        places=("ext4", "tmpfs"),
        warm=_page_cache,
        about="one map filled by 1 to 16 threads",
    ),
    Subject(
        "scattered",
        ("scattered.builder", "scattered.mmap_sized"),
        (4 * GIB,),
        3,
        warm=lambda size: size,
        about="2000 words stored at random places of a sparse range",
    ),
    Subject(
        "durable",
        ("fill.builder_durable", "fill.builder_durable_writeback", "fill.os_write_fsync"),
        (GIB,),
        3,
        places=("ext4", "xfs"),
        warm=_page_cache,
        about="filled, then waited for until the device has it",
    ),
    Subject(
        "handler",
        ("limits.faults:{path} 2000",),
        (1,),
        3,
        places=("tmpfs",),
        about="nanoseconds for one growth fault, of which the handler has its share",
    ),
    Subject(
        "size",
        ("costs.size_of_sparse", "costs.size_of_dense"),
        (GIB, 8 * GIB),
        3,
        warm=lambda size: size,
        about="what asking for `size` costs",
    ),
    Subject(
        "import",
        ("costs.import_time",),
        (1,),
        15,
        places=("ext4",),
        about="starting an interpreter, bare and with the package",
    ),
)
