"""The first phase: a worker writes a shard, under a name of its own."""

from .._lazy import t


def write_shard(
    directory: "t.Directory",
    data: "t.Any",
    schema: "t.Any",
    path: "str | t.Sequence[str]",
    *,
    index: int,
    storage_options: "dict[str, t.Any] | None" = None,
) -> "t.Shard":
    """Write one shard of a dataset, and return what `commit` needs to know of it.

    Each file gets a name of its own. So any number of processes can write at the same time,
    and a task that runs twice does no harm. A file belongs to no dataset until `commit` names
    it. When the call returns, the file is on the device or in the store. If the call raises,
    there is no file.

    Args:
        directory: a directory, which is made if it is not there, or an address that fsspec
            knows, such as ``s3://bucket/folder``. For an address the shard is built in a
            local file, and uploaded then.
        data: the rows. A table of Arrow, or any object with Arrow's PyCapsule interface; a
            data frame of pandas or polars; a dict of columns; a structured array of NumPy;
            or an iterable of rows, as `MessageBuilder.fill_rows` takes them.
        schema: the root of the message, or of each message of a log.
        path: the list that gets the rows. It is the name of a field, or several names with
            dots or as a tuple. ``"log"`` makes a log with one message for each row.
        index: the place of the shard among the others, counted from 0.
        storage_options: the options for fsspec, if `directory` is an address.

    Raises:
        KeyError, TypeError, ValueError, OverflowError: the data does not fit the schema.
        OSError: the file cannot be written or uploaded.
        ImportError: pycapnp is not installed, or a package that the address needs.

    >>> shard = write_shard("people", {"id": [7, 8]}, addressbook_capnp.AddressBook, "people",
    ...                     index=0)
    >>> shard.rows, shard.name[:11]
    (2, 'part-00000-')
    """
    import operator
    import uuid

    from . import building
    from .compiled import fingerprint, module_of
    from .shard import Shard, path_of
    from .store import store_of

    number = operator.index(index)
    if number < 0:
        raise ValueError(f"the index of a shard is 0 or more, not {index}")
    module, steps = module_of(schema), path_of(path)
    store = store_of(directory, storage_options)
    store.prepare()
    name = f"part-{number:05d}-{uuid.uuid4()}.bin"
    with store.new_file(name) as local:
        rows = building.build(local, data, module, steps)
        size, digest = building.settle(local)
    return Shard(name, number, rows, size, digest, steps, fingerprint(module), storage_options)
