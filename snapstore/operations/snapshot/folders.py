"""A folder being saved: its entries are gathered, then become nodes.

Here: `Folder`. Not here: which entries there are, or how a file's content is saved.

Rules: entries may arrive in any order; `close` sorts them by name. A folder in which nothing changed keeps the node it
had, if the cache is trusted. The folder's own entry goes to its parent, or is the root."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...blobs.trees import DirectoryBuilder
from ...format.tree import Chunk, TreeEntry, encode_entry
from ...types import BlobId, EntryType, PlainHash
from .job import Counts, Job
from .reuse import FolderRow, decode_cached


@dataclass(slots=True)
class _Line:
    encoded: bytes
    entry: TreeEntry | None
    """None for one taken from the cache as it was; decoded only if the folder's node is built anew."""
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
    unchanged: bool = True
    """So far everything came from the cache as it was."""
    new_row: FolderRow = field(default_factory=FolderRow)
    _lines: dict[bytes, _Line] = field(default_factory=dict)

    def child_path(self, name: bytes) -> bytes:
        """Return the path in the snapshot of something in this folder."""
        return self.path + b"/" + name if self.path else name

    def add(self, entry: TreeEntry, signature: bytes | None, counts: Counts) -> None:
        """Add an entry that is not a folder, and count a file as new, changed or unchanged."""
        encoded = encode_entry(entry)
        known_signature, known = self.row.files.get(entry.name, (None, None))
        if entry.type is EntryType.FILE:
            if known is None:
                counts.files_new += 1
            elif known == encoded or (signature is not None and signature == known_signature):
                counts.files_unchanged += 1  # perhaps read again, because a neighbour in its bundle changed
            else:
                counts.files_changed += 1
        self._lines[entry.name] = _Line(encoded, entry, 1, entry.size or 0)
        self.new_row.files[entry.name] = (signature, encoded)
        if known != encoded:
            self.unchanged = False

    def add_cached(self, name: bytes, signature: bytes, encoded: bytes, size: int) -> None:
        """Add an entry exactly as the cache has it."""
        self._lines[name] = _Line(encoded, None, 1, size)
        self.new_row.files[name] = (signature, encoded)

    def add_folder(self, entry: TreeEntry) -> None:
        """Add a folder that is closed."""
        assert entry.totals is not None
        encoded = encode_entry(entry)
        self._lines[entry.name] = _Line(encoded, entry, entry.totals[0] + 1, entry.totals[1])
        self.new_row.folders[entry.name] = encoded
        if self.row.folders.get(entry.name) != encoded:
            self.unchanged = False

    def close(self, job: Job) -> TreeEntry:
        """Save the folder's nodes, hand its entry to the parent and return it."""
        entries = sum(line.entries for line in self._lines.values())
        size = sum(line.size for line in self._lines.values())
        subtree = self.row.subtree
        same = len(self.row.files) == len(self.new_row.files) and len(self.row.folders) == len(self.new_row.folders)
        if subtree is None or not (same and self.unchanged and job.previous.trusted):
            subtree = self._build(job)
        else:
            job.counts.reused = True
        self.new_row.subtree, self.new_row.totals = subtree, (entries, size)
        if self.source is not None:
            job.previous.keep(self.source, self.new_row)
        closed = replace(self.entry, subtree=subtree, totals=(entries, size))
        if self.parent is not None:
            self.parent.add_folder(closed)
        self._lines.clear()
        return closed

    def _build(self, job: Job) -> tuple[int, PlainHash]:
        builder = DirectoryBuilder(
            job.saver.save_tree, lambda plain_hash: job.saver.blob_id(plain_hash, shared=False), job.node_cut_key
        )
        for name in sorted(self._lines):
            line = self._lines[name]
            entry = line.entry if line.entry is not None else decode_cached(line.encoded)
            children = [] if entry is None else children_of(entry, job)
            builder.add_entry(name, line.encoded, children, entries=line.entries, size=line.size)
        return builder.finish()


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
