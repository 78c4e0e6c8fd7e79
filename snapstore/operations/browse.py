"""Looking into a snapshot: its entries and the content of its files.

Here: opening a root, finding paths, listing lazily, and what a file's content consists of. Not here: writing it
anywhere (`operations.restore`), or reading it as a stream (`operations.open_file`).

Rules: opening a root needs the dossier's private key; without it a station opens only the newest snapshot it made
itself. Nodes are loaded when they are reached. Sizes of what is loaded are checked against what the tree says."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..blobs.reader import BlobReader
from ..errors import DamagedObjectError, EntryNotFoundError, SecretRequiredError
from ..format.keyset import PrivateHalves
from ..format.tree import (
    Chunk,
    ChunkItem,
    ChunkLeaf,
    ChunkNode,
    DirectoryLeaf,
    DirectoryNode,
    TreeEntry,
    decode_xattrs,
)
from ..stores.cached import uncached
from ..stores.protocol import Store
from ..types import Entry, EntryType, PlainHash
from .clock import time_of
from .context import DossierContext
from .history import ReadManifest


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """An opened snapshot."""

    reader: BlobReader
    root: TreeEntry

    def children(self, directory: TreeEntry) -> Iterator[TreeEntry]:
        """Yield the entries of a directory by rising name."""
        if directory.subtree is not None:
            yield from self._entries(directory.subtree[1])

    def _entries(self, plain_hash: PlainHash) -> Iterator[TreeEntry]:
        waiting = [plain_hash]
        while waiting:
            node = self.reader.load_node(waiting.pop())
            if isinstance(node, DirectoryLeaf):
                if self.reader.reads_ahead:  # who goes through all the entries will want those below soon
                    self.reader.prefetch([entry.subtree[1] for entry in node.entries if entry.subtree is not None])
                yield from node.entries
            elif isinstance(node, DirectoryNode):
                self.reader.prefetch([child.h for child in node.children])
                waiting.extend(child.h for child in reversed(node.children))
            else:
                raise _misplaced()

    def child(self, directory: TreeEntry, name: bytes) -> TreeEntry | None:
        """Return one entry of a directory, loading only the nodes on the way."""
        if directory.subtree is None:
            return None
        plain_hash = directory.subtree[1]
        while True:
            node = self.reader.load_node(plain_hash)
            if isinstance(node, DirectoryLeaf):
                return next((entry for entry in node.entries if entry.name == name), None)
            if not isinstance(node, DirectoryNode):
                raise _misplaced()
            child = next((child for child in node.children if name <= child.last_name), None)
            if child is None:
                return None
            plain_hash = child.h

    def find(self, path: str) -> TreeEntry:
        """Return the entry at a path ("" is the root). EntryNotFoundError if there is none."""
        entry = self.root
        for name in split_path(path):
            found = self.child(entry, name) if entry.type is EntryType.DIRECTORY else None
            if found is None:
                raise EntryNotFoundError(f"The snapshot holds nothing at {path!r}. List it to see its paths.")
            entry = found
        return entry

    def items(self, entry: TreeEntry) -> Iterator[ChunkItem]:
        """Yield the chunk items of a file that has chunks."""
        if entry.chunks is not None:
            yield from entry.chunks
        elif entry.chunk_tree is not None:
            waiting = [entry.chunk_tree[1]]
            while waiting:
                node = self.reader.load_node(waiting.pop())
                if isinstance(node, ChunkLeaf):
                    yield from node.items
                elif isinstance(node, ChunkNode):
                    self.reader.prefetch([child.h for child in node.children])
                    waiting.extend(child.h for child in reversed(node.children))
                else:
                    raise _misplaced()

    def load_chunk(self, chunk: Chunk, *, shared: bool) -> bytes:
        """Return a chunk's plaintext. DamagedObjectError if it has not the size the tree says."""
        data = self.reader.load(chunk.h, shared=shared)
        if len(data) != chunk.size:
            raise DamagedObjectError("A chunk has not the size that the snapshot says.", code="damaged_blob")
        return data

    def load_small(self, entry: TreeEntry) -> bytes:
        """Return the content of a file that is inline, in a bundle, or empty."""
        if entry.slice is None:
            return entry.inline or b""
        plain_hash, offset, bundle_size = entry.slice
        data = self.reader.load(plain_hash)
        if len(data) != bundle_size:
            raise DamagedObjectError("A bundle has not the size that the snapshot says.", code="damaged_blob")
        return data[offset : offset + (entry.size or 0)]

    def xattrs(self, entry: TreeEntry) -> tuple[tuple[bytes, bytes], ...]:
        """Return an entry's extended attributes, wherever they are."""
        if entry.xattrs_blob is None:
            return entry.xattrs
        return decode_xattrs(self.reader.load(entry.xattrs_blob[0]))


