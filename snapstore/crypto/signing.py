"""Ed25519 key pairs of dossiers and stations.

Here: signing and verification over bytes (RFC 8032). Not here: what is signed (`snapstore.format.signed`).

Rules: a signature that does not hold is an answer (`False`) and not an exception, because the caller knows whether it
means damage, a stranger, or the next candidate. Signing is deterministic.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ..errors import InputError
from .entropy import random_bytes

SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
PUBLIC_KEY_BYTES: Final = 32


class SigningKey:
    """An Ed25519 private key."""

    __slots__ = ("_private", "public_bytes", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise InputError(f"An Ed25519 seed has {SEED_BYTES} bytes.")
        self.seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public_bytes = self._private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        return cls(random_bytes(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key of a 32-byte seed."""
        return cls(seed)

    def __repr__(self) -> str:
        return f"SigningKey(public={self.public_bytes.hex()}, seed hidden)"

    def sign(self, message: bytes) -> bytes:
        """64 bytes; the same each time."""
        return self._private.sign(message)


def verify(public_bytes: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds. False as well for bytes that are no public key at all."""
    if len(public_bytes) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_bytes).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
