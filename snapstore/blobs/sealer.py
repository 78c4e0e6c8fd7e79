"""Plaintexts to sealed blobs, opened again before they are let go.

Here: compressing, sealing, verifying, many blobs in one go. Not here: threads, packs, deduplication.

Rules: where the compiled module is there (`native`), a batch is one call of it; else it goes through `codec` and
`crypto` blob by blob, and both ways give blobs that the other one opens. Verification unseals and decompresses what was
sealed and compares it with the plaintext; it guards against a compressor, a cipher or a memory
module that fails silently. Everything here may run in any thread. A batch draws its randomness at once, since every
call into the system costs a hand-over of the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from ..codec import compress_many
from ..crypto.blob import child_prefixes, seal_blob, seal_child_list, stored_hash, voucher
from ..crypto.derivation import KEY_BYTES
from ..crypto.entropy import random_bytes
from ..crypto.keys import BlobDomain, DossierKeys, MaintenanceKeys
from ..crypto.sealing import NONCE_BYTES
from ..errors import DamagedObjectError
from ..format.pack import BlobKind, PackEntry, entries_as_written, vouched_facts
from ..types import BlobId, PlainHash, RepositoryId
from . import native
from .unsealing import StoredBlob, open_each


class PlainBlob(NamedTuple):
    """A blob to be sealed. `children` are what a tree node refers to, and None for data."""

    plaintext: bytes
    blob_id: BlobId
    content_key: bytes
    children: Iterable[BlobId] | None = None

    def __repr__(self) -> str:
        return f"PlainBlob({len(self.plaintext)} bytes, content and key hidden)"


class SealedBlob(NamedTuple):
    """A blob ready for a pack. `entry.offset` means nothing until a pack places it."""

    entry: PackEntry
    stored: bytes | memoryview


@dataclass(frozen=True, slots=True)
class SealingOptions:
    """How blobs are made: zstd level, and whether each is opened again before it is stored."""

    level: int = 3
    verify: bool = True


class BlobSealer:
    """Seals blobs for one dossier under the newest of its keys (`keys` is newest first)."""

    def __init__(
        self,
        keys: Sequence[DossierKeys],
        maintenance: MaintenanceKeys,
        repository_id: RepositoryId,
        options: SealingOptions = SealingOptions(),
    ) -> None:
        self.keys = keys[0]
        self._all_keys = tuple(keys)
        self._voucher_keys = [key.voucher for key in keys]
        self._child_list_key = maintenance.child_list
        self._repository_id = repository_id
        self._options = options

    @property
    def verifies(self) -> bool:
        """Whether what is sealed is opened again before it is stored."""
        return self._options.verify

    def domain(self, *, shared: bool) -> BlobDomain:
        """Return the dossier's own domain, or the one of shared files."""
        if shared:
            assert self.keys.shared is not None
            return self.keys.shared
        return self.keys.own

    def seal_data(self, plaintext: bytes, plain_hash: PlainHash, *, shared: bool) -> SealedBlob:
        """Seal a chunk, a bundle or a list of attributes."""
        blob_id, content_key = self.domain(shared=shared).address(plain_hash)
        return self.seal_many((PlainBlob(plaintext, blob_id, content_key),))[0]

    def seal_tree(self, plaintext: bytes, plain_hash: PlainHash, children: Iterable[BlobId]) -> SealedBlob:
        """Seal a tree node together with the list of the blobs it refers to."""
        blob_id, content_key = self.keys.own.address(plain_hash)
        return self.seal_many((PlainBlob(plaintext, blob_id, content_key, children),))[0]

    def address_many(
        self, plaintexts: Sequence[bytes], shared: Sequence[bool]
    ) -> tuple[list[PlainHash], list[PlainBlob]]:
        """Hash chunks, each for the dossier's own domain or the shared one: their h, and what is to be sealed."""
        hashes, blobs = [], []
        if native.SEALING is None:
            for plaintext, is_shared in zip(plaintexts, shared, strict=True):
                domain = self.domain(shared=is_shared)
                plain_hash = domain.hash(plaintext)
                hashes.append(plain_hash)
                blobs.append(PlainBlob(plaintext, *domain.address(plain_hash)))
            return hashes, blobs
        domains = [self.domain(shared=is_shared) for is_shared in ((False, True) if any(shared) else (False,))]
        keys = b"".join([domain.blob_hash_key + domain.blob_id_key for domain in domains])
        found = native.SEALING.hash_blobs(plaintexts, keys, bytes(shared))
        for at, plaintext in zip(range(0, len(found), 3 * KEY_BYTES), plaintexts, strict=True):
            id_at, key_at = at + KEY_BYTES, at + 2 * KEY_BYTES
            hashes.append(PlainHash(found[at:id_at]))
            blobs.append(PlainBlob(plaintext, BlobId(found[id_at:key_at]), found[key_at : key_at + KEY_BYTES]))
        return hashes, blobs

    def seal_many(self, blobs: Sequence[PlainBlob]) -> list[SealedBlob]:
        """Seal blobs of one kind in order; neighbours in a file are best neighbours here too (`compress_many`)."""
        if native.SEALING is not None:
            with suppress(RuntimeError):  # the system's cipher refuses: what it sealed is thrown away
                return self._seal_at_once(native.SEALING, blobs)
        return self._seal_each(blobs)

    def _seal_at_once(self, sealing: native.Sealing, blobs: Sequence[PlainBlob]) -> list[SealedBlob]:
        children = None
        if blobs and blobs[0].children is not None:
            children = [child_prefixes(blob.children or ()) for blob in blobs]
        stored, entries, failed = sealing.seal_blobs(
            [blob.plaintext for blob in blobs],
            children,
            b"".join([part for blob in blobs for part in blob[1:3]]),
            random_bytes(2 * NONCE_BYTES * len(blobs)),
            self._voucher_keys[0] + self._child_list_key + self._repository_id,
            self.keys.epoch,
            self._options.level,
            self._options.verify,
        )
        if failed >= 0:
            raise _not_the_same()
        view = memoryview(stored)
        return [
            SealedBlob(entry, view[entry.offset : entry.offset + entry.stored_size])
            for entry in entries_as_written(entries)
        ]

    def _seal_each(self, blobs: Sequence[PlainBlob]) -> list[SealedBlob]:
        nonces = random_bytes(2 * NONCE_BYTES * len(blobs))
        compressed = compress_many([blob.plaintext for blob in blobs], level=self._options.level)
        sealed = []
        for position, (blob, (codec, content)) in enumerate(zip(blobs, compressed, strict=True)):
            at = 2 * NONCE_BYTES * position
            nonce, list_nonce = nonces[at : at + NONCE_BYTES], nonces[at + NONCE_BYTES : at + 2 * NONCE_BYTES]
            stored = seal_blob(blob.content_key, blob.blob_id, codec, content, nonce=nonce)
            sealed.append(self._finish(blob, codec, stored, list_nonce))
        if self._options.verify:
            _verify(blobs, sealed)
        return sealed

    def is_vouched(self, entry: PackEntry) -> bool:
        """Tell whether this dossier itself stored the copy that `entry` describes."""
        facts = entry.vouched_facts
        return any(voucher(key, entry.blob_id, entry.stored_hash, facts) == entry.voucher for key in self._voucher_keys)

    def blob_ids(self, plain_hash: PlainHash, *, shared: bool) -> list[BlobId]:
        """Return the ids that a blob with that h would have under each epoch, newest first."""
        domains = [key.shared if shared else key.own for key in self._all_keys]
        return [domain.address(plain_hash)[0] for domain in domains if domain is not None]

    def _finish(self, blob: PlainBlob, codec: int, sealed: bytes, list_nonce: bytes) -> SealedBlob:
        kind, child_size, stored = BlobKind.DATA, 0, sealed
        if blob.children is not None:
            child_list = seal_child_list(
                self._child_list_key, self._repository_id, blob.blob_id, blob.children, nonce=list_nonce
            )
            kind, child_size, stored = BlobKind.TREE, len(child_list), child_list + sealed
        epoch, raw_size, fingerprint = self.keys.epoch, len(blob.plaintext), stored_hash(stored)
        facts = vouched_facts(kind, codec, epoch, raw_size, child_size)
        proof = voucher(self._voucher_keys[0], blob.blob_id, fingerprint, facts)
        entry = PackEntry(blob.blob_id, kind, codec, epoch, 0, len(stored), raw_size, child_size, fingerprint, proof)
        return SealedBlob(entry, stored)


def _verify(blobs: Sequence[PlainBlob], sealed: Sequence[SealedBlob]) -> None:
    """Open what is to be stored, in one call for all, and compare."""
    content = []
    for blob, (entry, stored) in zip(blobs, sealed, strict=True):
        view = memoryview(stored)[entry.child_size :]
        content.append(StoredBlob(blob.content_key, blob.blob_id, entry.codec, entry.raw_size, view))
    for blob, plaintext in zip(blobs, open_each(content), strict=True):
        # Bytes, because comparing a view takes longer than copying it.
        if plaintext is None or bytes(plaintext) != blob.plaintext:
            raise _not_the_same()


def _not_the_same() -> DamagedObjectError:
    return DamagedObjectError(
        "A piece of data did not come back from compression as it went in. Nothing of it was stored; "
        "test this computer's memory before trusting it.",
        code="verification_failed",
    )
