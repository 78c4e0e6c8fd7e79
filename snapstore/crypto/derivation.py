"""BLAKE3 in its three modes: plain, keyed, and key derivation.

Here: thin functions that fix the context string of the format, so that no caller writes it twice. Not here: which
subkeys there are (`keys`).

Rules: `derive` separates purposes by name, `keyed` hashes data under a key that has one purpose already. A key goes
into `keyed` only if it came from `derive`, from Argon2id, or is itself a product of `keyed` made for that
(docs/format/02-keys.md).
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

CONTEXT: Final = "snapstore 2026-11 v1 "
KEY_BYTES: Final = 32


def derive(key: bytes, purpose: str) -> bytes:
    """The 32-byte subkey of `key` for one purpose; purposes are listed in docs/format/02-keys.md."""
    return blake3(key, derive_key_context=CONTEXT + purpose).digest()


def keyed(key: bytes, data: bytes | bytearray | memoryview, size: int = KEY_BYTES) -> bytes:
    """Keyed BLAKE3 with `size` bytes of output; shorter outputs are prefixes of longer ones."""
    return blake3(data, key=key).digest(length=size)


def digest(data: bytes | bytearray | memoryview) -> bytes:
    """Plain BLAKE3, 32 bytes."""
    return blake3(data).digest()
