"""From h to plaintext, whatever copy still holds it.

Here: finding the copies, opening them, trying the next one. Not here: what the plaintext means.

Rules: bytes are returned only if their keyed hash is the h that was asked for. Every copy is tried before damage is
reported. A blob that the index does not know makes the index look at the store once more: another station may have
stored it meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..codec import decompress
from ..crypto.blob import stored_hash, unseal_blob
from ..crypto.keys import BlobDomain, DossierKeys
from ..errors import DamagedObjectError, DamageError, MissingObjectError, ObjectNotFoundError, StoreUnavailableError
from ..format.names import pack_path
from ..format.tree import Node, decode_node
from ..stores.protocol import Store
from ..types import PlainHash
from .index import BlobCopy, BlobIndex
from .windows import PackWindows


class BlobReader:
    """Opens the blobs of one dossier. Safe for several threads."""

    def __init__(
        self,
        store: Store,
        index: BlobIndex,
        keys: Sequence[DossierKeys],
        *,
        refresh: Callable[[], None] | None = None,
    ) -> None:
        self._index = index
        self._windows = PackWindows(store)
        self._own = [key.own for key in keys]
        self._shared = [key.shared for key in keys if key.shared is not None]
        self._refresh = refresh

    def load(self, plain_hash: PlainHash, *, shared: bool = False) -> bytes:
        """Return the plaintext with that hash.

        Raises MissingObjectError if no copy is known, DamagedObjectError if none is whole, StoreError if the store
        fails."""
        domains = self._shared if shared else self._own
        found = self._try_copies(plain_hash, domains)
        if found is None and self._refresh is not None:
            self._refresh()
            found = self._try_copies(plain_hash, domains)
        if found is None:
            raise MissingObjectError(
                "A piece of the snapshot is not in the repository (no pack holds it). "
                "Restore from another medium, or repair this one.",
                code="missing_blob",
            )
        return found

    def load_node(self, plain_hash: PlainHash) -> Node:
        """Return the tree node with that hash; errors as `load`, and DamagedObjectError if it does not decode."""
        return decode_node(self.load(plain_hash))

    def is_content(self, data: bytes, plain_hash: PlainHash, *, shared: bool) -> bool:
        """Tell whether `data` is the plaintext with that hash, without reading the store."""
        return any(domain.hash(data) == plain_hash for domain in (self._shared if shared else self._own))

    def open_copy(self, copy: BlobCopy, plain_hash: PlainHash, *, shared: bool) -> bytes | None:
        """Return the plaintext in one copy, or None if it is not whole."""
        for domain in self._shared if shared else self._own:
            blob_id, content_key = domain.address(plain_hash)
            if blob_id == copy.entry.blob_id:
                try:
                    return self._open(copy, domain, plain_hash, content_key)
                except (DamageError, ObjectNotFoundError):
                    return None
        return None

    def _try_copies(self, plain_hash: PlainHash, domains: Sequence[BlobDomain]) -> bytes | None:
        failure: DamageError | StoreUnavailableError | None = None
        for domain in domains:
            blob_id, content_key = domain.address(plain_hash)
            for copy in self._index.copies(blob_id):
                try:
                    return self._open(copy, domain, plain_hash, content_key)
                except ObjectNotFoundError:
                    continue
                except (DamageError, StoreUnavailableError) as error:
                    failure = failure or error
        if failure is not None:
            raise failure
        return None

    def _open(self, copy: BlobCopy, domain: BlobDomain, plain_hash: PlainHash, content_key: bytes) -> bytes:
        entry = copy.entry
        path = pack_path(copy.pack)
        stored = self._windows.read(path, copy.pack_size, entry.offset, entry.stored_size)
        if stored_hash(stored) != entry.stored_hash:
            self._windows.forget(path)
            raise _damaged(path)
        sealed = stored[entry.child_size :]
        compressed = unseal_blob(content_key, entry.blob_id, entry.codec, sealed)
        plaintext = decompress(entry.codec, compressed, raw_size=entry.raw_size)
        if domain.hash(plaintext) != plain_hash:
            raise _damaged(path)
        return plaintext


def _damaged(path: str) -> DamagedObjectError:
    return DamagedObjectError(
        f"{path} is damaged: a piece of it is not what was stored. Restore from another medium, or repair this one.",
        object_name=path,
        code="damaged_blob",
    )
