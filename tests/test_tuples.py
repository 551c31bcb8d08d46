"""Named tuples that are written as classes, as `typing.NamedTuple` makes them."""

from __future__ import annotations

import pickle
import typing

import pytest

from mmapbuilder import LogStats, Report, Shard, Stats
from mmapbuilder._tuples import NamedTuple

EXPORTED = [LogStats, Report, Shard, Stats]


def test_it_makes_what_typing_makes() -> None:
    class Ours(NamedTuple):
        """One."""

        name: str
        size: int = 3

        def double(self) -> int:
            return 2 * self.size

    class Theirs(typing.NamedTuple):
        """One."""

        name: str
        size: int = 3

        def double(self) -> int:
            return 2 * self.size

    ours: typing.Any = Ours
    one = ours("a")
    assert one == ("a", 3) == Theirs("a")
    assert (one.name, one.size, one.double()) == ("a", 3, 6)
    assert isinstance(one, tuple)
    assert type(one).__mro__[1] is tuple
    for attribute in ("_fields", "_field_defaults", "__doc__", "__slots__"):
        assert getattr(ours, attribute) == getattr(Theirs, attribute)
    assert one._replace(size=1)._asdict() == {"name": "a", "size": 1}
    with pytest.raises(TypeError):
        ours()


@pytest.mark.parametrize("kind", EXPORTED)
def test_those_of_the_package_are_sent_between_processes(kind: typing.Any) -> None:
    made = kind(*range(len(kind._fields)))
    copy = pickle.loads(pickle.dumps(made))
    assert copy == made
    assert type(copy) is kind
    assert kind.__module__ == "mmapbuilder"
