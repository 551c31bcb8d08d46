"""A schema that no compiler made: a struct whose one field is a list.

It is what the compiler would make of a .capnp file, so no file needs to be found.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load_list_struct(
    loader: "Any",
    schema_of_nodes: "Any",
    number: int,
    name: str,
    field: str,
    element: "str | int",
) -> "Any":
    """Load ``struct name { field @0 :List(element); }`` into pycapnp's `loader`, and return it.

    `schema_of_nodes` is pycapnp's schema of what describes a schema (that of any ``schema.node``),
    `number` the struct's id, and `element` a type without parameters (``"uint64"``), or the id of
    a struct that the loader has. pycapnp needs the loader as long as the schema is used.
    """
    from . import _pycapnp

    node = _pycapnp.load()._MallocMessageBuilder().init_root(schema_of_nodes)
    node.id = number
    node.displayName = f"mmapbuilder:{name}"
    node.displayNamePrefixLength = len("mmapbuilder:")
    body = node.init("struct")
    body.pointerCount = 1
    body.preferredListEncoding = "inlineComposite"
    described = body.init("fields", 1)[0]
    described.name = field
    described.discriminantValue = 0xFFFF
    slot = described.init("slot")
    of = slot.init("type").init("list").init("elementType")
    if isinstance(element, int):
        of.init("struct").typeId = element
    else:
        setattr(of, element, None)
    slot.init("defaultValue").init("list")
    return loader.load_dynamic(node.as_reader()).as_struct()
