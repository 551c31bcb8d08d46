"""Schemas as they are named on the command line: ``people.capnp:AddressBook``."""

import os
from typing import TYPE_CHECKING, Any

from ..schemas import schema_path
from .ends import NO_FILE, USAGE, WRONG, Failure

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_schema(parser: "ArgumentParser") -> None:
    """Let a command take a schema."""
    option = parser.add_argument(
        "--schema",
        metavar="FILE:STRUCT",
        help="the schema file, and the struct that the root is; without :STRUCT the only "
        "struct of the file that stands in no other",
    )
    option.completes = "files"  # type: ignore[attr-defined]
    option = parser.add_argument(
        "-I",
        "--import-path",
        metavar="DIR",
        action="append",
        default=[],
        help="where schema files look for others that they import by an absolute path",
    )
    option.completes = "directories"  # type: ignore[attr-defined]


def schema_of(arguments: "Namespace") -> Any:
    """Load the schema that a command was given; None if it was given none."""
    given: str | None = arguments.schema
    return None if given is None else load(given, arguments.import_path)


def required_schema(arguments: "Namespace", why: str) -> Any:
    """Load the schema, which the command cannot do without."""
    if arguments.schema is None:
        raise Failure(f"{why} needs --schema FILE:STRUCT", USAGE)
    return schema_of(arguments)


def load(given: str, imports: list[str]) -> Any:
    """Load a struct of a schema."""
    from .. import _pycapnp

    path, name = _split(given)
    if not os.path.exists(path):
        raise Failure(f"{path}: there is no such schema file", NO_FILE)
    capnp = _pycapnp.load()
    where = (os.path.abspath(path), [*map(os.path.abspath, imports), schema_path()])
    reason = _try_apart(capnp, *where)
    if reason:
        raise Failure(f"{path}: the schema cannot be read: {reason}", WRONG)
    return _struct(capnp.load(where[0], imports=where[1]), path, name)


def _try_apart(capnp: Any, path: str, imports: list[str]) -> str:
    """Load a schema in a forked process; return what is wrong with it.

    pycapnp ends the process in some errors, for example if it cannot parse the file.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(writing, 2)
            capnp.load(path, imports=imports)
            code = 0
        except BaseException as error:
            os.write(2, str(getattr(error, "description", "") or error).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as pipe:
        output = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if status == 0:
        return ""
    return output.rpartition("what():")[2].strip() or f"pycapnp ended with status {status}"


def _split(given: str) -> tuple[str, str]:
    path, colon, name = given.rpartition(":")
    if not colon or os.sep in name or name.endswith(".capnp"):
        return given, ""
    return path, name


def _struct(module: Any, path: str, name: str) -> Any:
    known = structs_of(module)
    if name in known:
        return known[name]
    outermost = [each for each in known if "." not in each]
    if not name and len(outermost) == 1:
        return known[outermost[0]]
    wanted = f"has no struct {name}" if name else "needs :STRUCT behind it"
    raise Failure(f"{path} {wanted}; its structs are: {', '.join(known) or 'none'}", USAGE)


def structs_of(module: Any, around: str = "") -> dict[str, Any]:
    """Return the structs of a schema by name, those in others with dots."""
    found = {}
    for name in sorted(vars(module)):
        each = getattr(module, name)
        if name.startswith("_") or not hasattr(each, "schema"):
            continue
        if hasattr(each, "from_segments") and not each.schema.node.struct.isGroup:
            found[around + name] = each
            found |= structs_of(each, f"{around}{name}.")
    return found
