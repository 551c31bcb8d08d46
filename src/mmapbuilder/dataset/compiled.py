"""A *compiled schema*: all that a manifest needs to say about a struct, without a .capnp file.

It can be read as a CodeGeneratorRequest, the message that ``capnp compile -o`` gives to its
plugins. It has a node for the struct, which is the first, and for each type that the struct
leads to.
"""

import hashlib
import os
import warnings
from typing import Any, NamedTuple

from .. import _core, _pycapnp
from .._list_struct import load_list_struct
from ..columns.meanings import own_schemas
from ..columns.schema import Plan, plan_of
from ..reader import open_message

# pycapnp does not keep a schema's loader alive, so every loaded schema stays forever. There
# are as many as a process meets.
_loaded: dict[bytes, Any] = {}

_ID = 0xD1F0A86B3C97E254  # of the struct of all nodes


def compile_schema(schema: Any) -> bytes:
    """Return the compiled schema of a struct.

    Raises:
        TypeError: `schema` is no struct of a loaded schema.
        ImportError: pycapnp is not installed.
    """
    struct = _pycapnp.struct_of(schema)
    root = int(struct.node.id)
    nodes = plan_of(struct).nodes
    request = _meta().Request.new_message()
    slots = request.init("nodes", len(nodes))
    ordered = sorted(nodes, key=lambda number: (number != root, number))
    for place, number in enumerate(ordered):
        _put(slots, place, nodes[number])
    compiled: bytes = request.to_bytes()
    return compiled


def _put(slots: Any, place: int, node: Any) -> None:
    builder = node.as_builder()
    _forget_directory(builder)
    # pycapnp's nodes are of another schema object than the list's, so the bytes go over.
    with _meta().Node.from_bytes(builder.to_bytes()) as reader:
        slots[place] = reader


def _forget_directory(node: Any) -> None:
    """Leave the file's name in a node's name, and no directory of this machine."""
    name = str(node.displayName)
    short = os.path.basename(name.partition(":")[0]) + name[len(name.partition(":")[0]) :]
    cut = len(name.encode()) - len(short.encode())
    node.displayNamePrefixLength = max(int(node.displayNamePrefixLength) - cut, 0)
    node.displayName = short


def load_schema(compiled: bytes) -> Any:
    """Return the struct of a compiled schema, as if pycapnp had loaded it from a file.

    Raises:
        InvalidMessage: it is no compiled schema.
        ImportError: pycapnp is not installed.
    """
    found = _loaded.get(compiled)
    if found is None:
        found = _loaded[compiled] = _load(compiled)
    return found


def _load(compiled: bytes) -> Any:
    capnp = _pycapnp.load()
    meta = _meta()
    # pycapnp's loader checks what a node says, but can crash where its bytes are damaged.
    with warnings.catch_warnings(), open_message(compiled, meta.Request) as message:
        warnings.simplefilter("ignore")  # a warning that default values of any type are left out
        message.to_dict()  # raises InvalidMessage
    loader = capnp.SchemaLoader()
    try:
        with meta.Request.from_bytes(compiled) as request:
            for node in request.nodes:
                loader.load_dynamic(node)
            root = request.nodes[0]
            schema = loader.get(root.id).as_struct()
            name = str(root.displayName)[int(root.displayNamePrefixLength) :]
        module = capnp.lib.capnp._StructModule(schema, name)
        plan_of(module)
    except Exception as error:  # pycapnp raises many kinds
        why = str(error).partition("\n")[0]
        raise _core.InvalidMessage(f"this is no compiled schema: {why}") from None
    module._loader = loader
    return module


class _Meta(NamedTuple):
    """The structs that describe schemas, as pycapnp gives them: they can read messages."""

    Node: Any
    Request: Any
    loader: Any  # kept, since both need it


def _meta(found: "list[_Meta]" = []) -> _Meta:  # noqa: B006 - its memory
    """Return the structs that describe schemas, which pycapnp's library has compiled in."""
    if not found:
        kinds, loader = _pycapnp.load().lib.capnp, _pycapnp.load().SchemaLoader()
        schema_of_nodes = own_schemas().schema.node.schema
        number = int(schema_of_nodes.node.id)
        for node in plan_of(schema_of_nodes).nodes.values():
            loader.load_dynamic(node)
        request = load_list_struct(loader, schema_of_nodes, _ID, "Compiled", "nodes", number)
        found.append(
            _Meta(
                kinds._StructModule(loader.get(number).as_struct(), "Node"),
                kinds._StructModule(request, "Compiled"),
                loader,
            )
        )
    return found[0]


def module_of(schema: Any) -> Any:
    """Return a struct as pycapnp's ``load`` gives it: with methods that read messages.

    Raises:
        TypeError: `schema` is no struct of a loaded schema.
    """
    struct = _pycapnp.struct_of(schema)
    if hasattr(schema, "read_multiple_bytes"):
        return schema
    return _pycapnp.load().lib.capnp._StructModule(struct, str(struct.node.displayName))


def type_id(schema: Any) -> int:
    """Return the 64-bit id of a struct."""
    return int(_pycapnp.struct_of(schema).node.id)


def fingerprint(schema: Any) -> str:
    """Return what tells a schema from others: the struct's id, and a digest of what it holds.

    Two schemas have the same one if their types, names, defaults and places of fields are
    the same, whatever files they were loaded from.
    """
    struct = _pycapnp.struct_of(schema)
    described = repr(_describe(plan_of(struct))).encode()
    return f"{int(struct.node.id):016x}-{hashlib.sha256(described).hexdigest()[:32]}"


def _describe(plan: Plan) -> Any:
    # Field by field, so that what later releases add to a plan changes no fingerprint.
    return (
        [(each.kind, each.refers_to) for each in plan.types],
        [
            (
                struct.name, struct.tag_offset, struct.data_words, struct.pointer_words,
                [(f.name, f.type, f.offset, f.tag, f.default) for f in struct.fields.values()],
            )
            for struct in plan.structs
        ],
        [(enum.name, sorted(enum.numbers.items())) for enum in plan.enums],
    )  # fmt: skip
