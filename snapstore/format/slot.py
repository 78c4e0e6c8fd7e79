"""Slots: a dossier's private halves, wrapped once for each secret.

Here: `PrivateHalves`, `Slot`, making and opening one. Not here: the keyset that holds slots (`keyset`), and the
derivation from a secret (`snapstore.crypto.kdf`, `snapstore.crypto.slots`).

Rules (docs/format/04-keyset.md): three answers are told apart. A slot whose own hash does not fit is damaged. One
whose hash fits and whose commitment does not belongs to another secret, and that is None and no error, since there
are usually several slots to try. Whatever fails after the commitment fitted is damage or tampering, never a wrong
secret.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from ..crypto.derivation import digest
from ..crypto.entropy import random_bytes
from ..crypto.hybrid import HybridPrivateKey
from ..crypto.sealing import OVERHEAD_BYTES, seal, unseal
from ..crypto.signing import SEED_BYTES, SigningKey
from ..crypto.slots import COMMITMENT_BYTES, SLOT_ID_BYTES, slot_keys
from ..errors import DamagedObjectError
from ..types import DossierId, RepositoryId
from .packing import U32_MAX, as_bytes, as_int, as_list, encode

PRIVATE_BYTES: Final = 128
WRAPPED_BYTES: Final = PRIVATE_BYTES + OVERHEAD_BYTES
SLOT_HASH_BYTES: Final = 16


class SlotKind(IntEnum):
    """What opens a slot. Decoding keeps kinds it does not know, so that the others still open."""

    OPEN = 0
    SECRET = 1
    RECOVERY = 2


_KINDS: Final[dict[int, SlotKind]] = {kind.value: kind for kind in SlotKind}


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateHalves:
    """What a secret opens: the dossier's signing key and decryption key."""

    signing: SigningKey
    hybrid: HybridPrivateKey

    @classmethod
    def generate(cls) -> PrivateHalves:
        """New keys for a new dossier."""
        return cls(signing=SigningKey.generate(), hybrid=HybridPrivateKey.generate())

    @classmethod
    def from_bytes(cls, data: bytes) -> PrivateHalves:
        """The keys of `Ed25519 seed(32) || hybrid private key(96)`."""
        return cls(
            signing=SigningKey.from_seed(data[:SEED_BYTES]), hybrid=HybridPrivateKey.from_bytes(data[SEED_BYTES:])
        )

    def to_bytes(self) -> bytes:
        """What `from_bytes` takes: 128 bytes."""
        return self.signing.seed + self.hybrid.to_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One slot as stored."""

    slot_id: bytes
    kind: int
    """A `SlotKind` where this version knows it."""
    kdf_generation: int
    """Which Argon2id parameters of the config; 0 for an open slot."""
    commitment: bytes
    wrapped: bytes = field(repr=False)
    hash: bytes

    @property
    def damaged(self) -> bool:
        """Whether its own hash says that it is not what was written."""
        return self.hash != _slot_hash(self.fields())

    def fields(self) -> list[object]:
        """What the hash covers, in stored order."""
        return [self.slot_id, self.kind, self.kdf_generation, self.commitment, self.wrapped]


def _slot_hash(fields: list[object]) -> bytes:
    return digest(encode(fields))[:SLOT_HASH_BYTES]


def encode_slot(slot: Slot) -> list[object]:
    """The array that stands in a keyset."""
    return [*slot.fields(), slot.hash]


def decode_slot(value: object, what: str) -> Slot:
    """The slot of an array; it may be damaged within."""
    slot_id, kind, kdf_generation, commitment, wrapped, slot_hash = as_list(value, what, "slots", 6)
    number = as_int(kind, what, "slots", 0, U32_MAX)
    return Slot(
        slot_id=as_bytes(slot_id, what, "slots", SLOT_ID_BYTES),
        kind=_KINDS.get(number, number),
        kdf_generation=as_int(kdf_generation, what, "slots", 0, U32_MAX),
        commitment=as_bytes(commitment, what, "slots", COMMITMENT_BYTES),
        wrapped=as_bytes(wrapped, what, "slots", WRAPPED_BYTES),
        hash=as_bytes(slot_hash, what, "slots", SLOT_HASH_BYTES),
    )


def make_slot(  # noqa: PLR0913, PLR0917 - all of it is bound into the slot
    kind: SlotKind,
    kdf_generation: int,
    master: bytes,
    private: PrivateHalves,
    repository_id: RepositoryId,
    dossier_id: DossierId,
    slot_id: bytes | None = None,
    *,
    nonce: bytes | None = None,
) -> Slot:
    """A new slot that `master` opens."""
    if slot_id is None:
        slot_id = random_bytes(SLOT_ID_BYTES)
    wrap_key, commitment = slot_keys(master, slot_id)
    wrapped = seal(wrap_key, private.to_bytes(), repository_id + dossier_id + slot_id, nonce=nonce)
    fields: list[object] = [slot_id, kind, kdf_generation, commitment, wrapped]
    return Slot(
        slot_id=slot_id,
        kind=kind,
        kdf_generation=kdf_generation,
        commitment=commitment,
        wrapped=wrapped,
        hash=_slot_hash(fields),
    )


def unwrap_slot(slot: Slot, master: bytes, repository_id: RepositoryId, dossier_id: DossierId) -> PrivateHalves | None:
    """The private halves, or None if the slot belongs to another secret."""
    if slot.damaged:
        raise DamagedObjectError("A slot of the keyset is damaged.", code="slot_damaged")
    wrap_key, commitment = slot_keys(master, slot.slot_id)
    if not hmac.compare_digest(commitment, slot.commitment):
        return None
    return PrivateHalves.from_bytes(unseal(wrap_key, slot.wrapped, repository_id + dossier_id + slot.slot_id))
