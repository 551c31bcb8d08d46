"""Checking finished messages, finishing unfinished ones."""

import os

from . import _core
from ._content import look_into
from ._output import lock_to_change, open_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    from . import _types as t
    from .log.report import Found
else:
    from ._lazy import LazyModule
    from ._tuples import NamedTuple

    t = LazyModule("mmapbuilder._types")


class Report(NamedTuple):
    """What a message file holds.

    Attributes:
        size: bytes of the message: table and segments.
        trailing: bytes of the file after the message.
        words: words that the root leads to, itself included.
        objects: structs and lists; elements of lists are not counted.
        pointers: pointers that are not null.
        depth: nesting of the deepest object; 1 is the root's.
        segments: segments that are not empty.
        entries: entries of the segment table, empty segments included.
        unfinished: whether the file was unfinished when it was opened.
        lost: what `recover` could not keep: pointers made null, and lists made shorter.
        lost_values: elements of these lists and bytes of these Texts and Data that are gone;
            anything else that a pointer led to counts as one.
    """

    size: int
    trailing: int
    words: int
    objects: int
    pointers: int
    depth: int
    segments: int
    entries: int
    unfinished: bool
    lost: int
    lost_values: int

    def _repr_html_(self) -> str:
        from ._html import describe, in_bytes

        rows = self._asdict() | {"size": in_bytes(self.size)}
        return describe("Report", ((name.replace("_", " "), value) for name, value in rows.items()))


class LogReport(Report):
    """What a log holds. As a `Report` it is that of the first message.

    `trailing` counts all that follows the first message.
    """

    messages: int
    """Messages that are whole."""
    log_size: int
    """Bytes of these."""
    tail: str
    """What follows: none; fence, if the log is open or its writer was killed; torn; zeros; or lost,
    what the device did not have when the machine went down."""
    dropped: int
    """Bytes behind the last good message that `recover` has cut off."""
    unchecked: bool
    """Whether there is no checksum for some messages: their pointers are in bounds, but what
    they say may not be what was appended."""

    @classmethod
    def _of(cls, found: "Found") -> "t.Self":
        """Make a report of what was found."""
        first, messages, log_size, tail, dropped, unchecked = found
        report = cls(*(first or (0,) * len(cls._fields)))
        report.messages, report.log_size, report.tail = messages, log_size, tail
        report.dropped, report.unchecked = dropped, unchecked
        return report

    def __repr__(self) -> str:
        return (
            f"LogReport(messages={self.messages}, log_size={self.log_size}, tail={self.tail!r}, "
            f"dropped={self.dropped}, unchecked={self.unchecked})"
        )


def verify(content: "t.Content", *, progress: "t.Callable[[int], object] | None" = None) -> Report:
    """Check that every pointer of a message stays in bounds.

    Follows all pointers from the root without a schema. Safe on any bytes: time is
    bounded by the size of the message, memory is constant. Nothing is written. Holes of
    a sparse file cost nothing.

    Of a log, a file of many messages that is given by its path, every message is checked, and
    the report is a `LogReport`.

    Args:
        content: a path, a file descriptor, an object with fileno() (wherever it stands, the
            file is looked at from its start), or a buffer: bytes, a memoryview, an mmap.
            bytes are content, never a path.
        progress: called now and then with the bytes that were checked. What it raises ends
            the check.

    Raises:
        InvalidMessage: it is unfinished or no valid message; `segment` and `word` say where
            the first fault stands, `reason` what it is.
        OSError: the file cannot be read.

    >>> with MessageBuilder("alice.bin") as b:
    ...     alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> report = verify("alice.bin")
    >>> report.size, report.segments, report.objects
    (128, 1, 2)
    """

    def check(message: "int | memoryview", name: "t.ContentName") -> "tuple[t.Any, ...]":
        return _core.verify(message, name, progress)

    if isinstance(content, (str, os.PathLike)):
        found = _verify_log(os.fspath(content), progress)
        if found is not None:
            return found
    return Report(*look_into(content, check, check))


def _verify_log(
    path: "str | bytes", progress: "t.Callable[[int], object] | None"
) -> "LogReport | None":
    """Verify what is a log, and no single message; None if it is none."""
    from .log.report import is_log, verify_log

    try:
        fd = open_regular(path, os.O_RDONLY)
    except OSError:
        return None  # the search for a message will say what is wrong
    try:
        return LogReport._of(verify_log(fd, path, progress)) if is_log(fd, path) else None
    finally:
        os.close(fd)


def recover(
    path: "t.Path",
    *,
    durable: bool = False,
    progress: "t.Callable[[int], object] | None" = None,
) -> Report:
    """Finish the message in `path`, whose builder died before it could.

    Everything that the root leads to and that is in the file is kept. What is not there,
    since the disk was full or the capacity used up, is counted in the `lost` of the report:
    lists are cut to the elements that are there, other pointers become null. The file is
    written to only if all else is valid; a file that is finished already is verified and
    left alone. With `durable` every step waits for the device.
    `progress` is called now and then with the bytes that were checked; what it raises ends
    the check, and nothing is written.

    Of a log, a file of many messages, that is what was on the device before the machine went
    down, and all that agrees with the checksums of its index after that. Without an index it
    is all before the first message whose pointers lead astray. The rest is cut off, and the
    report is a `LogReport`.

    Raises:
        BlockingIOError: the builder, or a writer of the log, is alive.
        InvalidMessage: what is there cannot be made a valid message; `reason` says
            why. Nothing was written.
        OSError: the file cannot be read or written.

    >>> b = MessageBuilder("died.bin")
    >>> alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> _ = shutil.copy("died.bin", "copy.bin")  # as a crash would leave it
    >>> b.close()
    >>> recover("copy.bin").unfinished
    True
    >>> with open_message("copy.bin", addressbook_capnp.Person) as m:
    ...     print(m.root.name)
    Alice
    """
    from .log.report import is_log, recover_log

    name = os.fspath(path)
    fd = open_regular(name, os.O_RDWR)
    try:
        if is_log(fd, name):
            return LogReport._of(recover_log(name, durable, progress))
        lock_to_change(fd, name)
        return Report(*_core.recover(fd, name, durable, progress))
    finally:
        os.close(fd)
