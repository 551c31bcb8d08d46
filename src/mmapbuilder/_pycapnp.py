"""All that is known about pycapnp; nothing else imports it, and nobody before use."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

# Far more than any message holds: reading a mapped file costs nothing up front, so
# there is no amount of reading to defend against.
_TRAVERSAL_LIMIT = 1 << 62


def load() -> "Any":
    """Import pycapnp.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import capnp
    except ImportError as error:
        raise ImportError(
            "messages need pycapnp: pip install mmapbuilder[capnp]", name="capnp"
        ) from error
    return capnp


def message_builder(allocate: "Callable[[int], memoryview]") -> "Any":
    """Return pycapnp's message builder over segments from `allocate`."""
    # One word as the least size of the first segment: without it pycapnp asks for
    # 1024, which a small file may not have.
    return load()._PyCustomMessageBuilder(allocate, 1)


def used_words(message: "Any", root: "Any") -> "list[int]":
    """Return the used words of each segment of a message builder.

    Every segment must be readable by the kernel at its start.
    """
    capnp = load()
    write = getattr(capnp, "_write_message_to_fd", None)
    if write is not None:
        return _used_words_from_pipe(write, message)
    return [memoryview(view).nbytes // 8 for view in root.to_segment_views()]


def _used_words_from_pipe(write: "Callable[[int, Any], None]", message: "Any") -> "list[int]":
    """Have the message written to a pipe that takes its table and little more.

    pycapnp has no other way to tell the sizes without copying the message.
    """
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        failure: Exception | None = None
        try:
            write(writing, message)
        except Exception as error:
            # As it should be: the pipe is full. Without its traceback, which would keep the
            # frames of all callers alive, and with them what they have of the message.
            failure = error.with_traceback(None)
        try:
            head = os.read(reading, 4096)
        except BlockingIOError:
            head = b""
    finally:
        os.close(reading)
        os.close(writing)
    numbers = [int.from_bytes(head[at : at + 4], "little") for at in range(0, len(head) - 3, 4)]
    if numbers and len(numbers) >= numbers[0] + 2:
        return numbers[1 : numbers[0] + 2]
    raise RuntimeError("pycapnp did not tell the sizes of the message's segments") from failure


def reader_over(schema: "Any", segments: "Sequence[memoryview]", nesting_limit: int) -> "Any":
    """Return pycapnp's reader of the root in `segments`, which it keeps alive."""
    load()
    return schema.from_segments(segments, _TRAVERSAL_LIMIT, nesting_limit)
