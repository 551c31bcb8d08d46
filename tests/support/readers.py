"""Everybody else's readers: pycapnp, the capnp tool, a C++ program.

None of them knows of us, so what they say of a file is what the world will say.
"""

from __future__ import annotations

import contextlib
import functools
import json
import mmap
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.requirements import missing
from support.wire import segments_of

capnp: Any
try:
    import capnp
except ImportError:  # a Python that it has no wheel for
    capnp = None

UNLIMITED = 2**62
SUPPORT = Path(__file__).resolve().parent
EXAMPLES = SUPPORT.parent.parent / "examples"


# Where Cap'n Proto's own schemas are: pycapnp's wheels bring them along, while one that was
# built here leaves them to the library that it was built against.
PLACES = [Path("/usr/include"), Path("/usr/local/include")]
if capnp is not None:
    PLACES.insert(0, Path(capnp.__file__).resolve().parent.parent)


@dataclass(frozen=True)
class Kind:
    """A kind of message: a schema file and a struct in it."""

    file: Path
    struct: str

    @property
    def imports(self) -> Path:
        """Where the schema looks for absolute imports."""
        return next(
            (place for place in PLACES if (place / "capnp" / "c++.capnp").exists()), PLACES[0]
        )

    @property
    def schema(self) -> Any:
        """What pycapnp makes of the struct."""
        return getattr(_module(self.file, self.imports), self.struct)


@functools.cache
def _module(file: Path, imports: Path) -> Any:
    return capnp.load(str(file), imports=[str(imports)])


ADDRESS_BOOK = Kind(EXAMPLES / "addressbook.capnp", "AddressBook")
KINDS = Kind(SUPPORT / "samples.capnp", "Kinds")
BLOCKS = Kind(SUPPORT / "samples.capnp", "Blocks")


def compiler_request() -> Kind:
    """What the compiler says of a schema; the schema of that is pycapnp's own."""
    schemas = [place / "capnp" / "schema.capnp" for place in PLACES]
    schema = next((path for path in schemas if path.exists()), None)
    if schema is None:
        missing("Cap'n Proto's own schema.capnp is not installed (Debian: libcapnp-dev)")
    return Kind(schema, "CodeGeneratorRequest")


# ---- pycapnp: each gives the root of the one message in a file -------------------


@contextlib.contextmanager
def read(path: Path, schema: Any) -> Iterator[Any]:
    """Copy the message into memory."""
    with path.open("rb") as file:
        yield schema.read(file, traversal_limit_in_words=UNLIMITED)


@contextlib.contextmanager
def read_multiple(path: Path, schema: Any) -> Iterator[Any]:
    """Read a stream of messages; there must be one."""
    with path.open("rb") as file:
        (root,) = schema.read_multiple(file, traversal_limit_in_words=UNLIMITED)
        yield root


@contextlib.contextmanager
def from_bytes(path: Path, schema: Any) -> Iterator[Any]:
    """Read in place, in a mapping of the file."""
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping,
        schema.from_bytes(mapping, traversal_limit_in_words=UNLIMITED) as root,
    ):
        yield root
        del root


@contextlib.contextmanager
def from_segments(path: Path, schema: Any) -> Iterator[Any]:
    """Read from segments that were taken apart by hand."""
    yield schema.from_segments(segments_of(path), traversal_limit_in_words=UNLIMITED)


PYCAPNP: dict[str, Callable[[Path, Any], AbstractContextManager[Any]]] = {
    "read": read,
    "read_multiple": read_multiple,
    "from_bytes": from_bytes,
    "from_segments": from_segments,
}


# ---- programs ---------------------------------------------------------------------


class Refused(Exception):
    """A program would not read a file."""


@dataclass(frozen=True)
class Programs:
    """The capnp tool and the C++ reader, or whatever of them is there."""

    tool: str
    reader: str

    def decode(self, path: Path, kind: Kind) -> str:
        """`capnp decode`: the message as text."""
        return self._filter(path, "decode", "--quiet", *self._schema(kind))

    def convert(self, path: Path, kind: Kind, to: str = "text") -> str:
        """`capnp convert`: the message in another encoding that is text."""
        return self._filter(path, "convert", "--quiet", f"binary:{to}", *self._schema(kind))

    def cxx(self, how: str, path: Path, kind: Kind, *parts: str) -> list[Any]:
        """The parts of a message that C++ reads, `how` being flat or stream."""
        done = subprocess.run(
            [self.reader, how, path, kind.file, kind.struct, kind.imports, *parts],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            raise Refused(f"exit code {done.returncode}: {done.stderr}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def _schema(self, kind: Kind) -> list[str]:
        return ["-I", os.fspath(kind.imports), os.fspath(kind.file), kind.struct]

    def _filter(self, path: Path, *arguments: str) -> str:
        with path.open("rb") as file:
            done = subprocess.run(
                [self.tool, *arguments], stdin=file, capture_output=True, text=True, timeout=120
            )
        # It may have printed something that it took for a message before it found out.
        if done.returncode != 0:
            raise Refused(f"exit code {done.returncode}: {done.stderr}")
        return done.stdout


# ---- who takes a file for a message -------------------------------------------------


def _drain(way: str, path: Path, kind: Kind) -> None:
    with PYCAPNP[way](path, kind.schema) as root:
        root.to_dict()


def accepting(
    path: Path, kind: Kind, programs: Programs | None, head: Path | None = None
) -> set[str]:
    """The names of the readers that take a file for a message of that kind.

    The capnp tool reads `head` if there is one: it goes on after what it has refused,
    and takes every zero word of a long file for a message of its own.
    """
    ways: dict[str, Callable[[], object]] = {
        way: functools.partial(_drain, way, path, kind)
        for way in ("read", "read_multiple", "from_bytes")
    }
    if programs is not None:
        ways |= {
            "decode": functools.partial(programs.decode, head or path, kind),
            "convert": functools.partial(programs.convert, head or path, kind),
            "flat": functools.partial(programs.cxx, "flat", path, kind),
            "stream": functools.partial(programs.cxx, "stream", path, kind),
        }
    found = set()
    for name, way in ways.items():
        # pycapnp: KjException, and ValueError where there is not one message.
        with contextlib.suppress(Refused, ValueError, capnp.KjException):
            way()
            found.add(name)
    return found
