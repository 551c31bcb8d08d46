"""All that is known about pycapnp, which only this module imports, and only when it is used."""

import os

from . import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    _ForBuilders: TypeAlias = tuple[
        str, str, Callable[[Any], list[bytes]], Callable[[Any], bytes | list[bytes]]
    ]

# Far more than any message holds: reading a mapped file costs nothing up front, so
# there is no amount of reading to defend against.
_TRAVERSAL_LIMIT = 1 << 62

# Readers stop after so many words of a message if they are not told otherwise.
DEFAULT_LIMIT = 8 << 20

# A message that fits into a pipe tells its sizes without an exception of pycapnp.
PIPE_BYTES = 64 << 10


def load() -> "Any":
    """Import pycapnp.

    Raises:
        ImportError: it is not installed, or does not load.
    """
    try:
        import capnp
    except ModuleNotFoundError as error:
        if error.name != "capnp":
            raise
        raise ImportError(
            "messages need pycapnp: pip install mmapbuilder[capnp]", name="capnp"
        ) from error
    except ImportError as error:
        raise ImportError(
            "messages need pycapnp, which is installed but does not load here"
            f"{_in_a_subinterpreter(error)}: {error}",
            name="capnp",
            path=error.path,
        ) from error
    return capnp


def _in_a_subinterpreter(error: ImportError) -> str:
    known = "subinterpreters" in str(error) or "interpreter" in str(error)
    return ", in a subinterpreter (use it in the main one)" if known else ""


_last: "list[Any]" = [object()]
"""The struct that was found good last: mostly the next one is the same."""


def struct_of(schema: "Any") -> "Any":
    """Return pycapnp's schema of a struct that can be the root of a message.

    pycapnp would end the process for some objects that are no such struct.

    Raises:
        TypeError: it is none.
    """
    kinds = load().lib.capnp
    found = getattr(schema, "schema", schema)
    if isinstance(schema, (kinds._DynamicStructBuilder, kinds._DynamicStructReader)):
        raise TypeError(
            "schema must be a struct of a schema, not a message: message.set_root() copies one"
        )
    if found is _last[0]:
        return found
    if not isinstance(found, kinds._StructSchema):
        raise TypeError(
            "schema must be a struct of a schema, as addressbook_capnp.Person is, "
            f"not {schema if schema is None else type(schema).__name__!r}"
        )
    _refuse_group(found)
    _last[0] = found
    return found


def _refuse_group(schema: "Any") -> None:
    node = schema.node
    if node.struct.isGroup:
        raise TypeError(
            f"{node.displayName} is a group: it is part of a struct, and no message by itself"
        )


def message_builder(allocate: "Callable[[int], memoryview]") -> "Any":
    """Return pycapnp's message builder over segments from `allocate`."""
    # One word as the least size of the first segment: without it pycapnp asks for
    # 1024, which a small file may not have.
    return load()._PyCustomMessageBuilder(allocate, 1)


