"""Making a dossier.

Here: its keys, its first keyset, and enrolling the station that makes it. Not here: anything about one that exists.

Rules: needs the repository's keys, which only a station has that made the repository or is enrolled in one of its
dossiers. The private halves exist only while this runs; the keyset holds them wrapped by the secret."""

from __future__ import annotations

import time

from ..blobs.naming import put_named
from ..crypto.entropy import random_bytes
from ..crypto.keys import EpochKeys
from ..crypto.secrets import normalise_secret
from ..crypto.slots import open_master
from ..errors import DossierExistsError, InputError, SecretRequiredError
from ..format.keyset import PrivateHalves, Slot, SlotKind, build_keyset, make_slot
from ..format.names import dossier_path
from ..station import DossierPin, RepositoryKeys
from ..types import DossierId
from .clones import claim_medium
from .context import DossierContext, RepositoryContext, not_enrolled
from .deriving import derive_alone
from .dossiers import check_name, this_station


def create_dossier(context: RepositoryContext, name: str, secret: str | None) -> DossierContext:
    """Make a dossier and enrol this station in it.

    Raises InputError, SecretRequiredError, SecretTooShortError, DossierExistsError, NotEnrolledError.
    """
    check_name(name)
    secret_bytes = _secret_for_new(context, secret)
    keys = context.held_keys()
    if not keys.epochs:
        raise not_enrolled("this repository")
    if any(pin.name == name for pin in keys.dossiers.values()):
        raise DossierExistsError(f"There is a dossier named {name!r} already. Choose another name.")
    claim_medium(context)
    newest = keys.epochs[0]
    dossier_keys = EpochKeys(
        epoch=newest.epoch,
        maintenance=newest.maintenance,
        content=newest.content,
        chunker=newest.chunker,
        dossier=random_bytes(32),
    )
    private = PrivateHalves.generate()
    dossier_id = DossierId(random_bytes(16))
    repository_id = context.config.repository_id
    slot = _first_slot(context, secret_bytes, private, dossier_id)
    now = time.time_ns()
    data = build_keyset(
        repository_id=repository_id,
        dossier_id=dossier_id,
        generation=1,
        keys=[dossier_keys],
        private=private,
        slots=(slot,),
        stations=(this_station(context, now),),
        name=name,
        created_ns=now,
    )
    object_name = put_named(context.store, lambda new: dossier_path("dossiers", dossier_id, new), data)
    pin = DossierPin(
        name=name,
        keys=(dossier_keys,),
        hpke_public=private.hybrid.public_bytes,
        signing_public=private.signing.public_bytes,
        generation=1,
    )

    def add(held: RepositoryKeys) -> RepositoryKeys:
        if any(other.name == name for other in held.dossiers.values()):  # another process was quicker
            raise DossierExistsError(f"There is a dossier named {name!r} already. Choose another name.")
        return held.with_dossier(dossier_id, pin)

    try:
        context.state.update_keys(repository_id, add)
    except DossierExistsError:
        context.store.delete(object_name)
        raise
    return DossierContext(context, dossier_id, pin)


def _first_slot(
    context: RepositoryContext, secret_bytes: bytes | None, private: PrivateHalves, dossier_id: DossierId
) -> Slot:
    repository_id = context.config.repository_id
    if secret_bytes is None:
        return make_slot(SlotKind.OPEN, 0, open_master(repository_id), private, repository_id, dossier_id)
    parameters = context.config.kdf[-1]
    master = derive_alone(secret_bytes, parameters)
    return make_slot(SlotKind.SECRET, parameters.generation, master, private, repository_id, dossier_id)


def _secret_for_new(context: RepositoryContext, secret: str | None) -> bytes | None:
    if not context.config.protected:
        if secret is not None:
            raise InputError(
                "This repository is unprotected: its dossiers have no secret. Make a protected repository to have one.",
                code="secret_in_unprotected",
            )
        return None
    if secret is None:
        raise SecretRequiredError("A dossier in this repository needs a secret of at least 8 characters.")
    return normalise_secret(secret)
