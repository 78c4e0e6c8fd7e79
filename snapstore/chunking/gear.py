"""Content-defined cut points: the Gear scan of docs/format/10-chunking.md.

Here: one function over one buffer, compiled where possible, and its twin in Python. Not here: the keyed table
(`gear_table`), targets and file kinds (`cutters`, `choose`), and files that arrive in blocks (`stream`).

A chunk's decision depends on the 64 bytes before the cut only, since h drops a byte after 64 shifts. So the scan may
skip straight to 64 bytes before the minimum, half of all bytes are never looked at, and equal content meets again
soon after a difference.
"""

from __future__ import annotations

from struct import unpack

from .native import GEAR_WINDOW_BYTES, ReadableBuffer, choose_kernel

TABLE_BYTES = 2048

_MASK = 2**64 - 1


def find_cuts(  # noqa: PLR0913 - the parameters of the specification, keyword-only but for the buffer
    buffer: ReadableBuffer,
    table: bytes,
    *,
    start: int = 0,
    minimum: int,
    maximum: int,
    threshold: int,
    final: bool,
    _native: bool | None = None,
) -> list[int]:
    """Return the end offsets within `buffer` of all chunks that are complete in `buffer[start:]`.

    `table` is 256 little-endian u64. The bytes after the last cut are an unfinished chunk; with `final` they are a
    chunk too. Raises ValueError unless 64 <= minimum <= maximum, and for a start outside the buffer or a table of
    another size, and OverflowError for a threshold that is no u64.
    """
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        return kernel.find_cuts(buffer, table, start, minimum, maximum, threshold, final)
    if len(table) != TABLE_BYTES:
        raise ValueError("table must have 2048 bytes")
    if not GEAR_WINDOW_BYTES <= minimum <= maximum:
        raise ValueError("need 64 <= minimum <= maximum")
    if not 0 <= threshold <= _MASK:
        raise OverflowError("threshold is not a u64")
    data = memoryview(buffer).cast("B")
    if not 0 <= start <= len(data):
        raise ValueError("start is outside the buffer")
    words = unpack("<256Q", table)
    cuts = []
    while start < len(data):
        candidate = data[start : start + maximum]
        size = _cut_by_content(candidate, words, minimum, threshold)
        if size is None:
            if len(candidate) < maximum and not final:
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
