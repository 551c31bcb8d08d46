"""The read side: the rows of all shards, as the manifest has them."""

from .._lazy import t


class Dataset:
    """A dataset that was committed. `open_dataset` and `commit` return it.

    It keeps what its manifest said when it was opened. A shard is not read before you ask for
    it. A pickled dataset carries its directory, and is opened again when it is unpickled.
    """

    __module__ = "mmapbuilder"

    def __init__(self, store: "t.Store", manifest: "t.Manifest") -> None:
        self._store = store
        self._manifest = manifest

    @property
    def directory(self) -> str:
        """The directory as an absolute path, or its address."""
        return self._store.name

    @property
    def schema(self) -> "t.Any":
        """The schema of the roots, from the manifest: no .capnp file is needed.

        Raises:
            InvalidMessage: the manifest holds no schema.
            ImportError: pycapnp is not installed.
        """
        from .compiled import fingerprint, load_schema
        from .manifest import NAME, damaged

        why = "its schema is not the one of its fingerprint"
        try:
            schema = load_schema(self._manifest.compiled)
            if fingerprint(schema) == self._manifest.fingerprint:
                return schema
        except (ValueError, TypeError) as error:
            why = str(error)
        raise damaged(f"the manifest is damaged: {why}", self._store.place(NAME))

    @property
    def path(self) -> "t.ShardPath":
        """The names that lead to the list of rows in each message, or ``"log"``."""
        return self._manifest.path

    @property
    def shards(self) -> "tuple[t.Shard, ...]":
        """The shards in order."""
        return self._manifest.shards

    @property
    def rows(self) -> int:
        """The number of rows in all shards."""
        return sum(shard.rows for shard in self.shards)

    @property
    def bytes(self) -> int:
        """The number of bytes in all shards."""
        return sum(shard.bytes for shard in self.shards)

    # ---- reading ----

    def open(self, shard: "t.Shard | int") -> "t.Any":
        """Open one shard, and return its `Message` or its `Log`.

        A shard in a remote store is downloaded into a file, which is removed when the shard
        is closed.

        Raises:
            InvalidMessage: the file has another size than the manifest says, or is damaged.
            OSError: the file is not there, or cannot be read.
        """
        from .reading import open_shard

        chosen = self.shards[shard] if isinstance(shard, int) else shard
        return open_shard(self._store, chosen, self.schema)

    def batches(self, columns: "list[str] | None" = None) -> "t.Iterator[t.Any]":
        """Return an iterator over the shards, in order, as tables of Arrow.

        Each table is that of `Message.table` or `Log.table`. `columns` names the columns to
        take. The Texts, Data and lists of other columns are not read.

        Raises: as for `open` and for `Message.table`.
        """
        from .reading import table_of_shard

        schema = self.schema
        return (table_of_shard(self._store, shard, schema, columns) for shard in self.shards)

    def table(self, columns: "list[str] | None" = None) -> "t.Any":
        """Return all rows as one ``pyarrow.Table``, in the order of the shards.

        Numbers that lie side by side are borrowed from the files, and everything else is
        copied. So the table needs memory for all rows. `batches` gives one shard at a time.

        >>> book = addressbook_capnp.AddressBook
        >>> shards = [write_shard("ids", {"id": [i, i]}, book, "people", index=i) for i in (0, 1)]
        >>> commit("ids", shards, schema=book).table(columns=["id"]).to_pylist()
        [{'id': 0}, {'id': 0}, {'id': 1}, {'id': 1}]

        Raises: as for `batches`, and ImportError if pyarrow is not installed.
        """
        from .progress import with_bar
        from .reading import one_table

        bar = with_bar(self.batches(columns), len(self.shards), "reading")
        return one_table(bar)

    # ---- care ----

    def verify(self) -> int:
        """Read all shards, compare their digests, and return how many bytes were read.

        Raises:
            InvalidMessage: a shard is not the one that was committed. The text names it.
            OSError: a shard is not there, or cannot be read.
        """
        from .progress import with_bar
        from .reading import check_digest

        for shard in with_bar(self.shards, len(self.shards), "verifying"):
            check_digest(self._store, shard)
        return self.bytes

    def unreferenced(self) -> "list[str]":
        """Return the names of all files of the directory that are not part of the dataset.

        A worker leaves such a file if it dies, or if its task is repeated. The shards of a
        dataset that was replaced are such files, too, and so are those that a process
        is writing now for a later commit. So remove them only when no process writes.
        """
        from .manifest import NAME

        known = {NAME, *(shard.name for shard in self.shards)}
        return sorted(name for name in self._store.sizes() if name not in known)

    def __reduce__(self) -> "tuple[t.Any, ...]":
        return open_dataset, (self._store.name, self._store.options)

    def __repr__(self) -> str:
        return f"<Dataset {self._store.name!r}: {self.rows} rows in {len(self.shards)} shards>"

    def _repr_html_(self) -> str:
        from .._html import describe, in_bytes
        from .shard import spell_path

        rows = [
            ("directory", self._store.name),
            ("rows", self.rows),
            ("shards", len(self.shards)),
            ("size", in_bytes(self.bytes)),
            ("path", spell_path(self.path)),
        ]
        return describe("Dataset", rows)


def open_dataset(
    directory: "t.Directory", storage_options: "dict[str, t.Any] | None" = None
) -> Dataset:
    """Open a dataset that `commit` has made.

    Only the manifest is read. Other files of the directory are not looked at.

    Args:
        directory: a directory, or an address that fsspec knows.
        storage_options: what fsspec opens the address with.

    Raises:
        FileNotFoundError: there is no manifest, so nothing was committed.
        InvalidMessage: the manifest is damaged, or a later version has written it.
        OSError: the manifest cannot be read.
        ImportError: the address needs fsspec, or a package that fsspec needs for it.
    """
    import errno

    from . import manifest as manifests
    from .store import store_of

    store = store_of(directory, storage_options)
    place = store.place(manifests.NAME)
    try:
        content = store.read(manifests.NAME)
    except (FileNotFoundError, NotADirectoryError):
        content = b""
    if not content:
        raise FileNotFoundError(
            errno.ENOENT, "no dataset was committed here: there is no manifest", place
        )
    return Dataset(store, manifests.decode(content, place))
