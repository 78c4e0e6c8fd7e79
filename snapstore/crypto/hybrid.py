"""Public-key encryption to a dossier: HPKE over ML-KEM-768 and X25519.

Here: the key pair as bytes, and single-shot encryption and decryption. Not here: what is encrypted (the keys of a
keyset, the root of a snapshot).

Rules: one suite and no choice (docs/format/02-keys.md): KEM 0x647A, HKDF-SHA256, AES-256-GCM, base mode, empty aad;
whatever has to be bound goes into `info`. Two key exchanges together, because what is copied today must stay closed
after one of them falls.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ..errors import DamagedObjectError, InputError
from .entropy import random_bytes

MLKEM_SEED_BYTES: Final = 64
PRIVATE_KEY_BYTES: Final = MLKEM_SEED_BYTES + 32
MLKEM_PUBLIC_BYTES: Final = 1184
PUBLIC_KEY_BYTES: Final = MLKEM_PUBLIC_BYTES + 32
OVERHEAD_BYTES: Final = 1120 + 16  # encapsulated key and tag

_SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class HybridPrivateKey:
    """The private half of a dossier's encryption key pair."""

    __slots__ = ("_bytes", "_private", "public_bytes")

    def __init__(self, data: bytes) -> None:
        if len(data) != PRIVATE_KEY_BYTES:
            raise InputError(f"A hybrid private key has {PRIVATE_KEY_BYTES} bytes.")
        kem = MLKEM768PrivateKey.from_seed_bytes(data[:MLKEM_SEED_BYTES])
        curve = X25519PrivateKey.from_private_bytes(data[MLKEM_SEED_BYTES:])
        self._bytes = data
        self._private = hpke.MLKEM768X25519PrivateKey(kem, curve)
        self.public_bytes = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> HybridPrivateKey:
        """A new key pair."""
        return cls(random_bytes(PRIVATE_KEY_BYTES))

    @classmethod
    def from_bytes(cls, data: bytes) -> HybridPrivateKey:
        """The key of `ML-KEM seed(64) || X25519 private key(32)`."""
        return cls(data)

    def to_bytes(self) -> bytes:
        """What `from_bytes` takes."""
        return self._bytes

    def __repr__(self) -> str:
        return "HybridPrivateKey(hidden)"

    def decrypt(self, ciphertext: bytes, info: bytes) -> bytes:
        """The plaintext, or `DamagedObjectError`."""
        try:
            return _SUITE.decrypt(ciphertext, self._private, info=info)
        except (InvalidTag, ValueError):
            pass
        raise DamagedObjectError("Bytes encrypted to the dossier do not open with its key.", code="seal_broken")


def encrypt(public_bytes: bytes, plaintext: bytes, info: bytes) -> bytes:
    """`encapsulated key(1120) || sealed`; different each time. `InputError` if the public key is none."""
    if len(public_bytes) != PUBLIC_KEY_BYTES:
        raise InputError(f"A hybrid public key has {PUBLIC_KEY_BYTES} bytes.", code="invalid_public_key")
    try:
        kem = MLKEM768PublicKey.from_public_bytes(public_bytes[:MLKEM_PUBLIC_BYTES])
        curve = X25519PublicKey.from_public_bytes(public_bytes[MLKEM_PUBLIC_BYTES:])
        return _SUITE.encrypt(plaintext, hpke.MLKEM768X25519PublicKey(kem, curve), info=info)
    except ValueError as error:
        raise InputError("The public key is not a valid hybrid key.", code="invalid_public_key") from error
