"""Restoring a snapshot, or a part of it, into a folder.

Here: the verb, and the walk down the snapshot's tree beside the target's. Not here: the pieces (see the package).

Rules: depth first without recursion. In each folder the files are handed to the writer and the folders entered; hard
links come when all files are there, and folders get their attributes last, deepest first, since writing in them
changes their times."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from ...errors import DamageError, EntryNotFoundError, InputError, TargetError
from ...format.keyset import PrivateHalves
from ...format.tree import TreeEntry
from ...targets.attributes import FileAttributes
from ...targets.capabilities import Capabilities
from ...targets.directory import TargetDirectory, TargetStat, open_target
from ...targets.files import TargetFile
from ...targets.probing import probe
from ...targets.problems import FATAL_CODES
from ...targets.syncing import sync_tree
from ...types import EntryType, Overwrite, Problem, RestoreOptions, RestoreReport
from ..browse import SnapshotView, open_view
from ..context import DossierContext
from ..history import ReadManifest
from ..meter import Meter
from . import marker
from .place import Place, attributes_of
from .select import Part, Selection
from .write import ContentWriter, FileJob


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to restore, and where to."""

    manifest: ReadManifest
    to: str
    paths: tuple[str, ...] = ()
    options: RestoreOptions = field(default_factory=RestoreOptions)


@dataclass(slots=True)
class _Counts:
    restored: int = 0
    unchanged: int = 0
    directories: int = 0
    others: int = 0
    deleted: int = 0
    written: int = 0
    problems: list[Problem] = field(default_factory=list)


def restore_snapshot(
    dossier: DossierContext, request: RestoreRequest, private: PrivateHalves | None, meter: Meter
) -> RestoreReport:
    """Restore what is asked for.

    Raises SecretRequiredError, EntryNotFoundError, TargetNotEmptyError, TargetError if the target fails or is full,
    StoreError, OperationCancelledError, InputError for options that contradict each other. Damage to single files is
    in the report."""
    options = request.options
    if options.delete and options.overwrite in (None, Overwrite.NEVER):
        raise InputError("To delete what is not in the snapshot, ask for overwriting too (if_changed or always).")
    view = open_view(dossier, request.manifest, private)
    selection = Selection(request.paths, options.exclude)
    selection.check(view)
    meter.enter("restore")
    if selection.everything:
        meter.files_total = request.manifest.facts.files
        meter.bytes_total = request.manifest.facts.total_bytes
    run = _Restore(view, request, selection, meter)
    run.run()
    counts = run.counts
    return RestoreReport(
        snapshot=request.manifest.sealed.snapshot_id,
        target=request.to,
        files_restored=counts.restored,
        files_unchanged=counts.unchanged,
        directories=counts.directories,
        others=counts.others,
        deleted=counts.deleted,
        bytes_written=counts.written,
        duration_seconds=meter.seconds,
        dry_run=options.dry_run,
        problems=tuple(counts.problems),
    )


