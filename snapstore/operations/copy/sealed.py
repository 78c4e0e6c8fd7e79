"""Dossiers as a copier sees them who may hold no more than the maintenance key.

Here: which dossiers there are, and bringing their keysets and records to a twin. Not here: snapshots (`twin`).

Rules: a dossier that this station is not enrolled in has no keys and no name here, but its stations, manifests and
records can be verified. Keysets of the highest valid generation are copied, all of them where stations published at
once; one of a lower generation than the destination's only where it names or revokes a station that none there does:
keys were changed on both sides then. Records are copied as they are, the mandatory ones first, so that
no prune runs ahead of a hold; but none that speaks of one medium's own objects (checked, quarantine), none that the
dossier was removed, and none that would make the destination forget a snapshot which it still holds: copying takes
nothing away. Objects that the destination has are known by the hash in their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...blobs.naming import put_named
from ...crypto.derivation import digest
from ...errors import DamageError, NotEnrolledError, SnapstoreError
from ...format.keyset import Keyset, StationRecord
from ...format.names import HASH_DIGITS, b32, dossier_folder, dossier_path
from ...format.record import MANDATORY, RecordType
from ...station import DossierPin
from ...types import Problem
from ..context import DossierContext, RepositoryContext
from ..history import History
from ..keysets import StoredKeyset, read_all_of, read_keysets, stations_in, united_stations
from ..records import signed_records

_STAYING: Final = frozenset({RecordType.CHECKED, RecordType.QUARANTINE, RecordType.DOSSIER_REMOVED})


def sealed_dossiers(context: RepositoryContext, problems: list[Problem]) -> list[DossierContext]:
    """Return every dossier with a valid keyset, named ones first; what cannot be used becomes `problems`."""
    pins = context.held_keys().dossiers
    found = []
    for dossier_id, keysets in read_keysets(context, problems).items():
        pin = pins.get(dossier_id)
        found.append(DossierContext(context, dossier_id, pin or _pin_without_keys(keysets[0].keyset)))
    return sorted(found, key=lambda item: (not item.pin.name, item.pin.name, item.id))


def in_destination(dossier: DossierContext, destination: RepositoryContext) -> DossierContext:
    """Return the same dossier on its twin."""
    return DossierContext(destination, dossier.id, dossier.pin)


def copy_keysets(dossier: DossierContext, destination: RepositoryContext) -> None:
    """Put what the destination lacks of the valid generation, unless it has a higher one; and lower ones that name a
    station, or revoke one, where no keyset of the destination does: what was enrolled on one twin only would else not
    count on the other, and what was revoked on one would.
    """
    source = dossier.repository
    keysets = read_all_of(source, dossier.id)
    held = read_keysets(destination).get(dossier.id, [])
    generation = keysets[0].keyset.generation
    newest = held[0].keyset.generation if held else 0
    there = {_content(item) for item in held}
    known = stations_in(destination, held, ()) if held else ()
    for item in keysets:
        if _content(item) in there:
            continue
        stations = united_stations([known, _stations_of(source, keysets[0], item)])
        if item.keyset.generation == generation >= newest or _standing(stations) != _standing(known):
            data = source.store.get(item.name)
            put_named(destination.store, lambda name: dossier_path("dossiers", dossier.id, name), data)
            known = stations


def _stations_of(source: RepositoryContext, valid: StoredKeyset, item: StoredKeyset) -> tuple[StationRecord, ...]:
    """Return the stations of one keyset; none where it has other public keys or does not open here."""
    try:
        return stations_in(source, [item], ()) if item.keyset.signing_public == valid.keyset.signing_public else ()
    except UNUSABLE:
        return ()


def _standing(stations: Sequence[StationRecord]) -> set[tuple[bytes, bool]]:
    return {(item.public_key, item.last_number is None) for item in stations}


def was_removed(dossier: DossierContext, destination: RepositoryContext, history: History) -> bool:
    """Tell whether the destination had the dossier and a signed record says that it was removed there."""
    if read_keysets(destination).get(dossier.id):
        return False
    there = in_destination(dossier, destination)
    wanted = (RecordType.DOSSIER_REMOVED,)
    return any(True for _ in signed_records(there, wanted, history.stations, []))


def copy_records(dossier: DossierContext, history: History, held: History, there: DossierContext) -> None:
    """Put the records that the destination lacks. `history` is the source's, `held` the destination's."""
    prefix = f"records/{dossier_folder(dossier.id)}"
    known = {item.name.rpartition("/")[2][:HASH_DIGITS] for item in there.repository.store.list(prefix)}
    present = {item.sealed.snapshot_id for item in held.manifests}
    records = [item for item in signed_records(dossier, None, history.stations, []) if item.type not in _STAYING]
    for record in sorted(records, key=lambda item: item.type not in MANDATORY):
        if record.signer.last_number is not None or b32(digest(record.data))[:HASH_DIGITS] in known:
            continue
        if record.type == RecordType.FORGET and present.intersection(record.facts.snapshot_ids()):
            continue
        put_named(there.repository.store, lambda name: dossier_path("records", dossier.id, name), record.data)


def why_unusable(dossier: DossierContext, error: SnapstoreError) -> Problem:
    """Return the problem for a dossier that cannot be copied at all."""
    name = dossier.pin.name or dossier.id.hex()
    return Problem(code=error.code, path=name, message=f"Nothing of the dossier {name} was copied: {error}")


UNUSABLE: Final = (DamageError, NotEnrolledError)
"""What is wrong with one dossier, and no reason to leave out the others."""


def _pin_without_keys(keyset: Keyset) -> DossierPin:
    return DossierPin(
        name="", keys=(), hpke_public=keyset.hpke_public, signing_public=keyset.signing_public, generation=0
    )


def _content(item: StoredKeyset) -> str:
    return item.name.rpartition("/")[2][:HASH_DIGITS]
