"""Packs: entries, headers, and the padding that hides sizes.

Here: `PackEntry`, its 84 bytes, the sealed header at the end of a pack, and how much padding goes before it. Not
here: the blobs themselves (`snapstore.crypto.blob`) and how packs are filled (`snapstore.blobs`).

Rules (docs/format/06-packs.md): the layout of entries is fixed-size, because an index of millions of them is searched
as bytes and never as objects. The blobs of a pack lie back to back from offset 0 and are of one kind. Object sizes
are multiples of 4096 less the four bytes of the trailer, so that the count of entries shows only roughly.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from functools import partial
from typing import Any, Final, NamedTuple

from ..codec import RAW, ZSTD
from ..crypto.blob import CHILD_PREFIX_BYTES
from ..crypto.keys import MaintenanceKeys
from ..crypto.sealing import OVERHEAD_BYTES
from ..errors import DamagedObjectError, InputError
from ..limits import CHUNK_MAX_BYTES, HEADER_ALIGNMENT_BYTES, MAX_OBJECT_BYTES, TREE_BLOB_MAX_BYTES
from ..types import BlobId, RepositoryId
from .envelope import Kind
from .names import padme
from .packing import U16_MAX, damaged, unsupported
from .sealed import SEALED_OVERHEAD_BYTES, seal_object, unseal_object

COUNT: Final = struct.Struct("<I")
ENTRY: Final = struct.Struct("<32sBBHIIII16s16s")
ENTRY_BYTES: Final = 84
_ID_BYTES: Final = 32
_FACTS: Final = struct.Struct("<BBHII")
TRAILER_BYTES: Final = 4
_HEADER: Final = "pack header"


class BlobKind(IntEnum):
    """What a blob's plaintext is."""

    DATA = 1
    TREE = 2


class PackEntry(NamedTuple):
    """Where one blob lies in a pack, and what can be known of it without opening it. Fields in stored order."""

    blob_id: BlobId
    kind: int
    codec: int
    epoch: int
    offset: int
    stored_size: int
    raw_size: int
    child_size: int
    stored_hash: bytes
    voucher: bytes

    @property
    def vouched_facts(self) -> bytes:
        """What a voucher covers besides id and stored hash: 12 bytes."""
        return vouched_facts(self.kind, self.codec, self.epoch, self.raw_size, self.child_size)


_new_entry: Final[Callable[[tuple[Any, ...]], PackEntry]] = partial(tuple.__new__, PackEntry)
"""`PackEntry._make`, three times as fast."""
_DATA: Final = int(BlobKind.DATA)
_RAW_MAX_BYTES: Final = {int(BlobKind.DATA): CHUNK_MAX_BYTES, int(BlobKind.TREE): TREE_BLOB_MAX_BYTES}


def vouched_facts(kind: int, codec: int, epoch: int, raw_size: int, child_size: int) -> bytes:
    """The facts of an entry as its voucher covers them (docs/format/05-blobs.md)."""
    return _FACTS.pack(kind, codec, epoch, raw_size, child_size)


def encode_entries(entries: Sequence[PackEntry]) -> bytes:
    """Count and entries, as headers and indexes hold them."""
    return COUNT.pack(len(entries)) + b"".join([ENTRY.pack(*entry) for entry in entries])


def encode_placed(entries: Iterable[PackEntry], offset: int) -> tuple[bytes, int]:
    """Entries alone, as of blobs that lie back to back from `offset` on, and where the last one ends.

    A writer places tens of thousands; `_replace` on each took three times as long.
    """
    pack_entry, encoded = ENTRY.pack, []
    for blob_id, kind, codec, epoch, _, stored_size, *rest in entries:
        encoded.append(pack_entry(blob_id, kind, codec, epoch, offset, stored_size, *rest))
        offset += stored_size
    return b"".join(encoded), offset


def entry_ids(entries: bytes) -> tuple[BlobKind, list[BlobId]]:
    """The kind and the ids of the blobs of one pack, from its count and entries."""
    starts = range(COUNT.size, len(entries), ENTRY_BYTES)
    return BlobKind(entries[COUNT.size + _ID_BYTES]), [BlobId(entries[at : at + _ID_BYTES]) for at in starts]


def entries_as_written(data: bytes | memoryview) -> list[PackEntry]:
    """Entries back to back that this process has just made."""
    return [_new_entry(fields) for fields in ENTRY.iter_unpack(data)]


def decode_rows(data: bytes | memoryview) -> list[PackEntry]:
    """Entries back to back, each by itself, of whatever packs: a look-up finds thousands a second."""
    if len(data) % ENTRY_BYTES:
        raise damaged(_HEADER, "has an entry of another size")
    entries = entries_as_written(data)
    for entry in entries:
        _check_entry(entry)
    return entries


