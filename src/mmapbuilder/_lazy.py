"""A module that is imported when an attribute of it is first asked for, and `t`, which is one."""

import sys

TYPE_CHECKING = False


class LazyModule:
    """Stands for the module `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        __import__(self._name)
        return getattr(sys.modules[self._name], attribute)


if TYPE_CHECKING:
    from . import _types as t
else:
    t = LazyModule("mmapbuilder._types")

__all__ = ["LazyModule", "t"]
