"""Signed records of what was done to a dossier: writing and reading.

Here: putting one, and reading which snapshots were forgotten. Not here: when records are due.

Rules: a record that is damaged or signed by nobody known counts for nothing and is reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from ..blobs.naming import put_named
from ..crypto.derivation import digest
from ..errors import (
    DamagedObjectError,
    DamageError,
    NotEnrolledError,
    ObjectNotFoundError,
    TamperedError,
    UnsupportedFormatError,
)
from ..format.keyset import StationRecord
from ..format.names import dossier_folder, dossier_path, name_matches
from ..format.record import RecordFacts, RecordType, decode_record, encode_record, ids_payload
from ..stores.cached import warm
from ..types import Problem, SnapshotId
from .clock import zone_minutes
from .context import DossierContext


def put_record(dossier: DossierContext, kind: RecordType, *, mandatory: bool, payload: Mapping[int, object]) -> None:
    """Sign a record of type `kind` as this station and store it."""
    context = dossier.repository
    maintenance = context.newest_maintenance()
    facts = RecordFacts(
        station_id=context.state.station.id, time_ns=time.time_ns(), zone_minutes=zone_minutes(), payload=payload
    )
    data = encode_record(
        repository_id=context.config.repository_id,
        dossier_id=dossier.id,
        type=kind,
        mandatory=mandatory,
        facts=facts,
        maintenance=maintenance,
        station_key=context.state.station.signing,
    )
    put_named(context.store, lambda name: dossier_path("records", dossier.id, name), data)


def forgotten_snapshots(
    dossier: DossierContext, stations: Mapping[bytes, StationRecord], problems: list[Problem]
) -> set[SnapshotId]:
    """Return the snapshots that signed records say were forgotten. `stations` is by id.

    A record of a revoked station counts for nothing, whenever it says it was written: what was good of it was signed
    again when the station was revoked.
    """
    forgotten: set[SnapshotId] = set()
    doubtful: list[tuple[str, set[SnapshotId]]] = []
    for name, facts, signer in _signed_records(dossier, RecordType.FORGET, stations, problems):
        if signer.last_number is None:
            forgotten.update(facts.snapshot_ids())
        else:
            doubtful.append((name, set(facts.snapshot_ids())))
    for name, snapshots in doubtful:
        if not snapshots <= forgotten:
            message = f"{name} was signed by a station that is revoked; it does not count."
            problems.append(Problem(code="revoked_signer", path=name, message=message))
    return forgotten


def confirm_records_of(dossier: DossierContext, public_key: bytes, stations: Mapping[bytes, StationRecord]) -> None:
    """Sign again, as this station, what another one had forgotten by now; it is about to be revoked."""
    theirs: set[SnapshotId] = set()
    for _, facts, signer in _signed_records(dossier, RecordType.FORGET, stations, []):
        if signer.public_key == public_key and signer.last_number is None:
            theirs.update(facts.snapshot_ids())
    if theirs:
        put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload(theirs))


def _signed_records(
    dossier: DossierContext, wanted: RecordType, stations: Mapping[bytes, StationRecord], problems: list[Problem]
) -> Iterator[tuple[str, RecordFacts, StationRecord]]:
    """Yield the records of a type that some station of the dossier signed; what else is there becomes `problems`."""
    context = dossier.repository
    listed = list(context.store.list(f"records/{dossier_folder(dossier.id)}"))
    warm(context.store, [item.name for item in listed])
    for item in listed:
        try:
            data = context.store.get(item.name)
            if not name_matches(item.name.rpartition("/")[2], digest(data)):
                raise DamagedObjectError(f"{item.name} does not have the bytes it was stored with.")
            sealed = decode_record(data)
            if (sealed.repository_id, sealed.dossier_id) != (context.config.repository_id, dossier.id):
                raise TamperedError(f"{item.name} belongs to another repository or dossier.")
            if sealed.type != wanted:
                continue
            facts = sealed.open(context.catalogue_keys(sealed.epoch))
            signer = stations.get(facts.station_id)
            if signer is None or not sealed.verify(signer.public_key):
                raise TamperedError(f"{item.name} is signed by no station of this dossier.", code="unknown_signer")
        except ObjectNotFoundError:
            continue
        except (DamageError, NotEnrolledError, UnsupportedFormatError) as error:
            problems.append(Problem(code=error.code, path=item.name, message=str(error)))
        else:
            yield item.name, facts, signer
