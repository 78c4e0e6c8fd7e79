"""What one installation keeps for itself: its identity, its keys, its caches, and who is running.

Here: `StateFolder` and what lies in it. Not here: anything on a store.

    station                          signing key and name of this installation          secret, 0600
    addresses                        which repository was seen at an address of a medium
    repositories/ID/keys             keys and pinned public keys of one repository      secret, 0600
    repositories/ID/MEDIUM/place     where the medium was seen last
    repositories/ID/MEDIUM/index*    what is where in the medium's packs                   what M opens
    repositories/ID/MEDIUM/verified  when each pack was read from end to end
    repositories/ID/MEDIUM/DOSSIER/  last snapshot, the cache of unchanged files, runs     as private as the source
        running/ID.lock              held by the operating system while a snapshot runs
    spool/                           packs being built: sealed bytes only

Rules: secret files are replaced whole (write, sync, rename), under a lock; a cache may vanish at any time and only
costs time."""

from __future__ import annotations

from .caches import CopiedPair, LastSnapshot, MediumCache, copied_pair, keep_copied_pair
from .folder import StateFolder, default_state_dir
from .identity import Station
from .keyring import DossierPin, RepositoryKeys
from .verified import VerifiedPacks, verified_packs

__all__ = [
    "CopiedPair",
    "DossierPin",
    "LastSnapshot",
    "MediumCache",
    "RepositoryKeys",
    "StateFolder",
    "Station",
    "VerifiedPacks",
    "copied_pair",
    "default_state_dir",
    "keep_copied_pair",
    "verified_packs",
]
