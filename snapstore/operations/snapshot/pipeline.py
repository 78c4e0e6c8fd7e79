"""Chunks out to the worker threads, their hashes back, and everything else in its order.

Here: batching, and the queue of what waits for hashes. Not here: what is done with them.

Rules: `then` runs its action after all actions given before it, as soon as the chunks it needs are hashed. Plaintext
that waits is bounded by PENDING_BYTES, actions that wait by a count, so memory is flat whatever the tree's size."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from ...blobs.saver import BlobSaver
from ...limits import BATCH_BYTES, PENDING_BYTES
from ...types import PlainHash

_WAITING_ACTIONS: Final = 4096
_BATCH_CHUNKS: Final = 256


class Batch:
    """Chunks that one worker takes at a time."""

    __slots__ = ("chunks", "future", "shared", "size")

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.shared: list[bool] = []
        self.size = 0
        self.future: Future[list[PlainHash]] | None = None


class ChunkRef:
    """A chunk on its way. Its `plain_hash` is there once its action runs."""

    __slots__ = ("batch", "position", "size")

    def __init__(self, batch: Batch, position: int, size: int) -> None:
        self.batch = batch
        self.position = position
        self.size = size

    @property
    def plain_hash(self) -> PlainHash:
        """The chunk's h; waits for the worker. Errors of the worker come out here."""
        assert self.batch.future is not None
        return self.batch.future.result()[self.position]


class Pipeline:
    """Feeds a `BlobSaver` and keeps order."""

    def __init__(self, saver: BlobSaver) -> None:
        self._saver = saver
        self._batch = Batch()
        self._running: deque[Batch] = deque()
        self._running_bytes = 0
        self._waiting: deque[tuple[Sequence[ChunkRef], Callable[[], None]]] = deque()

    def add_chunk(self, chunk: bytes, *, shared: bool) -> ChunkRef:
        """Hand over a chunk."""
        batch = self._batch
        batch.chunks.append(chunk)
        batch.shared.append(shared)
        batch.size += len(chunk)
        reference = ChunkRef(batch, len(batch.chunks) - 1, len(chunk))
        if batch.size >= BATCH_BYTES or len(batch.chunks) >= _BATCH_CHUNKS:
            self._submit()
        return reference

    def then(self, action: Callable[[], None], needs: Sequence[ChunkRef] = ()) -> None:
        """Run `action` in its turn, when the chunks it needs are hashed."""
        self._waiting.append((needs, action))
        self._advance()
        while len(self._waiting) > _WAITING_ACTIONS:
            self._run_head()

    def wait_for(self, reference: ChunkRef) -> None:
        """Have a chunk hashed now."""
        if reference.batch.future is None:
            self._submit()
        assert reference.batch.future is not None
        reference.batch.future.result()

    def drain(self) -> None:
        """Run everything that waits."""
        while self._waiting:
            self._run_head()

    def _submit(self) -> None:
        batch, self._batch = self._batch, Batch()
        if not batch.chunks:
            return
        batch.future = self._saver.submit(batch.chunks, shared=batch.shared)
        batch.chunks = []  # the worker holds them now, and lets go when it is done
        self._running.append(batch)
        self._running_bytes += batch.size
        while self._running and (self._running_bytes > PENDING_BYTES or _is_done(self._running[0])):
            oldest = self._running.popleft()
            assert oldest.future is not None
            oldest.future.result()
            self._running_bytes -= oldest.size

    def _advance(self) -> None:
        while self._waiting and all(_is_done(reference.batch) for reference in self._waiting[0][0]):
            self._waiting.popleft()[1]()

    def _run_head(self) -> None:
        needs, action = self._waiting.popleft()
        if any(reference.batch.future is None for reference in needs):
            self._submit()
        action()
        self._advance()


def _is_done(batch: Batch) -> bool:
    return batch.future is not None and batch.future.done()
