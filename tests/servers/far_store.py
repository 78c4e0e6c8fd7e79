"""A store that seems far away: each call takes a while, and several at a time gain something.

Here: `FarStore`, a wrapper that takes its time, counts how many calls are under way, and fails or stalls where it is
told to. Not here: a server; the real ones are for tests of their stores.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from snapstore.errors import StoreError
from snapstore.stores.protocol import Store, StoredObject
from snapstore.testing import StoreWrapper


class FarStore(StoreWrapper):
    """Passes calls on after `seconds`. Cannot build objects, as remote stores cannot."""

    lanes: int = 4

    def __init__(self, inner: Store, *, seconds: float = 0.002, lanes: int = 4) -> None:
        super().__init__(inner)
        self.seconds = seconds
        self.lanes = lanes
        self.most: Counter[str] = Counter()
        """How many calls of each kind were under way at the same time at most."""
        self.begun: list[tuple[str, str]] = []
        """Every call: kind and name."""
        self.got: list[tuple[str, int, int | None]] = []
        """Every get: name, offset, size."""
        self.gate: threading.Event | None = None
        """If there is one, puts wait for it."""
        self.error_of: Callable[[str, str, int], BaseException | None] = lambda kind, name, number: None
        """Makes the error that a call ends with, of its kind, its name and its number among those of its kind."""
        self._now: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._lock = threading.Lock()

    def names(self, kind: str, prefix: str = "") -> list[str]:
        """What was called by kind and name, in the order in which the calls began."""
        return [name for called, name in self.begun if called == kind and name.startswith(prefix)]

    def begin(self) -> None:
        """None."""

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Passed on."""
        with self._under_way("put", name):
            if self.gate is not None:
                self.gate.wait()
            self.inner.put(name, data, size=size)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """Passed on."""
        with self._lock:
            self.got.append((name, offset, size))
        with self._under_way("get", name):
            return self.inner.get(name, offset=offset, size=size)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Passed on."""
        with self._under_way("list", prefix):
            return iter(list(self.inner.list(prefix)))

    def delete(self, name: str) -> None:
        """Passed on."""
        with self._under_way("delete", name):
            self.inner.delete(name)

    @contextmanager
    def _under_way(self, kind: str, name: str) -> Iterator[None]:
        with self._lock:
            self.begun.append((kind, name))
            self._now[kind] += 1
            self._numbers[kind] += 1
            number = self._numbers[kind]
            self.most[kind] = max(self.most[kind], self._now[kind])
        try:
            time.sleep(self.seconds)
            error = self.error_of(kind, name, number)
            if error is not None and not isinstance(error, AfterEffect):
                raise error
            yield
            if error is not None:
                raise error
        finally:
            with self._lock:
                self._now[kind] -= 1


class AfterEffect(StoreError):
    """An error of a call that was done all the same."""


def threads_named(start: str) -> list[threading.Thread]:
    """The threads that are there whose names begin so."""
    return [thread for thread in threading.enumerate() if thread.name.startswith(start)]
