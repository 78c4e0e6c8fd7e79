"""What is saved, folder by folder.

Here: the walk over the sources, depth first, without recursion (trees may be 1,000 levels deep). Not here: a file's
content (`files`), a folder's nodes (`folders`).

Rules: in each folder first come the files, small ones in bundles, then the folders by name. A file with several names
is saved under the first that is met and linked from the others. A folder that cannot be listed is saved empty, with a
problem."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...blobs.reader import BlobReader
from ...chunking.bundles import plan_bundles
from ...format.tree import TreeEntry
from ...sources.directory import SourceDirectory, open_source, problem_from_error
from ...sources.layout import SourceNode
from ...sources.scanned import ScannedEntry, name_bytes
from ...types import EntryType, Problem
from .drafts import EntryDraft
from .files import FileTask, save_bundle, save_or_report
from .folders import Folder
from .job import Job, link_key
from .reuse import FolderRow, decode_cached, is_available, signature_of

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
        self._reader = reader
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
            self._save_others_and_files([FileTask(directory, scanned, node.name, parent)])

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
        row = job.previous.row(source)
        folder = Folder(path=path, entry=entry, parent=parent, source=source, row=row)
        folders: list[ScannedEntry] = []
        self._levels.append(_Level(directory, folder, iter(folders)))
        if empty:
            return
        scanned = job.rules.without_cache(directory, directory.scan())
        job.report(*directory.problems)
        tasks = []
        for item in scanned:
            if item.type is None or self._is_excluded(folder, item):
                continue
            if item.type is EntryType.DIRECTORY:
                if (item.device, item.inode) not in job.own_folders:
                    folders.append(item)
            else:
                tasks.append(FileTask(directory, item, item.name, folder))
        if not self._take_all_from_cache(folder, tasks):
            self._save_others_and_files(tasks)

    def _is_excluded(self, folder: Folder, item: ScannedEntry) -> bool:
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
        draft = EntryDraft(found, name, EntryType.DIRECTORY)
        try:
            draft.describe(directory.own_attributes(), self._job, directory.path)
        except OSError as error:
            self._job.report(problem_from_error(error, directory.path))
        if draft.needs:
            self._job.pipeline.wait_for(draft.needs[0])
        return draft.build()

    def _close_later(self, folder: Folder) -> None:
        def close() -> None:
            closed = folder.close(self._job)
            if folder.parent is None:
                self.root = closed

        self._job.pipeline.then(close)

    # --- what is in a folder -------------------------------------------------------------------------------------

    def _take_all_from_cache(self, folder: Folder, tasks: Sequence[FileTask]) -> bool:
        """Take every file of the folder from the cache at once, if none changed and the cache is trusted."""
        job, known = self._job, folder.row.files
        if not job.previous.trusted or len(known) != len(tasks):
            return False
        found = []
        for task in tasks:
            signature, encoded = known.get(task.name, (None, b""))
            if signature is None or task.scanned.links > 1 or signature != signature_of(task.scanned):
                return False
            found.append((task, signature, encoded))

        def add_all() -> None:
            for task, signature, encoded in found:
                size = task.scanned.size if task.scanned.type is EntryType.FILE else 0
                folder.add_cached(task.name, signature, encoded, size)

        job.pipeline.then(add_all)
        job.counts.reused = job.counts.reused or bool(found)
        for task in tasks:
            self._count(task)
            if task.scanned.type is EntryType.FILE:
                job.counts.files_unchanged += 1
                job.meter.step(files=1, size=task.scanned.size)
        return True

    def _save_others_and_files(self, tasks: Sequence[FileTask]) -> None:
        small: list[FileTask] = []
        followers: list[FileTask] = []
        limits = self._job.parameters
        for task in tasks:
            self._job.meter.step(files=1, current=task.directory.path_of(task.scanned.name))
            self._count(task)
            if self._has_first(task):
                followers.append(task)
            elif task.scanned.type is not EntryType.FILE:
                self._save_other(task)
            elif task.scanned.size <= limits.bundle_file_max_bytes:
                small.append(task)
            elif not self._take_from_cache([task]):
                save_or_report(task, self._job)
        for task in small:
            if task.scanned.size <= limits.inline_max_bytes:
                self._save_small([task])
        self._save_bundles([task for task in small if task.scanned.size > limits.inline_max_bytes])
        for task in followers:  # now it is known whether the first of them could be read
            self._link_or_save(task)

    def _save_small(self, bundle: list[FileTask]) -> None:
        if not self._take_from_cache(bundle):
            save_bundle(bundle, self._job)

    def _save_bundles(self, tasks: Sequence[FileTask]) -> None:
        limits = self._job.parameters
        plan = plan_bundles(
            [task.name for task in tasks],
            [task.scanned.size for task in tasks],
            key=self._job.bundle_cut_key,
            minimum=limits.bundle_min_bytes,
            mean=limits.bundle_mean_bytes,
            maximum=limits.bundle_max_bytes,
        )
        for group in plan:
            self._save_small([tasks[position] for position in group])

    def _count(self, task: FileTask) -> None:
        if task.scanned.type is EntryType.FILE:
            self._job.counts.files += 1
            self._job.counts.total_bytes += task.scanned.size
        else:
            self._job.counts.others += 1

    def _has_first(self, task: FileTask) -> bool:
        """Tell whether the same file was met under another name already; if not, this is the first."""
        scanned = task.scanned
        if scanned.links <= 1:
            return False
        path = task.folder.child_path(task.name)
        return self._job.links.setdefault(link_key(scanned), path) != path

    def _link_or_save(self, task: FileTask) -> None:
        """Link a file to its first name; if that could not be saved, this one becomes the first."""
        if self._has_first(task):
            first = self._job.links[link_key(task.scanned)]
            self._job.counts.total_bytes -= task.scanned.size if task.scanned.type is EntryType.FILE else 0
            entry = TreeEntry(name=task.name, type=EntryType.HARD_LINK, hard_link=first)
            self._job.pipeline.then(lambda: task.folder.add(entry, None, self._job.counts))
        elif task.scanned.type is not EntryType.FILE:
            self._save_other(task)
        elif task.scanned.size <= self._job.parameters.bundle_file_max_bytes:
            self._save_small([task])
        elif not self._take_from_cache([task]):
            save_or_report(task, self._job)

    def _save_other(self, task: FileTask) -> None:
        """Save a link, pipe or device: everything is in its entry."""
        scanned, job = task.scanned, self._job
        assert scanned.type is not None
        draft = EntryDraft(scanned, task.name, scanned.type)
        content: dict[str, object] = {}
        try:
            if scanned.type is EntryType.SYMLINK:
                content["link_target"] = task.directory.read_link(scanned)
            elif scanned.rdev is not None:
                content["device"] = scanned.rdev
            draft.describe(task.directory.attributes(scanned), job, task.directory.path_of(scanned.name))
        except OSError as error:
            job.report(problem_from_error(error, task.directory.path_of(scanned.name)))
            job.counts.others -= 1
            job.withdraw_first(scanned, task.folder.child_path(task.name))
            return
        signature = signature_of(scanned) if scanned.settled(job.now_ns) else None
        job.pipeline.then(lambda: task.folder.add(draft.build(**content), signature, job.counts), draft.needs)

    def _take_from_cache(self, tasks: Sequence[FileTask]) -> bool:
        """Take one file, or a whole bundle, from the cache if nothing in it changed and its blobs are there."""
        job = self._job
        entries = []
        for task in tasks:
            entry = self._cached(task)
            if entry is None:
                break
            entries.append(entry)
        unchanged = len(entries) == len(tasks) and _are_together(entries)
        if unchanged and not job.previous.trusted:
            unchanged = all(is_available(entry, job.saver, self._reader) for entry in entries)
        if not unchanged:
            return False
        job.counts.reused = job.counts.reused or job.previous.trusted
        for task, entry in zip(tasks, entries, strict=True):
            self._add_cached(task, entry)
        return True

    def _add_cached(self, task: FileTask, entry: TreeEntry) -> None:
        signature = signature_of(task.scanned)
        self._job.pipeline.then(lambda: task.folder.add(entry, signature, self._job.counts))
        self._job.meter.step(size=task.scanned.size)

    def _cached(self, task: FileTask) -> TreeEntry | None:
        signature, encoded = task.folder.row.files.get(task.name, (None, b""))
        if signature is None or signature != signature_of(task.scanned):
            return None
        entry = decode_cached(encoded)
        return entry if entry is not None and entry.type is EntryType.FILE else None


def _are_together(entries: Sequence[TreeEntry]) -> bool:
    """Tell whether these are one file that is in no bundle, or all files of one bundle in order."""
    if len(entries) == 1 and entries[0].slice is None:
        return True
    offset = 0
    for entry in entries:
        if entry.slice is None or entry.slice[0] != entries[0].slice[0] or entry.slice[1] != offset:  # type: ignore[index]
            return False
        offset += entry.size or 0
    assert entries[0].slice is not None
    return offset == entries[0].slice[2]


def _below(parent: Folder | None, name: bytes) -> bytes:
    return b"" if parent is None else parent.child_path(name)
