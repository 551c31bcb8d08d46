"""Methods that let one thread at a time use what a builder has."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

    from . import _core

    class HasGate(Protocol):
        """An object that has a gate for its calls."""

        _gate: _core.Gate

    P = ParamSpec("P")
    S = TypeVar("S", bound=HasGate)
    T = TypeVar("T")


def gated(method: "Callable[Concatenate[S, P], T]") -> "Callable[Concatenate[S, P], T]":
    """Send the calls of a method through the gate of its object; see `_core.Gate`.

    What runs inside must not call another such method of the same object: the gate lets
    no thread in twice.
    """
    name = method.__name__

    def call(self: "Any", /, *args: "Any", **kwargs: "Any") -> "Any":
        return self._gate.run(name, method, self, *args, **kwargs)

    # As functools.wraps does, which would have to be imported.
    for attribute in "__module__", "__name__", "__qualname__", "__doc__", "__annotations__":
        setattr(call, attribute, getattr(method, attribute))
    call.__wrapped__ = method  # type: ignore[attr-defined]
    return call
