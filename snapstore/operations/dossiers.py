"""Finding, unlocking, renaming and removing dossiers.

Here: what concerns a dossier as a whole. Not here: making one (`new_dossier`), its snapshots, the list of its stations.

Rules: making a dossier needs the repository's keys, which only a station has that made the repository or is enrolled
in one of its dossiers. Typing the secret enrols the station: it is added to the keyset and keeps the keys to write. A
wrong secret is told from damage, after one run of Argon2id however many dossiers there are."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from ..crypto.keys import DossierKeys, EpochKeys
from ..crypto.secrets import normalise_recovery_code, normalise_secret
from ..errors import (
    AmbiguousError,
    DamagedObjectError,
    DamageError,
    DossierExistsError,
    DossierNotFoundError,
    InputError,
    SecretRequiredError,
    SnapstoreError,
    StoreFullError,
    StorePermissionError,
    TamperedError,
    WrongSecretError,
)
from ..format.keyset import Keyset, PrivateHalves, SlotKind, StationRecord
from ..format.names import dossier_folder
from ..format.record import RecordType
from ..station import DossierPin
from ..types import DossierId, DossierInfo, Problem
from .clones import check_config_macs
from .context import DossierContext, RepositoryContext, not_enrolled
from .keysets import (
    OpenedKeyset,
    StoredKeyset,
    masters,
    next_generation,
    open_keyset,
    publish,
    read_keyset,
    read_keysets,
    refuse_older,
    reopen,
    stations_of,
)
from .records import put_record, signed_records

_NAME_MAX_CODE_POINTS = 200


def find_dossier(context: RepositoryContext, name: str) -> DossierContext:
    """Return the enrolled dossier of that name; in an unprotected repository, enrol first.

    Raises DossierNotFoundError; NotEnrolledError if this station is enrolled in no dossier at all; DamagedObjectError
    if there are snapshots and no keys.
    """
    if not context.config.protected:
        unlock_all_open(context)
    dossiers = context.held_keys().dossiers
    for dossier_id, pin in dossiers.items():
        if pin.name == name:
            return DossierContext(context, dossier_id, pin)
    if not dossiers and any(True for _ in context.store.list("dossiers")):
        raise not_enrolled(f"the dossier {name!r}")
    if not dossiers:
        _refuse_lost(context)
    known = ", ".join(sorted(repr(pin.name) for pin in dossiers.values())) or "none"
    raise DossierNotFoundError(
        f"No dossier named {name!r} is known to this station (known: {known}). If it is in the repository, unlock it."
    )


def list_dossiers(context: RepositoryContext, problems: list[Problem] | None = None) -> tuple[DossierInfo, ...]:
    """Return every dossier in the store, named where this station is enrolled.

    Raises DamagedObjectError if there should be some and no keyset is whole.
    """
    if not context.config.protected:
        unlock_all_open(context)
    pins = context.held_keys().dossiers
    infos = []
    for dossier_id, keysets in read_keysets(context, problems).items():
        stored = keysets[0]
        pin = pins.get(dossier_id)
        infos.append(
            DossierInfo(
                id=dossier_id,
                name=None if pin is None else pin.name,
                enrolled=pin is not None,
                protected=all(slot.kind != SlotKind.OPEN for slot in stored.keyset.slots),
                generation=stored.keyset.generation,
            )
        )
    if not infos:
        _refuse_lost(context)
    return tuple(sorted(infos, key=lambda info: (info.name is None, info.name or "", info.id)))


def unlock(context: RepositoryContext, secret: str | None, name: str | None) -> tuple[DossierContext, PrivateHalves]:
    """Find the dossier that the secret opens and enrol this station in it.

    Raises WrongSecretError, AmbiguousError if it opens several and `name` is None, DamagedObjectError if no keyset is
    whole."""
    if not context.config.protected:
        raise InputError(
            "This repository is unprotected: anybody can read it, and it asks for no secret. If yours asked for one, "
            "this is not your repository: do not write to it.",
            code="secret_in_unprotected",
        )
    opened = _open_any(context, secret)
    if name is not None:
        opened = [item for item in opened if item.name == name]
        if not opened:
            raise WrongSecretError(f"The secret does not open a dossier named {name!r}. Check both and try again.")
    if len(opened) > 1:
        names = ", ".join(sorted(repr(item.name) for item in opened))
        raise AmbiguousError(f"The secret opens several dossiers: {names}. Name one of them.")
    dossier = enrol(context, opened[0])
    return dossier, opened[0].private


def open_all(context: RepositoryContext, secret: str | None, name: str | None) -> dict[DossierId, PrivateHalves]:
    """Open every dossier that the secret opens, or the one of that name, and enrol this station where it is new.

    Without a secret none, but for an unprotected repository, where all open. Raises WrongSecretError,
    DamagedObjectError.
    """
    if secret is None and context.config.protected:
        return {}
    if not read_keysets(context):
        return {}
    opened = [item for item in _open_any(context, secret) if name is None or item.name == name]
    if not opened:
        raise WrongSecretError(f"The secret does not open a dossier named {name!r}. Check both and try again.")
    held = context.held_keys().dossiers
    for item in opened:
        if item.stored.keyset.dossier_id not in held:
            enrol(context, item)
    return {item.stored.keyset.dossier_id: item.private for item in opened}


def open_private(dossier: DossierContext, secret: str | None) -> OpenedKeyset:
    """Open this dossier's keyset with the secret, or with nothing where the repository is unprotected.

    Raises SecretRequiredError, WrongSecretError, DamagedObjectError.
    """
    context = dossier.repository
    if secret is None and context.config.protected:
        raise SecretRequiredError(f"This needs the secret of the dossier {dossier.pin.name!r}. Type it and try again.")
    keysets = read_keysets(context)
    wanted = {key: stored for key, stored in keysets.items() if key == dossier.id}
    if not wanted:
        read_keyset(context, dossier.id)  # raises what is the matter
    return _open_with(context, secret, wanted)[0]


def open_private_or(dossier: DossierContext, secret: str | None, private: PrivateHalves | None) -> OpenedKeyset:
    """As `open_private`, without a secret if the private halves are held already."""
    if private is None:
        return open_private(dossier, secret)
    return reopen(dossier.repository, dossier.id, private)


def unlock_all_open(context: RepositoryContext) -> None:
    """Enrol this station in every dossier of an unprotected repository."""
    known = context.held_keys().dossiers
    new = {key: stored for key, stored in read_keysets(context).items() if key not in known}
    if new:
        for opened in _open_with(context, None, new):
            enrol(context, opened)


def enrol(context: RepositoryContext, opened: OpenedKeyset) -> DossierContext:
    """Put this station on the dossier's list, if it is not there, and keep the keys to write."""

    check_repository_keys(context, opened.keys)

    def add_this(valid: OpenedKeyset) -> bytes | None:
        stations = stations_of(valid)
        if any(station.public_key == context.state.station.public_key for station in stations):
            return None
        now = time.time_ns()
        stations = (*stations, this_station(context, now))
        return next_generation(valid, name=None, stations=stations, created_ns=now)

    try:
        return keep(context, publish(context, opened, add_this))
    except (StorePermissionError, StoreFullError):
        # A medium that takes nothing can still be read. Writing asks for the secret again (`stations.check_may_write`).
        return keep(context, opened)


