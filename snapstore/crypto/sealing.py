"""AES-256-GCM with a random nonce in front: the one way anything is sealed.

Here: `seal` and `unseal` over bytes. Not here: what the associated data is made of; each object's module says so.

Rules: nonces are 96 random bits, drawn here or for a whole batch by the sealer of blobs. That is safe
because no key seals many messages: a blob's key seals one plaintext, and subkeys of M seal a few objects a day, far
below the 2^32 of NIST SP 800-38D. Bytes that do not authenticate raise `DamagedObjectError` and give no plaintext.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import DamagedObjectError
from .entropy import random_bytes

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
OVERHEAD_BYTES: Final = NONCE_BYTES + TAG_BYTES


def seal(
    key: bytes,
    plaintext: bytes | bytearray | memoryview,
    associated_data: bytes,
    *,
    nonce: bytes | None = None,
) -> bytes:
    """`nonce(12) || ciphertext || tag(16)`. A nonce that is given must come from `random_bytes`, but in a test.

    A repeated one breaks the key.
    """
    if nonce is None:
        nonce = random_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated_data)


def unseal(key: bytes, sealed: bytes | bytearray | memoryview, associated_data: bytes) -> bytes:
    """The plaintext, or `DamagedObjectError` if bytes, key or associated data are not those it was sealed with."""
    if len(sealed) < OVERHEAD_BYTES:
        raise DamagedObjectError("Sealed bytes are too short to hold a nonce and a tag.", code="seal_broken")
    view = memoryview(sealed)
    try:
        return AESGCM(key).decrypt(view[:NONCE_BYTES], view[NONCE_BYTES:], associated_data)
    except InvalidTag:
        pass  # raised anew below, so that the error carries no chain into the cipher library
    raise DamagedObjectError("Sealed bytes do not authenticate: altered, or not sealed here.", code="seal_broken")
