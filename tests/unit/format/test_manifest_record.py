"""Manifests, records and notes: which key opens which part, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snapstore.crypto.keys import DossierKeys, MaintenanceKeys
from snapstore.crypto.signing import SigningKey
from snapstore.errors import DamagedObjectError, InputError, NotEnrolledError, UnsupportedFormatError
from snapstore.format.keyset import PrivateHalves, station_id
from snapstore.format.manifest import (
    Manifest,
    ManifestFacts,
    ManifestText,
    SealedManifest,
    decode_manifest,
    encode_manifest,
)
from snapstore.format.notes import (
    Condemn,
    SessionNote,
    decode_condemn,
    decode_session,
    encode_condemn,
    encode_session,
)
from snapstore.format.record import RecordFacts, RecordType, copied_payload, decode_record, encode_record, ids_payload
from snapstore.types import (
    BlobId,
    DossierId,
    MediumId,
    PlainHash,
    Problem,
    RepositoryId,
    SnapshotId,
    SnapshotKind,
    StationId,
)

SNAPSHOT = SnapshotId(b"s" * 16)
ROOT = PlainHash(b"h" * 32)
FACTS = ManifestFacts(
    number=1,
    time_ns=-5,
    zone_minutes=-300,
    root_id=BlobId(b"i" * 32),
    files=1,
    directories=2,
    others=3,
    total_bytes=4,
    added_bytes=5,
    kind=SnapshotKind.MANUAL,
    medium_id=MediumId(b"m" * 16),
    station_id=StationId(b"t" * 16),
    roster=(SnapshotId(b"a" * 16), SNAPSHOT),
    duration_ms=6,
    problem_count=0,
)
TEXT = ManifestText(label=None, host="host", user="", sources=("/a",), problems=(), version="1", excludes=())


@pytest.fixture
def manifest(repository_id: RepositoryId, dossier_id: DossierId) -> Manifest:
    return Manifest(
        repository_id=repository_id,
        dossier_id=dossier_id,
        snapshot_id=SNAPSHOT,
        keyset_generation=1,
        facts=FACTS,
        text=TEXT,
    )


def stored(manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey) -> SealedManifest:
    data = encode_manifest(
        manifest,
        keys=keys,
        maintenance=keys.maintenance_keys,
        hpke_public=private.hybrid.public_bytes,
        root_hash=ROOT,
        station_key=station,
    )
    return decode_manifest(data)


def test_each_key_opens_its_part(
    manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey
) -> None:
    sealed = stored(manifest, keys, private, station)
    assert sealed.verify(station.public_bytes)
    assert sealed.open_maintenance(keys.maintenance_keys) == FACTS
    assert sealed.open_text(keys) == TEXT
    assert sealed.open_root(private.hybrid) == ROOT
    assert (sealed.snapshot_id, sealed.epoch, sealed.envelope.epoch) == (SNAPSHOT, 2, 2)


def test_other_keys_open_nothing(
    manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey
) -> None:
    sealed = stored(manifest, keys, private, station)
    with pytest.raises(DamagedObjectError):
        sealed.open_maintenance(MaintenanceKeys(2, bytes(32)))
    with pytest.raises(DamagedObjectError):
        sealed.open_text(replace(keys, dossier=bytes(32)))
    with pytest.raises(DamagedObjectError):
        sealed.open_root(PrivateHalves.generate().hybrid)
    with pytest.raises(NotEnrolledError):
        sealed.open_text(replace(keys, epoch=1))
    with pytest.raises(DamagedObjectError):
        replace(sealed, snapshot_id=SnapshotId(bytes(16))).open_text(keys)


def test_paths_and_names_that_are_no_text_do_not_stop_a_snapshot(
    manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey
) -> None:
    problems = tuple(
        Problem(code="x", path=path, message="\ud800?") for path in ("a\udcff", "b\ud801\udc80", "c\ud800")
    )
    text = replace(TEXT, label="ä\udcff", host="\ud800", problems=problems)
    opened = stored(replace(manifest, text=text), keys, private, station).open_text(keys)
    assert opened.label == "ä?"
    assert opened.problems[0].path == "a\udcff"
    assert len(opened.problems) == 3


def test_a_thousand_problems_are_kept(
    manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey
) -> None:
    text = replace(TEXT, problems=(Problem(code="x", path="p", message="m"),) * 1200)
    assert len(stored(replace(manifest, text=text), keys, private, station).open_text(keys).problems) == 1000


@pytest.mark.parametrize("change", [{"roster": ()}, {"number": 0}, {"zone_minutes": 1500}, {"root_id": b""}])
def test_impossible_facts_are_damage(
    manifest: Manifest, keys: DossierKeys, private: PrivateHalves, station: SigningKey, change: dict[str, object]
) -> None:
    facts = replace(FACTS, **change)  # type: ignore[arg-type]
    with pytest.raises(DamagedObjectError):
        stored(replace(manifest, facts=facts), keys, private, station).open_maintenance(keys.maintenance_keys)


# --- records and notes -------------------------------------------------------------------------------------------


def record(
    repository_id: RepositoryId,
    dossier_id: DossierId,
    maintenance: MaintenanceKeys,
    station: SigningKey,
    kind: int,
    payload: dict[int, object],
    *,
    mandatory: bool,
) -> bytes:
    facts = RecordFacts(station_id=station_id(station.public_bytes), time_ns=1, zone_minutes=60, payload=payload)
    return encode_record(
        repository_id=repository_id,
        dossier_id=dossier_id,
        type=kind,
        mandatory=mandatory,
        facts=facts,
        maintenance=maintenance,
        station_key=station,
    )


@pytest.mark.parametrize(
    ("kind", "payload", "mandatory"),
    [
        (RecordType.FORGET, ids_payload([SNAPSHOT, SnapshotId(b"a" * 16)]), True),
        (RecordType.HOLD, ids_payload([]), True),
        (RecordType.RELEASE, ids_payload([SNAPSHOT]), True),
        (RecordType.CHECKED, {0: 5, 1: True}, False),
        (RecordType.DRILL, {0: 5, 1: False}, False),
        (RecordType.RUN, {0: 1, 1: 0, 2: 30, 3: 4, 4: 0}, False),
        (RecordType.QUARANTINE, {0: ["packs/0/x"]}, True),
        (RecordType.COPIED, copied_payload(MediumId(b"m" * 16), [SNAPSHOT]), False),
        (RecordType.DOSSIER_REMOVED, {}, True),
        (77, {0: "from the future", 9: [1]}, True),
    ],
)
def test_records_come_back(
    repository_id: RepositoryId,
    dossier_id: DossierId,
    maintenance: MaintenanceKeys,
    station: SigningKey,
    kind: int,
    payload: dict[int, object],
    mandatory: bool,
) -> None:
    sealed = decode_record(record(repository_id, dossier_id, maintenance, station, kind, payload, mandatory=mandatory))
    assert sealed.verify(station.public_bytes)
    assert sealed.open(maintenance).payload == payload
    assert (sealed.type, sealed.mandatory) == (kind, mandatory)
    assert sealed.blocks == (kind == 77)
    with pytest.raises(DamagedObjectError):
        replace(sealed, type=2 if kind != 2 else 3).open(maintenance)


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        (RecordType.FORGET, {}, DamagedObjectError),
        (RecordType.FORGET, {0: b"short"}, DamagedObjectError),
        (RecordType.FORGET, {0: b"b" * 16 + b"a" * 16}, DamagedObjectError),
        (RecordType.FORGET, {0: b"", 1: 0}, UnsupportedFormatError),
        (RecordType.QUARANTINE, {0: [b"x"]}, DamagedObjectError),
        (RecordType.DOSSIER_REMOVED, {0: 0}, UnsupportedFormatError),
    ],
)
def test_payloads_that_do_not_fit_their_type_are_refused(
    repository_id: RepositoryId,
    dossier_id: DossierId,
    maintenance: MaintenanceKeys,
    station: SigningKey,
    kind: int,
    payload: dict[int, object],
    error: type[Exception],
) -> None:
    sealed = decode_record(record(repository_id, dossier_id, maintenance, station, kind, payload, mandatory=True))
    with pytest.raises(error):
        sealed.open(maintenance)


def test_whether_a_known_type_is_mandatory_is_fixed(
    repository_id: RepositoryId, dossier_id: DossierId, maintenance: MaintenanceKeys, station: SigningKey
) -> None:
    with pytest.raises(InputError):
        record(repository_id, dossier_id, maintenance, station, RecordType.FORGET, {0: b""}, mandatory=False)


def test_notes_come_back(repository_id: RepositoryId, dossier_id: DossierId, maintenance: MaintenanceKeys) -> None:
    condemn = Condemn(station_id=StationId(bytes(16)), time_ns=4, packs=("0" * 32, "1" * 32))
    data = encode_condemn(maintenance, repository_id, condemn)
    assert decode_condemn(maintenance, repository_id, data) == condemn
    note = SessionNote(station_id=StationId(bytes(16)), dossier_id=dossier_id, start_ns=4)
    assert decode_session(maintenance, repository_id, encode_session(maintenance, repository_id, note)) == note
    with pytest.raises(DamagedObjectError):
        decode_session(maintenance, repository_id, data)


@pytest.mark.parametrize("packs", [(), ("short",), ("Z" * 32,)])
def test_a_condemn_object_names_whole_packs(
    repository_id: RepositoryId, maintenance: MaintenanceKeys, packs: tuple[str, ...]
) -> None:
    condemn = Condemn(station_id=StationId(bytes(16)), time_ns=4, packs=packs)
    with pytest.raises(DamagedObjectError):
        decode_condemn(maintenance, repository_id, encode_condemn(maintenance, repository_id, condemn))
