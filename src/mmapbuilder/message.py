"""One Cap'n Proto message, built in place in its file."""

import errno

from . import _core, _pycapnp
from ._gate import gated
from ._lazy import t
from ._mapped import Mapped
from ._output import Endings, Output
from ._stats import Stats
from .builder import GIB, MIB
from .lanes.dividing import Dividing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from .columns.room import BuilderMemory
    from .columns.schema import Plan
    from .lanes.owner import OwnerFile
    from .usage import Outside

    T = TypeVar("T")


class MessageBuilder(Dividing, Mapped, Endings):
    """A Cap'n Proto message that lives in its file from the first byte.

    pycapnp builds in memory that is the mapped file, and the file grows with the message.
    `close` fills in the segment table and cuts the file behind the last used word. Then
    the file is a message in the standard stream framing, and any reader opens it. Until
    then its first word is one that every reader refuses.

    >>> with MessageBuilder("people.bin") as b:
    ...     book = b.init_root(addressbook_capnp.AddressBook)
    ...     book.init("people", 1)[0].name = "Alice"
    >>> with open_message("people.bin", addressbook_capnp.AddressBook) as m:
    ...     print(m.root.people[0].name)
    Alice

    Args:
        file, capacity, max_growth, size_hint, prefault, writeback, atomic, durable: as
            for `Builder`.
        mode: ``"w"`` or ``"x"``. A message cannot be continued.
        segment_words: the most words of one segment, unless a single object needs
            more. The default is the most that the format allows, 4 GiB. It is the right
            choice nearly always, since a message of one segment has no far pointers. The
            table at the start of the file gets an entry for every `segment_words` of
            `capacity`.

    Raises:
        BlockingIOError, OSError, TypeError: as for `Builder`.
        ValueError: an argument is wrong, or the message could need more than the
            511 segments that readers accept.

    pycapnp's objects of this message stay valid after `close`: they become a private
    snapshot. You can read them, and what you store in them never reaches the file.

    pycapnp cannot be told that the disk is full or that the capacity is used up, because
    an exception would end the process. So it goes on in memory that is in no file, and
    `close` raises the error. The file is then marked as unfinished. It is also left
    unfinished if the body of the ``with`` raises, or if the builder is dropped without
    `close`. `recover` can finish such a file.
    """

    # Attributes of the class, so that they exist even if __init__ was not reached or has failed.
    _segments: _core.Segments | None = None
    _failure: Exception | None = None  # why the content cannot be finished, if that is known before
    _schema: "t.Any" = None
    _memory_file: "t.MemoryFile | None" = None  # of a message in no file, until it is sealed
    _has_columns = False  # whether there was a call that reads or writes them
    _lanes: "tuple[t.Lanes, ...]" = ()  # of lists that other processes fill

    def __init__(
        self,
        file: "t.FileLike",
        mode: "t.NewFileMode" = "w",
        *,
        capacity: int = 64 * GIB,
        segment_words: int = _core.MAX_SEGMENT_WORDS,
        max_growth: int = 64 * MIB,
        size_hint: int = 0,
        prefault: bool = False,
        writeback: bool = False,
        atomic: bool = False,
        durable: bool = False,
    ) -> None:
        if str(mode) == "r+":
            raise ValueError(
                "a message cannot be continued, so mode 'r+' makes no sense: "
                "read it with open_message() and build a new one, or recover() an unfinished one"
            )
        entries = _core.table_entries(capacity, segment_words)
        self._capacity = capacity
        self._segment_words = segment_words
        self._message: t.Any = None
        self._root: t.Any = None
        self._gate = _core.Gate()
        self._mode = mode
        self._durable = durable
        output = Output.open(file, mode, atomic=atomic, holder=self)
        self._name = output.name
        try:
            core = self._map = _core.Map(
                output,
                capacity,
                max_growth=max_growth,
                size_hint=size_hint,
                prefault=prefault,
                writeback=writeback,
                entries=entries,
                durable=durable,
            )
            self._segments = _core.Segments(core, segment_words)
            # pycapnp is in the middle of a call when it asks for a segment: no code of Python's
            # may run then, which could be interrupted.
            self.allocate_segment = self._segments.allocate_for_program  # type: ignore[assignment,method-assign]
            self._output = output
        except BaseException:
            if self._map is not None:
                self._map._finish(cut=False)
            self._map = self._segments = self._output = None
            output.roll_back()
            raise

    @classmethod
    def in_memory(
        cls,
        name: str = "",
        *,
        capacity: int = 64 * GIB,
        segment_words: int = _core.MAX_SEGMENT_WORDS,
        max_growth: int = 64 * MIB,
        size_hint: int = 0,
        prefault: bool = False,
    ) -> "t.Self":
        """Return a builder of a message in memory, which `seal` hands to other processes.

        The memory is a file without a name (memfd), which grows as other files do. `seal`
        finishes the message and returns its descriptor. `name` is what errors and ``/proc``
        call the file; it has at most 249 bytes. The other arguments are those of the class.

        Raises:
            NotImplementedError: the system has no files in memory that can be sealed.
            ValueError: the name is too long, or another argument is wrong.
            OSError: as for the class.

        >>> with MessageBuilder.in_memory("people") as b:
        ...     b.init_root(addressbook_capnp.AddressBook).init("people", 1)[0].name = "Ada"
        ...     file = open(b.seal(), "rb")
        >>> with file, open_message(file, addressbook_capnp.AddressBook, require_seals=True) as m:
        ...     print(m.root.people[0].name)
        Ada
        """
        from ._memory_file import MemoryFile

        file = MemoryFile(name)
        builder = cls(
            file,
            capacity=capacity,
            segment_words=segment_words,
            max_growth=max_growth,
            size_hint=size_hint,
            prefault=prefault,
        )
        builder._memory_file = file
        return builder

    # ---- building ----
    #
    # What uses the message goes through a gate, one call at a time, and so does the end.

    @property
    @gated
    def message(self) -> "t.Any":
        """Return pycapnp's message builder over this file.

        It has pycapnp's methods ``new_orphan``, ``set_root`` and ``get_root``.

        Raises:
            ValueError: the builder is closed, or `allocate_segment` was called before.
            OSError: an earlier store failed.
            ImportError: pycapnp is not installed, or does not load.
        """
        return self._message_inside()

    def _message_inside(self) -> "t.Any":
        self._open_map().tell()  # raises what poisoned the map
        segments = self._segments
        if self._message is None and segments is not None:
            if not segments.take_for_message():
                raise ValueError(
                    "allocate_segment() was called before, so this builder holds another message: "
                    "make another builder for this one"
                )
            self._message = _pycapnp.message_builder(segments.allocate)
        return self._message

    @gated
    def init_root(self, schema: "t.Any", /, **fields: "t.Any") -> "t.Any":
        """Make the root struct, and return pycapnp's builder of it.

        `fields` are set as ``new_message`` of pycapnp sets them. A second call makes
        another root, and the content of the first one is lost, as with pycapnp.

        Raises:
            TypeError: `schema` is no struct, but an enum, a group, a message or None.
            ValueError: the builder is closed, or `allocate_segment` was called before.
            OSError: an earlier store failed.
            ImportError: pycapnp is not installed, or does not load.

        >>> with MessageBuilder("alice.bin") as b:
        ...     alice = b.init_root(addressbook_capnp.Person, name="Alice", id=7)
        ...     alice.email = "alice@example.com"
        """
        struct = _pycapnp.struct_of(schema)
        root = self._message_inside().init_root(struct)
        self._schema = struct
        if fields:
            root.from_dict(fields)
        self._root = root
        return root

    def allocate_segment(self, min_words: int) -> memoryview:
        """Return the next segment: at least `min_words` words of the file, all zero.

        pycapnp calls this if you pass it as the allocator of a message of your own. Then
        `close` follows the pointers from the root to find out which words are used. The
        root is that of the first message, so make another builder for another message,
        also if you gave the first one up.

        If the file has no room for a segment, the memory that is returned is in no file,
        and `close` raises. An exception here would end the process.

        >>> b = MessageBuilder("carol.bin")
        >>> carol = addressbook_capnp.Person.new_message(
        ...     allocate_seg_callable=b.allocate_segment
        ... )
        >>> carol.name = "Carol"
        >>> b.close()
        """
        # Until the end, an attribute of the object stands in the place of this: pycapnp is in the
        # middle of a call then, and no code of Python's may run that could be interrupted.
        return memoryview(bytearray(8 * max(min_words, 1)))

    # ---- the content as arrays, columns and rows ----

    @property
    def schema(self) -> "t.Any":
        """The schema of the root. `init_root` sets it.

        Set it yourself if the root is made in another way, by ``message.set_root`` or in a
        message of pycapnp's own that uses `allocate_segment`. `array`, `fill` and the other
        methods need it.
        """
        return self._schema

    @schema.setter
    def schema(self, schema: "t.Any") -> None:
        self._schema = _pycapnp.struct_of(schema)

    def _look(self, read: "t.Callable[..., T]", /, *args: "t.Any") -> "T":
        return self._gate.run(read.__name__, self._read, read, *args)

    def _read(self, read: "t.Callable[..., T]", /, *args: "t.Any") -> "T":
        result = super()._read(read, *args)
        self._open_map().tell()  # raises if a store found the disk full
        return result

    def _make_root(self) -> "t.Any":
        if self._root is None:
            self._root = self._message_inside().init_root(self._schema)
        return self._root

    def _plan(self) -> "Plan":
        from .columns.schema import plan_of

        if self._schema is None:
            raise ValueError(
                "the schema of the root is not known: make the root with init_root(), or set schema"
            )
        return plan_of(self._schema)

    def _memory(self) -> "BuilderMemory":
        from .columns.room import BuilderMemory

        self._has_columns = True
        core, segments = self._open_map(), self._segments
        core.tell()  # raises what poisoned the map
        assert segments is not None
        return BuilderMemory(
            core,
            segments,
            self._segment_words,
            self._schema,
            self._message_inside,
            self._used_words,
        )

    def _extents(self) -> "tuple[tuple[memoryview, ...], Outside]":
        from .usage import Outside

        memory = self._memory()
        used = [8 * words for words in memory.used()]
        entries = _core.table_entries(self._capacity, self._segment_words)
        table = max(16, (4 + 4 * entries + 7) // 8 * 8)
        segments = zip(memory.segments, used, strict=False)
        return tuple(view[:size] for view, size in segments), Outside(table, 0)

    def _owned(self) -> "OwnerFile":
        from .lanes.owner import OwnerFile

        core, segments = self._open_map(), self._segments
        assert segments is not None
        return OwnerFile(self._name, core.descriptor, self._capacity, segments, self._schema)

    def _divided(self, lanes: "t.Lanes") -> None:
        self._open_map().tell()  # raises if the file has not so much room
        self._lanes += (lanes,)

    # ---- the end ----

    @gated
    def close(self) -> None:
        """Finish the message: write its table, cut the file, and close it.

        Closing again does nothing. Calls of other threads that began before are finished
        first. If another thread is closing the builder, this call waits for it.

        After any of the first four errors the builder is closed, its file stays marked as
        unfinished, and an atomic builder leaves its target as it was.

        Raises:
            OSError: a store or one of the last steps failed, or the capacity was used up
                (CapacityError).
            InvalidMessage: the segments that `allocate_segment` returned to a caller hold
                no message, or more than one.
            LaneError: one of the `lanes` was not filled.
            ValueError: `allocate_segment` was called although `message` was in use.
            RuntimeError: this thread is in another call of this builder, which a signal
                handler, a generator or a finalizer has interrupted. Nothing has changed.
        """
        self._commit()

    def seal(self) -> int:
        """Finish a message that `in_memory` began, and return its sealed descriptor.

        After that no process can write to the file, cut it or make it longer (F_SEAL_WRITE,
        F_SEAL_SHRINK, F_SEAL_GROW). Send the descriptor to another process, for example by
        `socket.send_fds`: it can read the message in place, and need not fear SIGBUS or
        changes. pycapnp's objects and arrays of this builder become a private snapshot, as
        `close` makes them one. You may have called `close` before.

        You have to close the descriptor. The kernel frees the memory when no process has
        the file open or mapped any more.

        Raises:
            BlockingIOError: a forked child of this process still has the message mapped.
                The message is finished. Call `seal` again when the child has ended.
            ValueError: the message was not begun by `in_memory`, or it was sealed or given
                up before, or it could not be built (InvalidMessage).
            PermissionError: this is a forked child of the process that made the builder.
            OSError, RuntimeError: as for `close`.
        """
        file = self._memory_file
        if file is None:
            raise ValueError(
                f"only a message that MessageBuilder.in_memory() began can be sealed: {self!r}"
            )
        core = self._map
        if core is not None and not core._is_owner():
            raise PermissionError(
                errno.EPERM, "a forked child cannot seal the message of its parent", file.name
            )
        self.close()
        return file.seal()

    def _end_content(self, end: "t.End", *how: "t.Any") -> Exception | None:
        core = self._map
        segments = self._segments
        if core is None or segments is None:
            return None
        if end == "finish" and core._is_owner() and self._failure is None:
            try:
                for lanes in self._lanes:
                    lanes.end()
                segments.seal()
                if segments.mixed:
                    raise ValueError(
                        "allocate_segment() was called on a builder whose message was in use"
                    )
                return segments.finish(self._told_sizes(segments), self._durable)
            except MemoryError:
                raise  # there may be some the next time
            except Exception as error:
                self._failure = error.with_traceback(None)  # its frames would keep the memory
        core._finish(cut=False)
        return self._failure

    def _told_sizes(self, segments: _core.Segments) -> list[int] | None:
        """Ask pycapnp for the used words of its segments; None if the pointers must tell."""
        if self._message is None or not segments.sure or self._lanes:
            return None
        if len(segments) == 0:
            return []
        try:
            if self._has_columns and segments.content > _pycapnp.PIPE_BYTES:
                from .columns.room import used_at_end

                return used_at_end(self._message, self._schema, segments, self._used_words)
            return self._used_words(segments)
        except Exception:
            return None  # as when there are no more descriptors to ask with

    def _used_words(self, segments: _core.Segments) -> list[int]:
        return _pycapnp.used_words(self._message, self._root, segments)

    @gated
    def discard(self) -> None:
        """Give the message up, and close the builder.

        If the file was given by its path, it is removed; if it was given as a descriptor,
        it is emptied. An atomic builder leaves its target as it was. `discard` waits for
        other calls, and raises RuntimeError, as `close` does.
        """
        super().discard()

    def _leave(self, error: BaseException | None) -> None:
        try:
            self._gate.run("close", super()._leave, error)
        except RuntimeError as problem:  # it is at work in this very thread
            if error is not None:
                error.add_note(f"mmapbuilder: closing {self.name!r} failed as well: {problem}")

    def _forget(self) -> None:
        """Drop the memory, which lives on under pycapnp's objects if there are any."""
        core = self._map
        if core is not None:
            self._final = Stats(*core._stats())
        self._map = self._segments = self._message = self._root = None
        self._lanes = ()
        self.__dict__.pop("allocate_segment", None)

    def __enter__(self) -> "t.Self":
        self._open_map().tell()  # raises if the builder is poisoned
        return self
