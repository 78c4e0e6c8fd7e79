"""Parity rows, computed while data rows go by.

Here: `ParityEncoder`. Not here: coefficients and why they do (field.py), and how lost rows come back (solving.py).

Rules: data rows have one size and follow each other; the last may be shorter and counts as if zeros followed. Each
parity row is a polynomial of the data rows, so by Horner's rule one pass in their order does, whatever the pieces in
which they come: `sum = g * sum + row`. Memory holds the parity rows and nothing else.
"""

from __future__ import annotations

from . import native
from .field import MAX_PARITY_ROWS, times
from .native import Buffer


class ParityEncoder:
    """Takes data rows of `row_bytes` in pieces of any size, and gives `parity_rows` rows."""

    def __init__(self, parity_rows: int, row_bytes: int) -> None:
        if not 1 <= parity_rows <= MAX_PARITY_ROWS or row_bytes < 1:
            raise ValueError("there are 1 to 3 parity rows, of at least one byte")
        self._rows = parity_rows
        self._row_bytes = row_bytes
        self._sums = bytearray(parity_rows * row_bytes)
        self._place = 0

    def update(self, data: Buffer) -> None:
        """Take the next bytes."""
        view = memoryview(data)
        while view:
            piece = view[: self._row_bytes - self._place]
            _fold(self._sums, self._row_bytes, self._place, piece)
            self._place = (self._place + len(piece)) % self._row_bytes
            view = view[len(piece) :]

    def finish(self) -> bytes:
        """The parity rows, one after the other. Nothing may be added afterwards."""
        if self._place:
            self.update(bytes(self._row_bytes - self._place))
        return bytes(self._sums)


def parity_of(rows: list[bytes], parity_rows: int) -> list[bytes]:
    """The parity rows of whole data rows of one size."""
    encoder = ParityEncoder(parity_rows, len(rows[0]))
    for row in rows:
        encoder.update(row)
    joined, size = encoder.finish(), len(rows[0])
    return [joined[at : at + size] for at in range(0, len(joined), size)]


def _fold(sums: bytearray, row_bytes: int, place: int, data: Buffer) -> None:
    """Take a piece of one data row into all sums."""
    if native.FOLDING is not None:  # looked up at each use: tests choose the twin by it
        native.FOLDING.fold(sums, row_bytes, place, data)
        return
    added = int.from_bytes(data, "little")
    for row in range(len(sums) // row_bytes):
        start = row * row_bytes + place
        piece = sums[start : start + len(data)]
        if row:
            piece = piece.translate(times(1 << row))
        sums[start : start + len(data)] = (int.from_bytes(piece, "little") ^ added).to_bytes(len(data), "little")
