"""A folder being saved: its entries are gathered, then become nodes.

Here: `Folder`. Not here: which entries there are, or how a file's content is saved.

Rules: entries may arrive in any order; `close` sorts them by name. A folder in which nothing changed keeps the node it
had, if the cache is trusted. The folder's own entry goes to its parent, or is the root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...blobs.trees import DirectoryBuilder, Item
from ...errors import StationStateError
from ...format.tree import Chunk, DirectoryLeaf, TreeEntry, encode_entry, encode_node
from ...sources.scanned import ScannedEntry
from ...types import BlobId, EntryType, PlainHash
from .job import Counts, Job
from .ordinary import EncodedFile
from .reuse import NOTHING_OWN, FolderRow, OwnCounts, decode_cached


class _Line(NamedTuple):
    encoded: bytes
    signature: bytes | None
    children: Sequence[BlobId] | None
    """None for one taken from the cache as it was; found only if the folder's node is built anew."""
    entries: int
    size: int


@dataclass(slots=True)
class Folder:
    """One directory of the snapshot, open. `entry` is its own, still without content."""

    path: bytes
    entry: TreeEntry
    parent: Folder | None
    source: bytes | None
    """The key of its row in the cache; None for a folder that is not a source folder."""
    row: FolderRow
    look: bytes | None = None
    """What stands for its files if nothing in it needs a look of its own; see `reuse`."""
    own: OwnCounts = NOTHING_OWN
    as_it_was: bool = False
    """All but its folders is as the row has it, and no line was made for it."""
    unchanged: bool = True
    """So far everything came from the cache as it was."""
    _files: dict[bytes, _Line] = field(default_factory=dict)
    _folders: dict[bytes, _Line] = field(default_factory=dict)

    def child_path(self, name: bytes) -> bytes:
        """Return the path in the snapshot of something in this folder."""
        return self.path + b"/" + name if self.path else name

    def expect(self, listed: ScannedEntry, opened: ScannedEntry) -> None:
        """Do not let the look stand for a file that was opened as another than the one that was listed."""
        if opened is not listed and opened.signature != listed.signature:
            self.look = None

    def add(self, entry: TreeEntry, signature: bytes | None, children: Sequence[BlobId], counts: Counts) -> None:
        """Add an entry that is not a folder, and count a file as new, changed or unchanged.

        `children` are the blobs that it refers to directly."""
        encoded = encode_entry(entry)
        if entry.type is EntryType.FILE:
            self._count(entry.name, encoded, signature, counts)
        self._add(entry.name, _Line(encoded, signature, children, 1, entry.size or 0))

    def add_file(self, name: bytes, line: EncodedFile, children: Sequence[BlobId], counts: Counts) -> None:
        """Add a file as `add` does, by its encoded entry, its signature and its size."""
        encoded, signature, size = line
        self._count(name, encoded, signature, counts)
        self._add(name, _Line(encoded, signature, children, 1, size))

    def _count(self, name: bytes, encoded: bytes, signature: bytes | None, counts: Counts) -> None:
        known_signature, known = self.row.files.get(name, (None, None))
        if known is None:
            counts.files_new += 1
        elif known == encoded or (signature is not None and signature == known_signature):
            counts.files_unchanged += 1  # perhaps read again, because a neighbour in its bundle changed
        else:
            counts.files_changed += 1

    def _add(self, name: bytes, line: _Line) -> None:
        if line.signature is None:
            self.look = None
        if self.unchanged and self.row.files.get(name, (None, None))[1] != line.encoded:
            self.unchanged = False
        self._files[name] = line

    def add_cached(self, name: bytes, signature: bytes, encoded: bytes, size: int) -> None:
        """Add an entry exactly as the cache has it."""
        self._files[name] = _Line(encoded, signature, None, 1, size)

    def add_folder(self, entry: TreeEntry, job: Job) -> None:
        """Add a folder that is closed."""
        assert entry.totals is not None
        encoded = encode_entry(entry)
        self._folders[entry.name] = _Line(encoded, None, children_of(entry, job), entry.totals[0] + 1, entry.totals[1])
        if self.row.folders.get(entry.name) != encoded:
            self.unchanged = False

    def close(self, job: Job) -> TreeEntry:
        """Save the folder's nodes, hand its entry to the parent and return it."""
        trusted = job.previous.trusted and self.unchanged and len(self.row.folders) == len(self._folders)
        if trusted and self.as_it_was and self.row.subtree is not None:
            job.counts.reused = True
            subtree, totals = self.row.subtree, self.row.totals
            if self.source is not None:
                job.previous.keep_as_it_was(self.source, self.row)
        else:
            if self.as_it_was:
                self._take_lines()
            same = trusted and len(self.row.files) == len(self._files)
            subtree, totals = self._close_lines(job, same=same)
        closed = self.entry._replace(subtree=subtree, totals=totals)
        if self.parent is not None:
            self.parent.add_folder(closed, job)
        self._files.clear()
        self._folders.clear()
        return closed

    def _take_lines(self) -> None:
        """Make the lines that the look spared: a folder below has changed."""
        if len(self.row.files) != self.own.files + self.own.others:
            raise StationStateError(
                "The station's cache of unchanged files does not fit together. Nothing was lost; take the snapshot "
                "again with --force, which reads all files."
            )
        for name, (signature, encoded) in self.row.files.items():
            entry = decode_cached(encoded)
            size = 0 if entry is None else entry.size or 0
            self._files[name] = _Line(encoded, signature, None, 1, size)

    def _close_lines(self, job: Job, *, same: bool) -> tuple[tuple[int, PlainHash], tuple[int, int]]:
        below = self._folders.values()
        size = sum([line.size for line in self._files.values()]) + sum([line.size for line in below])
        totals = (len(self._files) + sum([line.entries for line in below]), size)
        if same and self.row.subtree is not None:
            job.counts.reused = True
            subtree = self.row.subtree
        else:
            subtree = self._build(job)
        if self.source is not None:
            self._keep(job, subtree, totals)
        return subtree, totals

    def _keep(self, job: Job, subtree: tuple[int, PlainHash], totals: tuple[int, int]) -> None:
        row = FolderRow(
            look=self.look if len(self._files) == self.own.files + self.own.others else None,
            own=self.own,
            subtree=subtree,
            totals=totals,
            folders={name: line.encoded for name, line in self._folders.items()},
        )
        flat: list[bytes | None] = []
        for name, line in self._files.items():
            flat += (name, line.signature, line.encoded)
        assert self.source is not None
        job.previous.keep(self.source, row, flat)

    def _build(self, job: Job) -> tuple[int, PlainHash]:
        builder = DirectoryBuilder(
            job.saver.save_tree, lambda plain_hash: job.saver.blob_id(plain_hash, shared=False), job.node_cut_key
        )
        lines = sorted(_merged(self._files, self._folders))
        keys = builder.keys_of([name for name, _ in lines])
        for (name, line), key in zip(lines, keys, strict=True):
            children = line.children
            if children is None:
                entry = decode_cached(line.encoded)
                children = [] if entry is None else children_of(entry, job)
            builder.add(Item(line.encoded, key, children, name, line.entries, line.size))
        return builder.finish()


def _merged(files: dict[bytes, _Line], folders: dict[bytes, _Line]) -> Iterable[tuple[bytes, _Line]]:
    return {**files, **folders}.items()


def children_of(entry: TreeEntry, job: Job) -> Sequence[BlobId]:
    """Return the ids of the blobs that an entry refers to directly."""
    saver = job.saver
    children = []
    if entry.type is EntryType.DIRECTORY:
        if entry.subtree is not None:
            children.append(saver.blob_id(entry.subtree[1], shared=False))
    elif entry.slice is not None:
        children.append(saver.blob_id(entry.slice[0], shared=False))
    elif entry.chunks is not None:
        children.extend(saver.blob_id(item.h, shared=entry.shared) for item in entry.chunks if isinstance(item, Chunk))
    elif entry.chunk_tree is not None:
        children.append(saver.blob_id(entry.chunk_tree[1], shared=False))
    if entry.xattrs_blob is not None:
        children.append(saver.blob_id(entry.xattrs_blob[0], shared=False))
    return children


def save_root(root: TreeEntry, job: Job) -> PlainHash:
    """Save the node that holds the root's entry alone; a snapshot's manifest names it."""
    return job.saver.save_tree(encode_node(DirectoryLeaf((root,))), children_of(root, job))
