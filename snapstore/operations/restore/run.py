"""Restoring a snapshot, or a part of it, into a folder.

Here: the verb, and the walk down the snapshot's tree beside the target's. Not here: the pieces (see the package).

Rules: some folders at a time, the deepest first, without recursion. In each folder the files are handed to the writer
and the folders noted; hard links come when the files are there. A folder gets its attributes when everything in it is
done, since writing in it changes its time, and is forgotten then."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ...errors import DamageError, InputError
from ...format.keyset import PrivateHalves
from ...format.tree import TreeEntry
from ...stores.protocol import settled
from ...targets.directory import TargetDirectory, open_target
from ...targets.probing import probe
from ...targets.syncing import sync_tree
from ...types import EntryType, Overwrite, Problem, RestoreOptions, RestoreReport
from ..browse import SnapshotView, open_view
from ..context import DossierContext
from ..history import ReadManifest
from ..meter import Meter
from . import marker
from .batch import is_new
from .entries import Entries
from .keeping import Keeper
from .links import Links
from .losses import forgiving
from .place import Place
from .select import Part, Selection

_FOLDERS_AT_ONCE: Final = 32  # whose nodes are loaded together


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
    with meter.ending_waits(dossier.repository.store):
        view = open_view(dossier, request.manifest, private, forgiving if options.partial else None)
        view.reader.heed(meter.look)
        with contextlib.closing(view.reader):
            selection = Selection(request.paths, options.exclude)
            selection.resolve(view)
            meter.enter("restore")
            if selection.everything:
                meter.files_total = request.manifest.facts.files
                meter.bytes_total = request.manifest.facts.total_bytes
            run = _Restore(view, request, selection, meter, dossier.repository.own_folders())
            run.run()
    settled(dossier.repository.store)  # times of access, and unfinished uploads that opening removed
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
        self._overwrite = request.options.overwrite
        self.links = Links(view, selection, target_was_empty=self._overwrite is None)
        self.entries = Entries(view, request.options, meter, self.links)
        self.counts = self.entries.counts
        self._keeper = Keeper(own_folders, lambda path, folder: selection.excludes(path, is_directory=folder))

    def run(self) -> None:
        """Do it all."""
        with ExitStack() as stack:
            root = self._open_root()
            if root is not None:
                stack.enter_context(root)
            stack.enter_context(self.entries)
            self._walk(root)
            self.entries.finish()
            for pattern in self.selection.unmatched():
                message = f"Nothing in the snapshot fits {pattern!r}."
                self.counts.problems.append(Problem(code="nothing_matched", path=pattern, message=message))
            self.entries.link_all(root, last=True)
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
            self.entries.attempt(lambda: self.counts.problems.extend(root.apply_self(attributes)), self._top)

    # --- the walk ------------------------------------------------------------------------------------------------

    def _walk(self, root: TargetDirectory | None) -> None:
        place = self._place(self.view.root, (), self.selection.start, None, b"")
        place.directory = root
        self._top = place
        place.open_existing()
        waiting = [place]
        while waiting:
            places = waiting[: -_FOLDERS_AT_ONCE - 1 : -1]
            del waiting[-len(places) :]
            self.entries.loader.fetch([place.entry for place in waiting[: -_FOLDERS_AT_ONCE - 1 : -1]])
            found: list[Place] = []
            entered = [place for place in places if place is self._top or self._enter(place)]
            for place, parts in zip(entered, self.entries.loader.folders([p.entry for p in entered]), strict=True):
                self._go_through(place, parts, found)
            waiting.extend(reversed(found))

    def _go_through(self, place: Place, parts: Iterator[tuple[TreeEntry, ...]], found: list[Place]) -> None:
        """Deal with the entries of a folder, adding the folders to be entered to `found`, and leave it."""
        name_max = self.entries.capabilities.name_max
        fresh = self.entries.takes_new(place) and not self.selection.excludes_some
        try:
            for entries in parts:
                if fresh:
                    new = [entry for entry in entries if is_new(entry, name_max)]
                    self.entries.put_new(place, new)
                    if len(new) == len(entries):
                        continue
                    entries = tuple(entry for entry in entries if not is_new(entry, name_max))  # noqa: PLW2901
                for entry in entries:
                    self._take(place, entry, found)
        except DamageError as error:
            self.entries.report(place.text(), error)
            place.complete = False  # what could not be listed is no surplus
            self.links.lose(place.path)
        for name in place.surplus():
            self.entries.attempt(lambda: self._delete(place, name), place, name)  # noqa: B023  called at once
        self.entries.release(place)

    def _place(self, entry: TreeEntry, path: tuple[bytes, ...], part: Part, parent: Place | None, name: bytes) -> Place:
        return Place(
            entry=entry,
            path=path,
            part=part,
            parent=parent,
            name=name,
            options=self.options,
            keeper=self._keeper,
            plain_names=self.entries.capabilities.holds_all_names,
            capabilities=self.entries.capabilities,
        )

    def _take(self, place: Place, entry: TreeEntry, found: list[Place]) -> None:
        directory = entry.type is EntryType.DIRECTORY
        part = place.part
        if part is not Part.WHOLE or self.selection.excludes_some:
            part = self.selection.part((*place.path, entry.name), is_directory=directory, above=part)
        if part is Part.NONE:
            place.keep(entry.name)
            return
        name = place.target_name(entry.name, self.counts.problems)
        if name != entry.name:
            self.links.rename((*place.path, entry.name), name)
        if directory:
            place.unfinished += 1
            found.append(self._place(entry, (*place.path, entry.name), part, place, name))
        else:
            self.entries.put(place, entry, name)

    def _enter(self, place: Place) -> bool:
        self.meter.step()
        if self.entries.attempt(lambda: self._open(place), place):
            return True
        self.links.lose(place.path)
        assert place.parent is not None
        self.entries.release(place.parent)
        return False

    def _open(self, place: Place) -> None:
        place.open_existing()
        if place.part is Part.WHOLE:
            self.counts.directories += 1
            if not self.options.dry_run:
                place.ensure()

    def _delete(self, place: Place, name: bytes) -> None:
        """Remove what the snapshot does not have, unless it is, or holds, something to be kept."""
        if place.keeper.keeps(place.ensure(), place.path, name, place.existing[name]):
            return
        self.counts.deleted += 1
        if not self.options.dry_run:
            place.ensure().remove(name)
