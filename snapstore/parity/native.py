"""Whether the compiled module for parity is there, and its one declaration in Python.

Here: what `snapstore/_parity.c` offers. Not here: its twin, which is `encoding._fold`; both give the same bytes.

Rules: no environment variable is read. Tests take a way by setting `FOLDING`, so it is looked up at each use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ..compiled import optional_module

Buffer: TypeAlias = bytes | bytearray | memoryview


class Folding(Protocol):
    """What the compiled module offers."""

    fold: Callable[[bytearray, int, int, Buffer], None]
    """Sums so far, bytes of a row, place in the row, and bytes of the next row from that place on."""


FOLDING: Folding | None = optional_module("_parity")
