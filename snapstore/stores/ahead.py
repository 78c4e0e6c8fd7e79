"""Several listings at once, for stores where each costs the time of a way over a network.

Here: `AheadStore`, whose `one_look` starts listings before they are asked for. Not here: which listings an operation
needs, and in which order they have to be made.

Rules: inside `one_look` a listing that was announced is made once, at the start, side by side with the others, but for
those that have to wait for another one. What is put or deleted through this store meanwhile is seen: its folder is
listed anew. Nothing is kept beyond the end of the block, and nothing is given to other threads than the block's own
(and those that take over its context), so that no listing is older than the block it is used in: threads that share a
store look at it at moments of their own. An error comes out of the listing that it belongs to. With a local store a
block does nothing at all. What is done `meanwhile` is over before anything is put.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from typing import BinaryIO, Final

from ..errors import OperationCancelledError, StoreError
from .protocol import Store, StoredObject, check_prefix, lanes_of
from .wrapper import StoreWrapper


class _Block:
    """The listings made ahead for one block."""

    def __init__(self, store: AheadStore) -> None:
        self.store = store
        self.made: dict[str, Future[list[StoredObject]]] = {}


_blocks: Final[ContextVar[tuple[_Block, ...]]] = ContextVar("_blocks", default=())
"""Those that the running code is in, of any store."""


class AheadStore(StoreWrapper):
    """Passes everything on, and lists ahead where it was asked to. A block inside another one is part of that."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._open: list[_Block] = []
        self._background: threading.Thread | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one_look(self, *chains: Sequence[str]) -> Iterator[None]:
        """List folders now and side by side; of those in one chain, each after the one before it."""
        if lanes_of(self.inner) == 1 or self._block() is not None:
            yield
            return
        block = _Block(self)
        workers = ThreadPoolExecutor(max(1, sum(map(len, chains))), thread_name_prefix="snapstore-list")
        entered = _blocks.set((*_blocks.get(), block))
        with self._lock:
            self._open.append(block)
        try:
            for chain in chains:
                before: Future[list[StoredObject]] | None = None
                for prefix in map(check_prefix, chain):
                    before = workers.submit(self._list_after, before, prefix)
                    with self._lock:
                        block.made[prefix] = before
            yield
            workers.shutdown(wait=True, cancel_futures=True)
        finally:
            _blocks.reset(entered)
            with self._lock:
                self._open.remove(block)
            workers.shutdown(wait=False, cancel_futures=True)  # after an error nobody waits for a server that is silent

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Passed on; folders that it lies in are listed anew."""
        self._settle()
        try:
            self.inner.put(name, data, size=size)
        finally:
            self._drop(name)

    def delete(self, name: str) -> None:
        """Passed on; folders that it lay in are listed anew."""
        try:
            self.inner.delete(name)
        finally:
            self._drop(name)

    def _drop(self, name: str) -> None:
        with self._lock:
            for block in self._open:
                for prefix in [prefix for prefix in block.made if name.startswith(f"{prefix}/") or not prefix]:
                    del block.made[prefix]

    def _block(self) -> _Block | None:
        return next((block for block in _blocks.get() if block.store is self), None)

    def meanwhile(self, action: Callable[[], None]) -> None:
        """Do something in the background; see the function of that name."""
        self._settle()
        self._background = threading.Thread(target=_quietly, args=(action,), name="snapstore-tidy", daemon=True)
        self._background.start()

    def close(self) -> None:
        """Passed on, when nothing is done in the background any more."""
        self._settle()
        self.inner.close()

    def _settle(self) -> None:
        """Wait for the background, whichever of several threads comes first."""
        background = self._background
        if background is not None:
            background.join()

    def _list_after(self, before: Future[list[StoredObject]] | None, prefix: str) -> list[StoredObject]:
        if before is not None:
            before.exception()  # only waits: the error is for whoever asks for that listing
        return list(self.inner.list(prefix))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The listing made ahead, or one made now."""
        folder, block = check_prefix(prefix), self._block()
        with self._lock:
            made = None if block is None else block.made.get(folder)
        return self.inner.list(prefix) if made is None else iter(made.result())


def meanwhile(store: Store, action: Callable[[], None]) -> None:
    """Do something that nobody waits for, before anything else is put. What keeps it from being done is no error."""
    if isinstance(store, AheadStore):
        store.meanwhile(action)
    else:
        _quietly(action)


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(StoreError, OperationCancelledError):  # a cancel is for whoever else uses the store
        action()
