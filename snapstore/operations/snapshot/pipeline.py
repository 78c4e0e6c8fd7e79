"""Chunks out to the worker threads, their hashes back, and everything else in its order.

Here: batching, and the queue of what waits for hashes. Not here: what is done with them.

Rules: `then` runs its action after all actions given before it, once the chunks it needs are hashed; that is looked at
batch by batch and hardly ever action by action. Plaintext that waits is bounded by PENDING_BYTES, actions that wait by
the weight of what they hold, so memory is flat whatever the tree's size: also where a batch is never full because
almost nothing needs one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final

from ...blobs.saver import BlobSaver
from ...limits import BATCH_BYTES, BATCH_ITEMS, PENDING_BYTES
from ...types import PlainHash

ACTION_WEIGHT: Final = 1024  # about the bytes that an entry holds until it is added to its folder
_WAITING_WEIGHT: Final = 4096 * ACTION_WEIGHT  # what a dozen batches of small files bring, so workers seldom run dry
_LOOK_EVERY_ACTIONS: Final = 64
_NO_BATCH: Final = -1


class Batch:
    """Chunks that one worker takes at a time. Numbers rise in the order of submission."""

    __slots__ = ("chunks", "future", "number", "shared", "size")

    def __init__(self, number: int) -> None:
        self.number = number
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


class _Group:
    """Actions in a row that need no batch after the one with this number."""

    __slots__ = ("actions", "number", "weight")

    def __init__(self, number: int) -> None:
        self.number = number
        self.actions: deque[Callable[[], None]] = deque()
        self.weight = 0


class Pipeline:
    """Feeds a `BlobSaver` and keeps order."""

    def __init__(self, saver: BlobSaver) -> None:
        self._saver = saver
        self._batch = Batch(0)
        self._running: deque[Batch] = deque()
        self._running_bytes = 0
        self._hashed = 0  # all batches with smaller numbers are
        self._groups: deque[_Group] = deque()
        self._given = 0
        self._weight = 0  # of all groups
        self._is_in_action = False

    def add_chunk(self, chunk: bytes, *, shared: bool) -> ChunkRef:
        """Hand over a chunk."""
        batch = self._batch
        chunks = batch.chunks
        reference = ChunkRef(batch, len(chunks), len(chunk))
        chunks.append(chunk)
        batch.shared.append(shared)
        batch.size += reference.size
        if batch.size >= BATCH_BYTES or len(chunks) >= BATCH_ITEMS:
            self._submit()
            if not self._is_in_action:
                self._advance()
        return reference

    def then(self, action: Callable[[], None], needs: Sequence[ChunkRef] = (), *, weight: int = ACTION_WEIGHT) -> None:
        """Run `action` in its turn, when the chunks it needs are hashed. `weight` is about the bytes that it holds."""
        number = _NO_BATCH
        for reference in needs:
            number = max(number, reference.batch.number)
        groups = self._groups
        if not groups and number < self._hashed:
            action()
            return
        if not groups or number > groups[-1].number:
            groups.append(_Group(number))
        groups[-1].actions.append(action)
        groups[-1].weight += weight
        self._weight += weight
        if self._is_in_action:
            return
        self._given += 1
        if self._given % _LOOK_EVERY_ACTIONS == 0:
            self._look()
            self._advance()
        while self._weight > _WAITING_WEIGHT:
            self._run_head()

    def wait_for(self, reference: ChunkRef) -> None:
        """Have a chunk hashed now."""
        self._reach(reference.batch.number)

    def drain(self) -> None:
        """Run everything that waits, and see every worker done. Chunks that no action needs are not sent any more."""
        while self._groups:
            self._run_head()
        while self._running:
            self._settle()

    def _run_head(self) -> None:
        self._reach(self._groups[0].number)
        self._advance()

    def _advance(self) -> None:
        """Run what need not wait any more. Actions may call everything here again."""
        groups, was_in_action = self._groups, self._is_in_action
        self._is_in_action = True
        try:
            while groups and groups[0].number < self._hashed:
                actions = groups[0].actions
                if actions:
                    actions.popleft()()
                else:
                    self._weight -= groups.popleft().weight
        finally:
            self._is_in_action = was_in_action

    def _submit(self) -> None:
        batch, self._batch = self._batch, Batch(self._batch.number + 1)
        batch.future = self._saver.submit(batch.chunks, shared=batch.shared)
        batch.chunks = []  # the worker holds them now, and lets go when it is done
        self._running.append(batch)
        self._running_bytes += batch.size
        while self._running_bytes > PENDING_BYTES:
            self._settle()
        self._look()

    def _look(self) -> None:
        """See how far the workers are."""
        while self._running:
            future = self._running[0].future
            if future is None or not future.done():
                break
            self._settle()

    def _reach(self, number: int) -> None:
        """Wait until the batch with that number and all before are hashed."""
        if number == self._batch.number:
            self._submit()
        while self._hashed <= number:
            self._settle()

    def _settle(self) -> None:
        """Wait for the oldest batch. Errors of the worker come out here."""
        batch = self._running.popleft()
        self._running_bytes -= batch.size
        self._hashed = batch.number + 1
        assert batch.future is not None
        batch.future.result()
