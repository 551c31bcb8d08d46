"""Schemas of the package, and schemas for tables."""

import os

from ._lazy import t


def schema_path() -> str:
    """Return the directory that has ``/mmapbuilder/arrow.capnp``.

    A schema that uses the annotations of that file begins with
    ``using Arrow = import "/mmapbuilder/arrow.capnp";``. The compiler of the schema must know
    this directory: give it to pycapnp's ``load`` as one of the ``imports``, or to the
    capnp tool with ``-I``. The annotations say what numbers mean.

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

    The schema has a struct `name` with a list ``rows``. `fill` writes the table into that
    list, and `table` gives it back. Two equal tables give the same text, ids included.

    Some names of columns cannot be names of fields: ``user_id`` becomes ``userId``. An
    annotation keeps the old name, and tables have it again. A number that can be null becomes
    a union of a value and Void. A dictionary of names becomes an enum if a schema can have all
    of the names, and Text if not. A union of Arrow becomes a union, and a float16 a Float32.

    Args:
        table: any object with Arrow's PyCapsule interface: a table of pyarrow, polars, pandas
            or duckdb, or what `Message.table` returns. A stream can be read once, so its
            values are used up. A schema of pyarrow is taken, too.
        name: the name of the struct. It begins with a capital letter.
        nullable: the columns of numbers that can be null; nested ones have dotted names. By
            default they are those that have nulls in this table. A schema has no values: then
            they are all that can have nulls.

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
        TypeError: a column has a type that schemas lack, such as intervals.
        ValueError: numbers or structs in lists are null, or a name is not possible.
    """
    from .columns.write_schema import schema_from

    return schema_from(table, name, nullable)
