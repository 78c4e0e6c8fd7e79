"""Sealing, hybrid encryption and signatures: what goes in comes out, and nothing else does."""

from __future__ import annotations

import pytest

from snapstore.crypto import hybrid
from snapstore.crypto.hybrid import HybridPrivateKey
from snapstore.crypto.sealing import OVERHEAD_BYTES, seal, unseal
from snapstore.crypto.signing import SigningKey, verify
from snapstore.errors import DamagedObjectError, InputError

KEY = bytes(range(32))


@pytest.mark.parametrize("plaintext", [b"", b"x", bytes(100_000)])
def test_unseal_gives_back_what_was_sealed(plaintext: bytes) -> None:
    sealed = seal(KEY, plaintext, b"context")
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert unseal(KEY, sealed, b"context") == plaintext


def test_two_seals_of_one_plaintext_differ() -> None:
    assert seal(KEY, b"text", b"") != seal(KEY, b"text", b"")


def test_another_key_context_or_byte_is_damage() -> None:
    sealed = seal(KEY, b"text", b"context")
    altered = bytes((sealed[0] ^ 1,)) + sealed[1:]
    for key, data, context in (
        (bytes(32), sealed, b"context"),
        (KEY, sealed, b"other"),
        (KEY, altered, b"context"),
        (KEY, sealed[:-1], b"context"),
        (KEY, sealed[:27], b"context"),
        (KEY, b"", b"context"),
    ):
        with pytest.raises(DamagedObjectError):
            unseal(key, data, context)


def test_hybrid_encryption_opens_only_with_its_key_and_info() -> None:
    private = HybridPrivateKey.generate()
    ciphertext = hybrid.encrypt(private.public_bytes, b"root", b"info")
    assert len(ciphertext) == 4 + hybrid.OVERHEAD_BYTES
    again = HybridPrivateKey.from_bytes(private.to_bytes())
    assert again.public_bytes == private.public_bytes
    assert again.decrypt(ciphertext, b"info") == b"root"
    for key, data, info in (
        (HybridPrivateKey.generate(), ciphertext, b"info"),
        (private, ciphertext, b"other"),
        (private, ciphertext[:-1], b"info"),
        (private, ciphertext[:1000], b"info"),
        (private, b"", b"info"),
    ):
        with pytest.raises(DamagedObjectError):
            key.decrypt(data, info)


@pytest.mark.parametrize("public", [b"", bytes(1215), bytes(1216), b"\xff" * 1216])
def test_what_is_no_hybrid_public_key_is_refused(public: bytes) -> None:
    with pytest.raises(InputError):
        hybrid.encrypt(public, b"root", b"info")


def test_private_keys_of_another_size_are_refused() -> None:
    with pytest.raises(InputError):
        HybridPrivateKey.from_bytes(bytes(95))
    with pytest.raises(InputError):
        SigningKey.from_seed(bytes(31))


def test_signatures_hold_for_their_message_and_key_only() -> None:
    key = SigningKey.generate()
    signature = key.sign(b"message")
    assert signature == key.sign(b"message")
    assert verify(key.public_bytes, b"message", signature)
    assert not verify(key.public_bytes, b"other", signature)
    assert not verify(SigningKey.generate().public_bytes, b"message", signature)
    assert not verify(key.public_bytes, b"message", signature[:-1])
    assert not verify(b"", b"message", signature)


def test_ed25519_is_the_one_of_rfc_8032() -> None:
    key = SigningKey.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert key.public_bytes.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a")


def test_no_repr_shows_a_private_key() -> None:
    signing, private = SigningKey.generate(), HybridPrivateKey.generate()
    assert signing.seed.hex() not in repr(signing)
    assert private.to_bytes()[:8].hex() not in repr(private)
