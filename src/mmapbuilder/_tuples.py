"""Named tuples that are written as classes, without the cost of importing typing."""

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple


class _Maker(type):
    """Makes a named tuple of each class that is derived."""

    def __new__(cls, name: str, bases: "tuple[type, ...]", body: "dict[str, Any]") -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        # Python 3.14 evaluates annotations only when it is asked for them.
        annotate = body.get("__annotate_func__") or body.get("__annotate__")
        fields = annotate(1) if annotate is not None else body["__annotations__"]
        defaults = [body[field] for field in fields if field in body]
        made: type = namedtuple(name, fields, defaults=defaults, module=__package__)  # type: ignore[misc] # noqa: PYI024
        for key, value in body.items():
            if key in ("__doc__", "__repr__") or not (key.startswith("__") or key in fields):
                setattr(made, key, value)
        return made


if not TYPE_CHECKING:

    class NamedTuple(metaclass=_Maker):
        """Stands for `typing.NamedTuple`, for classes that the package exports."""


__all__ = ["NamedTuple"]
