"""What the test of a medium writes: blocks that no other place and no other run can have.

Here: `Pattern`. Not here: where they are written.

Rules: a block is a keyed hash of its number, so that a medium which gives back another block, an older run's or zeros
is found out, and nothing need be remembered of what was written but the key.
"""

from __future__ import annotations

from typing import Final

from blake3 import blake3

from ...crypto.entropy import random_bytes
from ...limits import MIB

BLOCK_BYTES: Final = MIB


class Pattern:
    """The blocks of one run."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = random_bytes(32) if key is None else key

    def block(self, number: int, size: int = BLOCK_BYTES) -> bytes:
        """Return block `number`."""
        return blake3(number.to_bytes(8, "little"), key=self._key).digest(length=size)


def first_difference(found: bytes | memoryview, meant: bytes | memoryview) -> int | None:
    """Return the offset of the first byte that differs or is missing, or None."""
    found, meant = memoryview(found), memoryview(meant)
    if found == meant:
        return None
    low, high = 0, min(len(found), len(meant))
    if found[:high] == meant[:high]:
        return high
    while high - low > 1:  # the first `low` bytes agree, the first `high` do not
        middle = (low + high) // 2
        low, high = (middle, high) if found[:middle] == meant[:middle] else (low, middle)
    return low
