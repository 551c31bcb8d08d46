"""A module that is imported when an attribute of it is first asked for."""

import sys


class LazyModule:
    """Stands for the module `name`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> object:
        __import__(self._name)
        return getattr(sys.modules[self._name], attribute)
