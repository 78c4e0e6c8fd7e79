"""What is saved, folder by folder.

Here: the walk over the sources, depth first, without recursion (trees may be 1,000 levels deep). Not here: what is in
one folder (`contents`), a file's content (`files`, `chunked`), a folder's nodes (`folders`).

Rules: in each folder first come the files, small ones in bundles, then the folders by name. A file with several names
is saved under the first that is met and linked from the others. A folder that cannot be listed is saved empty, with a
problem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ...blobs.reader import BlobReader
from ...format.tree import TreeEntry
from ...sources.directory import SourceDirectory, open_source, problem_from_error
from ...sources.layout import SourceNode
from ...sources.scanned import ScannedEntry, name_bytes
from ...types import EntryType, Problem
from .contents import Contents
from .drafts import EntryDraft
from .files import FileTask
from .folders import Folder
from .job import Job
from .reuse import FolderRow, look_of

_NO_ROW = FolderRow()


def save_tree(root: SourceNode, job: Job, reader: BlobReader) -> TreeEntry:
    """Save everything below `root` and return the root's entry, when all of it is hashed."""
    walk = _Walk(job, reader)
    try:
        walk.visit(root, None)
        job.pipeline.drain()
    finally:
        walk.close()
    assert walk.root is not None
    return walk.root


@dataclass(slots=True)
class _Level:
    """One folder on the way down: what is still to be entered."""

    directory: SourceDirectory
    folder: Folder
    waiting: Iterator[ScannedEntry]


class _Walk:
    def __init__(self, job: Job, reader: BlobReader) -> None:
        self._job = job
        self._contents = Contents(job, reader)
        self._levels: list[_Level] = []
        self.root: TreeEntry | None = None

    def close(self) -> None:
        for level in self._levels:
            level.directory.close()

    # --- the shape of the sources --------------------------------------------------------------------------------

    def visit(self, node: SourceNode, parent: Folder | None) -> None:
        """Save a node of the layout: a whole folder, a file, or a folder of which only some children are saved."""
        if not node.whole:
            folder = self._between(node, parent)
            for child in node.children:
                self.visit(child, folder)
            self._close_later(folder)
            return
        assert node.path is not None
        before = self._job.counts.files + self._job.counts.others + self._job.counts.directories
        if parent is None or os.path.isdir(node.path):
            self._whole(node, parent)
        else:
            self._single(node, parent)
        found = self._job.counts.files + self._job.counts.others + self._job.counts.directories - before
        self._job.source_entries[node.path] = found

    def _between(self, node: SourceNode, parent: Folder | None) -> Folder:
        entry = TreeEntry(name=node.name, type=EntryType.DIRECTORY)
        if node.path is not None:
            with open_source(node.path) as directory:
                entry = self._own_entry(directory, node.name)
        self._job.counts.directories += 1
        return Folder(path=_below(parent, node.name), entry=entry, parent=parent, source=None, row=_NO_ROW)

    def _whole(self, node: SourceNode, parent: Folder | None) -> None:
        assert node.path is not None
        directory = open_source(node.path)
        device = self._device(directory)
        self._enter(directory, _below(parent, node.name), self._own_entry(directory, node.name), parent)
        while self._levels:
            level = self._levels[-1]
            scanned = next(level.waiting, None)
            if scanned is None:
                self._levels.pop()
                level.directory.close()
                self._close_later(level.folder)
            else:
                self._descend(level, scanned, device)

    def _single(self, node: SourceNode, parent: Folder) -> None:
        assert node.path is not None
        above, last = os.path.split(node.path)
        with open_source(above) as directory:
            try:
                scanned = directory.entry(name_bytes(last))
            except OSError as error:
                self._job.report(problem_from_error(error, node.path))
                return
            if scanned.type is None:
                self._job.report(Problem(code="unsupported_type", path=node.path, message=f"{node.path} is a socket."))
                return
            self._contents.save(parent, [FileTask(directory, scanned, node.name, parent)])

    def _device(self, directory: SourceDirectory) -> int:
        try:
            return directory.own_entry().device
        except OSError:
            return -1

    # --- folders -------------------------------------------------------------------------------------------------

    def _enter(
        self, directory: SourceDirectory, path: bytes, entry: TreeEntry, parent: Folder | None, *, empty: bool = False
    ) -> None:
        job = self._job
        job.counts.directories += 1
        source = name_bytes(directory.path)
        folder = Folder(path=path, entry=entry, parent=parent, source=source, row=job.previous.row(source))
        folders: list[ScannedEntry] = []
        self._levels.append(_Level(directory, folder, iter(folders)))
        if empty:
            return
        look = directory.look()
        job.report(*look.problems)
        folder.look = look_of(look, path, job.rules, job.now_ns)
        if self._take_as_it_was(folder):
            found = look.folders
        else:
            found = job.rules.without_cache(directory, look.entries)
        if job.rules.may_exclude:
            found = [item for item in found if not self._excludes(folder, item)]
        tasks = []
        for item in found:
            if item.type is EntryType.DIRECTORY:
                if (item.device, item.inode) not in job.own_folders:
                    folders.append(item)
            elif item.type is not None:
                tasks.append(FileTask(directory, item, item.name, folder))
        if not folder.as_it_was:
            self._contents.save(folder, tasks)

    def _take_as_it_was(self, folder: Folder) -> bool:
        """Take everything but the folders from the cache at once, if the folder looks as it did and that is trusted."""
        job, row = self._job, folder.row
        if not job.previous.trusted or folder.look is None or folder.look != row.look or row.subtree is None:
            return False
        folder.as_it_was, folder.own = True, row.own
        job.counts.take(row.own)
        job.counts.files_unchanged += row.own.files
        job.counts.reused = True
        job.meter.step(files=row.own.files + row.own.others, size=row.own.bytes)
        return True

    def _excludes(self, folder: Folder, item: ScannedEntry) -> bool:
        path = os.fsdecode(folder.child_path(item.name))
        return self._job.rules.excludes(path, is_directory=item.type is EntryType.DIRECTORY, size=item.size)

    def _descend(self, level: _Level, scanned: ScannedEntry, device: int) -> None:
        directory = level.directory.child(scanned.name)
        entry = self._own_entry(directory, scanned.name, scanned)
        empty = self._job.rules.crosses(scanned, device)
        self._enter(directory, level.folder.child_path(scanned.name), entry, level.folder, empty=empty)

    def _own_entry(self, directory: SourceDirectory, name: bytes, scanned: ScannedEntry | None = None) -> TreeEntry:
        """Return a folder's own entry."""
        try:
            found = directory.own_entry(name)
        except OSError as error:
            if scanned is None:
                self._job.report(problem_from_error(error, directory.path))
                return TreeEntry(name=name, type=EntryType.DIRECTORY)
            found = scanned
        draft = EntryDraft(found, name, EntryType.DIRECTORY, directory.own_attributes()).check(self._job, directory)
        if draft.needs:
            self._job.pipeline.wait_for(draft.needs[0])
        return draft.build()

    def _close_later(self, folder: Folder) -> None:
        def close() -> None:
            closed = folder.close(self._job)
            if folder.parent is None:
                self.root = closed

        self._job.pipeline.then(close)


def _below(parent: Folder | None, name: bytes) -> bytes:
    return b"" if parent is None else parent.child_path(name)
