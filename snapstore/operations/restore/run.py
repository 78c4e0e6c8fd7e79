"""Restoring a snapshot, or a part of it, into a folder.

Here: the verb, and the walk down the snapshot's tree beside the target's. Not here: the pieces (see the package).

Rules: depth first without recursion. In each folder the files are handed to the writer and the folders entered; hard
links come when all files are there, and folders get their attributes last, deepest first, since writing in them
changes their times."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from ...errors import DamageError, InputError
from ...format.keyset import PrivateHalves
from ...format.tree import TreeEntry
from ...targets.directory import TargetDirectory, open_target
from ...targets.probing import probe
from ...targets.syncing import sync_tree
from ...types import EntryType, Overwrite, Problem, RestoreOptions, RestoreReport
from ..browse import SnapshotView, open_view
from ..context import DossierContext
from ..history import ReadManifest
from ..meter import Meter
from . import marker
from .entries import Entries
from .keeping import Keeper
from .place import Place
from .select import Part, Selection
from .write import ContentWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreRequest:
    """What to restore, and where to."""

    manifest: ReadManifest
    to: str
    paths: tuple[str, ...] = ()
    options: RestoreOptions = field(default_factory=RestoreOptions)


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
    dossier.repository.refuse_own(request.to, "restore into")
    view = open_view(dossier, request.manifest, private)
    selection = Selection(request.paths, options.exclude)
    selection.resolve(view)
    meter.enter("restore")
    if selection.everything:
        meter.files_total = request.manifest.facts.files
        meter.bytes_total = request.manifest.facts.total_bytes
    run = _Restore(view, request, selection, meter, dossier.repository.own_folders())
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
    def __init__(
        self,
        view: SnapshotView,
        request: RestoreRequest,
        selection: Selection,
        meter: Meter,
        own_folders: frozenset[tuple[int, int]],
    ) -> None:
        self.view = view
        self.request = request
        self.options = request.options
        self.selection = selection
        self.meter = meter
        self.writer = ContentWriter(view)
        self.entries = Entries(view, request.options, meter, self.writer)
        self.counts = self.entries.counts
        self._overwrite = request.options.overwrite
        self._done: list[Place] = []
        self._keeper = Keeper(own_folders, lambda path, folder: selection.excludes(path, is_directory=folder))

    def run(self) -> None:
        """Do it all."""
        with ExitStack() as stack:
            root = self._open_root()
            if root is not None:
                stack.enter_context(root)
            stack.enter_context(self.writer)
            self._walk(root)
            self.writer.drain()
            for pattern in self.selection.unmatched():
                message = f"Nothing in the snapshot fits {pattern!r}."
                self.counts.problems.append(Problem(code="nothing_matched", path=pattern, message=message))
            self.entries.link_all()
            self.writer.drain()
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
            self.entries.resumed = marker.begin(root, snapshot_id)
        self.entries.capabilities = probe(root, self.request.to)
        self.counts.problems.extend(self.entries.capabilities.losses())
        return root

    def _end(self, root: TargetDirectory) -> None:
        """Take the marker away and give the root its attributes, in this order."""
        whole = self.selection.everything and self._overwrite is not Overwrite.NEVER
        attributes = self.entries.attributes(self.view.root)
        if self._overwrite is None:
            if whole:  # before too: after a kill in between, only the root's time is missing
                root.apply_self(attributes)
            marker.end(root)
        if whole:
            self.entries.attempt(lambda: self.counts.problems.extend(root.apply_self(attributes)), "")

    # --- the walk ------------------------------------------------------------------------------------------------

    def _walk(self, root: TargetDirectory | None) -> None:
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
            elif (below := self._take(place, entry)) is not None:
                stack.append((below, self._children(below)))

    def _place(self, entry: TreeEntry, path: tuple[bytes, ...], part: Part, parent: Place | None, name: bytes) -> Place:
        return Place(
            entry=entry,
            path=path,
            part=part,
            parent=parent,
            name=name,
            options=self.options,
            keeper=self._keeper,
            capabilities=self.entries.capabilities,
        )

    def _children(self, place: Place) -> Iterator[TreeEntry]:
        return self.view.children(place.entry)

    def _next(self, place: Place, entries: Iterator[TreeEntry]) -> TreeEntry | None:
        try:
            return next(entries, None)
        except DamageError as error:
            self.entries.report(place.text(), error)
            place.complete = False  # what could not be listed is no surplus
            return None

    def _take(self, place: Place, entry: TreeEntry) -> Place | None:
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
            entered = self.entries.attempt(lambda: self._enter(below), below.text())
            return below if entered else None
        self.entries.put(place, entry, name)
        return None

    def _enter(self, place: Place) -> None:
        place.open_existing()
        if place.part is Part.WHOLE:
            self.counts.directories += 1
            if not self.options.dry_run:
                place.ensure()

    def _leave(self, place: Place) -> None:
        for name in place.surplus():
            self.entries.attempt(lambda: self._delete(place, name), place.text(name))  # noqa: B023  called at once
        own = place.made or (place.part is Part.WHOLE and self._overwrite is not Overwrite.NEVER)
        if place.directory is not None and place.parent is not None and own:
            self._done.append(place)

    def _delete(self, place: Place, name: bytes) -> None:
        """Remove what the snapshot does not have, unless it is, or holds, something to be kept."""
        if place.keeper.keeps(place.ensure(), place.path, name, place.existing[name]):
            return
        self.counts.deleted += 1
        if not self.options.dry_run:
            place.ensure().remove(name)

    def _finish_folders(self) -> None:
        if self.options.dry_run:
            return
        for place in sorted(self._done, key=lambda place: -len(place.path)):
            directory = place.directory
            assert directory is not None
            attributes = self.entries.attributes(place.entry)
            self.entries.attempt(
                lambda: self.counts.problems.extend(directory.apply_self(attributes)),  # noqa: B023  called at once
                place.text(),
            )
