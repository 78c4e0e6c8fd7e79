"""The keyed table of the Gear scan.

256 words drawn from BLAKE3 under a subkey of the chunker key, so that the cuts of known files say nothing to whoever
lacks the key. docs/format/10-chunking.md is the specification.

A run of one byte value b of 64 bytes or more makes h = -T[b], again and again. If that were below the threshold,
every such run (unused space in a database, the black of a picture) would be cut into chunks of the minimum, so such a
table is not taken.
"""

from __future__ import annotations

from struct import pack, unpack

from blake3 import blake3

from .gear import TABLE_BYTES
from .native import GEAR_WINDOW_BYTES

MIN_TARGET_BYTES = 2 * GEAR_WINDOW_BYTES  # the minimum, half the target, holds one whole window


def cut_threshold(target: int) -> int:
    """Return the value that h must be below for a cut; `target` is the mean chunk size aimed at, in bytes."""
    if target < MIN_TARGET_BYTES:
        raise ValueError(f"a target of {target} bytes is below {MIN_TARGET_BYTES}")
    return 2**64 // (target // 2)


def gear_table(key: bytes, fine_target: int) -> bytes:
    """Return the 2048 bytes of the table for `key`, the 32-byte subkey for this use.

    The table suits every target from `fine_target` up, because a larger target has a lower threshold.
    """
    threshold = cut_threshold(fine_target)
    attempt = 0
    while True:
        table = blake3(pack("<I", attempt), key=key).digest(length=TABLE_BYTES)
        if not cuts_runs(table, threshold):
            return table
        attempt += 1


def cuts_runs(table: bytes, threshold: int) -> bool:
    """Tell whether a run of some one byte value would be cut with this table."""
    return any(-word % 2**64 < threshold for word in unpack("<256Q", table))
