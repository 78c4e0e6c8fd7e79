"""One plaintext to one sealed blob, opened again before it is let go.

Here: hashing, compressing, sealing, verifying of single blobs. Not here: threads, packs, deduplication.

Rules: verification unseals and decompresses the very bytes that will be stored and compares them with the plaintext; it
guards against a compressor, a cipher or a memory module that fails silently. Everything here may run in any thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..codec import compress, decompress
from ..crypto.blob import seal_blob, seal_child_list, stored_hash, unseal_blob, voucher
from ..crypto.keys import BlobDomain, DossierKeys, MaintenanceKeys
from ..errors import DamagedObjectError
from ..format.pack import BlobKind, PackEntry, vouched_facts
from ..types import BlobId, PlainHash, RepositoryId


@dataclass(frozen=True, slots=True)
class SealedBlob:
    """A blob ready for a pack. `entry.offset` is 0 until a pack places it."""

    entry: PackEntry
    stored: bytes


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
        codec, sealed = self._seal(plaintext, plain_hash, blob_id, content_key)
        return self._finish(BlobKind.DATA, blob_id, codec, b"", sealed, len(plaintext))

    def seal_tree(self, plaintext: bytes, plain_hash: PlainHash, children: Iterable[BlobId]) -> SealedBlob:
        """Seal a tree node together with the list of the blobs it refers to."""
        blob_id, content_key = self.keys.own.address(plain_hash)
        codec, sealed = self._seal(plaintext, plain_hash, blob_id, content_key)
        child_list = seal_child_list(self._child_list_key, self._repository_id, blob_id, children)
        return self._finish(BlobKind.TREE, blob_id, codec, child_list, sealed, len(plaintext))

    def is_vouched(self, entry: PackEntry) -> bool:
        """Tell whether this dossier itself stored the copy that `entry` describes."""
        facts = entry.vouched_facts
        return any(voucher(key, entry.blob_id, entry.stored_hash, facts) == entry.voucher for key in self._voucher_keys)

    def blob_ids(self, plain_hash: PlainHash, *, shared: bool) -> list[BlobId]:
        """Return the ids that a blob with that h would have under each epoch, newest first."""
        domains = [key.shared if shared else key.own for key in self._all_keys]
        return [domain.address(plain_hash)[0] for domain in domains if domain is not None]

    def _seal(self, plaintext: bytes, plain_hash: PlainHash, blob_id: BlobId, content_key: bytes) -> tuple[int, bytes]:
        codec, compressed = compress(plaintext, level=self._options.level)
        sealed = seal_blob(content_key, blob_id, codec, compressed)
        if self._options.verify:
            opened = unseal_blob(content_key, blob_id, codec, sealed)
            if decompress(codec, opened, raw_size=len(plaintext)) != plaintext:
                raise DamagedObjectError(
                    "A piece of data did not come back from compression as it went in. Nothing of it was stored; "
                    "test this computer's memory before trusting it.",
                    code="verification_failed",
                )
        return codec, sealed

    def _finish(
        self, kind: BlobKind, blob_id: BlobId, codec: int, child_list: bytes, sealed: bytes, raw_size: int
    ) -> SealedBlob:
        stored = child_list + sealed if child_list else sealed
        fingerprint = stored_hash(stored)
        facts = vouched_facts(kind, codec, self.keys.epoch, raw_size, len(child_list))
        entry = PackEntry(
            blob_id=blob_id,
            kind=kind,
            codec=codec,
            epoch=self.keys.epoch,
            offset=0,
            stored_size=len(stored),
            raw_size=raw_size,
            child_size=len(child_list),
            stored_hash=fingerprint,
            voucher=voucher(self._voucher_keys[0], blob_id, fingerprint, facts),
        )
        return SealedBlob(entry, stored)
