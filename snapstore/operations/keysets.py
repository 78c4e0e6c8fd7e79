"""Reading and publishing the keysets of dossiers.

Here: which keyset is valid, publishing a new generation against other stations that do the same, and opening one with a
secret. Not here: what a new generation is for (`operations.dossiers`, `operations.stations`).

Rules: the highest generation whose signature holds wins; among equals the smaller name. Whoever published looks again
and, if it lost, builds its change anew on the winner. A keyset with other public keys than the station has seen is
refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..crypto.derivation import digest
from ..crypto.kdf import derive_master
from ..crypto.keys import DossierKeys
from ..crypto.slots import open_master
from ..errors import DamagedObjectError, DamageError, InUseError, ObjectNotFoundError, TamperedError
from ..format.keyset import Keyset, PrivateHalves, SlotKind, StationRecord, build_keyset, decode_keyset
from ..format.names import dossier_path, name_matches, new_name, unb32
from ..types import DossierId, Problem
from .context import RepositoryContext

_TRIES = 8


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


def read_keysets(
    context: RepositoryContext, problems: list[Problem] | None = None
) -> dict[DossierId, list[StoredKeyset]]:
    """Return the keysets of every dossier in the store, the valid one first; what does not count becomes `problems`.

    Where this station has seen the dossier's public keys, keysets with others do not count. Where it has not, a
    made-up one may come first: whoever opens one with a secret goes on to the next if it does not open."""
    pins = context.held_keys().dossiers
    found: dict[DossierId, list[StoredKeyset]] = {}
    for item in context.store.list("dossiers"):
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
    noticed: list[Problem] = []
    keysets = read_keysets(context, noticed).get(dossier_id)
    if problems is not None:
        problems.extend(noticed)
    if keysets:
        return keysets[0]
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
                    derived[slot.kdf_generation] = derive_master(secret, parameters[slot.kdf_generation])
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
    """Return the stations listed in a keyset, with names."""
    keys = opened.keys[0]
    return opened.stored.keyset.stations(keys.maintenance_keys, keys)


def publish(
    context: RepositoryContext,
    opened: OpenedKeyset,
    change: Callable[[OpenedKeyset], bytes | None],
) -> OpenedKeyset:
    """Publish a new generation. `change` builds it from the valid one, or returns None if nothing is left to do.

    Raises InUseError if other stations keep publishing at the same time.
    """
    for _ in range(_TRIES):
        data = change(opened)
        if data is None:
            return opened
        dossier_id = opened.stored.keyset.dossier_id
        context.store.put(dossier_path("dossiers", dossier_id, new_name(digest(data))), data)
        winner = _newest_of(context, dossier_id, opened.private)
        keys = winner.keyset.open_keys(opened.private)
        opened = OpenedKeyset(winner, opened.private, keys, winner.keyset.name(keys[0]))
    raise InUseError("Other stations are changing this dossier's keys at the same time. Try again.")


def next_generation(
    opened: OpenedKeyset, *, name: str | None, stations: Iterable[StationRecord], created_ns: int
) -> bytes:
    """Build the generation after `opened`, with these stations and, if given, another name."""
    keyset = opened.stored.keyset
    return build_keyset(
        repository_id=keyset.repository_id,
        dossier_id=keyset.dossier_id,
        generation=keyset.generation + 1,
        keys=opened.keys,
        private=opened.private,
        slots=keyset.slots,
        stations=tuple(stations),
        name=opened.name if name is None else name,
        created_ns=created_ns,
    )


def _newest_of(context: RepositoryContext, dossier_id: DossierId, private: PrivateHalves) -> StoredKeyset:
    """Return the valid keyset with the public keys of `private`: a station that has no pin yet may see others first."""
    for stored in read_keysets(context).get(dossier_id, ()):
        if stored.keyset.fits(private):
            return stored
    return read_keyset(context, dossier_id)


def _read(context: RepositoryContext, name: str) -> StoredKeyset:
    data = context.store.get(name)
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
