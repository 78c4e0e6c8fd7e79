"""The eight clear bytes at the head of every object.

Here: `Kind`, `Cipher` and `Envelope`. Not here: what follows the envelope (`sealed`, `signed`, `config`).

Rules (docs/format/01-conventions.md): wrong magic is damage; a version, kind or cipher that is not known is a newer
writer's, hence unsupported, and is looked at in that order, since only the version says how to read the rest.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from .packing import U16_MAX, damaged, unsupported

MAGIC: Final = b"\x8a\x53"
VERSION: Final = 1
ENVELOPE_BYTES: Final = 8
_LAYOUT: Final = struct.Struct("<2sBBBBH")


class Kind(IntEnum):
    """What an object is. 10 is set aside and unknown to this version."""

    CONFIG = 1
    KEYSET = 2
    RECORD = 3
    PACK_HEADER = 4
    INDEX = 5
    MANIFEST = 6
    CONDEMN = 7
    SESSION = 8
    PARITY = 9
    STATION_FILE = 11


class Cipher(IntEnum):
    """How an object is protected."""

    NONE = 0
    AES_GCM = 1
    AES_GCM_AND_HPKE = 2


CIPHER_OF_KIND: Final = {
    Kind.CONFIG: Cipher.NONE,
    Kind.KEYSET: Cipher.AES_GCM_AND_HPKE,
    Kind.RECORD: Cipher.AES_GCM,
    Kind.PACK_HEADER: Cipher.AES_GCM,
    Kind.INDEX: Cipher.AES_GCM,
    Kind.MANIFEST: Cipher.AES_GCM_AND_HPKE,
    Kind.CONDEMN: Cipher.AES_GCM,
    Kind.SESSION: Cipher.AES_GCM,
    Kind.PARITY: Cipher.NONE,
    Kind.STATION_FILE: Cipher.AES_GCM,
}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Kind, cipher and key epoch of an object."""

    kind: Kind
    cipher: Cipher
    epoch: int

    @classmethod
    def of(cls, kind: Kind, epoch: int) -> Envelope:
        """The envelope that objects of a kind carry."""
        return cls(kind, CIPHER_OF_KIND[kind], epoch)

    def encode(self) -> bytes:
        """The eight bytes."""
        return _LAYOUT.pack(MAGIC, self.kind, VERSION, self.cipher, 0, self.epoch)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Envelope:
        """The envelope at the head of `data`."""
        if len(data) < ENVELOPE_BYTES or data[:2] != MAGIC:
            raise damaged("object", "does not begin as an object of snapstore does")
        _, kind, version, cipher, zero, epoch = _LAYOUT.unpack_from(data)
        if version != VERSION:
            raise unsupported("object", f"has format version {version}")
        if kind not in _KINDS:
            raise unsupported("object", f"is of kind {kind}, which this version does not know")
        if cipher not in _CIPHERS:
            raise unsupported("object", f"uses cipher {cipher}, which this version does not know")
        if zero != 0 or not 1 <= epoch <= U16_MAX:
            raise damaged("object", "has an impossible envelope")
        return cls(Kind(kind), Cipher(cipher), epoch)


_KINDS: Final = frozenset(int(kind) for kind in Kind)
_CIPHERS: Final = frozenset(int(cipher) for cipher in Cipher)


def expect(data: bytes | memoryview, kind: Kind) -> Envelope:
    """The envelope of an object that has to be of one kind; any other kind in its place is damage."""
    envelope = Envelope.decode(data)
    if envelope.kind is not kind or envelope.cipher is not CIPHER_OF_KIND[kind]:
        raise damaged("object", f"is not of kind {kind.name.lower().replace('_', ' ')}, as its place says")
    return envelope
