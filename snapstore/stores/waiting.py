"""Waiting that can be called off.

Here: `wait`, which the wrappers sleep with. Not here: why they wait.

Rule: nobody who wants to stop waits longer than a slice of `SLICE_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..errors import OperationCancelledError

SLICE_SECONDS: Final = 0.2  # a person who pressed Ctrl-C does not notice it


def wait(seconds: float, sleep: Callable[[float], None], cancelled: Callable[[], bool]) -> None:
    """Sleep that long. Raises OperationCancelledError as soon as `cancelled()` says so, also for no seconds."""
    while True:
        if cancelled():
            raise OperationCancelledError("Cancelled while waiting for the store. Running again goes on from here.")
        if seconds <= 0:
            return
        sleep(min(seconds, SLICE_SECONDS))
        seconds -= SLICE_SECONDS
