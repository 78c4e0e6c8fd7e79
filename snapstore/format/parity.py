"""Parity sidecars: what heals a damaged pack, readable without any key.

Here: the shape of a sidecar, its head, the whole object as bytes. Not here: the arithmetic (`snapstore.parity`), and
healing (`snapstore.blobs.healing`).

Rules (docs/format/13-parity.md): the head, which holds the checksums of all blocks, stands at the beginning and again
at the end, so that a sidecar that is itself damaged still tells what is whole of it. Nothing in a sidecar is trusted:
what it gives is right if the hash in the pack's name says so.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blake3 import blake3

from ..errors import InputError
from ..limits import (
    KIB,
    MAX_OBJECT_BYTES,
    PARITY_BLOCK_BYTES,
    PARITY_COPY_BELOW_BYTES,
    PARITY_DATA_ROWS,
    PARITY_MAX_ROWS,
)
from ..parity.encoding import ParityEncoder
from .envelope import ENVELOPE_BYTES, Envelope, Kind, expect
from .names import NAME_CHARS, valid_name
from .packing import damaged

CHECK_BYTES: Final = 16
_SIDECAR: Final = "parity sidecar"
_LAYOUT: Final = struct.Struct(f"<{NAME_CHARS}sIHBB")
_SIZE: Final = struct.Struct("<I")
_FIXED_BYTES: Final = ENVELOPE_BYTES + _LAYOUT.size
LIKELY_HEAD_BYTES: Final = 20 * KIB
"""Holds the head of any sidecar that this version writes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a pack is laid out in rows. No parity rows: the sidecar holds a copy of the pack."""

    pack_size: int
    row_blocks: int
    data_rows: int
    parity_rows: int

    @classmethod
    def of(cls, pack_size: int, parity_rows: int) -> Shape:
        """The shape that sidecars of this version have."""
        if not 0 < pack_size <= MAX_OBJECT_BYTES or not 1 <= parity_rows <= PARITY_MAX_ROWS:
            raise InputError("A sidecar is for a pack of 1 byte to 64 MiB and has 1 to 3 parity rows.")
        if pack_size < PARITY_COPY_BELOW_BYTES:
            return cls(pack_size, 0, 0, 0)
        blocks = -(-pack_size // PARITY_BLOCK_BYTES)
        row_blocks = -(-blocks // PARITY_DATA_ROWS)
        return cls(pack_size, row_blocks, -(-blocks // row_blocks), parity_rows)

    @property
    def blocks(self) -> int:
        """Blocks of the pack; the last one may be short."""
        return -(-self.pack_size // PARITY_BLOCK_BYTES)

    @property
    def parity_blocks(self) -> int:
        """Blocks of all parity rows."""
        return self.parity_rows * self.row_blocks

    @property
    def head_size(self) -> int:
        """Bytes of the head."""
        return _FIXED_BYTES + CHECK_BYTES * (self.blocks + self.parity_blocks + 1)

    @property
    def body_size(self) -> int:
        """Bytes of the parity rows, or of the copy."""
        return self.parity_blocks * PARITY_BLOCK_BYTES if self.parity_rows else self.pack_size

    @property
    def sidecar_size(self) -> int:
        """Bytes of the whole object."""
        return 2 * self.head_size + self.body_size + _SIZE.size

    def is_possible(self) -> bool:
        """Whether blocks and rows fit each other."""
        if not 0 < self.pack_size <= MAX_OBJECT_BYTES or self.parity_rows > PARITY_MAX_ROWS:
            return False
        if not self.parity_rows:
            return self.row_blocks == self.data_rows == 0
        in_rows = self.row_blocks > 0 and -(-self.blocks // self.row_blocks) == self.data_rows
        return in_rows and self.data_rows <= PARITY_DATA_ROWS and self.sidecar_size <= MAX_OBJECT_BYTES


@dataclass(frozen=True, slots=True)
class ParityHead:
    """What a sidecar is for, and the checksums of the pack's blocks, then of the parity blocks."""

    pack: str
    shape: Shape
    checks: bytes

    def data_check(self, block: int) -> bytes:
        """The checksum of a block of the pack."""
        return self.checks[block * CHECK_BYTES : (block + 1) * CHECK_BYTES]

    def parity_check(self, block: int) -> bytes:
        """The checksum of a parity block, counted through all rows."""
        return self.data_check(self.shape.blocks + block)

    def encode(self) -> bytes:
        """The head as it stands in a sidecar, twice."""
        shape = self.shape
        fields = _LAYOUT.pack(
            self.pack.encode("ascii"), shape.pack_size, shape.row_blocks, shape.data_rows, shape.parity_rows
        )
        head = Envelope.of(Kind.PARITY, 1).encode() + fields + self.checks
        return head + block_check(head)


def block_check(block: bytes | memoryview) -> bytes:
    """The checksum of a block."""
    return blake3(block).digest(length=CHECK_BYTES)


