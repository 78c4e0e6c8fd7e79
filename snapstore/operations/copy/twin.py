"""Copying snapshots to a twin: blobs and manifests as they are, with the maintenance key alone.

Here: the order of things. Not here: the things (see the package).

Rules (docs/format/11-protocol.md): keysets, records, packs, index, manifests; then the look at condemn and packs; then
the ok copies, and only then does a snapshot count as copied. Snapshots go oldest first and are published some at a
time, since each look costs a listing of all packs, and each publication two packs. What an interruption leaves is found
by the next run: packs by their headers, manifests by the hash in their names. A snapshot of which a blob is whole
nowhere is left out and reported; the others go on. At the end a signed record says what is whole on the destination now
(docs/format/09-records.md), if this station is on the dossier's list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from ...blobs.catalogue import list_packs, read_condemned
from ...crypto.derivation import digest
from ...errors import DamagedObjectError, DamageError, InUseError, MissingObjectError, SnapstoreError, StoreError
from ...format.names import HASH_DIGITS, dossier_folder, name_matches
from ...format.record import RecordType, copied_payload
from ...limits import MIB
from ...types import DossierId, Problem
from ..clones import claim_medium
from ..context import DossierContext, RepositoryContext
from ..history import History, ReadManifest, history_look, read_history
from ..marks import BlobMarks
from ..reach import Reach
from ..records import put_record
from ..snapshot.publish import drop, drop_old_notes, dropping_notes, mark_condemned, put_copy, put_session_note
from .request import CopyTally, not_copied
from .returning import bring_back, explain_missing
from .sealed import UNUSABLE, copy_keysets, copy_records, in_destination, was_removed, why_unusable
from .sending import Sender, voucher_check

_PUBLISH_SNAPSHOTS: Final = 32
_PUBLISH_BYTES: Final = 256 * MIB  # what an interruption can cost to look through again
_TRIES: Final = 5


@dataclass(slots=True, eq=False)
class _Part:
    """What is to be copied of one dossier."""

    dossier: DossierContext
    there: DossierContext | None
    history: History
    held: History
    manifests: list[ReadManifest]
    """Those that the destination lacks, oldest first."""


@dataclass(slots=True)
class _Waiting:
    """A snapshot whose blobs were sent."""

    part: _Part
    manifest: ReadManifest
    data: bytes
    name: str | None = None
    """Of its manifest at the destination, once that is put or was found."""


def copy_to_twin(
    dossiers: Sequence[DossierContext],
    wanted: dict[DossierId, list[ReadManifest]] | None,
    destination: RepositoryContext | None,
    tally: CopyTally,
) -> None:
    """Copy what `wanted` names of each dossier, or all that is confirmed. Without a destination only count.

    Raises StoreError, OperationCancelledError, InUseError, StationStateError."""
    tally.meter.enter("scan")
    if destination is not None and not tally.dry_run:
        claim_medium(destination)
    parts = []
    for dossier in dossiers:
        try:
            part = _prepare(dossier, None if wanted is None else wanted[dossier.id], destination, tally)
        except UNUSABLE as error:
            tally.report_problem(why_unusable(dossier, error))
            continue
        if part is not None:
            parts.append(part)
    if parts:
        _Run(parts, destination, tally).run()


def _prepare(
    dossier: DossierContext,
    wanted: list[ReadManifest] | None,
    destination: RepositoryContext | None,
    tally: CopyTally,
) -> _Part | None:
    """Find out what is lacking; bring keysets and records there."""
    with history_look(dossier):
        history = read_history(dossier)
    tally.report_problem(*history.problems)
    held, there = History(), None
    if destination is not None:
        there = in_destination(dossier, destination)
        removed = was_removed(dossier, destination, history)
        if wanted is None and removed:
            message = "The dossier was removed at the destination. Name snapshots of it to bring it back."
            name = dossier.pin.name or dossier.id.hex()
            tally.report_problem(Problem(code="dossier_removed", path=name, message=message))
            return None
        if not tally.dry_run:
            copy_keysets(dossier, destination)
        if not tally.dry_run:
            held = read_history(there)
            if removed:
                explain_missing(there, held, {item.sealed.snapshot_id for item in wanted or ()})
            copy_records(dossier, history, held, there)
        else:
            with contextlib.suppress(DamagedObjectError):  # its keyset was not brought there
                held = read_history(there)
    chosen = history.confirmed_once() if wanted is None else wanted
    return _Part(dossier, there, history, held, _lacking(chosen, held, tally, named=wanted is not None))


def _lacking(chosen: Iterable[ReadManifest], held: History, tally: CopyTally, *, named: bool) -> list[ReadManifest]:
    present = {item.sealed.snapshot_id for item in held.manifests if item.confirmed}
    lacking = []
    for manifest in chosen:
        snapshot_id = manifest.sealed.snapshot_id
        signer = held.stations.get(manifest.facts.station_id)
        if snapshot_id in present:
            tally.present += 1
        elif snapshot_id in held.forgotten and not named:
            tally.forgotten += 1
        elif signer is not None and signer.last_number is not None and manifest.facts.number > signer.last_number:
            tally.report_problem(not_copied(manifest, "its station was revoked at the destination before."))
        else:
            lacking.append(manifest)
    return lacking


class _Run:
    """One copy of some dossiers."""

    def __init__(self, parts: list[_Part], destination: RepositoryContext | None, tally: CopyTally) -> None:
        self._parts = parts
        self._destination = destination
        self._tally = tally
        self._source = parts[0].dossier.repository
        self._waiting: list[_Waiting] = []
        self._known = BlobMarks()  # everything below snapshots that were sent whole
        self._published_bytes = 0

    def run(self) -> None:
        """Copy everything, publish it, and say so in a record."""
        first = self._parts[0].dossier
        with dropping_notes(first if self._destination is None else in_destination(first, self._destination)) as notes:
            parts = [(part.there, part.manifests) for part in self._parts if part.there is not None]
            if parts and not self._tally.dry_run:
                drop_old_notes(parts[0][0])  # those of all dossiers, so before the first new one; also if none comes
                for there, lacking in parts:
                    if lacking:
                        notes.append(put_session_note(there))
            if any(part.manifests for part in self._parts):
                self._copy()
            if not self._tally.dry_run:
                for part in self._parts:
                    self._put_record(part)

    def _copy(self) -> None:
        if self._destination is not None:
            mark_condemned(in_destination(self._parts[0].dossier, self._destination))
        meter = self._tally.meter
        reach = Reach(self._source, meter)
        meter.files_total = sum(_files_in(manifest) for part in self._parts for manifest in part.manifests)
        meter.enter("copy")
        self._sender = Sender(self._source, self._destination, meter)
        meter.added = lambda: self._sender.stored_bytes
        with contextlib.closing(self._sender):
            try:
                for part in self._parts:
                    for manifest in part.manifests:
                        self._send_or_report(reach, part, manifest)
                        meter.step(files=_files_in(manifest), current=manifest.sealed.snapshot_id.hex())
                        self._publish_if_due()
                self._publish(reach)
                self._tally.report_problem(*self._sender.problems)
                meter.tell()
            finally:
                self._tally.blobs += self._sender.blobs
                self._tally.added_bytes += self._sender.stored_bytes

    def _publish_if_due(self) -> None:
        since = self._sender.stored_bytes - self._published_bytes
        if len(self._waiting) >= _PUBLISH_SNAPSHOTS or since >= _PUBLISH_BYTES:
            self._publish(None)

    def _send_or_report(self, reach: Reach, part: _Part, manifest: ReadManifest) -> bool:
        """Send everything that a snapshot needs. False if that is not to be had."""
        try:
            data = _read_manifest(part.dossier, manifest)
            self._send(reach, part, manifest)
        except DamageError as error:
            self._tally.report_problem(not_copied(manifest, error))
            return False
        if self._tally.dry_run:
            self._tally.take(part.dossier, manifest, manifest.sealed.snapshot_id)
        else:
            self._waiting.append(_Waiting(part, manifest, data, _listed_manifest(part, manifest)))
        return True

    def _send(self, reach: Reach, part: _Part, manifest: ReadManifest) -> None:
        vouched = voucher_check(part.dossier)
        wanted = reach.below(manifest.facts.root_id, self._known)
        shares = self._sender.plan(wanted, vouched)
        meter = self._tally.meter
        meter.bytes_total = (meter.bytes_total or 0) + sum(share.size for share in shares)
        if self._tally.dry_run:
            self._tally.blobs += sum(len(share.positions) for share in shares)
            self._tally.added_bytes += sum(share.size for share in shares)
        elif self._sender.lost(self._sender.send(shares), vouched):
            raise DamagedObjectError("A part of it is damaged, in all its copies.", code="damaged_blob")
        self._known.update(wanted)

    # --- publish, then look --------------------------------------------------------------------------------------

    def _publish(self, reach: Reach | None) -> None:
        """Make what was sent count. If packs vanish meanwhile, everything that waits is looked through again."""
        if not self._waiting or self._destination is None:
            return
        for _ in range(_TRIES):
            self._sender.finish()
            self._published_bytes = self._sender.stored_bytes
            for item in self._waiting:
                if item.name is None and item.part.there is not None:
                    item.name = put_copy(item.part.there, "snapshots", item.data)
            if not self._look(self._destination):
                self._confirm()
                return
            self._send_again(reach or Reach(self._source, self._tally.meter))
        raise InUseError("Packs vanish as fast as they are stored; is another program cleaning up the destination?")

    def _look(self, destination: RepositoryContext) -> bool:
        """Tell whether something that is relied on was condemned or is gone; it is not used any more then."""
        catalogue = destination.catalogue()
        condemned = read_condemned(catalogue)
        listed = list_packs(catalogue)
        relied = self._sender.relied
        lost = [name for name, size in relied.items() if name in condemned or listed.get(name) != size]
        for pack in lost:
            destination.index(refresh=False).index.set_usable(pack, usable=False)
            del relied[pack]
        return bool(lost)

    def _send_again(self, reach: Reach) -> None:
        self._known = BlobMarks()
        waiting, self._waiting = self._waiting, []
        for item in waiting:
            if self._send_or_report(reach, item.part, item.manifest):
                self._waiting[-1].name = item.name
            elif item.name is not None and item.part.there is not None:
                drop(item.part.there, [item.name])

    def _confirm(self) -> None:
        parts = list(dict.fromkeys(item.part for item in self._waiting))
        for item in self._waiting:
            assert item.part.there is not None
            put_copy(item.part.there, "ok", item.data)
        for part in parts:
            assert part.there is not None
            folder = f"snapshots/{dossier_folder(part.there.id)}"
            names = {item.name for item in part.there.repository.store.list(folder)}
            for item in self._waiting:
                if item.part is part and item.name not in names:
                    raise MissingObjectError(
                        "A snapshot's record was removed while it was being copied. Copy again.",
                        code="manifest_removed",
                        object_name=item.name,
                    )
        for item in self._waiting:
            self._tally.take(item.part.dossier, item.manifest, item.manifest.sealed.snapshot_id)
        self._waiting = []

    # --- the record ----------------------------------------------------------------------------------------------

    def _put_record(self, part: _Part) -> None:
        """Say what is whole on the destination, where nothing there says it yet and this station is listened to."""
        there = part.there
        if there is None:
            return
        copied = {item.copy_id for item in self._tally.copied if item.dossier_id == there.id}
        if copied & part.held.forgotten:
            bring_back(there, part.held, copied & part.held.forgotten)
        history = read_history(there, part.held)
        own = history.stations.get(there.repository.state.station.id)
        whole = {item.sealed.snapshot_id for item in history.manifests if item.confirmed}
        if own is None or own.last_number is not None or whole <= history.attested:
            return
        medium_id = there.repository.config.medium_id
        put_record(there, RecordType.COPIED, mandatory=False, payload=copied_payload(medium_id, sorted(whole)))


def _files_in(manifest: ReadManifest) -> int:
    return manifest.facts.files + manifest.facts.others


def _read_manifest(dossier: DossierContext, manifest: ReadManifest) -> bytes:
    """Return a manifest's bytes from a copy that is whole. Raises DamageError."""
    failure: SnapstoreError | None = None
    for name in manifest.names:
        try:
            data = dossier.repository.store.get(name)
        except (DamageError, StoreError) as error:
            failure = error
            continue
        if name_matches(name.rpartition("/")[2], digest(data)):
            return data
    raise DamagedObjectError(f"Its record cannot be read{f': {failure}' if failure else ''}.", code="damaged_object")


def _listed_manifest(part: _Part, manifest: ReadManifest) -> str | None:
    """Return the name of the same manifest at the destination, where an interrupted copy left it without ok."""
    for item in part.held.manifests:
        if item.sealed.snapshot_id == manifest.sealed.snapshot_id and item.size == manifest.size:
            for name in item.names:
                start = manifest.names[0].rpartition("/")[2][:HASH_DIGITS]
                if name.startswith("snapshots/") and name.rpartition("/")[2][:HASH_DIGITS] == start:
                    return name
    return None
