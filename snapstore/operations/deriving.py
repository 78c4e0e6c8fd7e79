"""One Argon2id at a time.

Here: the lock, and nothing else. Not here: the derivation (`crypto.kdf`).

Rules: every derivation of the package goes through `derive_alone`. Two at once in one process, each with several
lanes, wait for each other for ever in OpenSSL's pool of threads (seen with OpenSSL 4.0 and cryptography 50: 3 of 3
tries with two threads)."""

from __future__ import annotations

import threading

from ..crypto.kdf import KdfParameters, derive_master

_ALONE = threading.Lock()


def derive_alone(secret_bytes: bytes, parameters: KdfParameters) -> bytes:
    """As `derive_master`, after any other one of this process has ended."""
    with _ALONE:
        return derive_master(secret_bytes, parameters)
