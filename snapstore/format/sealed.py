"""The sealed shape: envelope, object id, and one authenticated ciphertext.

Here: sealing and unsealing whole objects, and sealed sections inside signed ones. Not here: which subkey belongs to
which kind; callers pass it.

Rules (docs/format/01-conventions.md): repository, envelope and object id are authenticated, so an object moved to
another repository, or whose clear bytes were altered, does not open. Callers that hold several epochs read
`Envelope.decode(data).epoch` before they choose the key.
"""

from __future__ import annotations

from typing import Final

from ..crypto.entropy import random_bytes
from ..crypto.sealing import OVERHEAD_BYTES, seal, unseal
from ..errors import NotEnrolledError
from ..limits import MAX_OBJECT_BYTES
from ..types import RepositoryId
from .envelope import ENVELOPE_BYTES, Envelope, Kind, expect
from .packing import damaged

OBJECT_ID_BYTES: Final = 16
SEALED_OVERHEAD_BYTES: Final = ENVELOPE_BYTES + OBJECT_ID_BYTES + OVERHEAD_BYTES
_CLEAR_BYTES: Final = ENVELOPE_BYTES + OBJECT_ID_BYTES


def seal_object(  # noqa: PLR0913 - the last two are for golden vectors only
    kind: Kind,
    key: bytes,
    repository_id: RepositoryId,
    epoch: int,
    plaintext: bytes,
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """A whole object. `SEALED_OVERHEAD_BYTES` longer than its plaintext."""
    if object_id is None:
        object_id = random_bytes(OBJECT_ID_BYTES)
    clear = Envelope.of(kind, epoch).encode() + object_id
    return clear + seal(key, plaintext, repository_id + clear, nonce=nonce)


def unseal_object(kind: Kind, key: bytes, repository_id: RepositoryId, data: bytes | memoryview) -> bytes:
    """The plaintext of an object of that kind."""
    expect(data, kind)
    if not SEALED_OVERHEAD_BYTES <= len(data) <= MAX_OBJECT_BYTES:
        raise damaged("object", "has an impossible size")
    clear = bytes(data[:_CLEAR_BYTES])
    return unseal(key, data[_CLEAR_BYTES:], repository_id + clear)


def need_epoch(held: int, needed: int, what: str) -> None:
    """Refuse keys of another epoch before they make a whole object look damaged."""
    if held != needed:
        raise NotEnrolledError(
            f"The {what} is of key epoch {needed}, the keys at hand are of epoch {held}. "
            "Unlock the dossier with its secret.",
            code="keys_outdated",
        )
