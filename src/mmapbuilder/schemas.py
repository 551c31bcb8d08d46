"""Schemas of the package, and schemas for tables."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import _types as t
else:
    from ._lazy import LazyModule

    t = LazyModule("mmapbuilder._types")


def schema_path() -> str:
    """Return the directory in which ``/mmapbuilder/arrow.capnp`` is found.

    It is for the import path of a compiler of a schema that says
    ``using Arrow = import "/mmapbuilder/arrow.capnp";``: pycapnp's `load`, or the ``-I`` of
    the capnp tool. The annotations in that file say what numbers mean.

    >>> text = '''
    ... @0xd2f3a1b5c7e90846;
    ... using Arrow = import "/mmapbuilder/arrow.capnp";
    ... struct Trades { list @0 :List(Trade); }
    ... struct Trade { price @0 :Int64 $Arrow.decimal(scale = 2); }
    ... '''
    >>> with open("trades.capnp", "w") as file:
    ...     _ = file.write(text)
    >>> import capnp
    >>> from decimal import Decimal
    >>> trades = capnp.load(os.path.abspath("trades.capnp"), imports=[schema_path()])
    >>> with MessageBuilder("trades.bin") as b:
    ...     _ = b.init_root(trades.Trades)
    ...     _ = b.fill_rows("list", [{"price": Decimal("12.50")}])
    >>> with open_message("trades.bin", trades.Trades) as m:
    ...     print(m.rows("list"))
    [{'price': Decimal('12.50')}]
    """
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def schema_from(table: "t.Any", name: str, *, nullable: "t.Collection[str] | None" = None) -> str:
    """Return the text of a Cap'n Proto schema for a table of Apache Arrow.

    The schema has a struct `name` with a list ``rows``, into which `fill` writes the table;
    `table` gives it back. The text depends on the table alone, its ids as well.

    Names that a schema cannot have (``user_id``) become others (``userId``), and an annotation
    keeps them, so that the columns of tables have them. A number that can be null is a union
    of a value and Void. A dictionary of names is an enum if all are names of a schema, else
    Text. A union of Arrow is a union. A float16 is a Float32.

    Args:
        table: any object with Arrow's PyCapsule interface: a table of pyarrow, polars, pandas,
            duckdb, or `Message.table`. Of a stream the values are used up. A schema of
            pyarrow will do as well.
        name: of the struct; it begins with a capital letter.
        nullable: the columns of numbers that can be null, nested ones with dots. By default
            those that have nulls in this table, or where there is none, all that can have.

    >>> import pyarrow as pa
    >>> print(schema_from(pa.table({"id": [1, 2], "name": ["Ada", None]}), "People"))
    @0xffe52355e5ce241c;
    <BLANKLINE>
    struct People {
      rows @0 :List(Row);
    <BLANKLINE>
      struct Row {
        id @0 :Int64;
        name @1 :Text;
      }
    }
    <BLANKLINE>

    Raises:
        TypeError: a type that has no counterpart, such as intervals.
        ValueError: numbers or structs in lists are null; a name cannot be had.
    """
    from .columns.write_schema import schema_from

    return schema_from(table, name, nullable)
