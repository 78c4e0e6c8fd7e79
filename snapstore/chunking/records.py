"""Sorted fixed-size records in one flat buffer: the form of the local index, which must hold ten million of them.

Here: sorting in place and looking many keys up at once, compiled where possible, and the twins in Python. Not here:
what a record means, and the file or memory map that holds it.

Rules: a record is at most 256 bytes and starts with its key; order is that of the bytes of the whole record, so
records with one key stand together. Nobody may write into a buffer while it is searched or sorted: the answer would
be rubbish (though never a read outside the buffer).
"""

from __future__ import annotations

from bisect import bisect_left
from struct import pack

from .native import MAX_RECORD_BYTES, ReadableBuffer, WritableBuffer, choose_kernel


def sort_records(buffer: WritableBuffer, record_size: int, key_size: int, *, _native: bool | None = None) -> None:
    """Sort the records of `buffer` in place.

    Raises ValueError unless 1 <= key_size <= record_size <= 256 and the buffer holds whole records.
    """
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        kernel.sort_records(buffer, record_size, key_size)
        return
    data = memoryview(buffer).cast("B")
    _check(len(data), record_size, key_size)
    data[:] = b"".join(sorted(bytes(data[at : at + record_size]) for at in range(0, len(data), record_size)))


def find_records(
    buffer: ReadableBuffer, record_size: int, key_size: int, keys: ReadableBuffer, *, _native: bool | None = None
) -> bytes:
    """Return for each key the position of the first record that starts with it, or -1, as int64 little-endian.

    `keys` is whole keys of `key_size` bytes back to back, in any order; a position counts records. `buffer` must be
    sorted. Raises ValueError as `sort_records` does, and for a broken key at the end of `keys`.
    """
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        return kernel.find_records(buffer, record_size, key_size, keys)
    data, wanted = memoryview(buffer).cast("B"), memoryview(keys).cast("B")
    _check(len(data), record_size, key_size)
    if len(wanted) % key_size:
        raise ValueError("keys does not hold whole keys")
    positions = range(len(data) // record_size)

    def key_at(position: int) -> bytes:
        return bytes(data[position * record_size : position * record_size + key_size])

    answers = []
    for at in range(0, len(wanted), key_size):
        key = bytes(wanted[at : at + key_size])
        position = bisect_left(positions, key, key=key_at)
        answers.append(position if position < len(positions) and key_at(position) == key else -1)
    return pack(f"<{len(answers)}q", *answers)


def _check(size: int, record_size: int, key_size: int) -> None:
    if not 1 <= key_size <= record_size <= MAX_RECORD_BYTES:
        raise ValueError("need 1 <= key_size <= record_size <= 256")
    if size % record_size:
        raise ValueError("the buffer does not hold whole records")
