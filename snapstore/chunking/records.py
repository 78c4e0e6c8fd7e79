"""Sorted fixed-size records in one flat buffer: the form of the local index, which must hold ten million of them.

Here: making records from rows, sorting them in place, and looking many keys up at once, compiled where possible, and
the twins in Python. Not here: what a record means, and the file or memory map that holds it.

Rules: a record is at most 256 bytes and starts with its key; order is that of the bytes of the whole record, so
records with one key stand together. Numbers are 32 bits, big-endian, so that the order of bytes is the order of
numbers. Nobody may write into a buffer while it is searched or sorted: the answer would be rubbish (though never a
read outside the buffer).
"""

from __future__ import annotations

from bisect import bisect_left

from .native import MAX_RECORD_BYTES, NUMBER_BYTES, ReadableBuffer, WritableBuffer, choose_kernel

_NUMBERS_END = 2**32


def make_records(
    rows: ReadableBuffer, row_size: int, key_size: int, number: int, *, _native: bool | None = None
) -> bytes:
    """Return for each row a record: the first `key_size` bytes of the row, then `number`, then which row it is.

    Raises ValueError unless there are whole rows, 1 <= key_size <= row_size, 248, and `number` fits into 32 bits.
    """
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        return kernel.make_records(rows, row_size, key_size, number)
    data = memoryview(rows).cast("B")
    if not 1 <= key_size <= min(row_size, MAX_RECORD_BYTES - 2 * NUMBER_BYTES) or len(data) % row_size:
        raise ValueError("need whole rows and 1 <= key_size <= row_size, 248")
    if not 0 <= number < _NUMBERS_END or len(data) // row_size >= _NUMBERS_END:
        raise ValueError("a number does not fit into 32 bits")
    middle = number.to_bytes(NUMBER_BYTES, "big")
    starts = range(0, len(data), row_size)
    return b"".join(
        bytes(data[at : at + key_size]) + middle + row.to_bytes(NUMBER_BYTES, "big") for row, at in enumerate(starts)
    )


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


def match_records(
    buffer: ReadableBuffer,
    record_size: int,
    key_size: int,
    keys: ReadableBuffer,
    *,
    stride: int | None = None,
    _native: bool | None = None,
) -> bytes:
    """Return for each record that starts with one of `keys` which key that is, and what follows the key in the record.

    `keys` are keys of `key_size` bytes, one every `stride` bytes (without it back to back), in any order. The answer
    is in theirs; what is not found leaves nothing in it. `buffer` must be sorted. Raises ValueError as `sort_records`
    does, and for a broken key at the end.
    """
    step = key_size if stride is None else stride
    kernel = choose_kernel(native=_native)
    if kernel is not None:
        return kernel.match_records(buffer, record_size, key_size, keys, step)
    data, wanted = memoryview(buffer).cast("B"), memoryview(keys).cast("B")
    _check(len(data), record_size, key_size)
    if step < key_size or len(wanted) % step:
        raise ValueError("keys does not hold whole keys")
    positions = range(len(data) // record_size)

    def key_at(position: int) -> bytes:
        return bytes(data[position * record_size : position * record_size + key_size])

    answers = []
    for at in range(0, len(wanted), step):
        key = bytes(wanted[at : at + key_size])
        position = bisect_left(positions, key, key=key_at)
        while position < len(positions) and key_at(position) == key:
            rest = data[position * record_size + key_size : (position + 1) * record_size]
            answers.append((at // step).to_bytes(NUMBER_BYTES, "big") + rest)
            position += 1
    return b"".join(answers)


def _check(size: int, record_size: int, key_size: int) -> None:
    if not 1 <= key_size <= record_size <= MAX_RECORD_BYTES:
        raise ValueError("need 1 <= key_size <= record_size <= 256")
    if size % record_size:
        raise ValueError("the buffer does not hold whole records")
