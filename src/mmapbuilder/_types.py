"""The types in public signatures, imported when they are first asked for.

`typing` and NumPy take longer to import than all of mmapbuilder. Modules that need names of
this one in annotations bind it lazily (`_lazy`), so that `typing.get_type_hints` and
``inspect.signature(..., eval_str=True)`` find them.
"""

import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NoReturn,
    Protocol,
    Self,
    SupportsIndex,
    TypeAlias,
)

from ._memory_file import MemoryFile
from ._output.output import Output
from ._pycapnp import Importable
from .columns.table import Table
from .dataset.dataset import Dataset
from .dataset.manifest import Manifest
from .dataset.shard import Shard, ShardPath
from .dataset.store import Store
from .lanes import Lane
from .lanes.memory import Layout
from .lanes.owner import Lanes
from .log.reader import Log
from .log.report import Found
from .log.sync import Syncer
from .usage import Usage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer

    Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
    ArrayLike: TypeAlias = npt.ArrayLike
    DType: TypeAlias = np.dtype[Any]
    DTypeLike: TypeAlias = npt.DTypeLike
else:
    if sys.version_info >= (3, 12):
        from collections.abc import Buffer
    else:
        Buffer: TypeAlias = bytes | bytearray | memoryview  # and every other buffer

    try:
        import numpy.typing

        Array = numpy.ndarray
        ArrayLike = numpy.typing.ArrayLike
        DType = numpy.dtype
        DTypeLike = numpy.typing.DTypeLike
    except ImportError:
        Array = ArrayLike = DType = DTypeLike = Any


class HasFileno(Protocol):
    """What sockets, files and their like have in common."""

    def fileno(self) -> int:
        """Return the file descriptor."""


Directory: TypeAlias = str | os.PathLike[str]
Sync: TypeAlias = float | Literal["each"] | None
FileLike: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes] | int | HasFileno
Name: TypeAlias = str | bytes | int
Path: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Content: TypeAlias = str | os.PathLike[str] | os.PathLike[bytes] | int | HasFileno | Buffer
ContentName: TypeAlias = Name | None
Mode: TypeAlias = Literal["w", "x", "r+"]
NewFileMode: TypeAlias = Literal["w", "x"]
End: TypeAlias = Literal["finish", "leave", "drop"]
Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]

__all__ = [
    "Any",
    "Array",
    "ArrayLike",
    "Buffer",
    "Callable",
    "Collection",
    "Content",
    "ContentName",
    "DType",
    "DTypeLike",
    "Dataset",
    "Directory",
    "End",
    "FileLike",
    "Found",
    "HasFileno",
    "Importable",
    "Iterable",
    "Iterator",
    "Lane",
    "Lanes",
    "Layout",
    "Log",
    "Manifest",
    "MemoryFile",
    "Mode",
    "Name",
    "NewFileMode",
    "NoReturn",
    "Output",
    "Path",
    "Self",
    "Sequence",
    "Shape",
    "Shard",
    "ShardPath",
    "Store",
    "SupportsIndex",
    "Sync",
    "Syncer",
    "Table",
    "TracebackType",
    "Usage",
]
