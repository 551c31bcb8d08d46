"""The second phase: one commit makes a dataset of the shards that the workers wrote."""

from .._lazy import t

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .manifest import Manifest
    from .shard import Shard, ShardPath
    from .store import Store


def commit(
    directory: "t.Directory",
    shards: "t.Iterable[t.Shard]",
    *,
    schema: "t.Any",
    mode: str = "x",
    storage_options: "dict[str, t.Any] | None" = None,
) -> "t.Dataset":
    """Make a dataset of shards: write the manifest, whole or not at all.

    The manifest is written last. A file of the directory that is in no manifest does no
    harm; `Dataset.unreferenced` lists such files.

    Args:
        directory: as for `write_shard`.
        shards: what the calls of `write_shard` returned, in any order. There must be one
            shard for each index from 0 on.
        schema: the schema that the shards were written with.
        mode: ``"x"`` raises if there is a dataset already. If several processes commit at
            the same time, exactly one succeeds. ``"w"`` replaces a dataset. Readers see the
            old one or the new one. The files of the old one stay until you remove
            them.
        storage_options: as for `write_shard`. By default they are those that the first
            shard was written with.

    Raises:
        FileExistsError: with ``"x"``, there is a dataset already.
        FileNotFoundError: the file of a shard is not there.
        ValueError: an index is missing or was given twice, or the shards have different
            paths or schemas, or the file of a shard has another size.
        OSError: the manifest cannot be written.

    >>> book = addressbook_capnp.AddressBook
    >>> shards = [write_shard("two", {"id": [i]}, book, "people", index=i) for i in (1, 0)]
    >>> commit("two", shards, schema=book).rows
    2
    """
    return commit_once(
        directory, shards, schema=schema, mode=mode, storage_options=storage_options, job=None
    )


def commit_once(
    directory: "t.Directory",
    shards: "t.Iterable[t.Shard]",
    *,
    schema: "t.Any",
    mode: str,
    storage_options: "dict[str, t.Any] | None",
    job: "str | None",
) -> "t.Dataset":
    """Commit for an engine, which may run the same commit twice.

    If a commit of the same `job` came before, its dataset is returned.
    """
    import uuid

    from . import manifest as manifests
    from .compiled import compile_schema, fingerprint, module_of, type_id
    from .dataset import Dataset
    from .store import store_of

    if mode not in ("x", "w"):
        raise ValueError(f"mode must be 'x' or 'w', not {mode!r}")
    module = module_of(schema)
    found = sorted(shards, key=lambda shard: shard.index)
    path = _check(found, fingerprint(module))
    store = store_of(directory, storage_options or found[0].storage_options)
    if mode == "x" and store.exists(manifests.NAME):  # before there is any work
        return Dataset(store, _committed(store, job))
    _check_files(store, found)
    manifest = manifests.Manifest(
        job or uuid.uuid4().hex, type_id(module), fingerprint(module), compile_schema(module),
        path, tuple(shard._replace(storage_options=None) for shard in found),
    )  # fmt: skip
    if mode == "w":
        store.replace(manifests.NAME, manifests.encode(manifest))
        return Dataset(store, manifest)
    try:
        store.create(manifests.NAME, manifests.encode(manifest))
    except FileExistsError:
        return Dataset(store, _committed(store, manifest.commit))
    return Dataset(store, manifest)


def _committed(store: "Store", commit: "str | None") -> "Manifest":
    """Return the manifest that is there if it is that of the commit.

    It may be our own: of a request that was repeated since its answer was lost, or of the same
    job, whose task was repeated.

    Raises:
        FileExistsError: it is that of another commit.
    """
    from . import manifest as manifests

    if commit is not None:
        content = store.read(manifests.NAME)
        if manifests.commit_of(content) == commit:
            return manifests.decode(content, store.place(manifests.NAME))
    raise there_already(store)


def there_already(store: "Store") -> FileExistsError:
    """Return an error: the directory has a dataset, which the mode ``"x"`` does not replace."""
    import errno

    text = 'there is a dataset already, which mode="w" replaces'
    return FileExistsError(errno.EEXIST, text, store.name)


def _check(shards: "list[Shard]", fingerprint: str) -> "ShardPath":
    """Refuse shards that cannot become a dataset; return the path that all of them have.

    Raises:
        ValueError: they are none.
    """
    from .shard import spell_path

    if not shards:
        raise ValueError("a dataset has one shard at least: write an empty one")
    for place, shard in enumerate(shards):
        if shard.index != place:
            if place and shard.index == shards[place - 1].index:
                raise ValueError(
                    f"there are two shards of index {shard.index}: {shards[place - 1].name} and "
                    f"{shard.name}; commit the one that the task returned, and leave the other"
                )
            raise ValueError(
                f"there is no shard of index {place}; {len(shards)} shards have the "
                f"indexes {shards[0].index} to {shards[-1].index}"
            )
    first = shards[0]
    for shard in shards:
        if shard.path is None or shard.path != first.path:
            raise ValueError(
                f"shard {shard.index} was written at {spell_path(shard.path or 'no path')!r}, "
                f"shard {first.index} at {spell_path(first.path or 'no path')!r}"
            )
        if shard.schema != fingerprint:
            raise ValueError(
                f"shard {shard.index} was written with another schema than that of the commit "
                f"({shard.schema}, not {fingerprint}): write it again with this one"
            )
    assert first.path is not None
    return first.path


def _check_files(store: "Store", shards: "list[Shard]") -> None:
    """Look whether all files are there, by one list of the directory.

    Raises:
        FileNotFoundError: one is not.
        ValueError: one has another size.
    """
    import errno
    import os

    sizes = store.sizes()
    for shard in shards:
        size = sizes.get(shard.name)
        if size is None:
            raise FileNotFoundError(
                errno.ENOENT, f"{os.strerror(errno.ENOENT)} (shard {shard.index})",
                store.place(shard.name),
            )  # fmt: skip
        if size != shard.bytes:
            raise ValueError(
                f"shard {shard.index} has {size} bytes, but it had {shard.bytes} when it was "
                f"written: {store.place(shard.name)!r}"
            )
