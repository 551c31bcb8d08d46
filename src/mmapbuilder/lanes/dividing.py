"""The method of a builder that divides a list of its message into lanes."""

from .._lazy import t
from ..columns.writing import Writing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..columns.room import BuilderMemory
    from ..columns.schema import Plan
    from .owner import OwnerFile


class Dividing(Writing):
    """The method that lets other processes fill a message as well."""

    __slots__ = ()

    def _owned(self) -> "OwnerFile":
        """Return what lanes need to know of the file."""
        raise NotImplementedError

    def _divided(self, lanes: "t.Lanes") -> None:
        """Keep lanes, which are to be filled before the message is closed."""
        raise NotImplementedError

    def lanes(
        self, *path: "str | t.SupportsIndex", n: int = 4, room: int | None = None
    ) -> "list[t.Lane]":
        """Divide the list at `path` into `n` lanes, which other processes can fill.

        Make the list with its length first. Its elements must be structs or numbers. Each
        `Lane` has a `fill` of its own. A lane can be pickled and sent to another process,
        forked or spawned, which writes straight into the file. You may use this builder
        meanwhile, but not for the list itself. Only this process can close the message, and
        `close` checks that each lane was filled.

        Args:
            path: field names and list indexes from the root.
            n: the number of lanes. All of them together are the list, in order. Two lanes
                never share a word of eight bytes, so some lanes of a short list of small
                numbers may be empty.
            room: the bytes for all texts and lists of the lanes, less than 4 GiB. By default
                it is the rest of the segment, or a new segment. `close` cuts off what the
                lanes did not need. If something was built behind it, it stays as a hole in
                the file.

        >>> with MessageBuilder("people.bin") as b:
        ...     people = b.init_root(addressbook_capnp.AddressBook).init("people", 4)
        ...     one, two = b.lanes("people", n=2)
        ...     print(one.fill(name=["Ada", "Charles"]), two.fill(name=["Grace", "Alan"]))
        ...     print(people[3].name)
        2 2
        Alan

        Raises:
            PathError: the list is not set.
            TypeError: the list has other elements, or the schema was not loaded from a file.
            ValueError: `n` or `room` is out of range.
            NotImplementedError: the system is not Linux, or does not have 64 bits.
            CapacityError, OSError: the file has less room than that.
        """
        return self._look(lanes, self, path, n, room)


def lanes(
    plan: "Plan",
    memory: "BuilderMemory",
    builder: Dividing,
    path: "tuple[t.Any, ...]",
    n: int,
    room: int | None,
) -> "list[t.Lane]":
    """Divide a list, and note in the builder that it is divided."""
    from .owner import make_lanes

    made = make_lanes(builder._owned(), plan, memory, path, n, room)
    builder._divided(made)
    return made.lanes
