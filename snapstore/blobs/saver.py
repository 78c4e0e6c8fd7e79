"""Plaintext in, h out: deduplication, worker threads, packs.

Here: batches of chunks going through a few sealing threads into one writing thread. Not here: files, trees, manifests.

    caller --batch--> workers: hash, look up, compress, seal, verify --blobs--> writer: packs, store

Rules: the queue to the writer is bounded, and callers bound what they submit (`Batch.result` blocks), so memory stays
flat. A copy that some other dossier stored is reused only after it was fetched and opened once
(docs/format/05-blobs.md). `relied` collects every pack that a returned h needs. The first error of any thread comes
out of every later call."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..format.index import IndexedPack
from ..format.pack import BlobKind
from ..format.tree import decode_node
from ..types import BlobId, PlainHash
from .index import BlobCopy, BlobIndex
from .packer import PackWriter
from .reader import BlobReader
from .sealer import BlobSealer, SealedBlob

_QUEUE_BATCHES: Final = 16
_MAX_WORKERS: Final = 4  # beyond this the interpreter lock, not the ciphers, sets the pace


class BlobSaver:
    """Saves blobs of one dossier. A context manager; leaving it without `finish` drops what is not stored yet."""

    def __init__(self, sealer: BlobSealer, index: BlobIndex, reader: BlobReader, checked: set[bytes]) -> None:
        self.sealer = sealer
        self.checked = checked
        """Copies of others that were opened once: id prefix and stored hash, 32 bytes together."""
        self.open_every_copy = False
        """Trust no stored copy that was not opened in this run: finds packs that went bad, and stores their
        blobs again.
        """
        self.relied: dict[str, int] = {}
        self.blobs_added = 0
        self.blobs_reused = 0
        self._index = index
        self._reader = reader
        self._claimed: set[tuple[BlobKind, BlobId]] = set()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._packs: PackWriter | None = None
        self._queue: queue.Queue[list[SealedBlob] | None] = queue.Queue(_QUEUE_BATCHES)
        workers = min(_MAX_WORKERS, max(2, os.cpu_count() or 2))
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="snapstore-seal")
        self._trees: list[Future[None]] = []
        self._writer = threading.Thread(target=self._write, name="snapstore-write", daemon=True)

    def start(self, packs: PackWriter) -> None:
        """Begin, with the writer that `on_pack` was wired to."""
        self._packs = packs
        self._writer.start()

    def __enter__(self) -> BlobSaver:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and self._failure is None:
            self._failure = error  # the writer drops what is still queued
        self._workers.shutdown(wait=True, cancel_futures=True)
        if self._writer.is_alive():
            self._queue.put(None)
            self._writer.join()
        if self._packs is not None:
            self._packs.close()

    def on_pack(self, pack: IndexedPack) -> None:
        """Take note of a pack that was stored; called from the writing thread."""
        self._index.add(pack)
        with self._lock:
            self.relied[pack.name] = pack.pack_size

    def submit(self, chunks: Sequence[bytes], *, shared: Sequence[bool]) -> Future[list[PlainHash]]:
        """Hash and save chunks in the background; the result are their h, in order."""
        self._raise_failure()
        return self._workers.submit(self._save_chunks, chunks, shared)

    def save_tree(self, plaintext: bytes, children: Iterable[BlobId]) -> PlainHash:
        """Hash a tree node now and save it in the background."""
        self._raise_failure()
        plain_hash = self.sealer.keys.own.hash(plaintext)
        blob_id = self.sealer.keys.own.address(plain_hash)[0]
        if not self._known(BlobKind.TREE, blob_id, plain_hash, shared=False):
            self._trees.append(self._workers.submit(self._seal_tree, plaintext, plain_hash, list(children)))
            if len(self._trees) > 256:
                self._settle(self._trees[:128])
                del self._trees[:128]
        return plain_hash

    def rely_on(self, kind: BlobKind, plain_hash: PlainHash, *, shared: bool) -> bool:
        """Note that a snapshot needs the blob, without saving it. False if no usable copy is known."""
        return any(
            (kind, blob_id) in self._claimed or self._reuse(kind, blob_id, plain_hash, shared=shared)
            for blob_id in self.sealer.blob_ids(plain_hash, shared=shared)
        )

    def blob_id(self, plain_hash: PlainHash, *, shared: bool) -> BlobId:
        """Return the id of the blob with that h, under the epoch it was stored in."""
        blob_ids = self.sealer.blob_ids(plain_hash, shared=shared)
        if len(blob_ids) > 1:
            for blob_id in blob_ids:
                if not self._claimed.isdisjoint((kind, blob_id) for kind in BlobKind) or any(
                    self._index.copies(blob_id)
                ):
                    return blob_id
        return blob_ids[0]

    def finish(self) -> None:
        """Wait until every blob is in the store and indexed. More may be saved afterwards."""
        self._settle(self._trees)
        self._trees.clear()
        self._queue.join()
        self._raise_failure()
        assert self._packs is not None
        self._packs.finish()

    @property
    def stored_bytes(self) -> int:
        """Bytes put into the store so far, padding and indexes included."""
        return self._packs.stored_bytes if self._packs is not None else 0

    def _save_chunks(self, chunks: Sequence[bytes], shared: Sequence[bool]) -> list[PlainHash]:
        hashes = []
        sealed = []
        for chunk, is_shared in zip(chunks, shared, strict=True):
            domain = self.sealer.domain(shared=is_shared)
            plain_hash = domain.hash(chunk)
            hashes.append(plain_hash)
            if not self._known(BlobKind.DATA, domain.address(plain_hash)[0], plain_hash, shared=is_shared):
                sealed.append(self.sealer.seal_data(chunk, plain_hash, shared=is_shared))
        if sealed:
            self._hand_over(sealed)
        return hashes

    def _seal_tree(self, plaintext: bytes, plain_hash: PlainHash, children: Iterable[BlobId]) -> None:
        if self.sealer.verifies:
            decode_node(plaintext)  # what a reader would refuse must never be stored
        self._hand_over([self.sealer.seal_tree(plaintext, plain_hash, children)])

    def _hand_over(self, blobs: list[SealedBlob]) -> None:
        with self._lock:
            self.blobs_added += len(blobs)
        self._queue.put(blobs)
        self._raise_failure()

    def _known(self, kind: BlobKind, blob_id: BlobId, plain_hash: PlainHash, *, shared: bool) -> bool:
        """Tell whether the blob need not be stored; otherwise claim it for the calling thread."""
        with self._lock:
            if (kind, blob_id) in self._claimed:
                self.blobs_reused += 1
                return True
            self._claimed.add((kind, blob_id))
        return self._reuse(kind, blob_id, plain_hash, shared=shared)

    def _reuse(self, kind: BlobKind, blob_id: BlobId, plain_hash: PlainHash, *, shared: bool) -> bool:
        """Rely on a copy of that kind. A tree needs its child list: a data blob of the same bytes will not do."""
        for copy in self._index.copies(blob_id):
            if copy.usable and copy.entry.kind == kind and self._is_trusted(copy, plain_hash, shared=shared):
                with self._lock:
                    self.relied[copy.pack] = copy.pack_size
                    self.blobs_reused += 1
                return True
        return False

    def _is_trusted(self, copy: BlobCopy, plain_hash: PlainHash, *, shared: bool) -> bool:
        entry = copy.entry
        if not self.open_every_copy and self.sealer.is_vouched(entry):
            return True
        if entry.kind == BlobKind.TREE and not self.sealer.is_vouched(entry):
            return False  # its child list may be anybody's, and a prune would believe it
        mark = entry.blob_id[:16] + entry.stored_hash
        if mark in self.checked:
            return True
        if self._reader.open_copy(copy, plain_hash, shared=shared) is None:
            return False
        self.checked.add(mark)
        return True

    def _write(self) -> None:
        assert self._packs is not None
        while (blobs := self._queue.get()) is not None:
            try:
                if self._failure is None:
                    for blob in blobs:
                        self._packs.add(blob)
            except BaseException as error:
                self._failure = error
            finally:
                self._queue.task_done()

    def _settle(self, futures: Sequence[Future[None]]) -> None:
        for future in futures:
            future.result()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
