"""Whether the compiled kernel is there, and its one declaration in Python.

The kernel (`snapstore/_kernel.c`) is optional: an installation without a compiler goes without it. Each function that
has a twin asks `choose_kernel` at every call and runs the twin when the answer is None. The twin gives the same
results about a hundred times slower, which is worth one warning in a process and not more.

Rules: no environment variable is read; tests pick the implementation with the private `_native` argument of each
function.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Callable
from functools import cache
from typing import Protocol, TypeAlias

from ..compiled import optional_module

ReadableBuffer: TypeAlias = bytes | bytearray | memoryview
WritableBuffer: TypeAlias = bytearray | memoryview

NUMBER_BYTES = 4
MAX_RECORD_BYTES = 256  # the kernel moves records through its stack
GEAR_WINDOW_BYTES = 64  # a byte has left the 64-bit h after 64 shifts


class Kernel(Protocol):
    """What the compiled module offers; `gear` and `records` say what the arguments mean."""

    find_cuts: Callable[[ReadableBuffer, bytes, int, int, int, int, bool], list[int]]
    make_records: Callable[[ReadableBuffer, int, int, int], bytes]
    sort_records: Callable[[WritableBuffer, int, int], None]
    match_records: Callable[[ReadableBuffer, int, int, ReadableBuffer, int], bytes]
    read_rows: Callable[[int, array[int], int], bytes]
    """Not on Windows. `snapstore.station.index_cache` has the twin."""


KERNEL: Kernel | None = optional_module("_kernel")


@cache
def _warn_once() -> None:
    warnings.warn(
        "snapstore runs without its compiled kernel: same results, but chunking is about a hundred times slower. "
        "Install a binary wheel, or a C compiler before installing from source.",
        RuntimeWarning,
        stacklevel=4,
    )


def choose_kernel(*, native: bool | None) -> Kernel | None:
    """Return the kernel, or None when the twin is to be used.

    `native` None takes the kernel if there is one; True insists on it (ImportError if it is absent); False is the twin
    without a warning.
    """
    if native is False:
        return None
    if KERNEL is None:
        if native:
            raise ImportError("snapstore._kernel was not compiled")
        _warn_once()
    return KERNEL
