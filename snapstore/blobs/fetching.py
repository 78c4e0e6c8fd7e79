"""Windows of packs in a remote store: fetched side by side, kept for a while, and ahead of their use.

Here: `FarWindows`, which stands where `PackWindows` does for other stores. Not here: what the bytes mean, or what will
be needed next.

Rules: a server sees only aligned ranges of whole windows (see windows.py); neighbours that are missing together may be
one range of up to four. What is on its way is not asked for again. What is needed now goes before what was asked for
ahead; that is a wish: it is dropped when enough is ahead already, and its errors are told to nobody, since reading it
asks again. Memory is bounded: so many windows kept, so many more that a call has in hand. Threads are begun when there
is something to fetch and end when there is not; nothing has to be closed, but `close` drops the wishes. Safe for
several threads.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ..errors import DamageError, StoreError, StoreUnavailableError
from ..limits import READ_WINDOW_BYTES
from ..stores.protocol import Store

_KEPT: Final = 32  # windows; 78,579 files fetch each 1.23 times, with 48 1.16 and with 16 2.5 times; large files 1.00
_AHEAD: Final = 12  # of those kept, that nobody has needed yet
_IN_HAND: Final = 8  # windows that one call holds at a time, each of which may have been dropped from those kept
_RANGE_WINDOWS: Final = 4  # in one get: beyond this the way there and back is little of the time
_CLOSE_SECONDS: Final = 2.0  # what is under way then ends by itself

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
        self._windows: OrderedDict[_Key, Future[bytes]] = OrderedDict()
        self._ahead: set[_Key] = set()
        self._waiting: deque[_Run] = deque()
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def read(self, path: str, pack_size: int, offset: int, size: int) -> bytes:
        """Return `size` bytes at `offset` of the pack at `path`. DamageError, or StoreError if the store fails."""
        [found] = self.read_many([Range(path, pack_size, offset, size)])
        if isinstance(found, bytes):
            return found
        raise found

    def read_many(self, ranges: Sequence[Range]) -> list[bytes | DamageError | StoreError]:
        """Return the bytes of each range, or the error in its place. Any number of ranges passes in bounded memory."""
        results: list[bytes | DamageError | StoreError] = [b""] * len(ranges)
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
                results[at] = _cut(wanted, [held[wanted.path, number] for number in wanted.windows()])
            except (DamageError, StoreError) as error:
                results[at] = error
        return results

    def prefetch(self, ranges: Iterable[Range]) -> None:
        """Begin to fetch what will be needed soon, as far as there is room for it."""
        with self._lock:
            missing: dict[_Key, int] = {}
            for wanted in sorted(set(ranges)):
                for number in wanted.windows():
                    if (wanted.path, number) in self._windows or (wanted.path, number) in missing:
                        continue
                    if len(self._ahead) + len(missing) >= _AHEAD:
                        break
                    missing[wanted.path, number] = wanted.pack_size
            self._ahead.update(missing)
            self._begin(missing, ahead=True)

    def forget(self, path: str) -> None:
        """Drop what is kept of a pack, so that the next read asks the store again."""
        with self._lock:
            for key in [key for key in self._windows if key[0] == path]:
                del self._windows[key]
                self._ahead.discard(key)

    def close(self) -> None:
        """Drop what waits to be fetched, and wait a little for what is under way. Reading on afterwards works."""
        with self._lock:
            dropped = list(self._waiting)
            self._waiting.clear()
            for run in dropped:
                self._drop(run)
            threads = list(self._threads)
        for run in dropped:
            _fail(run, StoreUnavailableError(f"{run.path} was not read: its reader was closed."))
        end = time.monotonic() + _CLOSE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    # --- what is fetched -----------------------------------------------------------------------------------------

    def _take(self, keys: dict[_Key, int]) -> dict[_Key, Future[bytes]]:
        """Return windows, which are there or on their way now. `keys`: with the size of their packs."""
        with self._lock:
            self._ahead.difference_update(keys)
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
            return taken

    def _begin(self, missing: dict[_Key, int], *, ahead: bool) -> dict[_Key, Future[bytes]]:
        """Have windows fetched, by rising name and number. To be called with the lock."""
        begun: dict[_Key, Future[bytes]] = {key: Future() for key in sorted(missing)}
        most = min(_RANGE_WINDOWS, -(-len(begun) // self._lanes))  # no lane is idle for the sake of a longer range
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
        for number in range(min(len(self._waiting), self._lanes - len(self._threads))):
            thread = threading.Thread(target=self._work, name=f"snapstore-fetch-{number}", daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except RuntimeError:  # no more threads are to be had: those that there are will do
                self._threads.discard(thread)
                if not self._threads:
                    raise
        return begun

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
        while True:
            with self._lock:
                if not self._waiting:
                    self._threads.discard(threading.current_thread())
                    return
                run = self._waiting.popleft()
            try:
                self._fetch(run)
            except BaseException as error:  # whatever it is, it is what those who wait get
                with self._lock:
                    self._drop(run)
                _fail(run, error)

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
        if len(run.windows) == 1:
            run.windows[0].set_result(data)
            return
        for number, window in enumerate(run.windows):
            window.set_result(data[number * READ_WINDOW_BYTES : (number + 1) * READ_WINDOW_BYTES])

    def _fetch_alone(self, run: _Run) -> None:
        try:
            self._fetch(run)
        except (DamageError, StoreError) as error:
            with self._lock:
                self._drop(run)
            _fail(run, error)


def _cut(wanted: Range, windows: Sequence[Future[bytes]]) -> bytes:
    """The bytes of a range, out of the windows that it lies in."""
    start = wanted.offset % READ_WINDOW_BYTES
    if len(windows) == 1:
        return windows[0].result()[start : start + wanted.size]
    data = b"".join([window.result() for window in windows])
    return data[start : start + wanted.size]


def _fail(run: _Run, error: BaseException) -> None:
    for window in run.windows:
        if not window.done():
            window.set_exception(error)
