"""Content-defined cut points: the Gear scan of docs/format/10-chunking.md.

Here: one function over one buffer, compiled where possible, and its twin in Python. Not here: the keyed table
(`gear_table`), targets and file kinds (`cutters`, `choose`), and files that arrive in blocks (`stream`).

A chunk's decision depends on the 64 bytes before the cut only, since h drops a byte after 64 shifts. So the scan may
skip straight to 64 bytes before the minimum, half of all bytes are never looked at, and equal content meets again
soon after a difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import unpack

from .native import GEAR_WINDOW_BYTES, ReadableBuffer, choose_kernel

TABLE_BYTES = 2048

_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Gear:
    """The parameters of the scan: 256 little-endian u64, bounds in bytes, and what h must be below for a cut.

    Raises ValueError unless 64 <= minimum <= maximum, for a table of another size and for a threshold that is no u64.
    """

    table: bytes = field(repr=False)  # made from a secret key
    minimum: int
    maximum: int
    threshold: int

    def __post_init__(self) -> None:
        if len(self.table) != TABLE_BYTES:
            raise ValueError("table must have 2048 bytes")
        if not GEAR_WINDOW_BYTES <= self.minimum <= self.maximum:
            raise ValueError("need 64 <= minimum <= maximum")
        if not 0 <= self.threshold <= _MASK:
            raise ValueError("threshold is not a u64")


def find_cuts(
    buffer: ReadableBuffer, gear: Gear, *, start: int = 0, final: bool, _native: bool | None = None
) -> list[int]:
    """Return the end offsets within `buffer` of all chunks that are complete in `buffer[start:]`.

    The bytes after the last cut are an unfinished chunk; with `final` they are a chunk too. Raises ValueError for a
    start outside the buffer.
    """
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        return kernel.find_cuts(buffer, gear.table, start, gear.minimum, gear.maximum, gear.threshold, final)
    data = memoryview(buffer).cast("B")
    if not 0 <= start <= len(data):
        raise ValueError("start is outside the buffer")
    words = unpack("<256Q", gear.table)
    cuts = []
    while start < len(data):
        candidate = data[start : start + gear.maximum]
        size = _cut_by_content(candidate, words, gear.minimum, gear.threshold)
        if size is None:
            if len(candidate) < gear.maximum and not final:
                break
            size = len(candidate)
        start += size
        cuts.append(start)
    return cuts


def _cut_by_content(data: memoryview, words: tuple[int, ...], minimum: int, threshold: int) -> int | None:
    """Return the size of the chunk at the start of `data` if its content cuts it."""
    if len(data) < minimum:
        return None
    h = 0
    for byte in data[minimum - GEAR_WINDOW_BYTES : minimum]:
        h = ((h << 1) + words[byte]) & _MASK
    if h < threshold:
        return minimum
    for position, byte in enumerate(data[minimum:], minimum + 1):
        h = ((h << 1) + words[byte]) & _MASK
        if h < threshold:
            return position
    return None
