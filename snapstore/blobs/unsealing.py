"""Many stored blobs to plaintext, in few calls.

Here: `open_blobs`, which knows the h of each, and `open_each`, which does not. Not here: where the stored bytes come
from, and what is done about those that do not open.

Rules: the rules of `crypto.blob` and of `codec`, for many blobs at once: what comes back has authenticated and has the
size that the pack header gives. A blob that does not open is None, and the caller opens it alone to learn why. Every
call into a library gives the interpreter lock away, and the hand-over costs as much as opening a small blob: so one
call of the compiled module opens all (`native`), and where that is not there all frames are decompressed in one."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeAlias, cast

import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..codec import RAW, ZSTD, frame_misfit
from ..crypto.keys import BlobDomain
from ..crypto.sealing import NONCE_BYTES, OVERHEAD_BYTES
from ..types import BlobId, PlainHash
from . import native

Plaintext: TypeAlias = bytes | memoryview

_HAS_BATCHES: Final = "multi_decompress_to_buffer" in zstandard.backend_features
_POOL_CONTEXTS: Final = 8
_BLOCK_HEADER_BYTES: Final = 3
_REPEATED_BYTE: Final = 1  # the type of a block that is stored as one byte, whatever its size

_contexts: deque[zstandard.ZstdDecompressor] = deque(maxlen=_POOL_CONTEXTS)


class StoredBlob(NamedTuple):
    """A blob's sealed content and what opens it."""

    key: bytes
    blob_id: BlobId
    codec: int
    raw_size: int
    sealed: memoryview

    def __repr__(self) -> str:
        return f"StoredBlob({len(self.sealed)} bytes, key hidden)"


_NOTHING: Final = StoredBlob(bytes(32), BlobId(bytes(32)), RAW, 0, memoryview(b""))


def open_blobs(
    blobs: Sequence[StoredBlob | None], domain: BlobDomain, plain_hashes: Sequence[PlainHash]
) -> list[Plaintext | None]:
    """The plaintexts, in order; None for a blob that is none, does not open or has another h."""
    if native.SEALING is not None:
        with suppress(MemoryError):  # all at once is too much, or one announces what it does not hold
            return _open_at_once(native.SEALING, blobs, domain, plain_hashes)
    opened = open_each(blobs)
    for at, (plaintext, plain_hash) in enumerate(zip(opened, plain_hashes, strict=True)):
        if plaintext is not None and domain.hash(plaintext) != plain_hash:
            opened[at] = None
    return opened


def _open_at_once(
    sealing: native.Sealing,
    blobs: Sequence[StoredBlob | None],
    domain: BlobDomain,
    plain_hashes: Sequence[PlainHash],
) -> list[Plaintext | None]:
    rows = [blob or _NOTHING for blob in blobs]
    sizes = [row.raw_size for row in rows]
    plaintexts, states = sealing.open_blobs(
        [None if blob is None else blob.sealed for blob in blobs],
        b"".join([part for row in rows for part in (row.blob_id, row.key)]),
        bytes([row.codec for row in rows]),
        struct.pack(f"<{len(sizes)}I", *sizes),
        domain.blob_hash_key,
        b"".join(plain_hashes),
    )
    view, end = memoryview(plaintexts), 0
    found: list[Plaintext | None] = []
    for size, state in zip(sizes, states, strict=True):
        found.append(view[end : end + size] if state else None)
        end += size
    return found


def open_each(blobs: Sequence[StoredBlob | None]) -> list[Plaintext | None]:
    """The plaintexts, in order; None for a blob that is none or does not open."""
    opened: list[Plaintext | None] = [None] * len(blobs)
    frames: list[bytes] = []
    places: list[int] = []
    for at, blob in enumerate(blobs):
        compressed = None if blob is None else _unseal(blob)
        if blob is None or compressed is None:
            continue
        if blob.codec == ZSTD and _fits(compressed, blob.raw_size):
            frames.append(compressed)
            places.append(at)
        elif blob.codec == RAW and len(compressed) == blob.raw_size:
            opened[at] = compressed
    for at, plaintext in zip(places, _decompress(frames), strict=True):
        blob = blobs[at]
        if plaintext is not None and blob is not None and len(plaintext) == blob.raw_size:
            opened[at] = plaintext
    return opened


def _unseal(blob: StoredBlob) -> bytes | None:
    sealed = blob.sealed
    if len(sealed) < OVERHEAD_BYTES:
        return None
    try:
        associated_data = blob.blob_id + bytes((blob.codec,))
        return AESGCM(blob.key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated_data)
    except InvalidTag:
        return None


def _fits(frame: bytes, raw_size: int) -> bool:
    """Whether the frame is of the kind that is written, announces the right size and is all there is."""
    return frame_misfit(frame, raw_size) is None and _ends_with_last_block(frame)


def _ends_with_last_block(frame: bytes) -> bool:
    """Whether nothing follows the frame, which decompressing many does not look at (RFC 8878, 3.1.1.2)."""
    position, last = zstandard.frame_header_size(frame), False
    while not last and position + _BLOCK_HEADER_BYTES <= len(frame):
        header = int.from_bytes(frame[position : position + _BLOCK_HEADER_BYTES], "little")
        last = bool(header & 1)
        stored_size = 1 if header >> 1 & 3 == _REPEATED_BYTE else header >> 3
        position += _BLOCK_HEADER_BYTES + stored_size
    return last and position == len(frame)


def _decompress(frames: list[bytes]) -> Iterable[Plaintext | None]:
    if not frames:
        return []
    try:
        context = _contexts.pop()
    except IndexError:
        context = zstandard.ZstdDecompressor()
    try:
        if _HAS_BATCHES:
            segments = cast("Sequence[bytes]", context.multi_decompress_to_buffer(list(frames)))
            return [memoryview(segments[at]) for at in range(len(frames))]
    except (zstandard.ZstdError, MemoryError):
        pass  # one of them is not what it says: each for itself, then
    finally:
        _contexts.append(context)
    return [_decompress_one(frame) for frame in frames]


def _decompress_one(frame: bytes) -> bytes | None:
    try:
        return zstandard.ZstdDecompressor().decompress(frame, read_across_frames=False, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError):
        return None