def open_view(
    dossier: DossierContext,
    manifest: ReadManifest,
    private: PrivateHalves | None,
    reading: Callable[[Store], Store] | None = None,
) -> SnapshotView:
    """Open a snapshot's root. `reading` wraps the store for what is read of the snapshot.

    Raises SecretRequiredError without the private halves, unless it is the newest snapshot of this station;
    DamageError."""
    root_hash = root_of(dossier, manifest, private)
    if root_hash is None:
        raise SecretRequiredError(
            f"Opening this snapshot needs the secret of the dossier {dossier.pin.name!r}. Type it and try again."
        )
    reader = reader_of(dossier, reading=reading)
    node = reader.load_node(root_hash)
    if not isinstance(node, DirectoryLeaf) or len(node.entries) != 1 or node.entries[0].name:
        raise _misplaced()
    return SnapshotView(reader, node.entries[0])


def reader_of(
    dossier: DossierContext, *, proving: bool = False, reading: Callable[[Store], Store] | None = None
) -> BlobReader:
    """Return a reader for the dossier's blobs over the present index. If `proving`, what it reads the store holds."""
    context = dossier.repository
    loaded = context.index(refresh=False)
    store = uncached(context.store) if proving else context.store
    store = store if reading is None else reading(store)
    return BlobReader(store, loaded.index, dossier.epoch_keys(), refresh=lambda: (context.index(refresh=True), None)[1])


def iterate_entries(view: SnapshotView, path: str, *, recursive: bool) -> Iterator[Entry]:
    """Yield what is below `path`, depth first, or the entry itself if it is no directory."""
    top = view.find(path)
    path = "/".join(os.fsdecode(name) for name in split_path(path))
    if top.type is not EntryType.DIRECTORY:
        yield public_entry(view, top, path)
        return
    stack = [(path, view.children(top))]
    while stack:
        above, entries = stack[-1]
        entry = next(entries, None)
        if entry is None:
            stack.pop()
            continue
        below = f"{above}/{os.fsdecode(entry.name)}" if above else os.fsdecode(entry.name)
        yield public_entry(view, entry, below)
        if recursive and entry.type is EntryType.DIRECTORY:
            stack.append((below, view.children(entry)))


def public_entry(view: SnapshotView, entry: TreeEntry, path: str) -> Entry:
    """Return the record that callers see."""
    totals = entry.totals or (0, 0)
    target = entry.link_target if entry.link_target is not None else entry.hard_link
    return Entry(
        path=path,
        type=entry.type,
        size=totals[1] if entry.type is EntryType.DIRECTORY else entry.size or 0,
        entries=totals[0],
        mode=entry.mode,
        modified=None if entry.mtime_ns is None else time_of(entry.mtime_ns),
        modified_ns=entry.mtime_ns,
        uid=entry.uid,
        gid=entry.gid,
        user=entry.user,
        group=entry.group,
        link_target=None if target is None else os.fsdecode(target),
        device=entry.device,
        xattrs=dict(view.xattrs(entry)),
        windows_attributes=entry.windows_attributes,
        created_ns=entry.birth_ns,
        changed_while_read=entry.changed,
    )


def split_path(path: str) -> list[bytes]:
    """Return the names of a path in a snapshot; slashes at the ends and doubled ones do not count."""
    return [os.fsencode(name) for name in path.split("/") if name]


def root_of(dossier: DossierContext, manifest: ReadManifest, private: PrivateHalves | None) -> PlainHash | None:
    """Return the h of a snapshot's root; None without the private halves, but for this station's own newest one."""
    if private is not None:
        return manifest.sealed.open_root(private.hybrid)
    context = dossier.repository
    last = context.state.medium(context.config.repository_id, context.config.medium_id, dossier.id).last()
    return last.root if last is not None and last.id == manifest.sealed.snapshot_id else None


def _misplaced() -> DamagedObjectError:
    return DamagedObjectError("A part of the snapshot's tree is not what stands there.", code="damaged_tree")
