"""Plaintext in, h out: deduplication, worker threads, packs.

Here: batches of chunks and of tree nodes going through a few sealing threads into one writing thread. Not here: files,
trees, manifests.

    caller --batch--> workers: hash, look up, compress, seal, verify --blobs--> writer: packs, store

Rules: a batch is the unit of everything (a future, a look-up, a lock taken, a draw of randomness), since what is done
blob by blob between threads costs more than the ciphers. The queue to the writer is bounded, and callers bound what
they submit, so memory stays flat. A blob is claimed by the first thread that meets it, until the pack that holds it is
in the index. A copy that some other dossier stored is reused only after it was fetched and opened once
(docs/format/05-blobs.md). `relied` collects every pack that a returned h needs. The first error of any thread comes
out of every later call."""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ..format.index import IndexedPack
from ..format.native import check_nodes
from ..format.pack import BlobKind, entry_ids
from ..limits import BATCH_BYTES, BATCH_ITEMS
from ..types import BlobId, PlainHash
from .index import BlobCopy, BlobIndex
from .packer import PackWriter
from .reader import BlobReader
from .sealer import BlobSealer, PlainBlob, SealedBlob

_QUEUE_BATCHES: Final = 4  # a batch of photos is 4 MiB; more would not keep a slow medium busier
_MAX_WORKERS: Final = 4  # beyond this the interpreter lock, not the ciphers, sets the pace
_TREE_BATCHES: Final = 16  # that wait for a worker, before the caller does
_LOOK_SECONDS: Final = 0.5  # between two calls of what a caller does while it waits


