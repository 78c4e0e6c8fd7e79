"""Taking a snapshot: the verb.

Here: the order of things. Not here: the things (see the package).

Rules: an interruption at any line leaves every earlier snapshot as it was; what was stored is found and reused by the
next run. If a pack that is relied on was condemned or vanished meanwhile, the walk is done again without it, under a
new manifest."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...blobs.catalogue import LoadedIndex
from ...blobs.lanes import side_by_side
from ...blobs.saver import BlobSaver
from ...blobs.sealer import BlobSealer, SealingOptions
from ...errors import (
    InUseError,
    NotEnrolledError,
    StoreUnavailableError,
)
from ...limits import PROBLEMS_KEPT
from ...sources.excludes import ExcludeRules
from ...sources.layout import SourceLayout, resolve_sources
from ...station import LastSnapshot, MediumCache
from ...station.caches import FolderCache
from ...types import PlainHash, Problem, Snapshot, SnapshotId, SnapshotReport
from ..browse import reader_of
from ..clones import claim_medium
from ..context import DossierContext
from ..history import History, ReadManifest, history_look, read_history, snapshot_of
from ..keysets import read_keyset
from ..meter import Meter
from .estimate import estimated
from .folders import save_root
from .job import Job, new_job, new_packs
from .publish import (
    Draft,
    Note,
    Published,
    drop,
    drop_old_notes,
    drop_torn,
    dropping_notes,
    first_look,
    look,
    mark_condemned,
    new_snapshot_id,
    put_copy,
    put_manifest,
    put_session_note,
    see_manifest,
)
from .request import SnapshotRequest, check_request, gone_problem, missing_problem, refuse_empty
from .reuse import Previous
from .room import local_free_bytes
from .walk import save_tree

_TRIES = 5


@dataclass(slots=True)
class _Saved:
    """One walk, stored and indexed."""

    job: Job
    root_hash: PlainHash
    relied: dict[str, int]
    stored_bytes: int
    before: LastSnapshot | None


def take_snapshot(dossier: DossierContext, request: SnapshotRequest, meter: Meter) -> SnapshotReport:
    """Save the sources and report the snapshot once it is whole.

    Raises SourceMissingError, SourceEmptyError, InputError, StationRevokedError, StoreError, DamagedObjectError,
    OperationCancelledError, InUseError if packs keep vanishing.
    """
    context = dossier.repository
    with dropping_notes(dossier) as notes:
        with meter.ending_waits(context.store), first_look(dossier):
            check_request(dossier, request)
            layout = resolve_sources(request.paths, allow_missing=request.options.allow_missing)
            for path in layout.sources:
                context.refuse_own(path, "save")
            claim_medium(context)
            medium = context.state.medium(context.config.repository_id, context.config.medium_id, dossier.id)
            history = read_history(dossier)
            refuse_empty(layout, medium.last(), history, request)
            drop_old_notes(dossier)
            side_by_side(
                context.store,
                [lambda: notes.append(put_session_note(dossier)), lambda: mark_condemned(dossier)],
            )
        with meter.ending_waits(context.store):
            return _Run(dossier, request, meter, layout, medium).run(history)


class _Run:
    """The attempts of one snapshot."""

    def __init__(
        self,
        dossier: DossierContext,
        request: SnapshotRequest,
        meter: Meter,
        layout: SourceLayout,
        medium: MediumCache,
    ) -> None:
        self.dossier = dossier
        self.request = request
        self.meter = meter
        self.layout = layout
        self.medium = medium
        self.start_ns = time.time_ns()
        self.checked = medium.checked_copies()
        self.added_bytes = 0
        self.noticed: list[Problem] = []
        self.parity_problems: tuple[Problem, ...] = ()
        self.history = History()
        self.remember: Note | None = None
        self.names: list[str] = []
        """Of the manifests that were put, or may have been."""
        options = request.options
        self.rules = ExcludeRules(
            request.exclude,
            options.exclude_files,
            exclude_caches=options.exclude_caches,
            larger_than=options.exclude_larger_than,
            one_file_system=options.one_file_system,
        )

    def run(self, history: History) -> SnapshotReport:
        """Save, publish and look, until nothing that is relied on is missing."""
        self.history = history
        loaded = self.dossier.repository.index(refresh=False)
        self.noticed = [gone_problem(item) for item in history.missing]
        last = None if self.request.options.force_read else self.medium.last()
        trusted = last is not None and _all_usable(last, loaded)
        free = local_free_bytes(self.dossier.repository.store)
        with estimated(self.layout, self.rules, history, self.meter, free):
            return self._try(loaded, last, trusted=trusted)

    def _try(self, loaded: LoadedIndex, last: LastSnapshot | None, *, trusted: bool) -> SnapshotReport:
        superseded: list[str] = []
        with contextlib.ExitStack() as marks:  # of all attempts, so that a kill in a later one leaves none forgotten
            for _ in range(_TRIES):
                snapshot_id = new_snapshot_id()
                self.remember = marks.enter_context(self.medium.running(snapshot_id))
                with self._new_cache() as new_cache:
                    saved = self._save(loaded, last, new_cache, trusted=trusted)
                    published = self._publish(snapshot_id, saved)
                    lost = look(self.dossier, saved.relied)
                    if not lost:
                        return self._finish(saved, published, superseded, new_cache)
                superseded.append(published.name)
                for pack in lost:
                    loaded.index.set_usable(pack, usable=False)
                trusted = False
            drop(self.dossier, superseded)
        raise InUseError("Packs vanish as fast as they are stored; is another program cleaning up this repository?")

    def _save(self, loaded: LoadedIndex, last: LastSnapshot | None, new_cache: FolderCache, *, trusted: bool) -> _Saved:
        """Walk the sources and store what is new."""
        dossier = self.dossier
        context, options = dossier.repository, self.request.options
        keys = dossier.epoch_keys()
        reader = reader_of(dossier, proving=options.force_read)
        sealing = SealingOptions(level=options.compression_level, verify=options.verify_writes)
        sealer = BlobSealer(keys, keys[0].maintenance_keys, context.config.repository_id, sealing)
        saver = BlobSaver(sealer, loaded.index, reader, set() if options.force_read else self.checked)
        saver.open_every_copy = options.force_read
        old_cache = self.medium.folders(last)
        with saver, contextlib.closing(old_cache):
            packs = new_packs(dossier, saver, parity=options.parity)
            saver.start(packs)
            self.meter.added = lambda: self.added_bytes + saver.stored_bytes
            job = new_job(dossier, saver, Previous(old_cache, new_cache, trusted=trusted), self.rules, self.meter)
            job.report(*[missing_problem(path) for path in self.layout.missing], *self.noticed)
            self.meter.enter("snapshot")
            root = save_tree(self.layout.root, job, reader)
            root_hash = save_root(root, job)
            self.meter.enter("upload")
            saver.finish(self.meter.step)
            self.parity_problems = packs.problems
            relied = dict(saver.relied)
            stored_bytes = saver.stored_bytes
        if job.counts.reused and last is not None:
            relied.update(last.packs)
        self.added_bytes += stored_bytes
        self.meter.added = lambda: self.added_bytes
        return _Saved(job, root_hash, relied, stored_bytes, self.medium.last())

    def _publish(self, snapshot_id: SnapshotId, saved: _Saved) -> Published:
        self.meter.enter("confirm")
        counts, job = saved.job.counts, saved.job
        draft = Draft(
            snapshot_id=snapshot_id,
            start_ns=self.start_ns,
            root_hash=saved.root_hash,
            root_id=job.saver.blob_id(saved.root_hash, shared=False),
            files=counts.files,
            directories=counts.directories,
            others=counts.others,
            total_bytes=counts.total_bytes,
            added_bytes=self.added_bytes,
            kind=self.request.kind,
            label=self.request.label,
            sources=self.layout.sources,
            excludes=self.request.exclude,
            problems=tuple(job.problems[:PROBLEMS_KEPT]),
            problem_count=job.problem_count,
            duration_ms=int(self.meter.seconds * 1000),
        )
        with history_look(self.dossier):
            generation = read_keyset(self.dossier.repository, self.dossier.id).keyset.generation
            self.history = read_history(self.dossier, self.history)  # again: others may have finished meanwhile
        return put_manifest(self.dossier, draft, self.history, generation, self._note)

    def _finish(
        self, saved: _Saved, published: Published, superseded: list[str], new_cache: FolderCache
    ) -> SnapshotReport:
        """Confirm, clean up after earlier runs, and remember."""
        confirmation = put_copy(self.dossier, "ok", published.data, self._note)
        with history_look(self.dossier):
            see_manifest(self.dossier, published)
            self._remember(saved, published, new_cache)
            self._look_again(published)
        drop(self.dossier, superseded)
        counted = {published.name, confirmation, *superseded}
        drop_torn(self.dossier, [name for name in self.names if name not in counted])
        counts, job = saved.job.counts, saved.job
        return SnapshotReport(
            snapshot=self._snapshot(published),
            files_new=counts.files_new,
            files_changed=counts.files_changed,
            files_unchanged=counts.files_unchanged,
            raw_bytes_read=counts.raw_bytes_read,
            added_bytes=self.added_bytes + 2 * len(published.data),
            blobs_added=job.saver.blobs_added,
            blobs_reused=job.saver.blobs_reused,
            duration_seconds=self.meter.seconds,
            problems=(*job.problems, *self.parity_problems),
        )

    def _note(self, name: str) -> None:
        """Know a manifest's name before it is put: if it breaks off, this station and nobody else may clear it away."""
        self.names.append(name)
        if self.remember is not None:
            self.remember(name)

    def _remember(self, saved: _Saved, published: Published, new_cache: FolderCache) -> None:
        """Keep what the next run reuses. The snapshot is whole already: a full local disk must not make it fail."""
        packs, entries = saved.relied, saved.job.source_entries
        before = saved.before
        if before is not None:
            entries = {**before.source_entries, **entries}
            if saved.job.previous.trusted:  # what other calls saved is kept, with the packs it relies on
                packs = {**before.packs, **packs}
                with contextlib.closing(self.medium.folders(before)) as old_cache:
                    new_cache.copy_others(old_cache, [os.fsencode(path) for path in saved.job.source_entries])
        last = LastSnapshot(
            id=published.sealed.snapshot_id,
            number=published.facts.number,
            root=saved.root_hash,
            packs=packs,
            source_entries=entries,
        )
        with contextlib.suppress(OSError):
            self.medium.keep(last, new_cache)
            self.medium.keep_checked_copies(self.checked)

    def _look_again(self, published: Published) -> None:
        """See that the snapshot counts, and drop manifests that broken-off runs of this station left unconfirmed here.

        Only those: an unconfirmed manifest may also be one whose ok copy was lost, and that is nobody's to delete.
        """
        own = published.sealed.snapshot_id
        found = read_history(self.dossier, self.history).manifests
        manifests = {item.sealed.snapshot_id: item for item in found}
        if own not in manifests:
            raise NotEnrolledError(
                "The snapshot was stored, but it does not count: this station is no longer on the dossier's list. "
                "Type the secret once to enrol again, and take the snapshot again.",
                code="station_not_listed",
            )
        if not manifests[own].confirmed:
            raise StoreUnavailableError(
                "The store took the confirmation of the snapshot and does not have it. Try again."
            )
        for snapshot_id in self.medium.broken_off():
            item = manifests.get(snapshot_id)
            if item is not None and not item.confirmed:
                drop(self.dossier, item.names)
            begun = self.medium.names_begun(snapshot_id)
            if item is not None or not any(name.startswith("ok/") for name in begun):
                drop_torn(self.dossier, begun)
            self.medium.forget_broken_off(snapshot_id)

    def _snapshot(self, published: Published) -> Snapshot:
        station = self.dossier.repository.state.station.name
        names, sealed = (published.name,), published.sealed
        return snapshot_of(
            ReadManifest(names, sealed, published.facts, published.text, True, station, len(published.data))
        )

    @contextlib.contextmanager
    def _new_cache(self) -> Iterator[FolderCache]:
        cache = self.medium.new_folders()
        try:
            yield cache
        finally:
            cache.close()
            with contextlib.suppress(OSError):
                cache.path.unlink(missing_ok=True)


def _all_usable(last: LastSnapshot, loaded: LoadedIndex) -> bool:
    usable = {name: size for name, size, is_usable in loaded.index.packs() if is_usable}
    return all(usable.get(name) == size for name, size in last.packs.items())
