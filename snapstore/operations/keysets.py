"""Reading and publishing the keysets of dossiers.

Here: which keyset is valid, publishing a new generation against other stations that do the same, and opening one with a
secret. Not here: what a new generation is for (`operations.dossiers`, `operations.stations`).

Rules: the highest generation whose signature holds wins; among equals the smaller name. Whoever published looks again
and, if there is another of the same generation, publishes the next with what both have. On twins, generations may also
part for long: a station that is enrolled on one stick is not on the next one's newest keyset. So every keyset that
holds names stations, and a revocation in any of them holds. A keyset with other public keys than the station has seen
is refused."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..blobs.naming import put_named
from ..blobs.places import get_from_place
from ..crypto.derivation import digest
from ..crypto.keys import DossierKeys
from ..crypto.slots import open_master
from ..errors import (
    AccessError,
    DamagedObjectError,
    DamageError,
    InUseError,
    NotEnrolledError,
    ObjectNotFoundError,
    TamperedError,
)
from ..format.keyset import Keyset, PrivateHalves, Slot, SlotKind, StationRecord, build_keyset, decode_keyset
from ..format.names import dossier_path, name_matches, unb32
from ..stores.cached import warm
from ..types import DossierId, Problem
from .clones import claim_medium
from .context import RepositoryContext
from .deriving import derive_alone

_TRIES = 20
_PAUSE_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class StoredKeyset:
    """A valid keyset and the name it is stored under."""

    name: str
    keyset: Keyset


@dataclass(frozen=True, slots=True, repr=False)
class OpenedKeyset:
    """A keyset that a secret opened."""

    stored: StoredKeyset
    private: PrivateHalves
    keys: tuple[DossierKeys, ...]
    name: str
    rivals: tuple[Keyset, ...] = ()
    """Others of the same generation, of stations that published at the same moment: nothing of theirs may be lost."""
    older: tuple[Keyset, ...] = ()
    """Those of lower generations: made on a twin, they may name stations that the newest does not."""


def read_keysets(
    context: RepositoryContext, problems: list[Problem] | None = None
) -> dict[DossierId, list[StoredKeyset]]:
    """Return the keysets of every dossier in the store, the valid one first; what does not count becomes `problems`.

    Where this station has seen the dossier's public keys, keysets with others do not count. Where it has not, a
    made-up one may come first: whoever opens one with a secret goes on to the next if it does not open."""
    pins = context.held_keys().dossiers
    found: dict[DossierId, list[StoredKeyset]] = {}
    listed = list(context.store.list("dossiers"))
    warm(context.store, [item.name for item in listed])
    for item in listed:
        try:
            stored = _read(context, item.name)
        except ObjectNotFoundError:
            continue
        except DamageError as error:
            if problems is not None:
                problems.append(Problem(code=error.code, path=item.name, message=str(error)))
            continue
        keyset = stored.keyset
        pin = pins.get(keyset.dossier_id)
        if pin is not None and (keyset.signing_public, keyset.hpke_public) != (pin.signing_public, pin.hpke_public):
            if problems is not None:
                problems.append(Problem(code="foreign_keyset", path=item.name, message=_foreign(item.name)))
            continue
        found.setdefault(keyset.dossier_id, []).append(stored)
    for keysets in found.values():
        keysets.sort(key=_rank, reverse=True)
    return found


def read_keyset(
    context: RepositoryContext, dossier_id: DossierId, problems: list[Problem] | None = None
) -> StoredKeyset:
    """Return the valid keyset of a dossier that this station is enrolled in.

    Raises DamagedObjectError if there is none that is whole, TamperedError if all have other public keys than the
    known ones."""
    return read_all_of(context, dossier_id, problems)[0]


def read_all_of(
    context: RepositoryContext, dossier_id: DossierId, problems: list[Problem] | None = None
) -> list[StoredKeyset]:
    """Return the keysets of a dossier, the valid one first. Raises as `read_keyset`."""
    noticed: list[Problem] = []
    keysets = read_keysets(context, noticed).get(dossier_id)
    if problems is not None:
        problems.extend(noticed)
    if keysets:
        return keysets
    foreign = next((item for item in noticed if item.code == "foreign_keyset"), None)
    if foreign is not None:
        raise TamperedError(foreign.message, object_name=foreign.path)
    raise DamagedObjectError(
        noticed[0].message
        if noticed
        else "The dossier's keys are no longer in this repository: it was removed, or the medium is not whole. "
        "Look on another medium.",
        code="keyset_missing",
    )


def masters(context: RepositoryContext, secret: bytes | None) -> Callable[[Keyset], Iterable[tuple[int, bytes]]]:
    """Return a function from a keyset to (slot number, master), running Argon2id once for each KDF generation.

    Open slots count only in an unprotected repository, and the others only in a protected one: otherwise whoever can
    write could plant a dossier that any secret opens."""
    derived: dict[int, bytes] = {}
    parameters = {item.generation: item for item in context.config.kdf}

    def of(keyset: Keyset) -> Iterable[tuple[int, bytes]]:
        for number, slot in enumerate(keyset.slots):
            if slot.kind == SlotKind.OPEN:
                if not context.config.protected:
                    yield number, open_master(context.config.repository_id)
            elif context.config.protected and secret is not None and slot.kdf_generation in parameters:
                if slot.kdf_generation not in derived:
                    derived[slot.kdf_generation] = derive_alone(secret, parameters[slot.kdf_generation])
                yield number, derived[slot.kdf_generation]

    return of


def open_keyset(
    stored: StoredKeyset, candidates: Iterable[tuple[int, bytes]], damaged: list[DamageError]
) -> OpenedKeyset | None:
    """Try the slots; None if none opens. Damaged slots go to `damaged`."""
    keyset = stored.keyset
    for number, master in candidates:
        try:
            private = keyset.open_slot(keyset.slots[number], master)
        except DamageError as error:
            damaged.append(error)
            continue
        if private is not None:
            keys = keyset.open_keys(private)
            return OpenedKeyset(stored, private, keys, keyset.name(keys[0]))
    return None


def stations_of(opened: OpenedKeyset) -> tuple[StationRecord, ...]:
    """Return the stations listed in a keyset, its rivals and older ones, with names; a revocation in any of them
    holds.
    """
    keys = {item.epoch: item for item in opened.keys}
    found = [opened.stored.keyset.stations(opened.keys[0].maintenance_keys, opened.keys[0])]
    for keyset in (*opened.rivals, *opened.older):
        with contextlib.suppress(DamageError, KeyError):  # what only an older keyset says is no reason to fail
            found.append(keyset.stations(keys[keyset.epoch].maintenance_keys, keys[keyset.epoch]))
    return united_stations(found)


def stations_in(
    context: RepositoryContext, keysets: Sequence[StoredKeyset], keys: Sequence[DossierKeys]
) -> tuple[StationRecord, ...]:
    """Return the stations that `keysets`, the valid one first, list together, as far as this station's keys open them.

    `keys` are the dossier's, if they are known: without them stations have no names. Raises as `Keyset.stations`.
    """
    valid = keysets[0].keyset
    found = [valid.stations(context.catalogue_keys(valid.epoch), _of_epoch(keys, valid.epoch))]
    for item in keysets[1:]:
        keyset = item.keyset
        if (keyset.signing_public, keyset.hpke_public) == (valid.signing_public, valid.hpke_public):
            with contextlib.suppress(DamageError, NotEnrolledError):
                found.append(keyset.stations(context.catalogue_keys(keyset.epoch), _of_epoch(keys, keyset.epoch)))
    return united_stations(found)


def united_stations(lists: Iterable[Iterable[StationRecord]]) -> tuple[StationRecord, ...]:
    """Return each station of several lists once. The first one that revokes it counts, else the first."""
    merged: dict[bytes, StationRecord] = {}
    for records in lists:
        for record in records:
            known = merged.get(record.public_key)
            if known is None or (known.last_number is None and record.last_number is not None):
                merged[record.public_key] = record
    return tuple(merged.values())


def _of_epoch(keys: Sequence[DossierKeys], epoch: int) -> DossierKeys | None:
    return next((item for item in keys if item.epoch == epoch), None)


def slots_of(opened: OpenedKeyset) -> tuple[Slot, ...]:
    """Return the slots of a keyset and its rivals."""
    merged = {slot.slot_id: slot for keyset in (opened.stored.keyset, *opened.rivals) for slot in keyset.slots}
    return tuple(merged.values())


def reopen(context: RepositoryContext, dossier_id: DossierId, private: PrivateHalves) -> OpenedKeyset:
    """Open the valid keyset and its rivals with the private halves."""
    keysets = read_keysets(context).get(dossier_id) or [read_keyset(context, dossier_id)]
    keysets = [stored for stored in keysets if stored.keyset.fits(private)]
    if not keysets:
        raise TamperedError("No keyset of this dossier fits its secret any more. Do not write to this medium.")
    best = keysets[0].keyset
    rivals = [item.keyset for item in keysets[1:] if item.keyset.generation == best.generation]
    older = [item.keyset for item in keysets[1:] if item.keyset.generation < best.generation]
    keys = best.open_keys(private)
    return OpenedKeyset(keysets[0], private, keys, best.name(keys[0]), tuple(rivals), tuple(older))


def refuse_older(context: RepositoryContext, opened: OpenedKeyset) -> None:
    """Raise AccessError if this station has seen newer keys of the dossier: a change would be built on what is
    past.
    """
    pin = context.held_keys().dossiers.get(opened.stored.keyset.dossier_id)
    if pin is not None and pin.generation > opened.stored.keyset.generation:
        raise AccessError(
            "The keys on this medium are older than what this station has seen on another one. "
            "Make the change on the medium that is up to date.",
            code="older_keyset",
        )


def publish(
    context: RepositoryContext,
    opened: OpenedKeyset,
    change: Callable[[OpenedKeyset], bytes | None],
) -> OpenedKeyset:
    """Publish a new generation. `change` builds it from the valid one, or returns None if nothing is left to do.

    Whoever puts a generation looks again; who sees another of the same number puts the next, with what all of them
    have. Since the later of two puts always sees the earlier, nothing is lost. Raises InUseError if this never ends.
    """
    dossier_id = opened.stored.keyset.dossier_id
    opened = reopen(context, dossier_id, opened.private)
    for attempt in range(_TRIES):
        data = change(opened)
        if data is None and opened.rivals:
            data = next_generation(opened, name=None, stations=stations_of(opened), created_ns=time.time_ns())
        if data is None:
            return opened
        claim_medium(context, [DossierKeys.of(item).maintenance_keys for item in opened.keys])
        if attempt:
            time.sleep(random.random() * _PAUSE_SECONDS)  # only so that fewer meet again
        put_named(context.store, lambda name: dossier_path("dossiers", dossier_id, name), data)
        opened = reopen(context, dossier_id, opened.private)
    raise InUseError("Other stations are changing this dossier's keys at the same time. Try again.")


def next_generation(
    opened: OpenedKeyset,
    *,
    name: str | None,
    stations: Iterable[StationRecord],
    created_ns: int,
    slots: Iterable[Slot] = (),
) -> bytes:
    """Build the generation after `opened`, with these stations, more slots and, if given, another name."""
    keyset = opened.stored.keyset
    return build_keyset(
        repository_id=keyset.repository_id,
        dossier_id=keyset.dossier_id,
        generation=keyset.generation + 1,
        keys=opened.keys,
        private=opened.private,
        slots=(*slots_of(opened), *slots),
        stations=tuple(stations),
        name=opened.name if name is None else name,
        created_ns=created_ns,
    )


def _read(context: RepositoryContext, name: str) -> StoredKeyset:
    data = get_from_place(context.store, name)
    _, folder, last = name.split("/")
    if not name_matches(last, digest(data)):
        raise DamagedObjectError(f"{name} does not have the bytes it was stored with.", object_name=name)
    keyset = decode_keyset(data)
    if keyset.repository_id != context.config.repository_id or keyset.dossier_id != unb32(folder):
        raise TamperedError(f"{name} belongs to another repository or dossier.", object_name=name)
    return StoredKeyset(name, keyset)


def _foreign(name: str) -> str:
    return (
        f"{name} is a keyset with other public keys than this station knows for the dossier. Somebody replaced it; "
        "do not write to this medium."
    )


def _rank(stored: StoredKeyset) -> tuple[int, list[int]]:
    """Highest generation first, then the smaller name."""
    return stored.keyset.generation, [-ord(character) for character in stored.name]
