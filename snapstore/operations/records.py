"""Signed records of what was done to a dossier: writing and reading.

Here: putting one, and reading which snapshots were forgotten and which were copied where. Not here: when records are
due.

Rules: a record that is damaged or signed by nobody known counts for nothing and is reported.
"""

from __future__ import annotations

import time
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

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
from ..types import MediumId, Problem, SnapshotId
from .clock import zone_minutes
from .clones import claim_medium
from .context import DossierContext


def put_record(dossier: DossierContext, kind: RecordType, *, mandatory: bool, payload: Mapping[int, object]) -> None:
    """Sign a record of type `kind` as this station and store it."""
    context = dossier.repository
    claim_medium(context)
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


@dataclass(slots=True)
class ReadRecords:
    """What the records of a dossier say that bears on its history."""

    forgotten: set[SnapshotId] = field(default_factory=set)
    copied: dict[MediumId, set[SnapshotId]] = field(default_factory=dict)
    """For each medium that was copied to, what was whole there then."""


def read_records(
    dossier: DossierContext, stations: Mapping[bytes, StationRecord], problems: list[Problem]
) -> ReadRecords:
    """Return what signed records say was forgotten, and what was copied where. `stations` is by id.

    A record of a revoked station counts for nothing, whenever it says it was written: what was good of it was signed
    again when the station was revoked.
    """
    read = ReadRecords()
    doubtful: list[tuple[str, set[SnapshotId]]] = []
    wanted = (RecordType.FORGET, RecordType.COPIED)
    for record in signed_records(dossier, wanted, stations, problems):
        if record.type == RecordType.COPIED:
            if record.signer.last_number is None:
                medium_id, roster = record.facts.copied()
                read.copied.setdefault(medium_id, set()).update(roster)
        elif record.signer.last_number is None:
            read.forgotten.update(record.facts.snapshot_ids())
        else:
            doubtful.append((record.name, set(record.facts.snapshot_ids())))
    for name, snapshots in doubtful:
        if not snapshots <= read.forgotten:
            message = f"{name} was signed by a station that is revoked; it does not count."
            problems.append(Problem(code="revoked_signer", path=name, message=message))
    return read


def confirm_records_of(dossier: DossierContext, public_key: bytes, stations: Mapping[bytes, StationRecord]) -> None:
    """Sign again, as this station, what another one had forgotten by now; it is about to be revoked."""
    theirs: set[SnapshotId] = set()
    for record in signed_records(dossier, (RecordType.FORGET,), stations, []):
        if record.signer.public_key == public_key and record.signer.last_number is None:
            theirs.update(record.facts.snapshot_ids())
    if theirs:
        put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload(theirs))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRecord:
    """A record that a station of the dossier signed."""

    name: str
    data: bytes
    type: int
    facts: RecordFacts
    signer: StationRecord


def signed_records(
    dossier: DossierContext,
    wanted: Container[int] | None,
    stations: Mapping[bytes, StationRecord],
    problems: list[Problem],
) -> Iterator[SignedRecord]:
    """Yield the records of some types, or of all, that some station of the dossier signed.

    What else is there of these types becomes `problems`."""
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
            if wanted is not None and sealed.type not in wanted:
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
            yield SignedRecord(name=item.name, data=data, type=sealed.type, facts=facts, signer=signer)
