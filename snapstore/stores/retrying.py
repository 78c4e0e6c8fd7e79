"""Trying again what may go better the next time.

Here: `RetryingStore`, and `Patience`, which says how often and how long. Not here: what is worth another try; each
store says so with `StoreError.retryable`, and a wrong password, a full disk or damage are not.

Rules:
- A `put` may be tried again under the same name, although names are used once: one that failed with a retryable error
  has promised that its name was not used (it failed before its temporary got the name). Where a store cannot tell, it
  raises "put_uncertain", which is not retryable: only who makes names can put the object again, under a new one.
- A listing is taken whole before its first line is given, so that no part of one that broke off is ever seen.
- Waits are of random length up to a bound that doubles, so that stations which failed together do not come back
  together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "full jitter").
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, TypeVar

from ..errors import ObjectNotFoundError, StoreError
from .options import ATTEMPTS
from .protocol import Store, StoredObject
from .waiting import wait
from .wrapper import StoreWrapper

T = TypeVar("T")

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
TOTAL_SECONDS: Final = 600.0  # no try starts later than this after the first: a router restarts in less


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often something is tried, and how long is waited in between. Clock, sleep and chance can be replaced."""

    attempts: int = ATTEMPTS
    first_wait_seconds: float = FIRST_WAIT_SECONDS
    longest_wait_seconds: float = LONGEST_WAIT_SECONDS
    total_seconds: float = TOTAL_SECONDS
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    """From 0 to 1."""

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures."""
        bound = self.first_wait_seconds * 2.0 ** min(failures - 1, 32)
        return self.chance() * min(bound, self.longest_wait_seconds)

    def attempt(
        self, action: Callable[[], T], *, cancelled: Callable[[], bool], failed: Callable[[], None] | None = None
    ) -> T:
        """Do `action` until it succeeds or is not worth another try. `failed` is called before each further one."""
        start = self.clock()
        for failures in range(1, max(self.attempts, 1)):
            try:
                return action()
            except StoreError as error:
                if not error.retryable:
                    raise
                pause = self.pause(failures)
                if self.clock() + pause - start > self.total_seconds:
                    raise
            wait(pause, self.sleep, cancelled)
            if failed is not None:
                failed()
        return action()


class RetryingStore(StoreWrapper):
    """Tries again where the inner store says that it is worth it. `retries` counts the tries beyond the first."""

    def __init__(self, inner: Store, *, patience: Patience | None = None) -> None:
        super().__init__(inner)
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self.retries = 0

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Each try starts where the file stood at first. See the module for why the name may be used again."""
        if isinstance(data, (bytes, bytearray, memoryview)) or not data.seekable():
            return self._attempt(lambda: self.inner.put(name, data, size=size))
        start = data.tell()

        def put() -> None:
            data.seek(start)
            self.inner.put(name, data, size=size)

        return self._attempt(put)

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """The whole range again."""
        return self._attempt(lambda: self.inner.get(name, offset=offset, size=size))

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Listed whole, at the call."""
        return iter(self._attempt(lambda: [*self.inner.list(prefix)]))

    def delete(self, name: str) -> None:
        """What a further try does not find, an earlier one has deleted."""
        tries = 0

        def delete() -> None:
            nonlocal tries
            tries += 1
            try:
                self.inner.delete(name)
            except ObjectNotFoundError:
                if tries == 1:
                    raise

        self._attempt(delete)

    def free_bytes(self) -> int | None:
        """Asked again."""
        return self._attempt(self.inner.free_bytes)

    def clean_temporaries(self, station: str) -> None:
        """Begun again: what is removed is gone."""
        self._attempt(lambda: self.inner.clean_temporaries(station))

    def _attempt(self, action: Callable[[], T]) -> T:
        return self._patience.attempt(action, cancelled=self.cancelled, failed=self._count)

    def _count(self) -> None:
        with self._lock:
            self.retries += 1