def used_words(
    message: "Any", root: "Any", segments: "_core.Segments | None" = None
) -> "list[int]":
    """Return the used words of each segment of a message builder.

    `segments` is what hands its segments out, or None if pycapnp does. Every segment must be
    readable by the kernel at its start.

    pycapnp is made to write the message into a pipe that takes its table and little more. Up to
    version 2.2.4 all else that tells the sizes copies the message: `to_segments`, `to_bytes`,
    `get_segments_for_output`. `to_segment_views`, of the version to come, copies nothing. Once no
    older version is supported, the pipe can go.

    Raises:
        OSError: there are no descriptors for the pipe.
        RuntimeError: pycapnp does not tell.
    """
    capnp = load()
    write = getattr(capnp, "_write_message_to_fd", None)
    if write is not None:
        return _core.used_words(write, message, segments)
    return [memoryview(view).nbytes // 8 for view in root.to_segment_views()]


def reader_over(schema: "Any", segments: "Sequence[memoryview]", nesting_limit: int) -> "Any":
    """Return pycapnp's reader of the root in `segments`, which it keeps alive."""
    load()
    return schema.from_segments(segments, _TRAVERSAL_LIMIT, nesting_limit)


def require_struct(schema: "Any") -> None:
    """Refuse everything but a struct of a loaded schema.

    Raises:
        TypeError: it is none.
        ImportError: pycapnp is not installed.
    """
    load()
    if not hasattr(schema, "read_multiple_bytes"):
        raise TypeError(
            "schema must be a struct of a schema that pycapnp has loaded, "
            f"as addressbook_capnp.AddressBook is, not {schema!r}"
        )


def read_frames(
    schema: "Any", nesting_limit: int
) -> "Callable[[bytes | memoryview], Iterator[Any]]":
    """Return what iterates over the roots of whole frames, which lie back to back in memory.

    Each root keeps the memory alive.
    """
    read = schema.read_multiple_bytes
    return lambda frames: read(frames, _TRAVERSAL_LIMIT, nesting_limit)


def is_struct(kind: "type[Any]") -> bool:
    """Whether objects of a class are structs of pycapnp: builders or readers."""
    return hasattr(kind, "to_dict") and hasattr(kind, "schema") and hasattr(kind, "total_size")


def framer(kind: "type[Any]") -> "Callable[[Any], bytes | list[bytes]] | _ForBuilders | None":
    """Return a function that gives the message of a struct of that class: as a frame or segments.

    For builders there come before it the name of the attribute that tells whether the struct is the
    root, that of the attribute that is the message builder, and the function that gives the
    segments of a message builder. None if the class is not pycapnp's.
    """
    if not is_struct(kind):
        return None
    if hasattr(kind, "as_builder"):
        return _frame_of_reader
    builder = getattr(load().lib.capnp, "_MessageBuilder", None)
    segments = getattr(builder, "get_segments_for_output", None)
    if segments is None:  # a version that does not know this way
        return _segments_of_builder
    return "is_root", "_parent", segments, _segments_of_builder


def _segments_of_builder(builder: "Any") -> "bytes | list[bytes]":
    if not builder.is_root:
        return _frame_of_reader(builder.as_reader())
    builder.clear_write_flag()  # or it warns if it was written before
    segments: list[bytes] = builder.to_segments()
    return segments


def frame_of(builder: "Any") -> bytes:
    """Return the message of a root that is a builder: its table, and what each segment uses."""
    frame: bytes = builder.to_bytes()
    builder.clear_write_flag()  # or the next time it warns
    return frame


def _frame_of_reader(reader: "Any") -> bytes:
    if not reader.is_root:
        _refuse_group(reader.schema)  # of which pycapnp makes no message, but ends the process
    frame: bytes = reader.as_builder().to_bytes()
    return frame


class Importable:
    """A struct of a schema, described so that another process can load it.

    Raises:
        TypeError: the file that the schema was loaded from is not known, or not there. Or one
            that it imports is not found.
    """

    def __init__(self, schema: "Any") -> None:
        from ._imports import import_directories

        names = getattr(schema, "schema", schema).node.displayName.partition(":")[2]
        file = _file_of(schema)
        if file is None or not os.path.isfile(file):
            raise TypeError(
                f"cannot pickle the schema {names}: the file that it was loaded from is not there"
            )
        self.file = os.path.abspath(file)
        self.names = names.split(".")
        try:
            self.directories = import_directories(self.file)
        except FileNotFoundError as error:
            raise TypeError(f"cannot pickle the schema {names}: {error}") from None

    def load(self) -> "Any":
        """Load the schema file, and return the struct."""
        found = load().load(self.file, imports=self.directories)
        for name in self.names:
            found = getattr(found, name)
        return found


def _file_of(schema: "Any") -> "str | None":
    """Return the file that a struct was loaded from, if pycapnp knows it."""
    modules = load().lib.capnp._global_schema_parser.modules_by_id
    while schema is not None:
        file: str | None = getattr(schema, "__file__", None)
        if file is not None:
            return file
        # What it is nested in.
        schema = modules.get(getattr(schema, "schema", schema).node.scopeId)
    return None