def decode_entries(data: bytes | memoryview, *, blob_area: int | None) -> list[PackEntry]:
    """The entries in `data`, which holds nothing else.

    `blob_area` is the count of bytes before the header in the pack; with None the entries may begin anywhere, as a
    part of a header does, but still follow each other.
    """
    if len(data) < COUNT.size + ENTRY_BYTES or len(data) != entries_size(COUNT.unpack_from(data)[0]):
        raise damaged(_HEADER, "has another size than its count of entries says")
    entries = [PackEntry._make(fields) for fields in ENTRY.iter_unpack(memoryview(data)[COUNT.size :])]
    kind, expected = entries[0].kind, 0 if blob_area is not None else entries[0].offset
    for entry in entries:
        _check_entry(entry)
        if entry.offset != expected or entry.kind != kind:
            raise damaged(_HEADER, "has entries that are of several kinds or do not lie back to back")
        expected += entry.stored_size
    if expected > (MAX_OBJECT_BYTES if blob_area is None else blob_area):
        raise damaged(_HEADER, "names blobs beyond the end of the pack")
    return entries


def _check_entry(entry: PackEntry) -> None:
    _, kind, codec, epoch, _, stored_size, raw_size, child_size, _, _ = entry
    content_size = stored_size - child_size - OVERHEAD_BYTES
    fits = content_size == raw_size if codec == RAW else 0 < content_size < raw_size and codec == ZSTD
    if fits and kind == _DATA and child_size == 0 and 0 < epoch <= U16_MAX and 0 < raw_size <= CHUNK_MAX_BYTES:
        return  # most are like this, and to look into everything costs as much as all the rest of decoding
    if entry.kind not in _RAW_MAX_BYTES:
        raise unsupported(_HEADER, f"has a blob of kind {entry.kind}, which this version does not know")
    if entry.codec not in (RAW, ZSTD):
        raise unsupported(_HEADER, f"has a blob of compression {entry.codec}, which this version does not know")
    if entry.kind == BlobKind.DATA:
        children_fit = entry.child_size == 0
    else:
        prefixes = entry.child_size - OVERHEAD_BYTES
        children_fit = prefixes >= 0 and prefixes % CHILD_PREFIX_BYTES == 0
    sizes_fit = (
        children_fit
        and 1 <= entry.raw_size <= _RAW_MAX_BYTES[entry.kind]
        and (content_size == entry.raw_size if entry.codec == RAW else 1 <= content_size < entry.raw_size)
    )
    if not sizes_fit or not 1 <= entry.epoch <= U16_MAX:
        raise damaged(_HEADER, "has an entry with impossible sizes")


def entries_size(count: int) -> int:
    """Bytes of count and entries together."""
    return COUNT.size + ENTRY_BYTES * count


def header_size(entry_count: int) -> int:
    """Bytes of the header object and the trailer together: a multiple of 4096."""
    least = SEALED_OVERHEAD_BYTES + entries_size(entry_count) + TRAILER_BYTES
    return -(-least // HEADER_ALIGNMENT_BYTES) * HEADER_ALIGNMENT_BYTES


def padding_needed(blob_bytes: int, entry_count: int) -> int:
    """How many random bytes go between the blobs and the header."""
    size = blob_bytes + header_size(entry_count)
    return padme(size) - size


def encode_header(
    keys: MaintenanceKeys,
    repository_id: RepositoryId,
    entries: Sequence[PackEntry],
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """The end of a pack: header object and trailer."""
    return encode_header_of(keys, repository_id, encode_entries(entries), object_id=object_id, nonce=nonce)


def encode_header_of(
    keys: MaintenanceKeys,
    repository_id: RepositoryId,
    entries: bytes,
    *,
    object_id: bytes | None = None,
    nonce: bytes | None = None,
) -> bytes:
    """As `encode_header`, of count and entries that are encoded already."""
    (count,) = COUNT.unpack_from(entries)
    if not count:
        raise InputError("A pack without blobs is never written.")
    plaintext = entries.ljust(header_size(count) - TRAILER_BYTES - SEALED_OVERHEAD_BYTES, b"\0")
    header = seal_object(
        Kind.PACK_HEADER, keys.pack_header, repository_id, keys.epoch, plaintext, object_id=object_id, nonce=nonce
    )
    return header + COUNT.pack(len(header))


def header_object_size(trailer: bytes) -> int:
    """The size of the header object, from the last four bytes of a pack."""
    size = int.from_bytes(trailer, "little")
    if len(trailer) != TRAILER_BYTES or size > MAX_OBJECT_BYTES or (size + TRAILER_BYTES) % HEADER_ALIGNMENT_BYTES:
        raise DamagedObjectError("A pack has no readable header: it is truncated or altered.", code="undecodable")
    return size


def decode_header(
    keys: MaintenanceKeys, repository_id: RepositoryId, data: bytes, *, blob_area: int | None = None
) -> list[PackEntry]:
    """The entries of a header object, without its trailer. `blob_area` as in `decode_entries`, from offset 0."""
    if (len(data) + TRAILER_BYTES) % HEADER_ALIGNMENT_BYTES:
        raise damaged(_HEADER, "is cut short or has bytes after its end")
    plaintext = unseal_object(Kind.PACK_HEADER, keys.pack_header, repository_id, data)
    (count,) = COUNT.unpack_from(plaintext)
    end = entries_size(count)
    if header_size(count) != len(data) + TRAILER_BYTES or plaintext.count(0, end) != len(plaintext) - end:
        raise damaged(_HEADER, "has another size than its count of entries says")
    return decode_entries(plaintext[:end], blob_area=MAX_OBJECT_BYTES if blob_area is None else blob_area)
