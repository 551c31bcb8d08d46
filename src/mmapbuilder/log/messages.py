"""Some messages of a log, as a sequence: one by one, or a field of all at once."""

import bisect
import operator
import os
from collections.abc import Sequence

from .. import _core
from .._lazy import t

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..columns.schema import Plan
    from .columns import Frames

    _Base = Sequence[t.Any]
else:
    _Base = Sequence


class Messages(_Base):
    """Some messages of a log, in order. A slice of a log is one.

    It is a sequence of pycapnp's readers, each made when you ask for it. A message of more than
    1 KiB is not copied. The readers, and the views that `frame` returns, keep alive the memory that
    they read.
    """

    def __init__(self, log: "t.Log", numbers: range) -> None:
        self._log = log
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: "t.SupportsIndex | slice") -> "t.Any":
        """Return the root of a message, or the messages of a slice.

        Raises:
            IndexError: there is no such message.
            TypeError: the log was opened without a schema.
            InvalidMessage: someone has changed the file.
        """
        if isinstance(key, slice):
            return Messages(self._log, self._numbers[key])
        return self._log._root(self._number(key))

    def __iter__(self) -> "t.Iterator[t.Any]":
        numbers = self._numbers
        if numbers.step != 1 or not numbers:
            return map(self._log._root, numbers)
        return self._log._roots(numbers[0], numbers[-1])

    def __reversed__(self) -> "t.Iterator[t.Any]":
        return map(self._log._root, reversed(self._numbers))

    def frame(self, number: "t.SupportsIndex") -> memoryview:
        """Return a message as it lies in the file, with its table, as read-only memory.

        Raises:
            IndexError: there is no such message.
        """
        return self._log._frame(self._number(number))

    @property
    def offsets(self) -> "t.Any":
        """The place where each message starts, in bytes, as a NumPy array of uint64."""
        import numpy as np

        numbers = self._numbers
        if not numbers:
            return np.zeros(0, np.uint64)
        first, last = sorted((numbers[0], numbers[-1]))
        found = np.empty(last - first + 1, np.uint64)
        self._log._reader().offsets(first, found.data)
        return found[:: numbers.step]

    def seek(self, key: "t.Any", field: "str | None" = None) -> int:
        """Return the number of the first message whose key is `key` or more.

        If all keys are less, the result is ``len(self)``. The messages must be in the order
        of the key.

        Args:
            key: a value of the field that is the key. That of an enum is a name or a number, and
                the numbers are what orders the messages. Where an annotation makes the field a
                time, a date or a decimal, the key is such a value, or a number as for `append`.
            field: the name of that field. It is dotted if the field is in a group or in
                another struct. By default it is the ``key=`` that `MessageLog` was given,
                which the index keeps.

        Raises:
            ValueError: no index names the key, and `field` was not given. Or the enum has no such
                name.
            KeyError: there is no such field.
            TypeError: the log was opened without a schema, or `key` cannot be compared with values
                of the field.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person, key="id") as log:
        ...     numbers = log.extend({"id": [10, 20, 20, 30]})
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     log.seek(20), log.seek(25), log.seek(99)
        (1, 3, 4)
        """
        name = field or self._log._reader().key
        if not name:
            raise ValueError(
                "the index names no key: give the name of the field, or write the log with "
                "MessageLog(key=...)"
            )
        if self._numbers.step < 0:
            raise ValueError("the messages are in reverse order")
        from ..columns.meanings import comparable
        from .columns import find, number_of

        numbers, plan, log = self._numbers, self._plan(), self._log
        way = find(plan, (name,))
        if way.kind == "tag":
            raise TypeError(f"{name!r} is the tag of a union, and not a field that orders messages")
        sought = number_of(plan, way, key) if way.kind == "enum" and isinstance(key, str) else key
        try:
            if way.type in plan.meanings and way.kind != "data":
                sought = comparable(plan.meanings[way.type], key)
            found = _core.roots_seek(
                plan.native, way.fields, log._reader(), numbers.start, numbers.step,
                len(numbers), sought, os.fsdecode(log._name)
            )  # fmt: skip
            if found is not None:
                return found
            value, root = operator.attrgetter(name), log._root
            return bisect.bisect_left(numbers, sought, key=lambda number: value(root(number)))
        except TypeError as error:
            raise TypeError(
                f"the key {name!r} is a {plan.spell(way.type)}, with which {key!r} cannot be "
                "compared"
            ) from error

    # ---- all messages at once ----

    def column(self, *path: str, names: bool = False) -> "t.Any":
        """Return one field of all messages: a copy, as a NumPy array.

        The path leads from the root through groups and structs: ``log.column("person",
        "id")``, or ``log.column("person.id")``. Text is str and Data is bytes. Enums are
        numbers, and so is ``@which``, the tag of a union; with ``names=True`` they are names.
        Numbers with an annotation become datetime64, timedelta64 or Python's objects. If a
        field is not there, or is not the active member of its union, its default takes the
        place. Lists become Python's lists, structs and groups become dicts; those that are
        not there are None.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as log:
        ...     numbers = log.extend({"id": i, "name": f"nr {i}"} for i in range(4))
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     print(log.column("id"), log[1:3].column("name"))
        [0 1 2 3] ['nr 1' 'nr 2']

        Raises:
            KeyError: there is no such field.
            TypeError: the field is Void, a pointer of any type or a capability, or the path
                leads through a list.
            InvalidMessage: a message is wrong. The text says which one.
        """
        from . import columns

        values = columns.column(self._plan(), path, self._frames(), names)
        return values[self._every()]

    def table(
        self,
        columns: "list[str] | None" = None,
        *,
        depth: int = 1,
        unions: str = "members",
        start: int = 0,
        stop: int | None = None,
    ) -> "t.Any":
        """Return all messages as a table of Apache Arrow, with one row for each message.

        The columns are the fields of the root, as those of `Message.table` are the fields of
        the structs in a list. A warning names what is left out. `columns` names the fields to
        take; if pyarrow is installed, dotted names may lead into structs of the root. A slice
        with a step needs pyarrow, too. The other arguments are those of `Message.table`.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as log:
        ...     numbers = log.extend({"id": i, "name": f"nr {i}"} for i in range(2))
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     print(log.table(columns=["id", "name"]).to_pylist())
        [{'id': 0, 'name': 'nr 0'}, {'id': 1, 'name': 'nr 1'}]

        Raises:
            KeyError: there is no such field.
            TypeError: no column can hold the field. The text says why.
            InvalidMessage: a message is wrong. The text says which one.
        """
        from . import columns as native

        if (start, stop) != (0, None):
            return self._part(start, stop).table(columns, depth=depth, unions=unions)
        found = native.table(self._plan(), columns, depth, unions, self._frames())
        every = self._every()
        if every.step == 1 or len(found) == 0:
            return found
        return found.take(list(range(len(found))[every]))

    def rows(
        self, as_: "t.Any" = dict, *, start: int = 0, stop: int | None = None
    ) -> "list[t.Any]":
        """Return all messages, or those from `start` to `stop`, as a list of Python's values.

        `as_` says what a message becomes. ``dict`` has keys for the fields that are set, as
        ``to_dict`` of pycapnp has, and ``tuple`` has a value for each field. A class is called
        as for `Message.rows`.

        >>> with MessageLog("ids.log", "w", schema=addressbook_capnp.Person) as log:
        ...     numbers = log.extend({"id": i} for i in range(3))
        >>> with open_log("ids.log", addressbook_capnp.Person) as log:
        ...     log[1:].rows()[0]["id"]
        1

        Raises:
            TypeError: the log was opened without a schema, or `as_` is none of these.
            InvalidMessage: a message is wrong.
        """
        from ..columns.rows import roots

        if (start, stop) != (0, None):
            return self._part(start, stop).rows(as_)
        numbers = self._numbers
        if abs(numbers.step) == 1 or not numbers:
            found = roots(self._plan(), *self._frames(), as_)
            return found if numbers.step == 1 else found[::-1]
        name = os.fsdecode(self._log._name)
        frames = ((self._log._frame(number), 1, number, name) for number in numbers)
        return [roots(self._plan(), *each, as_)[0] for each in frames]

    def _part(self, start: int, stop: "int | None") -> "Messages":
        return Messages(self._log, self._numbers[start:stop])

    def _plan(self) -> "Plan":
        from ..columns.schema import plan_of

        return plan_of(self._log._schema_of_roots())

    def _frames(self) -> "Frames":
        """Return these messages, and those between them, in the order of the file."""
        from .columns import Frames

        log, numbers = self._log, self._numbers
        first, last = sorted((numbers[0], numbers[-1])) if numbers else (0, -1)
        memory = log._span(first, last) if numbers else memoryview(b"")
        return Frames(memory, last - first + 1, first, os.fsdecode(log._name))

    def _every(self) -> slice:
        """Return which of `_frames` are meant."""
        return slice(None, None, self._numbers.step)

    def _number(self, key: "t.SupportsIndex") -> int:
        try:
            return self._numbers[key]
        except IndexError:
            raise IndexError(f"message {key} of {len(self)} messages") from None

    def __repr__(self) -> str:
        numbers = self._numbers
        return f"<messages {numbers.start}:{numbers.stop}:{numbers.step} of {self._log!r}>"
