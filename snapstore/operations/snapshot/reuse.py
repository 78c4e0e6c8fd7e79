"""What the last snapshot of this station knew, so that unchanged files are not read.

Here: the rows of the folder cache, and whether they may be trusted. Not here: reading files.

Shape of a row, one for each source folder, msgpack: 0 files `[name, signature or nil, encoded entry]`, 1 folders
`[name, encoded entry]`, 2 `[level, h]` of the folder's node, 3 `[entries, bytes]` below it. The signature is what
`lstat` said (size, times, inode, mode, owner); nil where the file had changed so shortly before that a later change
might not show.

Rules: rows are trusted as they are only while every pack of the last snapshot is still there, whole and not condemned.
Otherwise each entry's blobs are looked up one by one, and what is missing is read again. A row that does not decode is
no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack

from ...blobs.reader import BlobReader
from ...blobs.saver import BlobSaver
from ...crypto.derivation import digest
from ...errors import SnapstoreError
from ...format.pack import BlobKind
from ...format.packing import decode
from ...format.tree import Chunk, ChunkLeaf, ChunkNode, TreeEntry, entry_from_map
from ...sources.scanned import ScannedEntry
from ...station.caches import FolderCache
from ...types import PlainHash


@dataclass(slots=True)
class FolderRow:
    """What the cache knows of one folder."""

    files: dict[bytes, tuple[bytes | None, bytes]] = field(default_factory=dict)
    folders: dict[bytes, bytes] = field(default_factory=dict)
    subtree: tuple[int, PlainHash] | None = None
    totals: tuple[int, int] = (0, 0)


_NOTHING = FolderRow()
_CHECK_BYTES = 16


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
            files, folders, subtree, totals = msgpack.unpackb(stored[_CHECK_BYTES:])
            return FolderRow(
                files={name: (signature, entry) for name, signature, entry in files},
                folders={name: entry for name, entry in folders},  # noqa: C416  msgpack gives lists
                subtree=None if subtree is None else (subtree[0], PlainHash(subtree[1])),
                totals=(totals[0], totals[1]),
            )
        except (ValueError, TypeError, IndexError):
            return _NOTHING

    def keep(self, folder: bytes, row: FolderRow) -> None:
        """Remember a folder for the next snapshot."""
        record: list[Any] = [
            [[name, signature, entry] for name, (signature, entry) in row.files.items()],
            list(row.folders.items()),
            row.subtree,
            row.totals,
        ]
        packed = msgpack.packb(record)
        self._new.put(folder, _check(folder, packed) + packed)


def _check(folder: bytes, packed: bytes) -> bytes:
    """Return what a row begins with: a wrong bit in a cache would become a snapshot that cannot be restored."""
    return digest(digest(folder) + packed)[:_CHECK_BYTES]


def signature_of(entry: ScannedEntry) -> bytes:
    """Return what identifies an unchanged file, as the cache keeps it."""
    packed: bytes = msgpack.packb(entry.signature)
    return packed


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
