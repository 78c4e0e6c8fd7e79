"""A snapshot of one repository saved into another one.

Here: the walk over the source's tree, and what becomes of each entry. Not here: the content of files (`contents`).

Rules: content goes through the same cutters, bundles and workers as in a snapshot, under the keys of the destination:
what is saved there from the files themselves finds the same blobs. Everything else of an entry stays as it is, bit for
bit. What has not changed since the snapshot before (`Before`), of which both sides are known, is neither read nor saved
again: a folder with the same node has the same node. Plaintext is only ever in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...blobs.reader import BlobReader
from ...errors import DamagedObjectError, DamageError
from ...format.tree import DirectoryLeaf, TreeEntry
from ...types import EntryType, PlainHash
from ..restore.loading import TreeLoader
from ..snapshot.folders import Folder
from ..snapshot.job import Job
from ..snapshot.reuse import FolderRow
from .contents import ContentCopier, Entries

_NO_ROW = FolderRow()


@dataclass(frozen=True, slots=True)
class Side:
    """One repository's side of a snapshot: what loads its trees, and the root's entry."""

    reader: BlobReader
    root: TreeEntry


@dataclass(frozen=True, slots=True)
class Before:
    """The same snapshot in both repositories, the last one that was copied."""

    source: Side
    copy: Side


@dataclass(frozen=True, slots=True)
class _Pair:
    """A folder of the snapshot before, in both repositories."""

    source: TreeEntry
    copy: TreeEntry


@dataclass(slots=True)
class _Level:
    folder: Folder
    waiting: Iterator[TreeEntry]
    before: dict[bytes, _Pair]


def open_side(reader: BlobReader, root_hash: PlainHash) -> Side:
    """Load the root of a snapshot. Raises DamageError."""
    node = reader.load_node(root_hash)
    if not isinstance(node, DirectoryLeaf) or len(node.entries) != 1 or node.entries[0].name:
        raise DamagedObjectError("The root of the snapshot is not what stands there.", code="damaged_tree")
    return Side(reader, node.entries[0])


def replay(source: Side, job: Job, before: Before | None) -> TreeEntry:
    """Save everything below the source's root and return the root's entry for the destination. Raises DamageError."""
    walk = _Replay(source, job, before)
    walk.enter(source.root, None, None if before is None else _Pair(before.source.root, before.copy.root))
    walk.run()
    job.pipeline.drain()
    assert walk.root is not None
    return walk.root


class _Replay:
    def __init__(self, source: Side, job: Job, before: Before | None) -> None:
        self._job = job
        self._loader = TreeLoader(source.reader)
        self._contents = ContentCopier(source.reader, self._loader, job)
        self._before = None
        if before is not None:
            self._before = (TreeLoader(before.source.reader), TreeLoader(before.copy.reader))
        self._levels: list[_Level] = []
        self.root: TreeEntry | None = None

    def run(self) -> None:
        """Go through all folders, depth first."""
        while self._levels:
            level = self._levels[-1]
            entry = next(level.waiting, None)
            if entry is None:
                self._levels.pop()
                self._close_later(level.folder)
            else:
                self.enter(entry, level.folder, level.before.get(entry.name))

    def enter(self, entry: TreeEntry, parent: Folder | None, before: _Pair | None) -> None:
        """Save what is in a folder besides folders; those come next."""
        job = self._job
        own = self._own_entry(entry, before)
        if parent is not None and before is not None and entry.subtree == before.source.subtree:
            assert entry.totals is not None
            parent.add_folder(own._replace(subtree=before.copy.subtree, totals=entry.totals), job)
            job.meter.step(size=entry.totals[1])
            return
        path = b"" if parent is None else parent.child_path(entry.name)
        folder = Folder(path=path, entry=own, parent=parent, source=None, row=_NO_ROW)
        folders: list[TreeEntry] = []
        others: list[TreeEntry] = []
        for item in self._loader.entries(entry):
            (folders if item.type is EntryType.DIRECTORY else others).append(item)
        pairs = self._pairs(before)
        job.meter.step(current=path.decode("utf-8", "replace"))
        self._contents.save(folder, others, _file_pairs(pairs))
        kept = {name: pair for name, pair in pairs.items() if pair.source.type is EntryType.DIRECTORY}
        self._levels.append(_Level(folder, iter(folders), kept))

    def _own_entry(self, entry: TreeEntry, before: _Pair | None) -> TreeEntry:
        """Return a folder's own entry, without what is in it; large attributes are saved."""
        own = entry._replace(subtree=None, totals=None)
        if entry.xattrs_blob is None:
            return own
        if before is not None and before.source.xattrs_blob == entry.xattrs_blob:
            return own._replace(xattrs_blob=before.copy.xattrs_blob)
        reference = self._contents.save_attributes(entry)
        self._job.pipeline.wait_for(reference)
        return own._replace(xattrs_blob=(reference.plain_hash, reference.size))

    def _pairs(self, before: _Pair | None) -> dict[bytes, _Pair]:
        """Return what the folder held in the snapshot before, by name."""
        if before is None or self._before is None:
            return {}
        of_source, of_copy = self._before
        try:
            copies = {item.name: item for item in of_copy.entries(before.copy)}
            sources = list(of_source.entries(before.source))
        except DamageError:
            return {}  # of the snapshot before: this one can do without
        return {
            item.name: _Pair(item, copies[item.name])
            for item in sources
            if item.name in copies and copies[item.name].type is item.type
        }

    def _close_later(self, folder: Folder) -> None:
        def close() -> None:
            closed = folder.close(self._job)
            if folder.parent is None:
                self.root = closed

        self._job.pipeline.then(close)


def _file_pairs(pairs: Mapping[bytes, _Pair]) -> Entries:
    return {
        name: (pair.source, pair.copy) for name, pair in pairs.items() if pair.source.type is not EntryType.DIRECTORY
    }
