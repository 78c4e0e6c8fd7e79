"""Several listings at once, for stores where each costs the time of a way over a network.

Here: `AheadStore`, whose `one_look` starts listings before they are asked for. Not here: which listings an operation
needs, and in which order they have to be made.

Rules: inside `one_look` a listing that was announced is made once, at the start, side by side with the others of its
wave; waves follow each other. What is put or deleted through this store meanwhile is seen: its folder is listed anew.
Nothing is kept beyond the end of the block, so that no listing is older than the block it is used in. An error comes
out of the listing that it belongs to. With a local store a block does nothing at all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from .protocol import Store, StoredObject, check_prefix, lanes_of
from .wrapper import StoreWrapper


class AheadStore(StoreWrapper):
    """Passes everything on, and lists ahead where it was asked to. One block at a time."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._made: dict[str, Future[list[StoredObject]]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one_look(self, *waves: Sequence[str]) -> Iterator[None]:
        """List the folders of the first wave now and side by side, and those of each next wave after them."""
        lanes = lanes_of(self.inner)
        if lanes == 1 or self._made:
            yield
            return
        workers = ThreadPoolExecutor(max(lanes, max(map(len, waves), default=1)), thread_name_prefix="snapstore-list")
        try:
            before: list[Future[list[StoredObject]]] = []
            for wave in waves:
                started = [(check_prefix(prefix), workers.submit(self._list_after, before, prefix)) for prefix in wave]
                with self._lock:
                    self._made.update(started)
                before = [future for _, future in started]
            yield
        finally:
            with self._lock:
                self._made.clear()
            workers.shutdown(wait=True, cancel_futures=True)

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Passed on; folders that it lies in are listed anew."""
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
            for prefix in [prefix for prefix in self._made if name.startswith(f"{prefix}/") or not prefix]:
                del self._made[prefix]

    def _list_after(self, before: Sequence[Future[list[StoredObject]]], prefix: str) -> list[StoredObject]:
        for future in before:
            future.exception()  # only waits: the error is for whoever asks for that listing
        return list(self.inner.list(prefix))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The listing made ahead, or one made now."""
        with self._lock:
            made = self._made.get(check_prefix(prefix))
        return self.inner.list(prefix) if made is None else iter(made.result())
