"""Sealing of blobs: content, child lists, stored hashes and vouchers.

Here: bytes in, bytes out, as docs/format/05-blobs.md has it. Not here: hashing to an address (`keys.BlobDomain`),
compression (`snapstore.codec`), packs.

Rules: the associated data binds the blob's id and codec tag, and never the place in a pack, so that whoever holds
only the maintenance key can move a blob. Unsealing proves id and key; whether the plaintext gives h again is for the
reader to check, since only the reader has decompressed it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from ..errors import DamagedObjectError
from ..types import BlobId, RepositoryId
from .derivation import digest, keyed
from .sealing import OVERHEAD_BYTES, seal, unseal

CHILD_PREFIX_BYTES: Final = 16  # a collision of two prefixes only keeps a blob that nothing needs
STORED_HASH_BYTES: Final = 16
VOUCHER_BYTES: Final = 16


def seal_blob(
    content_key: bytes,
    blob_id: BlobId,
    codec_tag: int,
    compressed: bytes | memoryview,
    *,
    nonce: bytes | None = None,
) -> bytes:
    """The sealed content of a blob; `compressed` is what the codec of that tag gave."""
    return seal(content_key, compressed, blob_id + bytes((codec_tag,)), nonce=nonce)


def unseal_blob(content_key: bytes, blob_id: BlobId, codec_tag: int, sealed: bytes | memoryview) -> bytes:
    """The compressed content again, or `DamagedObjectError`."""
    return unseal(content_key, sealed, blob_id + bytes((codec_tag,)))


def child_prefixes(ids: Iterable[BlobId]) -> bytes:
    """What a child list says of these ids: their prefixes, rising, each once."""
    return b"".join(sorted({child[:CHILD_PREFIX_BYTES] for child in ids}))


def _child_list_data(repository_id: RepositoryId, blob_id: BlobId) -> bytes:
    return repository_id + blob_id + b"child list"


def seal_child_list(
    child_list_key: bytes,
    repository_id: RepositoryId,
    blob_id: BlobId,
    ids: Iterable[BlobId],
    *,
    nonce: bytes | None = None,
) -> bytes:
    """The sealed list of what a tree blob refers to; order and repeats of `ids` do not matter."""
    key = keyed(child_list_key, blob_id)
    return seal(key, child_prefixes(ids), _child_list_data(repository_id, blob_id), nonce=nonce)


def unseal_child_list(
    child_list_key: bytes, repository_id: RepositoryId, blob_id: BlobId, sealed: bytes | memoryview
) -> tuple[bytes, ...]:
    """The 16-byte prefixes of the ids a tree blob refers to, rising."""
    joined = unseal(keyed(child_list_key, blob_id), sealed, _child_list_data(repository_id, blob_id))
    if len(joined) % CHILD_PREFIX_BYTES:
        raise DamagedObjectError("A child list does not hold whole prefixes.")
    prefixes = tuple(joined[at : at + CHILD_PREFIX_BYTES] for at in range(0, len(joined), CHILD_PREFIX_BYTES))
    if any(first >= second for first, second in pairwise(prefixes)):
        raise DamagedObjectError("A child list is not in rising order.")
    return prefixes


def child_list_bytes(count: int) -> int:
    """The sealed size of a child list of `count` different prefixes."""
    return OVERHEAD_BYTES + CHILD_PREFIX_BYTES * count


def stored_hash(stored: bytes | bytearray | memoryview) -> bytes:
    """16 bytes over all stored bytes of a blob, child list included; checkable without any key."""
    return digest(stored)[:STORED_HASH_BYTES]


def voucher(voucher_key: bytes, blob_id: BlobId, stored: bytes, facts: bytes) -> bytes:
    """16 bytes by which a dossier's writers know that one of them stored this copy and said this of it.

    `stored` is the stored hash, `facts` are 12 bytes: kind, codec tag, key epoch, raw size and size of the child list,
    as in the pack header."""
    return keyed(voucher_key, blob_id + stored + facts, VOUCHER_BYTES)
