"""Windows of packs in a remote store: fetched side by side, kept for a while, and ahead of their use.

Here: `FarWindows`, which stands where `PackWindows` does for other stores. Not here: what the bytes mean, or what will
be needed next.

Rules: a server sees only aligned ranges of whole windows (see windows.py); neighbours that are missing together may be
one range of up to four. What is on its way is not asked for again. What is needed now goes before what was asked for
ahead; that is a wish: while enough is ahead already it is dropped, or waits if who wished is sure to read it, and its
errors are told to nobody, since reading it asks again. Memory is bounded: so many windows kept, so many more that a
call has in hand; what it gives is views of windows only where most of these is read. Threads are begun when there is
something to fetch and end soon after there is nothing; nothing has to be closed, but `close` drops the wishes. Safe for
several threads; a child of a fork begins anew.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias
from weakref import WeakSet

from ..errors import DamageError, StoreError, StoreUnavailableError
from ..limits import READ_WINDOW_BYTES
from ..stores.protocol import Store
from .lanes import wait_for

_KEPT: Final = 32  # windows; 78,579 files fetch each 1.23 times, with 48 1.16 and with 16 2.5 times; large files 1.00
_AHEAD: Final = 12  # of those kept, that nobody has needed yet
_WISHES: Final = 512  # windows that wait until fewer are ahead: more than a restore's queue of parts can name
_IN_HAND: Final = 8  # windows that one call holds at a time, each of which may have been dropped from those kept
_RANGE_WINDOWS: Final = 4  # in one get: beyond this the way there and back is little of the time
_IDLE_SECONDS: Final = 0.5  # before a thread ends that has nothing to fetch: longer than the queue is ever empty
_PINNED: Final = 4  # times its own bytes, a result may keep of windows
_CLOSE_SECONDS: Final = 2.0  # what is under way then ends by itself

_NOTHING: Final = memoryview(b"")

_Key: TypeAlias = tuple[str, int]
"""A pack's full name, and a window's number in it."""


class Range(NamedTuple):
    """Some bytes of a pack."""

    path: str
    pack_size: int
    offset: int
    size: int

    def windows(self) -> range:
        """Numbers of the windows that they lie in."""
        return range(self.offset // READ_WINDOW_BYTES, (self.offset + self.size - 1) // READ_WINDOW_BYTES + 1)


@dataclass(frozen=True, slots=True)
class _Run:
    """Windows that lie one after the other, to be fetched together."""

    path: str
    pack_size: int
    first: int
    windows: list[Future[bytes]]

    def keys(self) -> list[_Key]:
        return [(self.path, self.first + number) for number in range(len(self.windows))]


class FarWindows:
    """Reads pieces of packs through an LRU of windows that threads fetch."""

    def __init__(self, store: Store, lanes: int, *, windows_kept: int = _KEPT) -> None:
        self._store = store
        self._lanes = lanes
        self._kept = windows_kept
        self._look: Callable[[], None] = lambda: None
        self._begin_anew()
        _all_windows.add(self)

    def heed(self, look: Callable[[], None]) -> None:
        """Have `look` called now and then while a call waits, in its thread; what it raises ends the call."""
        self._look = look

    def _begin_anew(self) -> None:
        """Have nothing. In a child of a fork: the threads, and what they fetch, are the parent's."""
        self._windows: OrderedDict[_Key, Future[bytes]] = OrderedDict()
        self._ahead: set[_Key] = set()
        self._wishes: OrderedDict[_Key, int] = OrderedDict()
        self._waiting: deque[_Run] = deque()
        self._threads: set[threading.Thread] = set()
        self._idle: set[threading.Thread] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._work_came = threading.Condition(self._lock)

    def read(self, path: str, pack_size: int, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset` of the pack at `path`. DamageError, or StoreError if the store fails."""
        [found] = self.read_many([Range(path, pack_size, offset, size)])
        if isinstance(found, memoryview):
            return bytes(found)
        raise found

    def read_many(self, ranges: Sequence[Range]) -> list[memoryview | DamageError | StoreError]:
        """Return the bytes of each range, or the error in its place. Any number of ranges passes in bounded memory.

        The result keeps at most four times its own bytes of windows in memory.
        """
        views = pins_little(ranges)
        results: list[memoryview | DamageError | StoreError] = [_NOTHING] * len(ranges)
        order = sorted(range(len(ranges)), key=ranges.__getitem__)
        held: dict[_Key, Future[bytes]] = {}
        planned = 0
        for position, at in enumerate(order):
            wanted = ranges[at]
            first = (wanted.path, wanted.windows().start)
            if any(key < first for key in held):
                held = {key: window for key, window in held.items() if key >= first}
            if planned <= position or len(held) <= _IN_HAND // 2:
                missing: dict[_Key, int] = {}
                while planned < len(order) and (planned <= position or len(held) + len(missing) < _IN_HAND):
                    following = ranges[order[planned]]
                    for number in following.windows():
                        if (following.path, number) not in held:
                            missing[following.path, number] = following.pack_size
                    planned += 1
                held.update(self._take(missing))
            try:
                piece = _cut(wanted, [self._waited_for(held[wanted.path, number]) for number in wanted.windows()])
                results[at] = piece if views else memoryview(bytes(piece))
            except (DamageError, StoreError) as error:
                results[at] = error
        return results

    def prefetch(self, ranges: Iterable[Range], *, sure: bool = False) -> None:
        """Begin to fetch what will be needed soon: call after call, in each by pack and place.

        Where there is no room for it yet it is dropped, or waits if it is `sure` to be read.
        """
        with self._lock:
            most = _WISHES if sure else len(self._wishes) + _AHEAD - len(self._ahead)
            for wanted in sorted(set(ranges)):
                for number in wanted.windows():
                    key = (wanted.path, number)
                    if key not in self._windows and len(self._wishes) < most:
                        self._wishes.setdefault(key, wanted.pack_size)
            self._grant(at_once=not sure)

    def forget(self, path: str) -> None:
        """Drop what is kept of a pack, so that the next read asks the store again."""
        with self._lock:
            for key in [key for key in self._windows if key[0] == path]:
                del self._windows[key]
                self._ahead.discard(key)

    def close(self) -> None:
        """Drop everything; who waits gets an error. Waits a little for what is under way. Reading on works."""
        with self._lock:
            self._closed = True  # threads end when there is nothing to fetch
            self._work_came.notify_all()
            pending = [window for window in self._windows.values() if not window.done()]
            self._waiting.clear()
            self._wishes.clear()
            self._windows.clear()
            self._ahead.clear()
            threads = list(self._threads)
        for window in pending:
            _fail(window, StoreUnavailableError("Packs were not read to their end: their reader was closed."))
        end = time.monotonic() + _CLOSE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _waited_for(self, window: Future[bytes]) -> bytes:
        wait_for(window, self._look)
        return window.result()

    # --- what is fetched -----------------------------------------------------------------------------------------

    def _take(self, keys: dict[_Key, int]) -> dict[_Key, Future[bytes]]:
        """Return windows, which are there or on their way now. `keys`: with the size of their packs."""
        with self._lock:
            self._ahead.difference_update(keys)
            for key in keys:
                self._wishes.pop(key, None)
            waiting = [run for run in self._waiting if not keys.keys().isdisjoint(run.keys())]
            for run in reversed(waiting):
                self._waiting.remove(run)
                self._waiting.appendleft(run)
            taken: dict[_Key, Future[bytes]] = {}
            missing: dict[_Key, int] = {}
            for key, pack_size in keys.items():
                window = self._windows.get(key)
                if window is None:
                    missing[key] = pack_size
                else:
                    taken[key] = window
                    self._windows.move_to_end(key)
            taken.update(self._begin(missing, ahead=False))
            self._grant()
            return taken

    def _grant(self, *, at_once: bool = False) -> None:
        """Begin to fetch the wishes that there is room for; not one by one. To be called with the lock."""
        room = _AHEAD - len(self._ahead)
        if not self._wishes or (room < min(_RANGE_WINDOWS, len(self._wishes)) and not at_once):
            return
        granted: dict[_Key, int] = {}
        while self._wishes and len(granted) < room:
            key, pack_size = self._wishes.popitem(last=False)
            if key not in self._windows:
                granted[key] = pack_size
        self._ahead.update(granted)
        self._begin(granted, ahead=True)

    def _begin(self, missing: dict[_Key, int], *, ahead: bool) -> dict[_Key, Future[bytes]]:
        """Have windows fetched, by rising name and number. To be called with the lock."""
        begun: dict[_Key, Future[bytes]] = {key: Future() for key in sorted(missing)}
        free = self._lanes - len(self._threads) + len(self._idle)
        most = min(_RANGE_WINDOWS, -(-len(begun) // max(1, free)))  # no lane is idle for the sake of a longer range
        runs: list[_Run] = []
        for (path, number), window in begun.items():
            last = runs[-1] if runs else None
            if last and last.path == path and last.first + len(last.windows) == number and len(last.windows) < most:
                last.windows.append(window)
            else:
                runs.append(_Run(path, missing[path, number], number, [window]))
        if ahead:
            self._waiting.extend(runs)
        else:
            self._waiting.extendleft(reversed(runs))
        self._windows.update(begun)
        self._trim()
        self._call_threads()
        return begun

    def _call_threads(self) -> None:
        """See that somebody fetches what waits. To be called with the lock."""
        self._work_came.notify(len(self._waiting))
        for number in range(min(len(self._waiting) - len(self._idle), self._lanes - len(self._threads))):
            thread = threading.Thread(target=self._work, name=f"snapstore-fetch-{number}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads are to be had: those that there are will do
                if not self._threads:
                    raise
                return
            self._threads.add(thread)

    def _trim(self) -> None:
        """Drop the windows that were used longest ago, not those on their way: they are few, and somebody waits."""
        for key in list(self._windows)[: max(0, len(self._windows) - self._kept)]:
            if self._windows[key].done():
                del self._windows[key]
                self._ahead.discard(key)

    def _drop(self, run: _Run) -> None:
        for key, window in zip(run.keys(), run.windows, strict=True):
            if self._windows.get(key) is window:
                del self._windows[key]
                self._ahead.discard(key)

    # --- in the threads ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        thread = threading.current_thread()
        while True:
            with self._lock:
                self._idle.add(thread)
                if not self._waiting and not self._closed:
                    self._work_came.wait(_IDLE_SECONDS)
                self._idle.discard(thread)
                if not self._waiting:
                    self._threads.discard(thread)
                    return
                run = self._waiting.popleft()
            try:
                self._fetch(run)
            except BaseException as error:  # whatever it is, it is what those who wait get
                with self._lock:
                    self._drop(run)
                for window in run.windows:
                    _fail(window, error)

    def _fetch(self, run: _Run) -> None:
        start = run.first * READ_WINDOW_BYTES
        size = min(len(run.windows) * READ_WINDOW_BYTES, run.pack_size - start)
        try:
            data = self._store.get(run.path, offset=start, size=size)
        except DamageError:
            if len(run.windows) == 1:
                raise
            for number, window in enumerate(run.windows):  # the pack ends too early: what comes before is good
                self._fetch_alone(_Run(run.path, run.pack_size, run.first + number, [window]))
            return
        for number, window in enumerate(run.windows):
            part = data[number * READ_WINDOW_BYTES : (number + 1) * READ_WINDOW_BYTES]  # no copy of all of it
            with suppress(InvalidStateError):  # the reader was closed meanwhile
                window.set_result(part)

    def _fetch_alone(self, run: _Run) -> None:
        try:
            self._fetch(run)
        except (DamageError, StoreError) as error:
            with self._lock:
                self._drop(run)
            _fail(run.windows[0], error)


def pins_little(ranges: Sequence[Range]) -> bool:
    """Whether views of these keep little more in memory than what they show: not if they lie far apart."""
    windows = {(wanted.path, number) for wanted in ranges for number in wanted.windows()}
    return len(windows) * READ_WINDOW_BYTES <= _PINNED * sum(wanted.size for wanted in ranges)


def _cut(wanted: Range, windows: Sequence[bytes]) -> memoryview:
    """The bytes of a range, out of the windows that it lies in."""
    start = wanted.offset % READ_WINDOW_BYTES
    found = [memoryview(window) for window in windows]
    if len(found) == 1:
        return found[0][start : start + wanted.size]
    found[0] = found[0][start:]
    found[-1] = found[-1][: wanted.size - sum(map(len, found[:-1]))]
    return memoryview(b"".join(found))


def _fail(window: Future[bytes], error: BaseException) -> None:
    with suppress(InvalidStateError):  # it is there, or was failed before
        window.set_exception(error)


_all_windows: Final[WeakSet[FarWindows]] = WeakSet()


def _after_fork() -> None:
    for windows in list(_all_windows):
        windows._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
