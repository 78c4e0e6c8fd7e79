"""From h to plaintext, whatever copy still holds it.

Here: finding the copies, opening them one by one or many at once, trying the next one. Not here: what the plaintext
means.

Rules: bytes are returned only if their keyed hash is the h that was asked for. Every copy is tried before damage is
reported. A blob that the index does not know makes the index look at the store once more: another station may have
stored it meanwhile. What fails in a batch is tried again alone, so that one damaged blob spoils no other; and a copy is
called damaged only when the store itself gave it so once more, since it may have gone bad on the way, or in a cache.
From a remote store a batch is read side by side, and ahead of its use where somebody knows what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..codec import decompress
from ..crypto.blob import stored_hash, unseal_blob
from ..crypto.keys import BlobDomain, DossierKeys
from ..errors import (
    DamagedObjectError,
    DamageError,
    MissingObjectError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from ..format.names import pack_path
from ..format.tree import Node, decode_node
from ..stores.protocol import Store, lanes_of
from ..types import BlobId, PlainHash
from .fetching import FarWindows, Range, pins_little
from .index import BlobCopy, BlobIndex
from .tree_packs import PackReads
from .unsealing import Plaintext, StoredBlob, open_blobs
from .windows import PackWindows


class Located(NamedTuple):
    """Where blobs are, in the order in which they were asked for. For one batch: it grows old."""

    keys: Sequence[tuple[BlobId, bytes]]
    """Of each blob its id and the key of its content."""
    copies: Sequence[Sequence[BlobCopy]]


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
        lanes = lanes_of(store)
        self._packs = PackReads(store)
        self._far = FarWindows(self._packs, lanes) if lanes > 1 else None
        self._near = PackWindows(store)
        self._windows = self._far or self._near
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

    def load_many(
        self, plain_hashes: Sequence[PlainHash], *, shared: bool = False, located: Located | None = None
    ) -> list[Plaintext | DamageError]:
        """Return the plaintexts with these hashes, in order, an error in the place of each that is missing or damaged.

        `located` is what `prefetch` returned for the same hashes. Raises StoreError if the store fails."""
        found: list[Plaintext | DamageError | None] = [None] * len(plain_hashes)
        for domain in self._shared if shared else self._own:
            missing = [at for at, item in enumerate(found) if item is None]
            wanted = [plain_hashes[at] for at in missing]
            opened = self._open_first(domain, wanted, located or self._locate(domain, wanted))
            for at, plaintext in zip(missing, opened, strict=True):
                found[at] = plaintext
            if not any(item is None for item in found):
                break
            located = None
        return [
            self._load_or_error(plain_hash, shared=shared) if item is None else item
            for plain_hash, item in zip(plain_hashes, found, strict=True)
        ]

    @property
    def reads_ahead(self) -> bool:
        """Whether `prefetch` does anything."""
        return self._far is not None

    def prefetch(
        self, plain_hashes: Sequence[PlainHash], *, shared: bool = False, sure: bool = False
    ) -> Located | None:
        """Begin to fetch blobs that will be needed soon, if the store is remote; those that are `sure` to be loaded as
        soon as there is room for them. Never an error of the store's.

        Returns where they are, if under the newest keys, which `load_many` need not look up again; or None."""
        if self._far is None:
            return None
        first: Located | None = None
        for domain in self._shared if shared else self._own:
            located = self._locate(domain, plain_hashes)
            first = first or located
            self._far.prefetch([_sealed_range(copies[0]) for copies in located.copies if copies], sure=sure)
            plain_hashes = [item for item, copies in zip(plain_hashes, located.copies, strict=True) if not copies]
            if not plain_hashes:
                break
        return first

    def heed(self, look: Callable[[], None]) -> None:
        """Have `look` called now and then while a remote store is waited for; what it raises ends the waiting."""
        if self._far is not None:
            self._far.heed(look)

    def close(self) -> None:
        """Fetch nothing more that nobody waits for. Reading on afterwards works."""
        self._windows.close()

    def load_nodes(self, plain_hashes: Sequence[PlainHash]) -> list[Node | DamageError]:
        """Return the tree nodes with these hashes, in order, an error in the place of each that cannot be read."""
        nodes: list[Node | DamageError] = []
        for item in self.load_many(plain_hashes):
            try:
                nodes.append(item if isinstance(item, DamageError) else decode_node(item))
            except DamageError as error:
                nodes.append(error)
        return nodes

    def _load_or_error(self, plain_hash: PlainHash, *, shared: bool) -> bytes | DamageError:
        try:
            return self.load(plain_hash, shared=shared)
        except DamageError as error:
            return error

    def _locate(self, domain: BlobDomain, plain_hashes: Sequence[PlainHash]) -> Located:
        keys = [domain.address(plain_hash) for plain_hash in plain_hashes]
        copies = self._index.find_many([blob_id for blob_id, _ in keys])
        if self._far is not None:
            self._packs.learn([some[0] for some in copies if some])
        return Located(keys, copies)

    def _open_first(
        self, domain: BlobDomain, plain_hashes: Sequence[PlainHash], located: Located
    ) -> list[Plaintext | None]:
        """The plaintexts by the first copy of each; None where there is no copy, or it is not whole."""
        content_keys = [content_key for _, content_key in located.keys]
        if self._far is not None:
            sealed = _fetched(self._far, located.copies, content_keys)
        else:
            views = pins_little([_sealed_range(some[0]) for some in located.copies if some])
            sealed = [
                self._sealed(some[0], content_key, view=views) if some else None
                for some, content_key in zip(located.copies, content_keys, strict=True)
            ]
        return open_blobs(sealed, domain, plain_hashes)

    def _sealed(self, copy: BlobCopy, content_key: bytes, *, view: bool) -> StoredBlob | None:
        entry = copy.entry
        try:
            sealed = self._near.view(*_sealed_range(copy))
        except (DamageError, StoreError):
            return None  # loading it alone says why, or finds another copy
        if not view:
            sealed = memoryview(bytes(sealed))
        return StoredBlob(content_key, entry.blob_id, entry.codec, entry.raw_size, sealed)

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
        self._packs.learn([copy])
        for _ in range(2):
            stored = self._windows.read(path, copy.pack_size, entry.offset, entry.stored_size)
            if stored_hash(stored) == entry.stored_hash:
                break
            self._windows.forget(path)
            self._packs.forget(path)
        else:
            raise _damaged(path)
        sealed = stored[entry.child_size :]
        compressed = unseal_blob(content_key, entry.blob_id, entry.codec, sealed)
        plaintext = decompress(entry.codec, compressed, raw_size=entry.raw_size)
        if domain.hash(plaintext) != plain_hash:
            raise _damaged(path)
        return plaintext


def _sealed_range(copy: BlobCopy) -> Range:
    """Where a blob's sealed bytes are, without its child list."""
    entry = copy.entry
    start = entry.offset + entry.child_size
    return Range(pack_path(copy.pack), copy.pack_size, start, entry.stored_size - entry.child_size)


def _fetched(
    windows: FarWindows, copies: Sequence[Sequence[BlobCopy]], content_keys: Sequence[bytes]
) -> list[StoredBlob | None]:
    """The first copy of each blob as it is stored, without its child list; None where there is none to be read."""
    pieces = iter(windows.read_many([_sealed_range(some[0]) for some in copies if some]))
    sealed: list[StoredBlob | None] = []
    for some, content_key in zip(copies, content_keys, strict=True):
        piece = next(pieces) if some else None
        if isinstance(piece, memoryview):
            entry = some[0].entry
            sealed.append(StoredBlob(content_key, entry.blob_id, entry.codec, entry.raw_size, piece))
        else:
            sealed.append(None)  # loading it alone says why, or finds another copy
    return sealed


def _damaged(path: str) -> DamagedObjectError:
    return DamagedObjectError(
        f"{path} is damaged: a piece of it is not what was stored. Restore from another medium, or repair this one.",
        object_name=path,
        code="damaged_blob",
    )