def keep(context: RepositoryContext, opened: OpenedKeyset) -> DossierContext:
    """Keep what this station needs to write to an opened dossier.

    TamperedError if its keys are not the repository's.
    """
    check_repository_keys(context, opened.keys)
    keyset = opened.stored.keyset
    known = context.held_keys().dossiers.get(keyset.dossier_id)
    pin = DossierPin(
        name=opened.name,
        keys=opened.keys,
        hpke_public=keyset.hpke_public,
        signing_public=keyset.signing_public,
        generation=max(keyset.generation, 0 if known is None else known.generation),
    )
    context.state.update_keys(keyset.repository_id, lambda held: held.with_dossier(keyset.dossier_id, pin))
    return DossierContext(context, keyset.dossier_id, pin)


def check_repository_keys(context: RepositoryContext, keys: Sequence[EpochKeys]) -> None:
    """Raise TamperedError if a dossier brings other repository keys than the known ones, or than config was made
    with.
    """
    known = {item.epoch: item for item in context.held_keys().epochs}
    for item in keys:
        held = known.get(item.epoch)
        if held is not None and (held.maintenance, held.content, held.chunker) != (
            item.maintenance,
            item.content,
            item.chunker,
        ):
            raise TamperedError("This dossier's keys are not those of the repository. Somebody put it there.")
    check_config_macs(context.configs, [item.maintenance_keys for item in map(DossierKeys.of, keys)], context.store.url)


def rename_dossier(dossier: DossierContext, name: str, opened: OpenedKeyset) -> DossierContext:
    """Give the dossier another name. Raises InputError, DossierExistsError."""
    check_name(name)
    context = dossier.repository
    refuse_older(context, opened)
    if any(pin.name == name and key != dossier.id for key, pin in context.held_keys().dossiers.items()):
        raise DossierExistsError(f"There is a dossier named {name!r} already. Choose another name.")

    def rename(valid: OpenedKeyset) -> bytes | None:
        if valid.name == name:
            return None
        return next_generation(valid, name=name, stations=stations_of(valid), created_ns=time.time_ns())

    return keep(context, publish(context, opened, rename))


def remove_dossier(dossier: DossierContext, secret: str | None) -> None:
    """Remove the dossier from this store: record, ok, manifests, keysets, in the order that no repair can undo by half.

    Its packs stay until a prune; without the keyset nobody can open them. A removal of this station that broke off
    after the keysets were gone is brought to its end; its secret was asked for then. Raises as `open_private`.
    """
    context = dossier.repository
    if not _keys_are_removed(dossier):
        open_private(dossier, secret)
        put_record(dossier, RecordType.DOSSIER_REMOVED, mandatory=True, payload={})
    folder = dossier_folder(dossier.id)
    for prefix in (f"ok/{folder}", f"snapshots/{folder}", f"dossiers/{folder}"):
        for item in list(context.store.list(prefix)):
            context.store.delete(item.name)
    context.state.update_keys(context.config.repository_id, lambda held: held.without_dossier(dossier.id))


