"""Bringing back what was forgotten at the destination, when it is asked for by name.

Here: `bring_back` for snapshots, `explain_missing` for a dossier that was removed. Not here: copying them there again.

Rules: a snapshot that a forget record names is not listed, so the record has to go; what else it names is signed again
before, by this station. That comes last, when the snapshot is whole there: until then it stays forgotten, and an
interruption leaves nothing that looks as if it were missing.
"""

from __future__ import annotations

from ...errors import NotEnrolledError
from ...format.record import RecordType, ids_payload
from ...types import SnapshotId
from ..context import DossierContext
from ..history import History
from ..records import put_record, signed_records
from ..snapshot.publish import drop


def bring_back(there: DossierContext, history: History, snapshots: set[SnapshotId]) -> None:
    """Let no forget record of the destination name these snapshots. `history` is the destination's.

    Raises NotEnrolledError if other snapshots stand in a record and this station may not sign."""
    wanted = (RecordType.FORGET,)
    records = [
        (record.name, set(record.facts.snapshot_ids()))
        for record in signed_records(there, wanted, history.stations, [])
        if snapshots.intersection(record.facts.snapshot_ids())
    ]
    others = set[SnapshotId]().union(*(named for _, named in records)) - snapshots
    if others:
        own = history.stations.get(there.repository.state.station.id)
        if own is None or own.last_number is not None:
            raise NotEnrolledError(
                f"This station may not sign for the dossier {there.pin.name!r}, so it cannot bring back what was "
                "forgotten. Type the secret once to enrol it."
            )
        put_record(there, RecordType.FORGET, mandatory=True, payload=ids_payload(others))
    drop(there, [name for name, _ in records])


def explain_missing(there: DossierContext, history: History, wanted: set[SnapshotId]) -> None:
    """Sign that what a removed dossier had there was forgotten with it, all but what comes back now.

    Without the record that says what it had, each of these would be reported as taken away."""
    own = history.stations.get(there.repository.state.station.id)
    others = set(history.missing) - wanted
    if others and own is not None and own.last_number is None:
        put_record(there, RecordType.FORGET, mandatory=True, payload=ids_payload(others))
