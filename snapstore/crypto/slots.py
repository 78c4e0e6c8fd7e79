"""From a master value to the key of one slot.

Here: slot keys with their commitments, and the master value of an open slot. Not here: the slot as stored, or what it
wraps (`snapstore.format.keyset`).

Rules: AES-GCM alone does not commit to its key, so a wrong secret is told by the commitment before anything is
opened, and a seal that breaks after the commitment fits is damage. All slots of one KDF generation share one Argon2id
run.
"""

from __future__ import annotations

from typing import Final

from ..types import RepositoryId
from .derivation import KEY_BYTES, derive, digest, keyed

COMMITMENT_BYTES: Final = 32
SLOT_ID_BYTES: Final = 16


def slot_keys(master: bytes, slot_id: bytes) -> tuple[bytes, bytes]:
    """The key a slot wraps with, and the commitment that stands in the slot."""
    both = keyed(master, b"slot" + slot_id, KEY_BYTES + COMMITMENT_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def open_master(repository_id: RepositoryId) -> bytes:
    """The master value of open slots: no secret at all, for repositories made without protection."""
    return derive(digest(repository_id), "open slot")
