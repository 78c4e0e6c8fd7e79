"""Holding snapshots, so that no policy forgets them, and letting them go.

Here: `hold_snapshots`, `release_snapshots`. Not here: how records add up (`operations.records`).

Rules (docs/format/09-records.md): records are a set without an order, so what counts is how many of each kind name a
snapshot. Holding puts one record even where the snapshot is held already: somebody may be about to let go of what he
saw. Letting go cancels as many as were seen. So where both happen at once, the snapshot stays held. After its record
whoever holds looks for forget records, since whoever forgets looks for holds after his own.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InputError, InUseError, SnapshotNotFoundError
from ...types import Snapshot, SnapshotId
from ..clones import claim_medium
from ..context import DossierContext
from ..history import History, history_look, read_history
from ..listing import pick_manifest
from ..records import ReadRecords, put_balance, read_records
from ..stations import check_may_write
from .obeyed import read_all_records

_TRIES = 5


def hold_snapshots(dossier: DossierContext, snapshots: Sequence[Snapshot | str]) -> None:
    """Let no policy forget these. Raises InputError, SnapshotNotFoundError, AmbiguousError, StationRevokedError."""
    history, ids = _begin(dossier, snapshots)
    records = read_records(dossier, history.stations, [])
    # Forgotten and listed all the same, being held by then: a forget died before it saw that. One that came after the
    # history was read is at work, and deletes.
    known = records.forgotten & history.held
    missing = {snapshot_id: max(1, 1 - records.balance[snapshot_id]) for snapshot_id in ids}
    for _ in range(_TRIES):
        put_balance(dossier, missing)
        records = read_records(dossier, history.stations, [])
        _refuse_forgotten(dossier, ids - known, records)
        missing = {snapshot_id: 1 - records.balance[snapshot_id] for snapshot_id in ids - records.held()}
        if not missing:
            return
    raise InUseError("Another station lets the snapshot go as fast as it is held. Try again.")


def release_snapshots(dossier: DossierContext, snapshots: Sequence[Snapshot | str]) -> None:
    """Let policies forget these again. Raises as `hold_snapshots`, and DamagedObjectError for an unreadable record."""
    history, ids = _begin(dossier, snapshots)
    records = read_all_records(dossier, history)
    put_balance(dossier, {snapshot_id: -records.balance[snapshot_id] for snapshot_id in ids & records.held()})


def _begin(dossier: DossierContext, snapshots: Sequence[Snapshot | str]) -> tuple[History, set[SnapshotId]]:
    if not snapshots:
        raise InputError("Name at least one snapshot.")
    check_may_write(dossier)
    claim_medium(dossier.repository)
    with history_look(dossier):
        history = read_history(dossier)
    return history, {pick_manifest(history.manifests, wanted).sealed.snapshot_id for wanted in snapshots}


def _refuse_forgotten(dossier: DossierContext, ids: set[SnapshotId], records: ReadRecords) -> None:
    """Raise if another station has forgotten one of these meanwhile; it may not have seen the hold, which goes then."""
    forgotten = ids & records.forgotten
    if forgotten:
        put_balance(dossier, {snapshot_id: min(0, -records.balance[snapshot_id]) for snapshot_id in forgotten})
        names = ", ".join(sorted(snapshot_id.hex()[:8] for snapshot_id in forgotten))
        raise SnapshotNotFoundError(f"Another station forgot {names} meanwhile, so it cannot be held.")