def _nothing() -> None:
    """What a caller does who only waits."""


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
        self._claimed: dict[BlobKind, set[BlobId]] = {kind: set() for kind in BlobKind}
        self._own_packs: set[str] = set()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._packs: PackWriter | None = None
        self._queue: queue.Queue[list[SealedBlob] | None] = queue.Queue(_QUEUE_BATCHES)
        workers = min(_MAX_WORKERS, max(2, os.cpu_count() or 2))
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="snapstore-seal")
        self._nodes: list[tuple[bytes, PlainHash, Iterable[BlobId]]] = []
        self._node_bytes = 0
        self._node_batches: deque[Future[None]] = deque()
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
        kind, ids = entry_ids(pack.entries_bytes)
        with self._lock:
            self.relied[pack.name] = pack.pack_size
            self._own_packs.add(pack.name)
        self._index.add(pack)
        with self._lock:
            self._claimed[kind].difference_update(ids)  # from here on the index knows them

    def submit(self, chunks: Sequence[bytes], *, shared: Sequence[bool]) -> Future[list[PlainHash]]:
        """Hash and save chunks in the background; the result are their h, in order."""
        self._raise_failure()
        return self._workers.submit(self._save_chunks, chunks, shared)

    def save_tree(self, plaintext: bytes, children: Iterable[BlobId]) -> PlainHash:
        """Hash a tree node now and save it in the background."""
        self._raise_failure()
        plain_hash = self.sealer.keys.own.hash(plaintext)
        self._nodes.append((plaintext, plain_hash, children))
        self._node_bytes += len(plaintext)
        if self._node_bytes >= BATCH_BYTES or len(self._nodes) >= BATCH_ITEMS:
            self._submit_nodes()
        return plain_hash

    def rely_on(self, kind: BlobKind, plain_hash: PlainHash, *, shared: bool) -> bool:
        """Note that a snapshot needs the blob, without saving it. False if no usable copy is known."""
        if self._is_reliable(kind, plain_hash, shared=shared):
            return True
        if kind is BlobKind.DATA or not (self._nodes or self._node_batches):
            return False
        self._submit_nodes()  # it may be among the nodes of this run that no worker has seen yet
        self._settle_nodes(0)
        return self._is_reliable(kind, plain_hash, shared=shared)

    def blob_id(self, plain_hash: PlainHash, *, shared: bool) -> BlobId:
        """Return the id of the blob with that h, under the epoch it was stored in."""
        blob_ids = self.sealer.blob_ids(plain_hash, shared=shared)
        if len(blob_ids) > 1:
            for blob_id in blob_ids:
                if any(blob_id in claimed for claimed in self._claimed.values()) or self._index.copies(blob_id):
                    return blob_id
        return blob_ids[0]

    def finish(self, meanwhile: Callable[[], None] = _nothing) -> None:
        """Wait until every blob is in the store and indexed. More may be saved afterwards.

        `meanwhile` is called now and then by the calling thread; what it raises ends the waiting."""
        self._submit_nodes()
        self._settle_nodes(0)
        while self._is_writing():
            meanwhile()
        self._raise_failure()
        assert self._packs is not None
        self._packs.finish(meanwhile)

    def _is_writing(self) -> bool:
        """Wait a moment for the writing thread; whether it still has something to do."""
        with self._queue.all_tasks_done:
            return not self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, _LOOK_SECONDS)

    @property
    def stored_bytes(self) -> int:
        """Bytes put into the store so far, padding and indexes included."""
        return self._packs.stored_bytes if self._packs is not None else 0

    def _save_chunks(self, chunks: Sequence[bytes], shared: Sequence[bool]) -> list[PlainHash]:
        try:
            hashes, blobs = self.sealer.address_many(chunks, shared)
            self._save(BlobKind.DATA, blobs, hashes, shared)
        except BaseException as error:
            self._fail(error)
            raise
        return hashes

    def _submit_nodes(self) -> None:
        if not self._nodes:
            return
        nodes, self._nodes, self._node_bytes = self._nodes, [], 0
        self._node_batches.append(self._workers.submit(self._save_nodes, nodes))
        self._settle_nodes(_TREE_BATCHES)

    def _settle_nodes(self, waiting: int) -> None:
        while len(self._node_batches) > waiting:
            self._node_batches.popleft().result()

    def _save_nodes(self, nodes: Sequence[tuple[bytes, PlainHash, Iterable[BlobId]]]) -> None:
        try:
            if self.sealer.verifies:
                check_nodes([node[0] for node in nodes])  # what a reader would refuse must never be stored
            address = self.sealer.keys.own.address
            blobs = [PlainBlob(plaintext, *address(plain_hash), children) for plaintext, plain_hash, children in nodes]
            self._save(BlobKind.TREE, blobs, [node[1] for node in nodes], [False] * len(nodes))
        except BaseException as error:
            self._fail(error)
            raise

    def _save(
        self, kind: BlobKind, blobs: Sequence[PlainBlob], hashes: Sequence[PlainHash], shared: Sequence[bool]
    ) -> None:
        """Store those that are not known, and rely on the others."""
        claimed = self._claim(kind, blobs)
        copies = self._index.find_many([blobs[position].blob_id for position in claimed])
        new, reused = [], []
        for position, found in zip(claimed, copies, strict=True):
            if found and self._reuse(kind, found, hashes[position], shared=shared[position]):
                reused.append(blobs[position].blob_id)
            else:
                new.append(blobs[position])
        with self._lock:
            self._claimed[kind].difference_update(reused)
            self.blobs_added += len(new)
            self.blobs_reused += len(blobs) - len(new)
        if new:
            self._hand_over(self.sealer.seal_many(new))

    def _is_reliable(self, kind: BlobKind, plain_hash: PlainHash, *, shared: bool) -> bool:
        for blob_id in self.sealer.blob_ids(plain_hash, shared=shared):
            if blob_id in self._claimed[kind]:
                return True
            if self._reuse(kind, self._index.copies(blob_id), plain_hash, shared=shared):
                with self._lock:
                    self.blobs_reused += 1
                return True
        return False

    def _claim(self, kind: BlobKind, blobs: Sequence[PlainBlob]) -> list[int]:
        """Return the positions of those that no thread has claimed, which are now the calling thread's."""
        claimed = self._claimed[kind]
        mine = []
        with self._lock:
            for position, blob in enumerate(blobs):
                if blob.blob_id not in claimed:
                    claimed.add(blob.blob_id)
                    mine.append(position)
        return mine

    def _hand_over(self, blobs: list[SealedBlob]) -> None:
        self._queue.put(blobs)
        self._raise_failure()

    def _reuse(self, kind: BlobKind, copies: Iterable[BlobCopy], plain_hash: PlainHash, *, shared: bool) -> bool:
        """Rely on a copy of that kind. A tree needs its child list: a data blob of the same bytes will not do."""
        for copy in copies:
            if copy.usable and copy.entry.kind == kind and self._is_trusted(copy, plain_hash, shared=shared):
                with self._lock:
                    self.relied[copy.pack] = copy.pack_size
                return True
        return False

    def _is_trusted(self, copy: BlobCopy, plain_hash: PlainHash, *, shared: bool) -> bool:
        entry = copy.entry
        if copy.pack in self._own_packs or (not self.open_every_copy and self.sealer.is_vouched(entry)):
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
                    self._packs.add_many(blobs)
            except BaseException as error:
                self._fail(error)
            finally:
                self._queue.task_done()

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
