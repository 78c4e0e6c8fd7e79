"""Which blobs of which packs are meant.

Here: `BlobMarks`. Not here: how they are found.

Rule: a byte for each blob of the packs that are concerned: ten million blobs are no burden.
"""

from __future__ import annotations

from collections.abc import Iterator


class BlobMarks:
    """A set of places: name of the pack, and position among its entries."""

    def __init__(self) -> None:
        self._marks: dict[str, bytearray] = {}

    def __contains__(self, place: tuple[str, int]) -> bool:
        pack, position = place
        marks = self._marks.get(pack, b"")
        return position < len(marks) and marks[position] == 1

    def add(self, pack: str, position: int) -> bool:
        """Mark a place; False if it was marked already."""
        marks = self._marks.setdefault(pack, bytearray())
        if position >= len(marks):
            marks.extend(bytes(position + 1 - len(marks)))
        elif marks[position]:
            return False
        marks[position] = 1
        return True

    def discard(self, pack: str, position: int) -> None:
        """Take a mark away, if it is there."""
        marks = self._marks.get(pack, bytearray())
        if position < len(marks):
            marks[position] = 0

    def copy(self) -> BlobMarks:
        """Return the same marks once more."""
        copied = BlobMarks()
        copied._marks = {pack: bytearray(marks) for pack, marks in self._marks.items()}
        return copied

    def row(self, pack: str) -> bytes:
        """Return a byte for each entry of a pack, 1 where it is marked; trailing zeros may be left out."""
        return bytes(self._marks.get(pack, b""))

    def packs(self) -> list[str]:
        """Return the packs of which something is marked."""
        return sorted(pack for pack, marks in self._marks.items() if 1 in marks)

    def positions(self, pack: str) -> Iterator[int]:
        """Yield the marked positions of a pack, rising."""
        return (position for position, mark in enumerate(self._marks.get(pack, b"")) if mark)

    def update(self, other: BlobMarks) -> None:
        """Mark everything that `other` marks."""
        for pack in other.packs():
            for position in other.positions(pack):
                self.add(pack, position)