def decode_head(data: bytes | memoryview) -> ParityHead:
    """The head that `data` begins with."""
    envelope = expect(data, Kind.PARITY)
    if len(data) < _FIXED_BYTES or envelope.epoch != 1:
        raise damaged(_SIDECAR, "has no head")
    name, pack_size, row_blocks, data_rows, parity_rows = _LAYOUT.unpack_from(data, ENVELOPE_BYTES)
    pack = name.decode("latin-1")
    shape = Shape(pack_size, row_blocks, data_rows, parity_rows)
    if not shape.is_possible() or not valid_name(pack) or len(data) < shape.head_size:
        raise damaged(_SIDECAR, "names an impossible pack")
    end = shape.head_size - CHECK_BYTES
    if block_check(data[:end]) != data[end : end + CHECK_BYTES]:
        raise damaged(_SIDECAR, "has another head than it was stored with")
    return ParityHead(pack, shape, bytes(data[_FIXED_BYTES:end]))


def decode_last_head(data: bytes | memoryview) -> ParityHead:
    """The head that stands at the end of a sidecar; `data` is the sidecar, or the last bytes of it."""
    end = len(data) - _SIZE.size
    if end < 0:
        raise damaged(_SIDECAR, "is cut short")
    (size,) = _SIZE.unpack_from(data, end)
    if not _FIXED_BYTES <= size <= end:
        raise damaged(_SIDECAR, "does not say where its second head is")
    head = decode_head(data[end - size : end])
    if head.shape.head_size != size:
        raise damaged(_SIDECAR, "has a second head of another size")
    return head


def encode_sidecar(head: ParityHead, body: bytes) -> bytes:
    """A whole sidecar."""
    encoded = head.encode()
    return b"".join((encoded, body, encoded, _SIZE.pack(len(encoded))))


def decode_sidecar(data: bytes) -> tuple[ParityHead, bytes]:
    """Head and body of a sidecar that is whole in every byte."""
    head = decode_head(data)
    shape = head.shape
    body = data[shape.head_size : shape.head_size + shape.body_size]
    if encode_sidecar(head, body) != data:
        raise damaged(_SIDECAR, "is not what its head says")
    checks = block_checks(body)
    if checks != (head.checks[shape.blocks * CHECK_BYTES :] if shape.parity_rows else head.checks):
        raise damaged(_SIDECAR, "has other blocks than it was stored with")
    return head, body


def block_checks(data: bytes) -> bytes:
    """The checksums of all blocks of some bytes."""
    view = memoryview(data)
    starts = range(0, len(data), PARITY_BLOCK_BYTES)
    return b"".join([block_check(view[at : at + PARITY_BLOCK_BYTES]) for at in starts])


class SidecarMaker:
    """Makes the sidecar of a pack while its bytes go by. Memory holds the parity rows, or the small pack."""

    def __init__(self, pack_size: int, parity_rows: int = PARITY_MAX_ROWS) -> None:
        self.shape = Shape.of(pack_size, parity_rows)
        self._checks: list[bytes] = []
        self._block = blake3()
        self._in_block = 0
        self._missing = pack_size
        self._copy: list[bytes] = []
        row_bytes = self.shape.row_blocks * PARITY_BLOCK_BYTES
        self._encoder = ParityEncoder(parity_rows, row_bytes) if self.shape.parity_rows else None
        self._body = b""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the pack. InputError for more than it has."""
        self._missing -= len(data)
        if self._missing < 0:
            raise InputError("A pack has more bytes than were announced.", code="wrong_size")
        if self._encoder is None:
            self._copy.append(bytes(data))
        else:
            self._encoder.update(data)
        view = memoryview(data)
        while view:
            piece = view[: PARITY_BLOCK_BYTES - self._in_block]
            self._block.update(piece)
            self._in_block += len(piece)
            view = view[len(piece) :]
            if self._in_block == PARITY_BLOCK_BYTES:
                self._end_block()

    def finish(self) -> None:
        """Say that the pack is over. InputError if it is not."""
        if self._missing:
            raise InputError("A pack has fewer bytes than were announced.", code="wrong_size")
        if self._in_block:
            self._end_block()
        self._body = b"".join(self._copy) if self._encoder is None else self._encoder.finish()
        self._copy, self._encoder = [], None

    def sidecar(self, pack: str) -> bytes:
        """The sidecar, once the pack is over and has its name."""
        parity = block_checks(self._body) if self.shape.parity_rows else b""
        return encode_sidecar(ParityHead(pack, self.shape, b"".join(self._checks) + parity), self._body)

    def _end_block(self) -> None:
        self._checks.append(self._block.digest(length=CHECK_BYTES))
        self._block = blake3()
        self._in_block = 0


def make_sidecar(pack: str, blocks: Sequence[bytes], parity_rows: int = PARITY_MAX_ROWS) -> bytes:
    """The sidecar of a pack that is in memory."""
    maker = SidecarMaker(sum(map(len, blocks)), parity_rows)
    for block in blocks:
        maker.update(block)
    maker.finish()
    return maker.sidecar(pack)
