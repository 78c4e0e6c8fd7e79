"""Counting what a long operation has done, and telling the caller now and then.

Here: `Meter`. Not here: how it is shown.

Rules: used by the thread that called the operation only. Speaks at most about ten times a second, and once at the end
of each phase."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from ..limits import PROGRESS_INTERVAL_SECONDS
from ..progress import Cancel, NullCancel, NullProgress, Progress, ProgressStatus, raise_if_cancelled
from ..stores.protocol import Store
from ..stores.wrapper import set_cancelled


class Meter:
    """Keeps the figures of one operation."""

    def __init__(self, progress: Progress | None, cancel: Cancel | None) -> None:
        self.silent = progress is None
        self._progress: Progress = progress if progress is not None else NullProgress()
        self._cancel: Cancel = cancel if cancel is not None else NullCancel()
        self._start = time.monotonic()
        self._due = 0.0
        self._current: str | None = None
        self.phase = "scan"
        self.files = 0
        self.bytes = 0
        self.added: Callable[[], int] = int
        """Asked for the bytes that were added so far."""
        self.problems = 0
        self.files_total: int | None = None
        self.bytes_total: int | None = None
        self.notices: list[tuple[str, str]] = []
        """Code and text. May be added to from another thread; they are told with the next figures."""

    @property
    def seconds(self) -> float:
        """Seconds since the operation began."""
        return time.monotonic() - self._start

    @contextlib.contextmanager
    def ending_waits(self, store: Store) -> Iterator[None]:
        """Let a cancel also end the waits between tries and for a bandwidth limit, in the block that follows."""
        set_cancelled(store, self._cancel.is_set)
        try:
            yield
        finally:
            set_cancelled(store, NullCancel().is_set)

    def look(self) -> None:
        """OperationCancelledError if the caller wants the operation to end; from any thread."""
        raise_if_cancelled(self._cancel)

    def enter(self, phase: str) -> None:
        """Begin another phase."""
        raise_if_cancelled(self._cancel)
        self.phase = phase
        self._current = None
        self.tell()

    def step(self, *, files: int = 0, size: int = 0, current: str | None = None) -> None:
        """Count what was done; OperationCancelledError if the caller wants the operation to end."""
        raise_if_cancelled(self._cancel)
        self.files += files
        self.bytes += size
        if current is not None:
            self._current = current
        if not self.silent and time.monotonic() >= self._due:
            self.tell()

    def tell(self) -> None:
        """Tell the caller the figures now."""
        if self.silent:
            return
        self._due = time.monotonic() + PROGRESS_INTERVAL_SECONDS
        seconds = self.seconds
        rate = self.bytes / seconds if seconds > 0.5 else None
        left = None
        if rate and self.bytes_total is not None:
            left = max(0, self.bytes_total - self.bytes) / rate
        self._progress.update(
            ProgressStatus(
                phase=self.phase,
                files_done=self.files,
                files_total=None if self.files_total is None else max(self.files_total, self.files),
                bytes_done=self.bytes,
                bytes_total=None if self.bytes_total is None else max(self.bytes_total, self.bytes),
                added_bytes=self.added(),
                problems=self.problems,
                current=self._current,
                seconds_elapsed=seconds,
                bytes_per_second=rate,
                seconds_left=left,
                notices=tuple(self.notices),
            )
        )
