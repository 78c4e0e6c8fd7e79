"""The signed shape: envelope, size, one msgpack map, and an Ed25519 signature.

Here: putting it together and taking it apart. Not here: whose key must have signed, and what the body holds.

Rules (docs/format/01-conventions.md): decoding does not check the signature, since the key may stand in the body or
in another object; until `verify` has said yes, nothing of the body is to be believed. Nothing follows the signature.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from ..crypto.signing import SIGNATURE_BYTES, SigningKey, verify
from ..limits import MAX_OBJECT_BYTES
from .envelope import ENVELOPE_BYTES, Envelope, Kind, expect
from .packing import damaged

SIGNATURE_CONTEXT: Final = b"snapstore 2026-11 v1 signature"
SIZE: Final = struct.Struct("<I")
_BODY_AT: Final = ENVELOPE_BYTES + SIZE.size


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedObject:
    """A signed object taken apart; its signature has not been looked at."""

    envelope: Envelope
    body: bytes
    signature: bytes
    message: bytes
    """What was signed."""

    def verify(self, public_key: bytes) -> bool:
        """Whether the holder of that key signed it."""
        return verify(public_key, self.message, self.signature)


def encode_signed(envelope: Envelope, body: bytes, signing_key: SigningKey) -> bytes:
    """A whole object; the same for the same body, since Ed25519 is deterministic."""
    head = envelope.encode()
    signature = signing_key.sign(SIGNATURE_CONTEXT + head + body)
    return head + SIZE.pack(len(body)) + body + signature


def split_body(kind: Kind, data: bytes, trailer_bytes: int) -> tuple[Envelope, bytes, bytes]:
    """Envelope, body and trailer of an object that says its body's size."""
    envelope = expect(data, kind)
    if not _BODY_AT + trailer_bytes <= len(data) <= MAX_OBJECT_BYTES:
        raise damaged("object", "has an impossible size")
    (body_size,) = SIZE.unpack_from(data, ENVELOPE_BYTES)
    if len(data) != _BODY_AT + body_size + trailer_bytes:
        raise damaged("object", "is cut short or has bytes after its end")
    end = _BODY_AT + body_size
    return envelope, bytes(data[_BODY_AT:end]), bytes(data[end:])


def decode_signed(kind: Kind, data: bytes) -> SignedObject:
    """The parts of a signed object of that kind, not verified."""
    envelope, body, signature = split_body(kind, data, SIGNATURE_BYTES)
    message = SIGNATURE_CONTEXT + data[:ENVELOPE_BYTES] + body
    return SignedObject(envelope=envelope, body=body, signature=signature, message=message)
