"""Puts that are under way while the next thing is made ready.

Here: `Uploads`: a few puts at a time, and what became of them. Not here: what is put, or when it counts.

Rules: each put has a thread of its own, which is gone when the put is over; a pack takes seconds, a thread a tenth of a
millisecond. `begin` waits when as many as allowed are under way, so what they hold (temporary files) is bounded. What
came of a put is told in the caller's thread, in his next call; so is its error, and that ends it all. Closing calls
off: a put that asks `go_on` before it reads on ends there, and one that the store holds up is left to end with the
store's time-out, which may take many minutes on a line that is dead. A user who cancels does the same: packs may take
minutes, and waiting for them ends at once. For one thread at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..errors import OperationCancelledError

T = TypeVar("T")

_MOST: Final = 3  # three streams fill a line that one does not; each holds a pack's 32 MiB in a temporary file
_CLOSE_SECONDS: Final = 5.0  # then a put is left alone: a pack that it still stores is found by the next run
_LOOK_SECONDS: Final = 0.5  # a wait without an end cannot be interrupted on Windows


class _Upload:
    """One put, in its thread."""

    def __init__(self, run: Callable[[], Callable[[], None]], ended: threading.Event) -> None:
        self.tell: Callable[[], None] | None = None
        self.error: BaseException | None = None
        self.over = threading.Event()
        self._run: Callable[[], Callable[[], None]] | None = run
        self._ended = ended
        self.thread = threading.Thread(target=self._work, name="snapstore-upload", daemon=True)

    def _work(self) -> None:
        assert self._run is not None
        try:
            self.tell = self._run()
        except BaseException as error:
            self.error = error
        finally:
            self._run = None  # what it holds may be large
            self.over.set()
            self._ended.set()


class Uploads:
    """Puts at the same time, at most `lanes`."""

    def __init__(self, lanes: int, cancelled: Callable[[], bool] = lambda: False) -> None:
        """`cancelled` tells whether the user wants everything to end; it is asked from all threads."""
        self._most = min(lanes, _MOST)
        self._cancelled = cancelled
        self._under_way: list[_Upload] = []
        self._ended = threading.Event()
        self._called_off = threading.Event()

    def begin(self, put: Callable[[], T], done: Callable[[T], None]) -> None:
        """Begin `put` in a thread when there is room; `done` is called with its result in a later call."""

        def run() -> Callable[[], None]:
            result = put()
            return lambda: done(result)

        self._settle(self._most - 1)
        upload = _Upload(run, self._ended)
        self._under_way.append(upload)
        upload.thread.start()

    def look(self) -> None:
        """Tell of what has ended meanwhile; raises the error of one that failed."""
        self._settle(self._most)

    def wait(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Wait for all, and tell of them; raises the error of one that failed. `meanwhile` is called now and then."""
        self._settle(0, meanwhile)

    def go_on(self) -> None:
        """Raise OperationCancelledError if the puts under way were called off."""
        if self._called_off.is_set() or self._cancelled():
            raise OperationCancelledError("The upload was called off. Run again: what was stored is found.")

    def close(self) -> None:
        """Call everything off and wait until nothing is under way, but not for long: see the module."""
        self._called_off.set()
        end = time.monotonic() + _CLOSE_SECONDS
        for upload in self._under_way:
            if upload.thread.ident is None:
                continue  # it never began
            while not upload.over.wait(_LOOK_SECONDS) and time.monotonic() < end:
                pass
            if upload.over.is_set():
                upload.thread.join(_LOOK_SECONDS)
        self._under_way.clear()

    def _settle(self, left: int, meanwhile: Callable[[], None] | None = None) -> None:
        """Tell of what has ended, and wait until no more than `left` are under way."""
        while True:
            self._ended.clear()
            for upload in [upload for upload in self._under_way if upload.over.is_set()]:
                upload.thread.join()
                self._under_way.remove(upload)
                if upload.error is not None:
                    raise upload.error
                assert upload.tell is not None
                upload.tell()
            if len(self._under_way) <= left:
                return
            self.go_on()
            if meanwhile is not None:
                meanwhile()
            self._ended.wait(_LOOK_SECONDS)
