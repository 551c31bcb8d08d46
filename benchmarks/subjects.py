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


SUBJECTS = (
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
