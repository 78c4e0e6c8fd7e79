"""What a prune puts in order besides packs: room, manifests that nobody waits for, notes of the dead.

Here: `with_room`, `drop_forgotten`, `drop_broken_off`. Not here: the reserve itself (`operations.reserve`).

Rules: manifests that a signed record forgets are deleted as a forget would have, ok/ first. Of unconfirmed ones only
those of this station's own runs are, of which a mark of the operating system says that they are dead; one of somebody
else may be about to count, and one whose ok copy was lost is nobody's to delete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...errors import ObjectNotFoundError, StoreFullError
from ...stores.protocol import Store
from ..context import DossierContext, RepositoryContext
from ..reserve import give_up_reserve
from ..snapshot.publish import drop, drop_old_notes
from .roots import Root, Roots

T = TypeVar("T")


def with_room(store: Store, put: Callable[[], T]) -> T:
    """Put something small; where the medium is full, give up the reserve and try once more. Raises StoreError."""
    try:
        return put()
    except StoreFullError:
        if not give_up_reserve(store):
            raise
    return put()


def drop_forgotten(context: RepositoryContext, roots: Roots) -> None:
    """Delete what is left of snapshots that a signed record says are forgotten."""
    for root in roots.leftovers():
        _delete(context.store, root)
        roots.found = {group: item for group, item in roots.found.items() if item is not root}


def drop_broken_off(context: RepositoryContext, roots: Roots) -> int:
    """Delete unconfirmed manifests of this station's dead runs; return how many."""
    dropped = 0
    config = context.config
    for dossier_id, pin in context.held_keys().dossiers.items():
        history = roots.histories.get(dossier_id)
        if history is None:
            continue
        medium = context.state.medium(config.repository_id, config.medium_id, dossier_id)
        unconfirmed = {item.sealed.snapshot_id: item for item in history.manifests if not item.confirmed}
        for snapshot_id in medium.broken_off():
            item = unconfirmed.get(snapshot_id)
            if item is not None:
                drop(DossierContext(context, dossier_id, pin), item.names)
                roots.found = {
                    group: root for group, root in roots.found.items() if not set(root.names) & set(item.names)
                }
                dropped += 1
            medium.forget_broken_off(snapshot_id)
        drop_old_notes(DossierContext(context, dossier_id, pin))
    return dropped


def _delete(store: Store, root: Root) -> None:
    for name in sorted(root.names):  # those in ok/ first
        try:
            store.delete(name)
        except ObjectNotFoundError:
            continue
