"""Reads of packs, of which those that hold trees go by way of the cache, where the store has one.

Here: `PackReads`. Not here: the cache (`snapstore.stores.cached`).

Rule: data is read once, by a restore; trees are read by each look into a snapshot. So only trees are kept. Which packs
hold trees, is learned from the blobs that are asked for: a pack holds one kind only.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..format.names import pack_path
from ..format.pack import BlobKind
from ..stores.cached import forget_ranges, trees_of
from ..stores.protocol import Store
from ..stores.wrapper import StoreWrapper
from .index import BlobCopy


class PackReads(StoreWrapper):
    """Passes everything on, some of it to the cache."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._trees = trees_of(inner)
        self._tree_packs: set[str] = set()

    def learn(self, copies: Iterable[BlobCopy]) -> None:
        """Take note of the packs of blobs that will be read."""
        self._tree_packs.update([pack_path(copy.pack) for copy in copies if copy.entry.kind == BlobKind.TREE])

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        """By way of the cache if the pack holds trees."""
        store = self._trees if name in self._tree_packs else self.inner
        return store.get(name, offset=offset, size=size)

    def forget(self, name: str) -> None:
        """Keep nothing of a pack that proved damaged: what was kept may be what is damaged."""
        forget_ranges(self.inner, name)
