"""Checking finished messages, and finishing those that are unfinished."""

import os

from . import _core
from ._content import explaining, look_into
from ._lazy import t
from ._output import lock_to_change, open_regular
from ._tuples import NamedTuple


class Report(NamedTuple):
    """What a message file holds.

    Attributes:
        size: bytes of the message: its table and its segments.
        trailing: bytes of the file behind the message.
        words: words of the root and of all that it leads to.
        objects: structs and lists. The elements of lists are not counted.
        pointers: pointers that are not null.
        depth: how deep the deepest object lies. The root has depth 1.
        segments: segments that are not empty.
        entries: entries of the segment table. Those of empty segments count, too.
        unfinished: whether the file was unfinished when it was opened.
        lost: how many pointers `recover` could not keep whole: it made them null, or their
            lists shorter.
        lost_values: how many elements of such lists, and bytes of such Texts and Data, are gone.
            Everything else that such a pointer led to counts as one.
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
    """What a log holds.

    The fields that it has from `Report` are about the first message alone. `trailing` counts
    all bytes that follow that message.
    """

    messages: int
    """Messages that are whole."""
    log_size: int
    """Bytes of these messages."""
    tail: str
    """What follows the messages: ``"none"``; ``"fence"`` if the log is open, or its writer was
    killed; ``"torn"`` or ``"zeros"`` if a writer was interrupted; or ``"lost"`` if the device did
    not have all of the log when the machine went down."""
    dropped: int
    """Bytes behind the last good message that `recover` has cut off."""
    unchecked: bool
    """Whether some messages have no checksum. Their pointers stay in bounds, but it is not known
    whether their values are those that were appended."""

    @classmethod
    def _of(cls, found: "t.Found") -> "t.Self":
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


def verify(path: "t.Content", *, progress: "t.Callable[[int], object] | None" = None) -> Report:
    """Check that every pointer of a message stays in bounds.

    The check follows all pointers from the root and needs no schema. It is safe on any bytes:
    its time is bounded by the size of the message, and its memory is constant. It writes
    nothing. Holes of a sparse file cost no time.

    If `path` is that of a log, which is a file of many messages, every message is
    checked, and the report is a `LogReport`.

    Args:
        path: a path, a file descriptor, an object with ``fileno()``, or a buffer such as
            bytes, a memoryview or an mmap. A file is read from its start, wherever its
            position is. bytes are always content, never a path.
        progress: a function that is called now and then with the number of bytes that were
            checked. An exception of this function ends the check.

    Raises:
        InvalidMessage: the message is unfinished, or it is not valid. `reason` says what the first
            flaw is, `segment` and `word` say where it stands.
        OSError: the file cannot be read.

    >>> with MessageBuilder("alice.bin") as b:
    ...     alice = b.init_root(addressbook_capnp.Person, name="Alice")
    >>> report = verify("alice.bin")
    >>> report.size, report.segments, report.objects
    (128, 1, 2)
    """

    def check(message: "int | memoryview", name: "t.ContentName") -> "tuple[t.Any, ...]":
        return _core.verify(message, name, progress)

    if isinstance(path, (str, os.PathLike)):
        found = _verify_log(os.fspath(path), progress)
        if found is not None:
            return found
    return Report(*look_into(path, check, check))


def _verify_log(
    path: "str | bytes", progress: "t.Callable[[int], object] | None"
) -> "LogReport | None":
    """Verify the file if it is a log, and not a single message; None if it is no log."""
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
    """Finish the message in `path`, whose builder died before it could finish it.

    `recover` keeps all that the root leads to and that is in the file. Something is missing
    in the file if the disk was full or the capacity was used up: then lists are cut to the
    elements that are there, other pointers become null, and the report counts both in `lost`.
    The file is changed only if everything else in it is valid. A file that is finished
    already is verified, and is not changed.

    If `path` is a log, which is a file of many messages, `recover` keeps the messages that
    were on the device before the machine went down, and those behind them that agree with the
    checksums of the index. Without an index it keeps all messages before the first one with a
    wrong pointer. It cuts the rest off, and the report is a `LogReport`.

    Args:
        path: str, bytes or os.PathLike.
        durable: wait for the device after every step.
        progress: a function that is called now and then with the number of bytes that were
            checked. An exception of this function ends the check, and nothing is written.

    Raises:
        BlockingIOError: the builder, or a writer of the log, is still at work.
        InvalidMessage: no valid message can be made of the file. `reason` says why. Nothing
            was written.
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
        head = os.pread(fd, _core.HEAD_BYTES, 0)
        with explaining(head, os.fstat(fd).st_size, name):
            return Report(*_core.recover(fd, name, durable, progress))
    finally:
        os.close(fd)
