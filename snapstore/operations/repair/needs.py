"""What snapshots need, and what of it is nowhere whole.

Here: `Needs`. Not here: finding damage (`survey`), healing it (`packs`).

Rules: only the maintenance key is needed. A copy is good if its pack is listed, was not found damaged and is not
condemned, or if it is among those that a repair is about to store again. What is below a tree of which no copy is good
is not known, and nothing else ends there: all that is lost is found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ...blobs.index import BlobCopy, find_prefixes
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...errors import DamagedObjectError
from ...types import BlobId
from ..context import RepositoryContext
from ..marks import BlobMarks
from ..meter import Meter
from ..reach import Reach

Prefix = bytes
"""The first 16 bytes of a blob's id: all that child lists say."""


class Needs(Reach):
    """Follows trees as far as they are whole."""

    def __init__(
        self, context: RepositoryContext, meter: Meter, unusable: Collection[str], good: BlobMarks | None = None
    ) -> None:
        """`unusable` are packs of which nothing counts but the places in `good`."""
        super().__init__(context, meter)
        self._good = good or BlobMarks()
        self.nowhere: set[Prefix] = set()
        """Blobs that are needed below what was followed and are nowhere whole."""
        for pack in unusable:
            self._index.set_usable(pack, usable=False)

    def lost_below(self, roots: Iterable[BlobId]) -> set[Prefix]:
        """Return what is lost of all that these roots need."""
        self.nowhere = set()
        known = BlobMarks()
        for root in roots:
            known.update(self.below(root, known))
        return self.nowhere

    def _find(self, prefixes: Sequence[bytes]) -> list[list[tuple[int, BlobCopy]]]:
        found = [
            [(at, copy) for at, copy in copies if copy.usable or (copy.pack, at) in self._good]
            for copies in find_prefixes(self._index, prefixes)
        ]
        self.nowhere.update(prefix for prefix, copies in zip(prefixes, found, strict=True) if not copies)
        return found

    def _children(self, trees: Sequence[bytes]) -> set[bytes]:
        try:
            return super()._children(trees)
        except DamagedObjectError:
            if len(trees) == 1:
                self.nowhere.update(trees)
                return set()
        middle = len(trees) // 2
        return self._children(trees[:middle]) | self._children(trees[middle:])


def prefix_of(blob_id: BlobId) -> Prefix:
    """Return what a child list says of a blob."""
    return blob_id[:CHILD_PREFIX_BYTES]
