"""Signed records of what was done to a dossier: writing and reading.

Here: putting one, and reading which snapshots were forgotten, which are held, and which were copied where. Not here:
when records are due.

Rules: a record that is damaged or signed by nobody known counts for nothing and is reported. A snapshot is held if more
hold records than release records name it; the same record stored twice counts once (docs/format/09-records.md).
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from ..blobs.naming import put_named
from ..blobs.places import get_from_place
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
from ..format.names import (
    CONDEMN,
    DOSSIERS,
    OK,
    RECORDS,
    SNAPSHOTS,
    dossier_folder,
    dossier_path,
    name_matches,
    valid_name,
)
from ..format.record import RecordFacts, RecordType, decode_record, encode_record, ids_payload
from ..stores.cached import warm
from ..types import DossierId, MediumId, Problem, RecordId, SnapshotId
from .clock import zone_minutes
from .clones import claim_medium
from .context import DossierContext


def put_record(dossier: DossierContext, kind: RecordType, *, mandatory: bool, payload: Mapping[int, object]) -> str:
    """Sign a record of type `kind` as this station and store it; returns its name."""
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
    return put_named(context.store, lambda name: dossier_path("records", dossier.id, name), data)


@dataclass(slots=True)
class ReadRecords:
    """What the records of a dossier say that bears on its history."""

    forgotten: set[SnapshotId] = field(default_factory=set)
    copied: dict[MediumId, set[SnapshotId]] = field(default_factory=dict)
    """For each medium that was copied to, what was whole there then."""
    set_aside: set[str] = field(default_factory=set)
    """Full names of objects that count as absent as long as they cannot be read."""
    balance: Counter[SnapshotId] = field(default_factory=Counter)
    """How many more hold records than release records name a snapshot."""

    results: dict[int, SignedRecord] = field(default_factory=dict)
    """The newest record of a check and of a drill, by type."""

    def held(self) -> set[SnapshotId]:
        """Return the snapshots that no policy forgets."""
        return {snapshot_id for snapshot_id, more in self.balance.items() if more > 0}


def read_records(
    dossier: DossierContext, stations: Mapping[bytes, StationRecord], problems: list[Problem]
) -> ReadRecords:
    """Return what signed records say was forgotten, and what was copied where. `stations` is by id.

    A record of a revoked station counts for nothing, whenever it says it was written: what was good of it was signed
    again when the station was revoked.
    """
    read = ReadRecords()
    doubtful: list[tuple[str, set[SnapshotId]]] = []
    seen: set[RecordId] = set()
    wanted = (RecordType.FORGET, RecordType.COPIED, RecordType.QUARANTINE, *_HOLDING, *_RESULTS)
    for record in signed_records(dossier, wanted, stations, problems):
        if record.signer.last_number is None:
            _take(read, record, seen)
        elif record.type == RecordType.FORGET:
            doubtful.append((record.name, set(record.facts.snapshot_ids())))
    for name, snapshots in doubtful:
        if not snapshots <= read.forgotten:
            message = f"{name} was signed by a station that is revoked; it does not count."
            problems.append(Problem(code="revoked_signer", path=name, message=message))
    return read


def _take(read: ReadRecords, record: SignedRecord, seen: set[RecordId]) -> None:
    """Add what a record of a station in good standing says. `seen` are those that count once only."""
    if record.type in _RESULTS:
        known = read.results.get(record.type)
        if known is None or known.facts.time_ns <= record.facts.time_ns:
            read.results[record.type] = record
    elif record.type in _HOLDING:
        if record.id not in seen:
            seen.add(record.id)
            read.balance.update(_weights(record))
    elif record.type == RecordType.QUARANTINE:
        read.set_aside.update(set_aside_by(record))
    elif record.type == RecordType.COPIED:
        medium_id, roster = record.facts.copied()
        read.copied.setdefault(medium_id, set()).update(roster)
    else:
        read.forgotten.update(record.facts.snapshot_ids())


def confirm_records_of(dossier: DossierContext, public_key: bytes, stations: Mapping[bytes, StationRecord]) -> None:
    """Sign again, as this station, what another one had forgotten, held and released by now; it is about to be
    revoked.
    """
    theirs: set[SnapshotId] = set()
    balance: Counter[SnapshotId] = Counter()
    seen: set[RecordId] = set()
    for record in signed_records(dossier, (RecordType.FORGET, *_HOLDING), stations, []):
        if record.signer.public_key != public_key or record.signer.last_number is not None or record.id in seen:
            continue
        seen.add(record.id)
        if record.type == RecordType.FORGET:
            theirs.update(record.facts.snapshot_ids())
        else:
            balance.update(_weights(record))
    put_balance(dossier, balance)  # holds first: nobody is to see less of them than there are
    if theirs:
        put_record(dossier, RecordType.FORGET, mandatory=True, payload=ids_payload(theirs))


def put_balance(dossier: DossierContext, balance: Mapping[SnapshotId, int]) -> None:
    """Put as many hold records as `balance` says for each snapshot; release records where it is below zero."""
    for kind, sign in ((RecordType.HOLD, 1), (RecordType.RELEASE, -1)):
        for step in itertools.count(1):
            named = [snapshot_id for snapshot_id, more in balance.items() if sign * more >= step]
            if not named:
                break
            put_record(dossier, kind, mandatory=True, payload=ids_payload(named))


_HOLDING = (RecordType.HOLD, RecordType.RELEASE)
_RESULTS = (RecordType.CHECKED, RecordType.DRILL)


def _weights(record: SignedRecord) -> dict[SnapshotId, int]:
    """Return what a hold or release record adds to the balance of each snapshot that it names."""
    return dict.fromkeys(record.facts.snapshot_ids(), 1 if record.type == RecordType.HOLD else -1)


def set_aside_by(record: SignedRecord) -> list[str]:
    """Return what a quarantine record sets aside of what it names (docs/format/09-records.md)."""
    return [name for name in record.facts.names() if may_be_set_aside(name, record.dossier_id)]


def may_be_set_aside(name: str, dossier_id: DossierId) -> bool:
    """Tell whether a quarantine record of a dossier can be about an object."""
    folder, *rest = name.split("/")
    if folder in (CONDEMN, DOSSIERS):  # of a dossier without a keyset nobody can sign a record
        return len(rest) == 1 and (valid_name(rest[0]) or folder == DOSSIERS)
    fits = folder in (SNAPSHOTS, OK, RECORDS) and len(rest) == 2
    return fits and rest[0] == dossier_folder(dossier_id) and valid_name(rest[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRecord:
    """A record that a station of the dossier signed."""

    name: str
    data: bytes
    id: RecordId
    dossier_id: DossierId
    type: int
    blocks: bool
    """Whether it is of a type that this version does not know and must."""
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
            data = get_from_place(context.store, item.name)
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
            yield SignedRecord(
                name=item.name,
                data=data,
                id=sealed.record_id,
                dossier_id=dossier.id,
                type=sealed.type,
                blocks=sealed.blocks,
                facts=facts,
                signer=signer,
            )
