"""Forgetting snapshots: the signed record, then the ok copies, then the manifests.

Here: `forget_snapshots`. Not here: which ones a policy keeps (policy.py), and giving space back (prune).

Rules (docs/format/11-protocol.md): the record is put before anything is taken away, so that nothing looks stolen; ok
copies go before manifests, so that no repair brings back a manifest whose packs are gone. After the record this looks
once more for holds, as whoever holds looks for forget records: one of the two sees the other. An interrupted forget is
finished by the next one. Held snapshots are kept by policies and refused by name; the last whole one goes only by name
and on wish. Nothing here takes a secret.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...blobs.lanes import side_by_side
from ...errors import InputError
from ...format.record import RecordType, ids_payload
from ...types import Problem, Snapshot, SnapshotId
from ...upkeep_types import ForgetReport, RetentionDecision, RetentionPolicy
from ..clones import claim_medium, see_medium
from ..context import DossierContext
from ..history import History, ReadManifest, history_look, read_history, snapshot_of
from ..listing import pick_manifest
from ..meter import Meter
from ..records import put_record
from ..snapshot.publish import drop
from ..snapshot.request import gone_problem
from ..stations import check_may_write
from .obeyed import read_all_records, refuse_unread
from .policy import Candidate, all_stay, decide

BY_NAME = "named"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetRequest:
    """What is to be forgotten: what a policy does not keep, and what is named."""

    policy: RetentionPolicy | None
    snapshots: tuple[Snapshot | str, ...] = ()
    dry_run: bool = False
    allow_last: bool = False
    """Whether the last whole snapshot may be forgotten if it is named."""

    def check(self) -> None:
        """Raise InputError if it asks for nothing, or for anything with an empty policy."""
        if self.policy is not None and self.policy.empty:
            raise InputError("The policy keeps nothing. Say what is to stay, such as last=3.", code="empty_policy")
        if self.policy is None and not self.snapshots:
            raise InputError("Name the snapshots to forget, or say what is to stay.", code="empty_policy")


def forget_snapshots(dossier: DossierContext, request: ForgetRequest, meter: Meter) -> ForgetReport:
    """Forget what the request says, and report of every snapshot why it stays or goes.

    Raises InputError (`empty_policy`, `held`, `last_snapshot`), SnapshotNotFoundError, AmbiguousError,
    StationRevokedError, NotEnrolledError, UnsupportedFormatError, DamagedObjectError, StoreError.
    """
    request.check()
    context = dossier.repository
    with meter.ending_waits(context.store):
        meter.enter("scan")
        if request.dry_run:
            see_medium(context)
        else:
            check_may_write(dossier)
            claim_medium(context)
        with history_look(dossier):
            history = read_history(dossier)
            refuse_unread(dossier, history)
        goes, decisions = _choose(history, request)
        if not request.dry_run:
            _take_away(dossier, history, history.forgotten, meter)  # what a dead forget left
            goes = _forget(dossier, history, goes, meter)
        meter.tell()
    forgotten = {item.sealed.snapshot_id for item in goes}
    return ForgetReport(
        dossier=dossier.pin.name,
        decisions=tuple(decisions),
        forgotten=tuple(snapshot_of(item) for item in history.manifests if item.sealed.snapshot_id in forgotten),
        dry_run=request.dry_run,
        problems=(*history.problems, *(gone_problem(item) for item in history.missing), *_saved(decisions, forgotten)),
    )


def _choose(history: History, request: ForgetRequest) -> tuple[list[ReadManifest], list[RetentionDecision]]:
    """Return what goes, and what is to be said of every confirmed snapshot, newest first."""
    named = _named(history.manifests, request)
    others = [item for item in history.manifests if item.sealed.snapshot_id not in named]
    candidates = [_candidate(item) for item in others]
    if request.policy is None:
        decisions = all_stay(candidates, "not named")
    else:
        decisions = decide(request.policy, candidates, now_ns=time.time_ns())
    gone = {item.snapshot.id for item in decisions if not item.keep}
    whole = [_candidate(item) for item in history.manifests if item.confirmed and item.sealed.snapshot_id in named]
    decisions += [
        RetentionDecision(snapshot=item.snapshot, keep=False, reasons=(BY_NAME,), counted_as=item.snapshot.time)
        for item in whole
    ]
    position = {item.sealed.snapshot_id: number for number, item in enumerate(history.manifests)}
    decisions.sort(key=lambda item: position[item.snapshot.id])
    return [item for item in history.manifests if item.sealed.snapshot_id in named | gone], decisions


def _named(manifests: Sequence[ReadManifest], request: ForgetRequest) -> set[SnapshotId]:
    """Return the ids of what was asked for by name. Raises InputError where that may not be forgotten."""
    named = set()
    for wanted in request.snapshots:
        found = pick_manifest(manifests, wanted)
        if found.held:
            raise InputError(
                f"The snapshot {found.sealed.snapshot_id.hex()[:8]} is held. Let it go first (unhold).", code="held"
            )
        named.add(found.sealed.snapshot_id)
    whole = {item.sealed.snapshot_id for item in manifests if item.confirmed}
    if whole & named and whole <= named and not request.allow_last:
        raise InputError(
            "This would leave the dossier without a whole snapshot. Say that the last one may go too (allow_last), "
            "or remove the dossier.",
            code="last_snapshot",
        )
    return named


def _forget(dossier: DossierContext, history: History, goes: list[ReadManifest], meter: Meter) -> list[ReadManifest]:
    """Sign that these are forgotten, and take them away; return those that were."""
    if not goes:
        return []
    ids = {item.sealed.snapshot_id for item in goes}
    name = put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload(ids))
    held = read_all_records(dossier, history).held() & ids
    if held:  # meanwhile: what is held wins
        ids -= held
        if ids:
            put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload(ids))
        drop(dossier, [name])
    _take_away(dossier, history, ids, meter)
    return [item for item in goes if item.sealed.snapshot_id in ids]


def _take_away(dossier: DossierContext, history: History, ids: Collection[SnapshotId], meter: Meter) -> None:
    """Delete all ok copies, then all manifests, of snapshots that a signed record names."""
    names = [name for item in history.every if item.sealed.snapshot_id in ids for name in item.names]
    for folder in ("ok/", "snapshots/"):
        meter.enter("forget")
        batch = [name for name in names if name.startswith(folder)]
        side_by_side(dossier.repository.store, [lambda name=name: drop(dossier, [name]) for name in batch])  # type: ignore[misc]


def _candidate(manifest: ReadManifest) -> Candidate:
    facts = manifest.facts
    return Candidate(snapshot=snapshot_of(manifest), time_ns=facts.time_ns, zone_minutes=facts.zone_minutes)


def _saved(decisions: Sequence[RetentionDecision], forgotten: set[SnapshotId]) -> list[Problem]:
    """Return a problem for each snapshot that was to go and was held meanwhile."""
    return [
        Problem(code="held", path=item.snapshot.name, message="It was held meanwhile, and stays.")
        for item in decisions
        if not item.keep and item.snapshot.id not in forgotten
    ]
