"""Ctrl-C and SIGTERM: the first asks the running operation to end cleanly, the second ends it, the third the process.

Here: `Interruption`, whose `event` is handed to operations as their cancel. Not here: the exit code (`exit_codes.py`).

Rules: only while an operation that looks at the event is running (`with interruption.patience():`) is the first signal
gentle; at a prompt or during key derivation there is nothing to finish and KeyboardInterrupt is raised at once.
Nothing in the handler takes a lock, so it writes with `os.write`. Handlers are only installed in the main thread and
put back.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

_SIGNAL_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")


class Interruption:
    """Turns signals into a cancel event."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.quiet = False
        self._patient = False
        self._count = 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take over the signals, if this is the main thread. Signals that are ignored (nohup) stay ignored."""
        if threading.current_thread() is not threading.main_thread():
            return
        for name in _SIGNAL_NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)

    def uninstall(self) -> None:
        """Put the handlers back that were there before."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    @contextlib.contextmanager
    def patience(self) -> Iterator[threading.Event]:
        """Give an operation the event to look at, and the time to end by itself."""
        self._patient = True
        try:
            yield self.event
        finally:
            self._patient = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._count += 1
        self.event.set()
        if self._count > 2:
            os._exit(130)
        if not self._patient or self._count > 1:
            raise KeyboardInterrupt
        if not self.quiet:
            with contextlib.suppress(OSError):
                os.write(2, b"\nsnapstore: stopping; once more to stop at once\n")
