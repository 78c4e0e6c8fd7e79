"""Keysets: all of a dossier's keys, and who may write, in one signed object.

Here: `Keyset` (decoded, with methods that open its sealed parts), `StationRecord`, and `build_keyset`. Not here:
slots by themselves (`slot`), choosing among generations, and pinning of public keys (`snapstore.operations`).

Rules (docs/format/04-keyset.md): decoding checks the signature against the public key in the object itself, which
proves only that it is whole; that the key is the right one is proved by a secret's private halves, or by a pinned
key. What is built is decoded and opened again before it is handed out: a keyset nobody can open loses everything.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ..crypto import hybrid
from ..crypto.derivation import KEY_BYTES, digest
from ..crypto.keys import DossierKeys, EpochKeys, MaintenanceKeys
from ..crypto.sealing import seal, unseal
from ..crypto.signing import PUBLIC_KEY_BYTES
from ..errors import DamagedObjectError, InputError, TamperedError
from ..limits import FORMAT_MAX_EPOCHS, FORMAT_MAX_SLOTS, FORMAT_MAX_STATIONS
from ..types import DossierId, RepositoryId, StationId
from .envelope import Envelope, Kind
from .packing import (
    I64_MAX,
    I64_MIN,
    U16_MAX,
    U32_MAX,
    Fields,
    as_bytes,
    as_int,
    as_list,
    damaged,
    decode,
    encode,
    refuse,
)
from .sealed import need_epoch
from .signed import decode_signed, encode_signed
from .slot import PrivateHalves, Slot, SlotKind, decode_slot, encode_slot, make_slot, unwrap_slot

__all__ = [
    "Keyset",
    "PrivateHalves",
    "Slot",
    "SlotKind",
    "StationRecord",
    "build_keyset",
    "decode_keyset",
    "make_slot",
    "station_id",
]

_KEYSET: Final = "keyset"
_KEYS_INFO: Final = b"snapstore 2026-11 v1 keyset keys"
_U32: Final = struct.Struct("<I")


def station_id(public_key: bytes) -> StationId:
    """The id of the station with that Ed25519 public key."""
    return StationId(digest(public_key)[:16])


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRecord:
    """A station as the keyset lists it. `revoked_ns` and `last_number` are None for one in good standing."""

    public_key: bytes
    enrolled_ns: int
    name: str | None
    """None where the dossier's keys were not at hand."""
    last_number: int | None = None
    revoked_ns: int | None = None

    @property
    def id(self) -> StationId:
        """The id that manifests and records name."""
        return station_id(self.public_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Binding:
    """What every sealed part of a keyset is bound to."""

    repository_id: RepositoryId
    dossier_id: DossierId
    generation: int
    envelope: Envelope

    def keys_info(self) -> bytes:
        ids = self.repository_id + self.dossier_id
        return _KEYS_INFO + self.envelope.encode() + ids + _U32.pack(self.generation)

    def stations_data(self) -> bytes:
        return self.repository_id + self.envelope.encode() + self.dossier_id + _U32.pack(self.generation)

    def name_data(self) -> bytes:
        head = self.repository_id + self.envelope.encode() + self.dossier_id
        return head + b"dossier name" + _U32.pack(self.generation)

    def station_name_data(self, public_key: bytes) -> bytes:
        return self.repository_id + self.dossier_id + b"station name" + public_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """One generation of a dossier's keyset. Its signature holds; whose it is, the caller still has to find out."""

    repository_id: RepositoryId
    dossier_id: DossierId
    generation: int
    epoch: int
    hpke_public: bytes = field(repr=False)
    signing_public: bytes
    slots: tuple[Slot, ...]
    sealed_keys: bytes = field(repr=False)
    station_section: bytes = field(repr=False)
    name_section: bytes = field(repr=False)
    created_ns: int

    @property
    def _binding(self) -> _Binding:
        return _Binding(
            repository_id=self.repository_id,
            dossier_id=self.dossier_id,
            generation=self.generation,
            envelope=Envelope.of(Kind.KEYSET, self.epoch),
        )

    def open_slot(self, slot: Slot, master: bytes) -> PrivateHalves | None:
        """The private halves; None if `master` belongs to another secret; `DamagedObjectError` for a damaged slot."""
        private = unwrap_slot(slot, master, self.repository_id, self.dossier_id)
        if private is not None and not self.fits(private):
            raise TamperedError("The keyset's public keys are not those of its slots.", code="keyset_keys_differ")
        return private

    def fits(self, private: PrivateHalves) -> bool:
        """Whether the private halves belong to the public keys."""
        publics = (private.signing.public_bytes, private.hybrid.public_bytes)
        return publics == (self.signing_public, self.hpke_public)

    def open_keys(self, private: PrivateHalves) -> tuple[DossierKeys, ...]:
        """The keys of all epochs, newest first; the first is the current one."""
        plaintext = private.hybrid.decrypt(self.sealed_keys, self._binding.keys_info())
        current, rows = as_list(decode(plaintext, what=_KEYSET), _KEYSET, "sealed keys", 2)
        keys = [_decode_epoch(row) for row in as_list(rows, _KEYSET, "sealed keys")]
        epochs = [item.epoch for item in keys]
        in_order = epochs == sorted(set(epochs)) and len(epochs) <= FORMAT_MAX_EPOCHS
        if not epochs or not in_order or current != epochs[-1] or current != self.epoch:
            refuse(_KEYSET, "sealed keys")
        return tuple(reversed(keys))

    def stations(self, maintenance: MaintenanceKeys, dossier_keys: DossierKeys | None) -> tuple[StationRecord, ...]:
        """The stations in order of enrolment; their names only with the dossier's keys of the current epoch."""
        need_epoch(maintenance.epoch, self.epoch, _KEYSET)
        plaintext = unseal(maintenance.keyset, self.station_section, self._binding.stations_data())
        rows = as_list(decode(plaintext, what=_KEYSET), _KEYSET, "stations")
        if len(rows) > FORMAT_MAX_STATIONS:
            refuse(_KEYSET, "stations")
        readable = dossier_keys if dossier_keys is not None and dossier_keys.epoch == self.epoch else None
        return tuple(_decode_station(row, self._binding, readable) for row in rows)

    def name(self, dossier_keys: DossierKeys) -> str:
        """The dossier's name."""
        need_epoch(dossier_keys.epoch, self.epoch, _KEYSET)
        return _text(unseal(dossier_keys.text, self.name_section, self._binding.name_data()))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise damaged(_KEYSET, "holds a name that is not text") from error


def _encode_text(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError("A name holds something that is not a character.", code="not_encodable") from error


def _decode_epoch(row: object) -> DossierKeys:
    name = "sealed keys"
    epoch, maintenance, content, chunker, dossier = as_list(row, _KEYSET, name, 5)
    return DossierKeys(
        epoch=as_int(epoch, _KEYSET, name, 1, U16_MAX),
        maintenance=as_bytes(maintenance, _KEYSET, name, KEY_BYTES),
        content=None if content is None else as_bytes(content, _KEYSET, name, KEY_BYTES),
        chunker=as_bytes(chunker, _KEYSET, name, KEY_BYTES),
        dossier=as_bytes(dossier, _KEYSET, name, KEY_BYTES),
    )


def _decode_station(row: object, binding: _Binding, keys: DossierKeys | None) -> StationRecord:
    field_name = "stations"
    public, enrolled, sealed_name, last_number, revoked = as_list(row, _KEYSET, field_name, 5)
    public_key = as_bytes(public, _KEYSET, field_name, PUBLIC_KEY_BYTES)
    sealed = as_bytes(sealed_name, _KEYSET, field_name)
    if (last_number is None) != (revoked is None):
        refuse(_KEYSET, field_name)
    name = None if keys is None else _text(unseal(keys.text, sealed, binding.station_name_data(public_key)))
    return StationRecord(
        public_key=public_key,
        enrolled_ns=as_int(enrolled, _KEYSET, field_name, I64_MIN, I64_MAX),
        name=name,
        last_number=None if last_number is None else as_int(last_number, _KEYSET, field_name),
        revoked_ns=None if revoked is None else as_int(revoked, _KEYSET, field_name, I64_MIN, I64_MAX),
    )


def decode_keyset(data: bytes) -> Keyset:
    """The keyset in an object. `TamperedError` if its signature does not hold."""
    signed = decode_signed(Kind.KEYSET, data)
    fields = Fields(decode(signed.body, what=_KEYSET), _KEYSET, range(10))
    signing_public = fields.octets(4, PUBLIC_KEY_BYTES)
    if not signed.verify(signing_public):
        raise TamperedError("A keyset's signature does not hold: it was altered or forged.", code="bad_signature")
    slots = tuple(decode_slot(item, _KEYSET) for item in fields.items(5))
    if not 1 <= len(slots) <= FORMAT_MAX_SLOTS:
        refuse(_KEYSET, "slots")
    return Keyset(
        repository_id=RepositoryId(fields.octets(0, 16)),
        dossier_id=DossierId(fields.octets(1, 16)),
        generation=fields.integer(2, 1, U32_MAX),
        epoch=signed.envelope.epoch,
        hpke_public=fields.octets(3, hybrid.PUBLIC_KEY_BYTES),
        signing_public=signing_public,
        slots=slots,
        sealed_keys=fields.octets(6),
        station_section=fields.octets(7),
        name_section=fields.octets(8),
        created_ns=fields.integer(9, I64_MIN, I64_MAX),
    )


def build_keyset(  # noqa: PLR0913 - each is a field of the object
    *,
    repository_id: RepositoryId,
    dossier_id: DossierId,
    generation: int,
    keys: Sequence[EpochKeys],
    private: PrivateHalves,
    slots: Sequence[Slot],
    stations: Sequence[StationRecord],
    name: str,
    created_ns: int,
) -> bytes:
    """A whole keyset object; the epoch of the newest of `keys` is the current one."""
    if not keys or not 1 <= len(slots) <= FORMAT_MAX_SLOTS or len(stations) > FORMAT_MAX_STATIONS:
        raise InputError("A keyset has keys, 1 to 64 slots, and at most 1,000 stations.", code="keyset_contents")
    rising = [DossierKeys.of(item) for item in sorted(keys, key=lambda item: item.epoch)]
    current = rising[-1]
    envelope = Envelope.of(Kind.KEYSET, current.epoch)
    binding = _Binding(repository_id=repository_id, dossier_id=dossier_id, generation=generation, envelope=envelope)
    epochs = [[item.epoch, item.maintenance, item.content, item.chunker, item.dossier] for item in rising]
    station_rows = [_encode_station(station, binding, current) for station in stations]
    body = {
        0: repository_id,
        1: dossier_id,
        2: generation,
        3: private.hybrid.public_bytes,
        4: private.signing.public_bytes,
        5: [encode_slot(slot) for slot in slots],
        6: hybrid.encrypt(private.hybrid.public_bytes, encode([current.epoch, epochs]), binding.keys_info()),
        7: seal(current.maintenance_keys.keyset, encode(station_rows), binding.stations_data()),
        8: seal(current.text, _encode_text(name), binding.name_data()),
        9: created_ns,
    }
    data = encode_signed(envelope, encode(body), private.signing)
    _check_built(data, private, rising, tuple(stations), name)
    return data


def _encode_station(station: StationRecord, binding: _Binding, keys: DossierKeys) -> list[object]:
    if station.name is None:
        raise InputError("A station's name is not known; open the stations with the dossier's keys.")
    sealed = seal(keys.text, _encode_text(station.name), binding.station_name_data(station.public_key))
    return [station.public_key, station.enrolled_ns, sealed, station.last_number, station.revoked_ns]


def _check_built(
    data: bytes, private: PrivateHalves, rising: list[DossierKeys], stations: tuple[StationRecord, ...], name: str
) -> None:
    keyset = decode_keyset(data)
    keys = keyset.open_keys(private)
    whole = (
        list(keys) == rising[::-1]
        and keyset.stations(keys[0].maintenance_keys, keys[0]) == stations
        and keyset.name(keys[0]) == name
    )
    if not whole:
        raise DamagedObjectError("A new keyset does not give back what was put in.", code="keyset_contents")
