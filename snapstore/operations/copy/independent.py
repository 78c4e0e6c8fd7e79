"""Copying snapshots into another repository: opened with the source's keys, sealed anew with the destination's.

Here: the dossier at the destination, the order of snapshots, their manifests. Not here: trees and content (`replay`).

Rules: a copy keeps the time, label, host, sources and problems of its original; its number, roster and medium are the
destination's. Its id is made of the destination dossier's key and the original's ids, so that every station that copies
finds it again and copies it once. Snapshots go oldest first, each published and looked after like one taken there
(docs/format/11-protocol.md). The last pair of original and copy is remembered by this station, so that what has not
changed since is not read in the next run either. A snapshot with damage is left out and reported; the others go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ...blobs.saver import BlobSaver
from ...blobs.sealer import BlobSealer
from ...crypto.derivation import derive, keyed
from ...errors import (
    DamageError,
    DossierNotFoundError,
    InUseError,
    NotEnrolledError,
    SecretRequiredError,
    WrongSecretError,
)
from ...format.keyset import PrivateHalves
from ...sources.excludes import ExcludeRules
from ...station import CopiedPair, copied_pair, keep_copied_pair
from ...types import BlobId, PlainHash, SnapshotId
from ..browse import reader_of
from ..clones import claim_medium
from ..context import DossierContext, RepositoryContext
from ..dossiers import find_dossier, list_dossiers, unlock
from ..history import History, ReadManifest, history_look, read_history
from ..keysets import read_keyset
from ..new_dossier import create_dossier
from ..snapshot.folders import save_root
from ..snapshot.job import new_job, new_packs
from ..snapshot.publish import (
    Draft,
    Origin,
    Published,
    drop,
    drop_old_notes,
    dropping_notes,
    look,
    mark_condemned,
    put_copy,
    put_manifest,
    put_session_note,
    see_manifest,
)
from ..snapshot.reuse import Previous
from ..stations import check_may_write
from .replay import Before, open_side, replay
from .request import CopyTally, not_copied
from .returning import bring_back

_TRIES: Final = 5
_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class UnlockedDossier:
    """A dossier of the source, and what opens its snapshots."""

    dossier: DossierContext
    private: PrivateHalves


def copy_sealed_anew(
    unlocked: UnlockedDossier,
    wanted: Sequence[ReadManifest] | None,
    destination: RepositoryContext,
    new_secret: str | None,
    tally: CopyTally,
) -> None:
    """Copy snapshots (all that are confirmed, without a wish) of one dossier to the dossier of the same name.

    Raises SecretRequiredError, WrongSecretError, NotEnrolledError, StationRevokedError, StoreError, InUseError,
    OperationCancelledError."""
    tally.meter.enter("scan")
    dossier = unlocked.dossier
    with history_look(dossier):
        history = read_history(dossier)
    tally.report_problem(*history.problems)
    chosen = history.confirmed_once() if wanted is None else wanted
    there = _dossier_there(destination, dossier.pin.name, new_secret, dry_run=tally.dry_run)
    held = History() if there is None else read_history(there)
    lacking = _lacking(dossier, there, chosen, held, tally, named=wanted is not None)
    if tally.dry_run or there is None:
        for manifest in lacking:
            tally.take(dossier, manifest, SnapshotId(b"") if there is None else copy_id(there, manifest))
        return
    drop_old_notes(there)  # also where nothing is lacking: what a dead copy left
    if lacking:
        claim_medium(destination)
        check_may_write(there)
        with dropping_notes(there) as notes:
            notes.append(put_session_note(there))
            _Run(unlocked, there, held, tally).run(lacking, history)


def copy_id(there: DossierContext, original: ReadManifest) -> SnapshotId:
    """Return the id of a snapshot's copy. The oldest of the dossier's keys makes it: that one stays."""
    key = derive(there.epoch_keys()[-1].dossier, "dossier copied snapshot")
    return SnapshotId(keyed(key, original.sealed.repository_id + original.sealed.snapshot_id)[:_ID_BYTES])


def _dossier_there(
    destination: RepositoryContext, name: str, new_secret: str | None, *, dry_run: bool
) -> DossierContext | None:
    """Find the dossier of that name, or make it. None if it would be made and nothing is to be changed."""
    try:
        return find_dossier(destination, name)
    except (DossierNotFoundError, NotEnrolledError):
        unknown = any(not info.enrolled for info in list_dossiers(destination, destination.problems))
    if destination.config.protected and new_secret is None:
        if dry_run and not unknown:
            return None
        raise SecretRequiredError(
            f"This station knows no dossier {name!r} in {destination.store.url}. Give the secret that it has there, or "
            "is to have (--new-secret-file, --new-secret-command).",
            code="new_secret_required",
        )
    if unknown and new_secret is not None:
        try:
            return unlock(destination, new_secret, name)[0]
        except WrongSecretError as error:
            raise WrongSecretError(
                f"The secret opens no dossier {name!r} in {destination.store.url}, and this station does not know all "
                "dossiers there. If there is none of that name yet, make it first (dossier add)."
            ) from error
    if dry_run:
        return None
    claim_medium(destination)
    return create_dossier(destination, name, new_secret if destination.config.protected else None)


def _lacking(
    dossier: DossierContext,
    there: DossierContext | None,
    chosen: Sequence[ReadManifest],
    held: History,
    tally: CopyTally,
    *,
    named: bool,
) -> list[ReadManifest]:
    if there is None:
        return list(chosen)
    present = {item.sealed.snapshot_id for item in held.manifests if item.confirmed}
    lacking = []
    for manifest in chosen:
        wanted = copy_id(there, manifest)
        if wanted in present:
            tally.present += 1
        elif wanted in held.forgotten and not named:
            tally.forgotten += 1
        elif manifest.text is None:
            tally.report_problem(not_copied(manifest, "this station has not the keys it was made under."))
        else:
            lacking.append(manifest)
    return lacking


class _UnreadableError(Exception):
    """The source's snapshot cannot be read whole."""

    def __init__(self, damage: DamageError) -> None:
        super().__init__(str(damage))
        self.damage = damage


