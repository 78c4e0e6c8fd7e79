"""How long work tells the caller where it is, and how the caller stops it.

Here: the two protocols and their do-nothing defaults. Not here: anything that prints.

Rules: `Progress.update` is called from the thread that called the operation, at most about ten times a second, with
totals that only grow. An exception raised in it ends the operation as a cancel would. A `Cancel` is anything with an
`is_set()`, so a plain `threading.Event` does; it is looked at between files and between chunks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from .errors import OperationCancelledError


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressStatus:
    """One look at a running operation. Sizes in bytes, times in seconds; None where not known (yet)."""

    phase: str
    """What is being done: "scan", "snapshot", "upload", "confirm", "restore", "sync", "copy", "delete", "probe",
    "parity", "check", "repair", "write" or "verify"."""
    files_done: int = 0
    files_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    added_bytes: int = 0
    problems: int = 0
    current: str | None = None
    seconds_elapsed: float = 0.0
    bytes_per_second: float | None = None
    seconds_left: float | None = None
    notices: tuple[tuple[str, str], ...] = ()
    """What to tell the user now, as code and text: that the room on the medium may not suffice, for instance."""


@runtime_checkable
class Progress(Protocol):
    """Receives the state of a running operation."""

    def update(self, status: ProgressStatus) -> None:
        """Take note of `status`. Should return quickly."""


@runtime_checkable
class Cancel(Protocol):
    """Tells whether the caller wants the operation to end. `threading.Event` is one."""

    def is_set(self) -> bool:
        """Return True once the operation should stop."""


class NullProgress:
    """Ignores everything."""

    def update(self, status: ProgressStatus) -> None:
        """Do nothing."""


class NullCancel:
    """Never cancels."""

    def is_set(self) -> bool:
        """Return False."""
        return False


def raise_if_cancelled(cancel: Cancel) -> None:
    """Raise OperationCancelledError if `cancel` is set."""
    if cancel.is_set():
        raise OperationCancelledError(
            "Cancelled. What was stored so far is kept and reused; run the operation again to go on."
        )
