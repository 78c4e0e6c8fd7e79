"""Argon2id, computed once for each secret: tests open the same repositories hundreds of times.

Here: `RememberedArgon2id`, to be patched in for `snapstore.crypto.kdf.Argon2id`. Nothing of it is a stand-in: a
derivation that is new is done.
"""

from __future__ import annotations

from typing import Any, ClassVar

from snapstore.crypto import kdf

REAL_ARGON2ID = kdf.Argon2id


class RememberedArgon2id:
    """The real Argon2id, each distinct derivation computed once."""

    known: ClassVar[dict[tuple[object, ...], bytes]] = {}

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters

    def derive(self, secret: bytes) -> bytes:
        key = (secret, *sorted(self.parameters.items()))
        if key not in self.known:
            self.known[key] = REAL_ARGON2ID(**self.parameters).derive(secret)
        return self.known[key]