class _Restore:
    def __init__(self, view: SnapshotView, request: RestoreRequest, selection: Selection, meter: Meter) -> None:
        self.view = view
        self.request = request
        self.options = request.options
        self.selection = selection
        self.meter = meter
        self.counts = _Counts()
        self._overwrite = request.options.overwrite
        self._resumed = False
        self._capabilities = Capabilities()
        self._done: list[Place] = []
        self._links: list[tuple[Place, TreeEntry, bytes]] = []
        self._first_names: dict[bytes, tuple[bytes, ...]] = {}

    def run(self) -> None:
        """Do it all."""
        with ExitStack() as stack:
            root = self._open_root()
            if root is not None:
                stack.enter_context(root)
            writer = stack.enter_context(ContentWriter(self.view))
            self._walk(root, writer)
            writer.drain()
            self._link_all(writer)
            writer.drain()
            self._finish_folders()
            if root is not None and not self.options.dry_run:
                if self.options.sync:
                    self.meter.enter("sync")
                    sync_tree(root)
                self._end(root)
        self.meter.tell()

    # --- the target's root ---------------------------------------------------------------------------------------

    def _open_root(self) -> TargetDirectory | None:
        """Open the target and see whether it may be used; None in a dry run if it does not exist."""
        snapshot_id = self.request.manifest.sealed.snapshot_id
        if self.options.dry_run:
            if not os.path.isdir(self.request.to):
                return None
            root = open_target(self.request.to, create=False, numeric_owner=self.options.numeric_owner)
            if self._overwrite is None:
                marker.check(root, snapshot_id)
            return root
        root = open_target(self.request.to, create=True, numeric_owner=self.options.numeric_owner)
        if self._overwrite is None:
            self._resumed = marker.begin(root, snapshot_id)
        self._capabilities = probe(root, self.request.to)
        self.counts.problems.extend(self._capabilities.losses())
        return root

    def _end(self, root: TargetDirectory) -> None:
        """Take the marker away and give the root its attributes, in this order."""
        if self._overwrite is None:
            marker.end(root)
        if self.selection.everything:
            self._try(lambda: self.counts.problems.extend(root.apply_self(self._attributes(self.view.root))), "")

    # --- the walk ------------------------------------------------------------------------------------------------

    def _walk(self, root: TargetDirectory | None, writer: ContentWriter) -> None:
        part = Part.WHOLE if self.selection.everything else Part.PERHAPS
        place = self._place(self.view.root, (), part, None, b"")
        place.directory = root
        place.open_existing()
        stack = [(place, self._children(place))]
        while stack:
            place, entries = stack[-1]
            entry = self._next(place, entries)
            if entry is None:
                stack.pop()
                self._leave(place)
            elif (below := self._take(place, entry, writer)) is not None:
                stack.append((below, self._children(below)))

    def _place(self, entry: TreeEntry, path: tuple[bytes, ...], part: Part, parent: Place | None, name: bytes) -> Place:
        return Place(
            entry=entry,
            path=path,
            part=part,
            parent=parent,
            name=name,
            options=self.options,
            capabilities=self._capabilities,
        )

    def _children(self, place: Place) -> Iterator[TreeEntry]:
        return self.view.children(place.entry)

    def _next(self, place: Place, entries: Iterator[TreeEntry]) -> TreeEntry | None:
        try:
            return next(entries, None)
        except DamageError as error:
            self._report(place.text(), error)
            return None

    def _take(self, place: Place, entry: TreeEntry, writer: ContentWriter) -> Place | None:
        """Deal with one entry; a folder to be entered comes back."""
        path = (*place.path, entry.name)
        directory = entry.type is EntryType.DIRECTORY
        part = self.selection.part(path, is_directory=directory, above=place.part)
        if part is Part.NONE:
            place.kept.add(entry.name)
            return None
        name = place.target_name(entry.name, self.counts.problems)
        if directory:
            below = self._place(entry, path, part, place, name)
            entered = self._try(lambda: self._enter(below), below.text())
            return below if entered else None
        self.meter.step(files=1, current=place.text(entry.name))
        if entry.type is EntryType.HARD_LINK:
            self._links.append((place, entry, name))
        elif entry.type is EntryType.FILE:
            self._try(lambda: self._file(place, entry, name, writer), place.text(entry.name))
        else:
            self._try(lambda: self._other(place, entry, name), place.text(entry.name))
        return None

    def _enter(self, place: Place) -> None:
        place.open_existing()
        if place.part is Part.WHOLE:
            self.counts.directories += 1
            if not self.options.dry_run:
                place.ensure()

    def _leave(self, place: Place) -> None:
        for name in place.surplus():
            self.counts.deleted += 1
            if not self.options.dry_run:
                self._try(lambda: place.ensure().remove(name), place.text(name))  # noqa: B023  called at once
        if place.directory is not None and place.parent is not None:
            self._done.append(place)

    # --- entries -------------------------------------------------------------------------------------------------

    def _file(self, place: Place, entry: TreeEntry, name: bytes, writer: ContentWriter) -> None:
        path, text = (*place.path, entry.name), place.text(entry.name)
        size = entry.size or 0
        self._capabilities.check_size(size, text)
        found = place.existing.get(name)
        if self._stays(place, entry, name, found):
            self.counts.unchanged += 1
            self.meter.step(size=size)
            self._first_names[b"/".join(path)] = self._target_path(place, name)
            return
        self.counts.restored += 1
        if self.options.dry_run:
            self.counts.written += size
            return
        self._make_way(place, name, found)
        self._write(place, entry, name, writer)
        self._first_names[b"/".join(path)] = self._target_path(place, name)

    def _write(self, place: Place, entry: TreeEntry, name: bytes, writer: ContentWriter) -> None:
        text = place.text(entry.name)

        def commit(file: TargetFile) -> None:
            attributes = self._attributes(entry)
            replace = name in place.existing
            self.counts.problems.extend(file.commit(attributes, sync=replace, replace=replace))
            self.counts.written += entry.size or 0
            self.meter.step(size=entry.size or 0)

        def failed(error: DamageError | TargetError) -> None:
            self.counts.restored -= 1
            self._report(text, error)

        writer.add(FileJob(entry, place.ensure, name, commit, failed))

    def _stays(self, place: Place, entry: TreeEntry, name: bytes, found: TargetStat | None) -> bool:
        """Tell whether what is there is kept: as asked, or because it is the same already."""
        if found is None:
            return False
        if self._overwrite is Overwrite.NEVER:
            return True
        if self._overwrite is Overwrite.ALWAYS or (self._overwrite is None and not self._resumed):
            return False
        granularity = self._capabilities.time_granularity_ns
        same = (
            found.type is EntryType.FILE
            and found.size == (entry.size or 0)
            and entry.mtime_ns is not None
            and abs(found.mtime_ns - entry.mtime_ns) < max(granularity, 1)
        )
        if same and not self.options.dry_run:
            self.counts.problems.extend(place.ensure().apply(name, EntryType.FILE, self._attributes(entry)))
        return same

    def _make_way(self, place: Place, name: bytes, found: TargetStat | None) -> None:
        if found is not None and found.type is EntryType.DIRECTORY:
            place.clear(name, found)

    def _other(self, place: Place, entry: TreeEntry, name: bytes) -> None:
        found = place.existing.get(name)
        self.counts.others += 1
        if (found is not None and self._overwrite is Overwrite.NEVER) or self.options.dry_run:
            return
        self._make_way(place, name, found)
        directory = place.ensure()
        replace = name in place.existing
        try:
            if entry.type is EntryType.SYMLINK:
                directory.symlink(name, entry.link_target or b"", replace=replace)
            elif entry.type is EntryType.FIFO:
                directory.fifo(name, replace=replace)
            else:
                directory.device(name, entry.type, entry.device or (0, 0), replace=replace)
            self.counts.problems.extend(directory.apply(name, entry.type, self._attributes(entry)))
        except TargetError:
            self.counts.others -= 1
            raise

    def _link_all(self, writer: ContentWriter) -> None:
        for place, entry, name in self._links:
            self._try(lambda: self._link(place, entry, name, writer), place.text(entry.name))  # noqa: B023  called at once

    def _link(self, place: Place, entry: TreeEntry, name: bytes, writer: ContentWriter) -> None:
        """Give a restored file another name, or restore it here if its first name was not."""
        assert entry.hard_link is not None
        first = self._first_names.get(entry.hard_link)
        found = place.existing.get(name)
        if found is not None and self._overwrite is Overwrite.NEVER:
            self.counts.unchanged += 1
            return
        if first is None:
            self._copy_of_first(place, entry, name, writer)
            return
        self.counts.others += 1
        if self.options.dry_run:
            return
        self._make_way(place, name, found)
        try:
            place.ensure().hard_link(name, first, replace=name in place.existing)
        except TargetError as error:
            self.counts.others -= 1
            if error.code != "hard_link_copied":
                raise
            self._report(place.text(entry.name), error)
            self._copy_of_first(place, entry, name, writer)

    def _copy_of_first(self, place: Place, entry: TreeEntry, name: bytes, writer: ContentWriter) -> None:
        assert entry.hard_link is not None
        text = entry.hard_link.decode("utf-8", "surrogateescape")
        content = self.view.find(text)
        if content.type is not EntryType.FILE:
            raise EntryNotFoundError(f"The first name {text!r} of a hard link is not a file.", code="damaged_tree")
        self.counts.restored += 1
        if not self.options.dry_run:
            self._make_way(place, name, place.existing.get(name))
            self._write(place, content, name, writer)
            writer.drain()
            self._first_names[entry.hard_link] = self._target_path(place, name)

    def _finish_folders(self) -> None:
        if self.options.dry_run:
            return
        for place in sorted(self._done, key=lambda place: -len(place.path)):
            directory = place.directory
            assert directory is not None
            attributes = self._attributes(place.entry)
            self._try(
                lambda: self.counts.problems.extend(directory.apply_self(attributes)),  # noqa: B023  called at once
                place.text(),
            )

    # --- helpers -------------------------------------------------------------------------------------------------

    def _target_path(self, place: Place, name: bytes) -> tuple[bytes, ...]:
        names = [name]
        step: Place | None = place
        while step is not None and step.parent is not None:
            names.append(step.name)
            step = step.parent
        return tuple(reversed(names))

    def _attributes(self, entry: TreeEntry) -> FileAttributes:
        try:
            return attributes_of(entry, self.view.xattrs(entry))
        except DamageError as error:
            self._report(entry.name.decode("utf-8", "surrogateescape"), error)
            return attributes_of(entry, ())

    def _try(self, step: Callable[[], None], path: str) -> bool:
        """Run `step`; what concerns only this entry becomes a problem."""
        try:
            step()
        except (DamageError, TargetError, EntryNotFoundError) as error:
            self._report(path, error)
            return False
        return True

    def _report(self, path: str, error: DamageError | TargetError | EntryNotFoundError) -> None:
        if isinstance(error, TargetError) and error.code in FATAL_CODES:
            raise error
        self.counts.problems.append(Problem(code=error.code, path=path, message=str(error)))
        self.meter.problems = len(self.counts.problems)