def _keys_are_removed(dossier: DossierContext) -> bool:
    """Tell whether this station began to remove the dossier and got as far as its keysets."""
    context = dossier.repository
    if any(True for _ in context.store.list(f"dossiers/{dossier_folder(dossier.id)}")):
        return False
    own: dict[bytes, StationRecord] = {context.state.station.id: this_station(context, 0)}
    return any(True for _ in signed_records(dossier, (RecordType.DOSSIER_REMOVED,), own, []))


def check_name(name: str) -> None:
    """Refuse names that would be lost or would confuse people. Raises InputError."""
    if not name.strip() or len(name) > _NAME_MAX_CODE_POINTS or any(ord(letter) < 32 for letter in name):
        raise InputError(
            f"A dossier's name has 1 to {_NAME_MAX_CODE_POINTS} characters and no control characters.",
            code="invalid_dossier_name",
        )
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError("A dossier's name must be valid Unicode.", code="invalid_dossier_name") from None


def this_station(context: RepositoryContext, now: int) -> StationRecord:
    """Return the line of this station in a keyset."""
    station = context.state.station
    return StationRecord(
        public_key=station.public_key, enrolled_ns=now, name=station.name, last_number=None, revoked_ns=None
    )


def _open_any(context: RepositoryContext, secret: str | None) -> Sequence[OpenedKeyset]:
    """Return every keyset in the repository that the secret opens. What it would open may be damaged: no wrong secret
    then."""
    problems: list[Problem] = []
    keysets = read_keysets(context, problems)
    try:
        return _open_with(context, secret, keysets)
    except WrongSecretError:
        whole = {f"dossiers/{dossier_folder(dossier_id)}" for dossier_id in keysets}
        lost = {problem.path.rpartition("/")[0] for problem in problems if problem.code != "foreign_keyset"} - whole
        if not lost:
            raise
        raise DamagedObjectError(
            f"The secret opens none of the dossiers whose keys are whole, and those of {len(lost)} more are damaged: "
            "it may be right. Try it on another medium.",
            code="damaged_keyset",
        ) from None


def _open_with(
    context: RepositoryContext, secret: str | None, keysets: dict[DossierId, list[StoredKeyset]]
) -> Sequence[OpenedKeyset]:
    """Return every keyset that the secret opens, typed as a secret or as a recovery code; never an empty list."""
    damaged: list[DamageError] = []
    if not keysets:
        raise _nothing_to_open(context)
    for candidate in _candidates(secret, keysets):
        of = masters(context, candidate)
        found: list[OpenedKeyset] = []
        for generations in keysets.values():
            opened = (open_keyset(stored, of(stored.keyset), damaged) for stored in generations)
            first = next(filter(None, opened), None)
            if first is not None:
                found.append(first)
                _note_if_older(context, first, generations[0])
        if found:
            return found
    if damaged:
        raise DamagedObjectError(
            f"The secret opens nothing, but {len(damaged)} key slots are damaged: it may be right. "
            "Try it on another medium.",
            code="damaged_slot",
        )
    raise WrongSecretError("The secret opens no dossier here. Check capital letters and keyboard, and try again.")


def _note_if_older(context: RepositoryContext, opened: OpenedKeyset, newest: StoredKeyset) -> None:
    """Say that the newest keyset did not open and an older one stands in."""
    if opened.stored.keyset.generation < newest.keyset.generation:
        message = f"{newest.name} does not open with this secret; the dossier was opened by an older keyset."
        context.problems.append(Problem(code="older_keyset", path=newest.name, message=message))


def _nothing_to_open(context: RepositoryContext) -> SnapstoreError:
    """Return the error for a repository without a whole keyset: it is new, or damaged."""
    if any(True for folder in ("snapshots", "ok") for _ in context.store.list(folder)):
        return DamagedObjectError(
            "The keys of the dossiers are damaged or gone from this medium, so no secret can open them here. "
            "Try another medium of this repository.",
            code="keyset_missing",
        )
    return DossierNotFoundError("This repository holds no dossier. Create one.", code="no_dossiers")


def _refuse_lost(context: RepositoryContext) -> None:
    """Raise DamagedObjectError if it is for damage that no dossier is to be seen: nobody should start anew then."""
    error = _nothing_to_open(context)
    if isinstance(error, DamagedObjectError):
        raise error


def _candidates(secret: str | None, keysets: dict[DossierId, list[StoredKeyset]]) -> list[bytes | None]:
    if secret is None:
        return [None]
    candidates: list[bytes | None] = [normalise_secret(secret)]
    if any(_has_recovery(stored.keyset) for generations in keysets.values() for stored in generations):
        with contextlib.suppress(InputError):  # it does not look like one
            candidates.append(normalise_recovery_code(secret))
    return candidates


def _has_recovery(keyset: Keyset) -> bool:
    return any(slot.kind == SlotKind.RECOVERY for slot in keyset.slots)
