"""Keysets: three answers of a slot, stations, epochs, forged copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from snapstore.crypto.keys import DossierKeys
from snapstore.crypto.signing import SigningKey
from snapstore.errors import DamagedObjectError, InputError, NotEnrolledError, TamperedError
from snapstore.format.envelope import Envelope, Kind
from snapstore.format.keyset import (
    Keyset,
    PrivateHalves,
    SlotKind,
    StationRecord,
    build_keyset,
    decode_keyset,
    make_slot,
)
from snapstore.format.packing import decode, encode
from snapstore.format.signed import decode_signed, encode_signed
from snapstore.types import DossierId, RepositoryId

MASTER = b"m" * 32
STATIONS = (
    StationRecord(public_key=b"1" * 32, enrolled_ns=1, name="Kasse"),
    StationRecord(public_key=b"2" * 32, enrolled_ns=2, name="büro", last_number=4, revoked_ns=9),
)
Build = Callable[..., bytes]


@pytest.fixture
def build(repository_id: RepositoryId, dossier_id: DossierId, keys: DossierKeys, private: PrivateHalves) -> Build:
    def made(**changes: object) -> bytes:
        slot = make_slot(SlotKind.SECRET, 1, MASTER, private, repository_id, dossier_id)
        arguments: dict[str, object] = {
            "repository_id": repository_id,
            "dossier_id": dossier_id,
            "generation": 1,
            "keys": [keys, replace(keys, epoch=1, maintenance=b"o" * 32)],
            "private": private,
            "slots": [slot],
            "stations": STATIONS,
            "name": "Müller",
            "created_ns": 3,
        }
        return build_keyset(**(arguments | changes))  # type: ignore[arg-type]

    return made


@pytest.fixture
def keyset(build: Build) -> Keyset:
    return decode_keyset(build())


def test_the_secret_opens_everything(keyset: Keyset, keys: DossierKeys) -> None:
    private = keyset.open_slot(keyset.slots[0], MASTER)
    assert private is not None
    newest, oldest = keyset.open_keys(private)
    assert newest == keys
    assert oldest.epoch == 1
    assert keyset.name(newest) == "Müller"
    assert keyset.stations(newest.maintenance_keys, newest) == STATIONS


def test_the_maintenance_key_alone_shows_stations_without_names(keyset: Keyset, keys: DossierKeys) -> None:
    found = keyset.stations(keys.maintenance_keys, None)
    assert [item.public_key for item in found] == [b"1" * 32, b"2" * 32]
    assert [item.name for item in found] == [None, None]
    assert [item.last_number for item in found] == [None, 4]


def test_another_secret_is_no_error(keyset: Keyset) -> None:
    assert keyset.open_slot(keyset.slots[0], bytes(32)) is None


def test_a_damaged_slot_is_no_wrong_secret(keyset: Keyset) -> None:
    slot = keyset.slots[0]
    for damaged in (
        replace(slot, commitment=bytes(32)),
        replace(slot, wrapped=bytes(len(slot.wrapped))),
        replace(slot, kind=2),
        replace(slot, hash=bytes(16)),
    ):
        assert damaged.damaged
        with pytest.raises(DamagedObjectError):
            keyset.open_slot(damaged, MASTER)


def test_a_slot_with_other_keys_than_the_keysets_is_tampering(keyset: Keyset) -> None:
    other = PrivateHalves.generate()
    slot = make_slot(SlotKind.SECRET, 1, MASTER, other, keyset.repository_id, keyset.dossier_id)
    with pytest.raises(TamperedError):
        keyset.open_slot(slot, MASTER)


def test_a_slot_of_another_dossier_does_not_open(keyset: Keyset, private: PrivateHalves) -> None:
    slot = make_slot(SlotKind.SECRET, 1, MASTER, private, keyset.repository_id, DossierId(bytes(16)))
    with pytest.raises(DamagedObjectError):
        keyset.open_slot(slot, MASTER)


def test_keys_of_another_epoch_are_outdated_and_not_damage(keyset: Keyset, keys: DossierKeys) -> None:
    older = replace(keys, epoch=1)
    with pytest.raises(NotEnrolledError):
        keyset.name(older)
    with pytest.raises(NotEnrolledError):
        keyset.stations(older.maintenance_keys, None)


def test_sections_are_bound_to_their_generation(build: Build, private: PrivateHalves, keys: DossierKeys) -> None:
    data = build()
    body = decode(decode_signed(Kind.KEYSET, data).body, what="keyset") | {2: 2}
    raised = decode_keyset(encode_signed(Envelope.of(Kind.KEYSET, 2), encode(body), private.signing))
    assert raised.generation == 2
    for opened in (
        lambda: raised.open_keys(private),
        lambda: raised.name(keys),
        lambda: raised.stations(keys.maintenance_keys, keys),
    ):
        with pytest.raises(DamagedObjectError):
            opened()


def test_a_keyset_signed_by_another_key_is_tampering(build: Build) -> None:
    signed = decode_signed(Kind.KEYSET, build())
    with pytest.raises(TamperedError):
        decode_keyset(encode_signed(signed.envelope, signed.body, SigningKey.generate()))


def test_unknown_kinds_of_slot_are_kept(build: Build, keyset: Keyset, private: PrivateHalves) -> None:
    future = make_slot(99, 1, MASTER, private, keyset.repository_id, keyset.dossier_id)  # type: ignore[arg-type]
    decoded = decode_keyset(build(slots=[*keyset.slots, future]))
    assert [slot.kind for slot in decoded.slots] == [SlotKind.SECRET, 99]
    assert decoded.slots[0].kind is SlotKind.SECRET


@pytest.mark.parametrize(
    "changes",
    [
        {"slots": []},
        {"keys": []},
        {"name": "\ud800"},
        {"stations": [replace(STATIONS[0], name=None)]},
        {"stations": [STATIONS[0]] * 1001},
    ],
)
def test_what_no_keyset_may_hold_is_refused_before_it_is_built(build: Build, changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        build(**changes)


def test_the_repr_of_a_keyset_and_its_keys_shows_no_secret(keyset: Keyset, private: PrivateHalves) -> None:
    shown = repr([keyset, private, keyset.open_keys(private)])
    for secret in (private.signing.seed, private.hybrid.to_bytes()[:32], b"m" * 32, b"k" * 32):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
