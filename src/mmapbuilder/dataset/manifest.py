"""A *manifest*: the one file that says what a dataset is. Readers trust it alone.

It is JSON, so that a person can look at it, and it is written last: where it is, everything
that it names is there.
"""

import base64
import json
import re
from typing import Any, NamedTuple

from .. import _core
from .shard import LOG, Shard, ShardPath

NAME = "_manifest.json"
VERSION = 1
_FORMAT = "mmapbuilder-dataset"

# What `write_shard` calls a file. A manifest that names another could lead anywhere.
_SHARD_NAME = re.compile(r"part-\d{5,}-[0-9a-f-]{32,36}\.bin")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Manifest(NamedTuple):
    """What a manifest holds."""

    commit: str
    """What tells this commit from others."""
    root: int
    """The type id of the root struct."""
    fingerprint: str
    compiled: bytes
    """The compiled schema."""
    path: ShardPath
    shards: tuple[Shard, ...]


def encode(manifest: Manifest) -> bytes:
    """Write a manifest, a line for each shard."""
    head = {
        "format": _FORMAT,
        "version": VERSION,
        "commit": manifest.commit,
        "root": f"0x{manifest.root:016x}",
        "fingerprint": manifest.fingerprint,
        "path": manifest.path,
        "rows": sum(shard.rows for shard in manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "schema": base64.b64encode(manifest.compiled).decode(),
    }
    write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    lines = [f"{write(name)}:{write(value)}" for name, value in head.items()]
    shards = [
        write({"name": each.name, "rows": each.rows, "bytes": each.bytes, "digest": each.digest})
        for each in manifest.shards
    ]
    return ("{" + ",\n".join([*lines, '"shards":[\n' + ",\n".join(shards)]) + "\n]}\n").encode()


def commit_of(content: bytes) -> str | None:
    """Return what tells the commit of a manifest from others, without a look at its shards."""
    found = re.search(rb'"commit":"([^"]*)"', content[:1024])
    return None if found is None else found[1].decode(errors="replace")


def decode(content: bytes, name: str) -> Manifest:
    """Read a manifest. Errors call it `name`.

    Raises:
        InvalidMessage: it is no manifest, or of a version that is not known.
    """
    try:
        found = json.loads(content)
    except ValueError as error:
        raise damaged(f"this is no manifest of a dataset: {error}", name) from None
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise damaged("this is no manifest of a dataset", name)
    version = found.get("version")
    if version != VERSION:
        raise damaged(
            f"the manifest is of version {version!r}, and this release of mmapbuilder reads "
            f"version {VERSION}: a later release may read it",
            name,
        )
    manifest = _Reader(found, name).manifest()
    for what in ("rows", "bytes"):
        total = sum(getattr(shard, what) for shard in manifest.shards)
        if total != found.get(what):
            raise damaged(
                f"the manifest says {found.get(what)!r} {what}, its shards have {total}", name
            )
    return manifest


class _Reader:
    """Takes the parts of a manifest, and says which of them is wrong."""

    def __init__(self, found: dict[str, Any], name: str) -> None:
        self._found = found
        self._name = name

    def manifest(self) -> Manifest:
        root = self._text("root")
        if not re.fullmatch(r"0x[0-9a-f]{16}", root):
            raise self._wrong("root")
        try:
            compiled = base64.b64decode(self._text("schema"), validate=True)
        except ValueError:
            raise self._wrong("schema") from None
        path, fingerprint = self._path(), self._text("fingerprint")
        shards = self._found.get("shards")
        if not isinstance(shards, list) or not shards:
            raise self._wrong("shards")
        return Manifest(
            self._text("commit"), int(root, 16), fingerprint, compiled, path,
            tuple(self._shard(i, each, path, fingerprint) for i, each in enumerate(shards)),
        )  # fmt: skip

    def _text(self, key: str) -> str:
        value = self._found.get(key)
        if not isinstance(value, str):
            raise self._wrong(key)
        return value

    def _path(self) -> ShardPath:
        path = self._found.get("path")
        if path == LOG:
            return LOG
        if not isinstance(path, list) or not path or not all(isinstance(s, str) for s in path):
            raise self._wrong("path")
        return tuple(path)

    def _shard(self, index: int, found: Any, path: ShardPath, fingerprint: str) -> Shard:
        if isinstance(found, dict):
            name, rows = found.get("name"), found.get("rows")
            size, digest = found.get("bytes"), found.get("digest")
            if (
                isinstance(name, str)
                and _SHARD_NAME.fullmatch(name)
                and isinstance(digest, str)
                and _DIGEST.fullmatch(digest)
                and _is_count(rows)
                and _is_count(size)
            ):
                return Shard(name, index, rows, size, digest, path, fingerprint)  # type: ignore[arg-type]
        raise self._wrong(f"shard {index}")

    def _wrong(self, what: str) -> _core.InvalidMessage:
        return damaged(f"the manifest is damaged: its {what} is missing or wrong", self._name)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def damaged(reason: str, name: str) -> _core.InvalidMessage:
    """Return the error that says what is wrong with a file of a dataset."""
    error = _core.InvalidMessage(f"{reason}: {name!r}")
    error.reason = reason
    error.filename = name
    return error
