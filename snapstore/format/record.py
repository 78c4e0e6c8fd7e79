"""Records: signed notes of what was done to a dossier.

Here: the types, `RecordFacts` with their payloads, and `SealedRecord`, which decoding gives. Not here: what follows
from a record (what is forgotten, held, or due).

Rules (docs/format/09-records.md): type and mandatory flag are clear, so that a program without keys, or older than
the type, knows whether it may go on. Whether a known type is mandatory is fixed; an unknown one says so itself, keeps
its payload undecoded, and is no error to read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ..crypto.entropy import random_bytes
from ..crypto.keys import MaintenanceKeys
from ..crypto.sealing import seal, unseal
from ..crypto.signing import SigningKey
from ..errors import InputError
from ..types import DossierId, MediumId, RecordId, RepositoryId, SnapshotId, StationId
from .envelope import Envelope, Kind
from .manifest import ZONE_MAX_MINUTES
from .packing import (
    I64_MAX,
    I64_MIN,
    U32_MAX,
    Fields,
    damaged,
    decode,
    encode,
    join_ids,
)
from .sealed import need_epoch
from .signed import SignedObject, decode_signed, encode_signed

_RECORD: Final = "record"
_U32: Final = struct.Struct("<I")


class RecordType(IntEnum):
    """What a record says."""

    FORGET = 1
    HOLD = 2
    RELEASE = 3
    CHECKED = 4
    DRILL = 5
    RUN = 6
    QUARANTINE = 7
    COPIED = 8
    DOSSIER_REMOVED = 9


MANDATORY: Final = frozenset(
    (
        RecordType.FORGET,
        RecordType.HOLD,
        RecordType.RELEASE,
        RecordType.QUARANTINE,
        RecordType.DOSSIER_REMOVED,
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    """What the maintenance key opens. `payload` has the keys that docs/format/09-records.md lists for the type."""

    station_id: StationId
    time_ns: int
    zone_minutes: int
    payload: Mapping[int, object]

    def snapshot_ids(self) -> tuple[SnapshotId, ...]:
        """The snapshots that a forget, hold or release record is about."""
        return tuple(SnapshotId(item) for item in Fields(self.payload, _RECORD, (0,)).ids(0))

    def names(self) -> tuple[str, ...]:
        """The full names that a quarantine record is about."""
        return Fields(self.payload, _RECORD, (0,)).texts(0)

    def copied(self) -> tuple[MediumId, tuple[SnapshotId, ...]]:
        """The receiving medium of a copied record, and its roster."""
        fields = Fields(self.payload, _RECORD, (0, 1))
        return MediumId(fields.octets(0, 16)), tuple(SnapshotId(item) for item in fields.ids(1))

    def verdict(self) -> tuple[int, bool]:
        """Of a checked or drill record: how much was looked at, and whether it was whole."""
        fields = Fields(self.payload, _RECORD, (0, 1))
        return fields.integer(0), fields.flag(1)


def ids_payload(ids: Iterable[SnapshotId]) -> dict[int, object]:
    """The payload of a forget, hold or release record."""
    return {0: join_ids(ids)}


def copied_payload(medium_id: MediumId, roster: Iterable[SnapshotId]) -> dict[int, object]:
    """The payload of a copied record: the receiving medium and what lives there now."""
    return {0: medium_id, 1: join_ids(roster)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRecord:
    """A decoded record: its clear fields, and its section still closed."""

    repository_id: RepositoryId
    dossier_id: DossierId
    record_id: RecordId
    type: int
    mandatory: bool
    section: bytes = field(repr=False)
    signed: SignedObject = field(repr=False)

    @property
    def envelope(self) -> Envelope:
        """The clear envelope; its epoch says which keys open the rest."""
        return self.signed.envelope

    @property
    def epoch(self) -> int:
        """The epoch of the keys that open it."""
        return self.signed.envelope.epoch

    @property
    def known(self) -> bool:
        """Whether this version knows the type."""
        return self.type in _PAYLOADS

    @property
    def blocks(self) -> bool:
        """Whether forgetting and pruning must not go on because this version does not know what the record says."""
        return self.mandatory and not self.known

    def verify(self, public_key: bytes) -> bool:
        """Whether the station with that key signed it."""
        return self.signed.verify(public_key)

    def open(self, maintenance: MaintenanceKeys) -> RecordFacts:
        """The facts; the payload is checked if the type is known. The keys must be those of `epoch`."""
        need_epoch(maintenance.epoch, self.epoch, _RECORD)
        data = _section_data(self.signed.envelope, self.repository_id, self.dossier_id, self.record_id, self.type)
        value = decode(unseal(maintenance.record, self.section, data), what=_RECORD)
        fields = Fields(value, _RECORD, range(4))
        payload = fields.raw(3)
        if type(payload) is not dict:
            raise damaged(_RECORD, "has no payload")
        check = _PAYLOADS.get(self.type)
        if check is not None:
            check(payload)
        return RecordFacts(
            station_id=StationId(fields.octets(0, 16)),
            time_ns=fields.integer(1, I64_MIN, I64_MAX),
            zone_minutes=fields.integer(2, -ZONE_MAX_MINUTES, ZONE_MAX_MINUTES),
            payload=payload,
        )


def _check_ids(payload: object) -> None:
    Fields(payload, _RECORD, (0,)).ids(0)


def _check_verdict(payload: object) -> None:
    fields = Fields(payload, _RECORD, (0, 1))
    fields.integer(0)
    fields.flag(1)


def _check_run(payload: object) -> None:
    fields = Fields(payload, _RECORD, range(5))
    for key in range(5):
        fields.integer(key)


def _check_names(payload: object) -> None:
    Fields(payload, _RECORD, (0,)).texts(0)


def _check_copied(payload: object) -> None:
    fields = Fields(payload, _RECORD, (0, 1))
    fields.octets(0, 16)
    fields.ids(1)


def _check_nothing(payload: object) -> None:
    Fields(payload, _RECORD, ())


_PAYLOADS: Final[dict[int, Callable[[object], None]]] = {
    RecordType.FORGET: _check_ids,
    RecordType.HOLD: _check_ids,
    RecordType.RELEASE: _check_ids,
    RecordType.CHECKED: _check_verdict,
    RecordType.DRILL: _check_verdict,
    RecordType.RUN: _check_run,
    RecordType.QUARANTINE: _check_names,
    RecordType.COPIED: _check_copied,
    RecordType.DOSSIER_REMOVED: _check_nothing,
}


def _section_data(
    envelope: Envelope, repository_id: RepositoryId, dossier_id: DossierId, record_id: RecordId, record_type: int
) -> bytes:
    return repository_id + envelope.encode() + dossier_id + record_id + _U32.pack(record_type)


def encode_record(  # noqa: PLR0913 - each is a field of the object, or fixes one in a test
    *,
    repository_id: RepositoryId,
    dossier_id: DossierId,
    type: int,
    mandatory: bool,
    facts: RecordFacts,
    maintenance: MaintenanceKeys,
    station_key: SigningKey,
    record_id: RecordId | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A whole record object, under a new id unless one is given."""
    if type in _PAYLOADS and mandatory != (type in MANDATORY):
        raise InputError("Whether a record is mandatory is fixed for its type.")
    if record_id is None:
        record_id = RecordId(random_bytes(16))
    envelope = Envelope.of(Kind.RECORD, maintenance.epoch)
    payload = dict(sorted(facts.payload.items()))
    section = encode({0: facts.station_id, 1: facts.time_ns, 2: facts.zone_minutes, 3: payload})
    data = _section_data(envelope, repository_id, dossier_id, record_id, type)
    body = {
        0: repository_id,
        1: dossier_id,
        2: record_id,
        3: int(type),
        4: mandatory,
        5: seal(maintenance.record, section, data, nonce=nonce),
    }
    return encode_signed(envelope, encode(body), station_key)


def decode_record(data: bytes) -> SealedRecord:
    """The clear fields of a record, nothing verified."""
    signed = decode_signed(Kind.RECORD, data)
    fields = Fields(decode(signed.body, what=_RECORD), _RECORD, range(6))
    record_type = fields.integer(3, 1, U32_MAX)
    mandatory = fields.flag(4)
    if record_type in _PAYLOADS and mandatory != (record_type in MANDATORY):
        raise damaged(_RECORD, "is mandatory where its type is not, or the other way round")
    return SealedRecord(
        repository_id=RepositoryId(fields.octets(0, 16)),
        dossier_id=DossierId(fields.octets(1, 16)),
        record_id=RecordId(fields.octets(2, 16)),
        type=record_type,
        mandatory=mandatory,
        section=fields.octets(5),
        signed=signed,
    )
