"""What the last snapshot of this station knew, so that unchanged files are not read.

Here: the rows of the folder cache, and whether they may be trusted. Not here: reading files.

Shape of a row, one for each source folder, msgpack: 0 the look (16 bytes, or nil), 1 `[files, others, bytes]` in the
folder itself, 2 `[level, h]` of the folder's node, 3 `[entries, bytes]` below it, 4 folders `[name, encoded entry]`,
5 all else, packed by itself: name, signature or nil, encoded entry, name, ... The signature is what `lstat` said (size,
times, inode, mode, owner); nil where the file had changed so shortly before that a later change might not show. The
look stands for all signatures and for the rules by which files are left out: a folder that looks the same is taken
over without an object for each file.

Rules: rows are trusted as they are only while every pack of the last snapshot is still there, whole and not condemned.
Otherwise each entry's blobs are looked up one by one, and what is missing is read again. A row that does not decode is
no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgpack

from ...blobs.reader import BlobReader
from ...blobs.saver import BlobSaver
from ...crypto.derivation import digest
from ...errors import SnapstoreError
from ...format.pack import BlobKind
from ...format.packing import decode
from ...format.tree import Chunk, ChunkLeaf, ChunkNode, TreeEntry, entry_from_map
from ...sources.excludes import CACHE_TAG_NAME, ExcludeRules
from ...sources.look import FolderLook
from ...sources.scanned import SETTLED_AFTER_NS
from ...station.caches import FolderCache
from ...types import PlainHash

_CHECK_BYTES = 16
_NO_FILES: bytes = msgpack.packb([])


class OwnCounts(NamedTuple):
    """What is in a folder itself, not below it."""

    files: int = 0
    others: int = 0
    bytes: int = 0


NOTHING_OWN = OwnCounts()


@dataclass(slots=True)
class FolderRow:
    """What the cache knows of one folder."""

    look: bytes | None = None
    own: OwnCounts = NOTHING_OWN
    subtree: tuple[int, PlainHash] | None = None
    totals: tuple[int, int] = (0, 0)
    folders: dict[bytes, bytes] = field(default_factory=dict)
    packed: bytes = _NO_FILES
    stored: bytes = b""
    """The row as the cache holds it."""
    _files: dict[bytes, tuple[bytes | None, bytes]] | None = None

    @property
    def files(self) -> dict[bytes, tuple[bytes | None, bytes]]:
        """Signature and encoded entry of everything that is not a folder, by name; made when first asked for."""
        if self._files is None:
            try:
                flat = msgpack.unpackb(self.packed)
                self._files = {
                    name: (signature, entry)
                    for name, signature, entry in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
                }
            except (ValueError, TypeError):
                self._files = {}
        return self._files


_NOTHING = FolderRow()


class Previous:
    """The state of the last snapshot, and the one being gathered for the next."""

    def __init__(self, old: FolderCache, new: FolderCache, *, trusted: bool) -> None:
        self._old = old
        self._new = new
        self.trusted = trusted

    def row(self, folder: bytes) -> FolderRow:
        """Return what was known of a folder; an empty row if nothing."""
        stored = self._old.get(folder)
        if stored is None or stored[:_CHECK_BYTES] != _check(folder, stored[_CHECK_BYTES:]):
            return _NOTHING
        try:
            look, own, subtree, totals, folders, packed = msgpack.unpackb(stored[_CHECK_BYTES:])
            return FolderRow(
                look=look,
                own=OwnCounts(*own),
                subtree=None if subtree is None else (subtree[0], PlainHash(subtree[1])),
                totals=(totals[0], totals[1]),
                folders={name: entry for name, entry in folders},  # noqa: C416  msgpack gives lists
                packed=packed,
                stored=stored,
            )
        except (ValueError, TypeError, IndexError):
            return _NOTHING

    def keep(self, folder: bytes, row: FolderRow, files: Sequence[bytes | None]) -> None:
        """Remember a folder for the next snapshot. `files`: name, signature, entry, name, ... of all but folders."""
        record: list[Any] = [
            row.look,
            row.own,
            row.subtree,
            row.totals,
            list(row.folders.items()),
            msgpack.packb(files),
        ]
        packed = msgpack.packb(record)
        self._new.put(folder, _check(folder, packed) + packed)

    def keep_as_it_was(self, folder: bytes, row: FolderRow) -> None:
        """Remember a folder in which, and below which, nothing changed."""
        self._new.put(folder, row.stored)


def _check(folder: bytes, packed: bytes) -> bytes:
    """Return what a row begins with: a wrong bit in a cache would become a snapshot that cannot be restored."""
    return digest(digest(folder) + packed)[:_CHECK_BYTES]


def look_of(look: FolderLook, path: bytes, rules: ExcludeRules, now_ns: int) -> bytes | None:
    """Return what stands for everything in a folder but its folders, or None if that must be looked at one by one.

    `path` is the folder's in the snapshot: what is left out may depend on it.
    """
    if not look.plain or not look.complete or look.newest_ns + SETTLED_AFTER_NS > now_ns:
        return None
    if rules.exclude_caches and CACHE_TAG_NAME in look.signature:
        return None  # what is left out depends on a file's content
    return digest(digest(rules.fingerprint(path)) + look.signature)[:_CHECK_BYTES]


def is_available(entry: TreeEntry, saver: BlobSaver, reader: BlobReader) -> bool:
    """Tell whether every blob of an entry's content is in a usable pack, and rely on each."""
    if entry.xattrs_blob is not None and not saver.rely_on(BlobKind.DATA, entry.xattrs_blob[0], shared=False):
        return False
    if entry.slice is not None:
        return saver.rely_on(BlobKind.DATA, entry.slice[0], shared=False)
    if entry.chunks is not None:
        return _chunks_available([item for item in entry.chunks if isinstance(item, Chunk)], entry, saver)
    if entry.chunk_tree is not None:
        try:
            return _list_available(entry.chunk_tree[1], entry, saver, reader)
        except SnapstoreError:
            return False  # the list itself does not read back: the file is read again
    return True


def _chunks_available(chunks: Sequence[Chunk], entry: TreeEntry, saver: BlobSaver) -> bool:
    return all(saver.rely_on(BlobKind.DATA, chunk.h, shared=entry.shared) for chunk in chunks)


def _list_available(root: PlainHash, entry: TreeEntry, saver: BlobSaver, reader: BlobReader) -> bool:
    waiting = [root]
    while waiting:
        plain_hash = waiting.pop()
        if not saver.rely_on(BlobKind.TREE, plain_hash, shared=False):
            return False
        node = reader.load_node(plain_hash)
        if isinstance(node, ChunkNode):
            waiting.extend(child.h for child in node.children)
        elif isinstance(node, ChunkLeaf) and not _chunks_available(
            [item for item in node.items if isinstance(item, Chunk)], entry, saver
        ):
            return False
    return True


def decode_cached(encoded: bytes) -> TreeEntry | None:
    """Return the entry of a row, or None if it does not decode."""
    try:
        return entry_from_map(decode(encoded, what="the cache"))
    except SnapstoreError:
        return None