@contextlib.contextmanager
def _reading_source() -> Iterator[None]:
    try:
        yield
    except DamageError as error:
        if error.code == "verification_failed":  # what was just sealed: this computer's fault
            raise
        raise _UnreadableError(error) from error


class _Run:
    """The copying of some snapshots of one dossier."""

    def __init__(self, unlocked: UnlockedDossier, there: DossierContext, held: History, tally: CopyTally) -> None:
        self._dossier = unlocked.dossier
        self._private = unlocked.private
        self._there = there
        self._history = held
        self._tally = tally
        context = there.repository
        self._medium = context.state.medium(context.config.repository_id, context.config.medium_id, there.id)
        self._checked = self._medium.checked_copies()
        self._before: Before | None = None
        self._relied: dict[str, int] = {}

    def run(self, lacking: Sequence[ReadManifest], history: History) -> None:
        """Copy them, oldest first."""
        meter, forgotten = self._tally.meter, set(self._history.forgotten)
        meter.bytes_total = sum(item.facts.total_bytes for item in lacking)
        meter.files_total = sum(item.facts.files + item.facts.others for item in lacking)
        mark_condemned(self._there)
        self._dossier.repository.index(refresh=True)
        self._before = self._last_pair(history)
        meter.enter("copy")
        for manifest in lacking:
            try:
                self._copy(manifest)
            except _UnreadableError as error:
                self._tally.report_problem(not_copied(manifest, error.damage))
        copied = {item.copy_id for item in self._tally.copied}
        if copied & forgotten:
            bring_back(self._there, self._history, copied & forgotten)
        with contextlib.suppress(OSError):
            self._medium.keep_checked_copies(self._checked)

    def _last_pair(self, history: History) -> Before | None:
        """Open both sides of the last copy, if this station made it and everything of it is there still."""
        pair = copied_pair(self._medium)
        if pair is None or pair.repository_id != self._dossier.repository.config.repository_id:
            return None
        listed = self._there.repository.index(refresh=False).index.packs()
        usable = {name: size for name, size, is_usable in listed if is_usable}
        original = next((item for item in history.manifests if item.sealed.snapshot_id == pair.original), None)
        if original is None or any(usable.get(name) != size for name, size in pair.packs.items()):
            return None
        try:
            source = open_side(reader_of(self._dossier), original.sealed.open_root(self._private.hybrid))
            copy = open_side(reader_of(self._there), pair.root)
        except DamageError:
            return None
        self._relied = dict(pair.packs)
        return Before(source, copy)

    def _copy(self, manifest: ReadManifest) -> None:
        """Save, publish and look, until nothing that is relied on is missing."""
        superseded = [
            item for item in self._history.manifests if item.sealed.snapshot_id == copy_id(self._there, manifest)
        ]
        names = [name for item in superseded for name in item.names]
        for _ in range(_TRIES):
            published, root_hash = self._save(manifest)
            lost = look(self._there, self._relied)
            if not lost:
                put_copy(self._there, "ok", published.data)
                see_manifest(self._there, published)
                drop(self._there, names)
                self._remember(manifest, root_hash)
                self._tally.take(self._dossier, manifest, published.sealed.snapshot_id)
                return
            names.append(published.name)
            for pack in lost:
                self._there.repository.index(refresh=False).index.set_usable(pack, usable=False)
            self._before, self._relied = None, {}
        drop(self._there, names)
        raise InUseError("Packs vanish as fast as they are stored; is another program cleaning up the destination?")

    def _save(self, manifest: ReadManifest) -> tuple[Published, PlainHash]:
        """Seal everything anew and put the manifest."""
        there, meter = self._there, self._tally.meter
        context, keys = there.repository, there.epoch_keys()
        with _reading_source():
            source = open_side(reader_of(self._dossier), manifest.sealed.open_root(self._private.hybrid))
        sealer = BlobSealer(keys, keys[0].maintenance_keys, context.config.repository_id)
        saver = BlobSaver(sealer, context.index(refresh=False).index, reader_of(there), self._checked)
        nothing = self._medium.folders(None)
        with saver, contextlib.closing(nothing):
            packs = new_packs(there, saver)
            saver.start(packs)
            added_before = self._tally.added_bytes
            meter.added = lambda: added_before + saver.stored_bytes
            job = new_job(there, saver, Previous(nothing, nothing, trusted=False), ExcludeRules(()), meter)
            with _reading_source():
                root = replay(source, job, self._before)
            root_hash = save_root(root, job)
            saver.finish(meter.step)
            self._tally.report_problem(*packs.problems)
            self._relied |= saver.relied
            stored_bytes = saver.stored_bytes
            root_id = saver.blob_id(root_hash, shared=False)
        self._tally.blobs += saver.blobs_added
        self._tally.added_bytes += stored_bytes
        self._before = Before(source, open_side(reader_of(there), root_hash))
        draft = _draft(manifest, copy_id(there, manifest), root_hash, root_id, stored_bytes)
        generation = read_keyset(context, there.id).keyset.generation
        self._history = read_history(there, self._history)
        return put_manifest(there, draft, self._history, generation), root_hash

    def _remember(self, manifest: ReadManifest, root_hash: PlainHash) -> None:
        pair = CopiedPair(
            repository_id=manifest.sealed.repository_id,
            original=manifest.sealed.snapshot_id,
            root=root_hash,
            packs=self._relied,
        )
        with contextlib.suppress(OSError):
            keep_copied_pair(self._medium, pair)


def _draft(
    manifest: ReadManifest, snapshot_id: SnapshotId, root_hash: PlainHash, root_id: BlobId, added_bytes: int
) -> Draft:
    """Return what the copy's manifest says: what the original's does, but where it is."""
    facts, text = manifest.facts, manifest.text
    assert text is not None  # those without were left out
    return Draft(
        snapshot_id=snapshot_id,
        start_ns=facts.time_ns,
        root_hash=root_hash,
        root_id=root_id,
        files=facts.files,
        directories=facts.directories,
        others=facts.others,
        total_bytes=facts.total_bytes,
        added_bytes=added_bytes,
        kind=facts.kind,
        label=text.label,
        sources=text.sources,
        excludes=text.excludes,
        problems=text.problems,
        problem_count=facts.problem_count,
        duration_ms=facts.duration_ms,
        origin=Origin(zone_minutes=facts.zone_minutes, host=text.host, user=text.user),
    )
