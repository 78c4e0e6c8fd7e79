"""What is in one folder besides folders: from the cache, or saved.

Here: which files go together, which are taken from the cache, links to a file's first name, and what has no content.
Not here: the walk from folder to folder (`walk`), reading files (`files`, `chunked`).

Rules: small files are bundled as docs/format/10-chunking.md says, and a bundle is taken from the cache whole or not at
all. A file with several names is saved under the first that is met and linked from the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...blobs.reader import BlobReader
from ...chunking.bundles import plan_bundles
from ...format.tree import TreeEntry
from ...limits import MIB
from ...sources.directory import problem_from_error
from ...types import EntryType
from .chunked import MEDIUM_MAX_BYTES, save_medium, save_or_report
from .drafts import EntryDraft
from .files import FileTask, save_small
from .folders import Folder, children_of
from .job import Job, link_key
from .pipeline import ACTION_WEIGHT
from .reuse import OwnCounts, decode_cached, is_available

_GROUP_FILES = 256  # read in one call
_GROUP_BYTES = MIB


class Contents:
    """Saves what is in folders, one folder at a time."""

    def __init__(self, job: Job, reader: BlobReader) -> None:
        self._job = job
        self._reader = reader

    def save(self, folder: Folder, tasks: Sequence[FileTask]) -> None:
        """Save all `tasks`, which are of `folder`, by rising name."""
        self._count(folder, tasks)
        if self._take_all_from_cache(folder, tasks):
            return
        firsts, followers = self._split_links(tasks)
        others: list[FileTask] = []
        tiny: list[FileTask] = []
        small: list[FileTask] = []
        larger: list[FileTask] = []
        limits = self._job.parameters
        for task in firsts:
            size = task.scanned.size
            if task.scanned.type is not EntryType.FILE:
                others.append(task)
            elif size > limits.bundle_file_max_bytes:
                larger.append(task)
            else:
                (small if size > limits.inline_max_bytes else tiny).append(task)
        for task in others:
            self._save_other(task)
        self._save_larger(larger)
        self._save_tiny(tiny)
        self._save_bundles(small)
        for task in followers:  # now it is known whether the first of them could be read
            self._link_or_save(task)

    def _count(self, folder: Folder, tasks: Sequence[FileTask]) -> None:
        files = [task.scanned.size for task in tasks if task.scanned.type is EntryType.FILE]
        folder.own = OwnCounts(len(files), len(tasks) - len(files), sum(files))
        self._job.counts.take(folder.own)
        self._job.meter.step(files=len(tasks))

    # --- from the cache ------------------------------------------------------------------------------------------

    def _take_all_from_cache(self, folder: Folder, tasks: Sequence[FileTask]) -> bool:
        """Take every file of the folder from the cache at once, if none changed and the cache is trusted."""
        job = self._job
        if not job.previous.trusted or not tasks or len(folder.row.files) != len(tasks):
            return False
        known = folder.row.files
        found = []
        for task in tasks:
            signature, encoded = known.get(task.name, (None, b""))
            if signature is None or task.scanned.links > 1 or signature != task.scanned.signature:
                return False
            found.append((task, signature, encoded))

        def add_all() -> None:
            for task, signature, encoded in found:
                size = task.scanned.size if task.scanned.type is EntryType.FILE else 0
                folder.add_cached(task.name, signature, encoded, size)

        job.pipeline.then(add_all, weight=ACTION_WEIGHT * len(found))
        job.counts.reused = True
        job.counts.files_unchanged += folder.own.files
        job.meter.step(size=folder.own.bytes)
        return True

    def _take_from_cache(self, tasks: Sequence[FileTask]) -> bool:
        """Take one file, or a whole bundle, from the cache if nothing in it changed and its blobs are there."""
        job = self._job
        entries = []
        for task in tasks:
            entry = self._cached(task)
            if entry is None:
                return False
            entries.append(entry)
        unchanged = _are_together(entries)
        if unchanged and not job.previous.trusted:
            unchanged = all(is_available(entry, job.saver, self._reader) for entry in entries)
        if not unchanged:
            return False
        job.counts.reused = job.counts.reused or job.previous.trusted
        for task, entry in zip(tasks, entries, strict=True):
            self._add_cached(task, entry)
        return True

    def _add_cached(self, task: FileTask, entry: TreeEntry) -> None:
        job = self._job
        signature, children = task.scanned.signature, children_of(entry, job)
        job.pipeline.then(lambda: task.folder.add(entry, signature, children, job.counts))
        job.meter.step(size=task.scanned.size)

    def _cached(self, task: FileTask) -> TreeEntry | None:
        signature, encoded = task.folder.row.files.get(task.name, (None, b""))
        if signature is None or signature != task.scanned.signature:
            return None
        entry = decode_cached(encoded)
        return entry if entry is not None and entry.type is EntryType.FILE else None

    # --- files ---------------------------------------------------------------------------------------------------

    def _save_tiny(self, tasks: Sequence[FileTask]) -> None:
        wanted = [task for task in tasks if not self._take_from_cache([task])]
        for group in _grouped(wanted):
            self._save_small(group)

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
        for positions in plan:
            bundle = tasks[positions.start : positions.stop]
            if not self._take_from_cache(bundle):
                self._save_small(bundle)

    def _save_small(self, tasks: Sequence[FileTask]) -> None:
        for task in save_small(tasks, self._job):
            save_or_report(task, self._job)

    def _save_larger(self, tasks: Iterable[FileTask]) -> None:
        medium = []
        for task in tasks:
            if self._take_from_cache([task]):
                continue
            if task.scanned.size > MEDIUM_MAX_BYTES or task.scanned.sparse:
                save_or_report(task, self._job)
            else:
                medium.append(task)
        for group in _grouped(medium):
            save_medium(group, self._job)

    # --- what has no content -------------------------------------------------------------------------------------

    def _split_links(self, tasks: Sequence[FileTask]) -> tuple[Sequence[FileTask], Sequence[FileTask]]:
        """Return the files that are met for the first time, and the further names of others."""
        if all(task.scanned.links <= 1 for task in tasks):
            return tasks, ()
        firsts: list[FileTask] = []
        followers: list[FileTask] = []
        for task in tasks:
            (followers if self._has_first(task) else firsts).append(task)
        return firsts, followers

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
            self._job.pipeline.then(lambda: task.folder.add(entry, None, (), self._job.counts))
        elif task.scanned.type is not EntryType.FILE:
            self._save_other(task)
        elif task.scanned.size > self._job.parameters.bundle_file_max_bytes:
            self._save_larger([task])
        elif not self._take_from_cache([task]):
            self._save_small([task])

    def _save_other(self, task: FileTask) -> None:
        """Save a link, pipe or device: everything is in its entry."""
        scanned, job, directory = task.scanned, self._job, task.directory
        assert scanned.type is not None
        content: dict[str, object] = {}
        try:
            if scanned.type is EntryType.SYMLINK:
                content["link_target"] = directory.read_link(scanned)
            elif scanned.rdev is not None:
                content["device"] = scanned.rdev
        except OSError as error:
            job.report(problem_from_error(error, directory.path_of(scanned.name)))
            job.counts.others -= 1
            task.folder.look = None
            job.withdraw_first(scanned, task.folder.child_path(task.name))
            return
        draft = EntryDraft(scanned, task.name, scanned.type, directory.attributes(scanned)).check(job, directory)
        signature = scanned.signature if scanned.settled(job.now_ns) and not draft.lacking else None

        def add() -> None:
            children = [job.saver.blob_id(need.plain_hash, shared=False) for need in draft.needs]
            task.folder.add(draft.build(**content), signature, children, job.counts)

        job.pipeline.then(add, draft.needs)


def _grouped(tasks: Iterable[FileTask]) -> Iterator[list[FileTask]]:
    """Yield files in groups that one call may read."""
    group: list[FileTask] = []
    size = 0
    for task in tasks:
        if group and (size + task.scanned.size > _GROUP_BYTES or len(group) >= _GROUP_FILES):
            yield group
            group, size = [], 0
        group.append(task)
        size += task.scanned.size
    if group:
        yield group


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
