"""Calls to a store that are made at the same time.

Here: `side_by_side`, and `each_side_by_side` for many; `wait_for`, for those who have a future of their own. Not here:
which calls those are.

Rules: a store that is not remote is called in the calling thread, one call after the other, as if this were not here.
For a remote one, threads of this call alone make the calls, at most as many as the store has lanes, and are gone when
it returns. After an error no further call begins, those under way are waited for, and the error of the first call that
has one is raised. Only an interruption of the calling thread itself (Ctrl-C) is not made to wait: the threads end by
themselves when the store has answered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from itertools import islice
from typing import Any, Final, Generic, TypeVar

from ..stores.protocol import Store, lanes_of

T = TypeVar("T")

_CALLS_PER_LANE: Final = 2  # whose results wait in memory, when there are many calls
_LOOK_SECONDS: Final = 0.5  # a wait without an end cannot be interrupted on Windows


def side_by_side(store: Store, calls: Iterable[Callable[[], T]]) -> list[T]:
    """Make calls to a store, at the same time where that gains anything; the results are in the order of the calls."""
    planned = list(calls)
    lanes = min(lanes_of(store), len(planned))
    if lanes < 2:
        return [call() for call in planned]
    return _Calls(planned).run(lanes)


def each_side_by_side(store: Store, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Yield the results of any number of calls, of which some are made at the same time as in `side_by_side`."""
    if lanes_of(store) < 2:
        yield from (call() for call in calls)
        return
    waiting = iter(calls)
    while some := list(islice(waiting, _CALLS_PER_LANE * lanes_of(store))):
        yield from side_by_side(store, some)


def wait_for(future: Future[Any], look: Callable[[], object]) -> None:
    """Wait until it is done, whatever comes of it. `look` is called now and then, and may raise: a server may be silent
    for minutes, and a cancel is to be heard."""
    while not future.done():
        with suppress(TimeoutError):
            future.exception(_LOOK_SECONDS)
        look()


class _Calls(Generic[T]):
    """Some calls and what became of them."""

    def __init__(self, planned: Sequence[Callable[[], T]]) -> None:
        self._planned = planned
        self._results: dict[int, T] = {}
        self._errors: dict[int, BaseException] = {}
        self._begun = 0
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, lanes: int) -> list[T]:
        """Make all of them."""
        threads: list[threading.Thread] = []
        try:
            for number in range(lanes):
                thread = threading.Thread(
                    target=copy_context().run, args=(self._work,), name=f"snapstore-lane-{number}", daemon=True
                )
                thread.start()
                threads.append(thread)
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)
        finally:
            self._stopped = True
        if self._errors:
            first = self._errors[min(self._errors)]
            try:
                raise first
            finally:
                del first  # else the error's own traceback holds it, and with it everything it saw
                self._errors.clear()
        return [self._results[number] for number in range(len(self._planned))]

    def _work(self) -> None:
        while (number := self._next()) is not None:
            try:
                self._results[number] = self._planned[number]()
            except BaseException as error:
                self._errors[number] = error

    def _next(self) -> int | None:
        with self._lock:
            if self._stopped or self._errors or self._begun == len(self._planned):
                return None
            self._begun += 1
            return self._begun - 1
