"""A store whose free space is watched while packs are put into it.

Here: `WatchedStore`, and `watched`, which puts it around a store for the length of a snapshot. Not here: what a
snapshot needs in all (operations/snapshot/room.py).

Rules: what ends a snapshot (an index, the manifest, its second copy) is small and comes last. So packs are refused with
`StoreFullError` while there is still room for that, and a medium is never filled to its last byte: the repository stays
usable, and can be thinned out. A store that does not tell its free space is not watched. Only folder stores are: asking
a server costs a round trip, and what builds packs there waits for none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO, Final

from ..errors import StoreFullError
from ..limits import KIB, MIB
from .local import LocalStore
from .protocol import Block, Comparison, ObjectBuilder, Store
from .wrapper import StoreWrapper, innermost

PACKS_FOLDER: Final = "packs/"
PARITY_FOLDER: Final = "parity/"
INDEX_FOLDER: Final = "index/"
# An index, a manifest and its copy of some KiB, each in a cluster of its own (up to 128 KiB on exFAT).
FINISHING_BYTES: Final = 512 * KIB
_INDEX_SHARE: Final = 64  # headers are 0.3 to 1.5 % of packs, whether of photos or of small files


class WatchedStore(StoreWrapper):
    """Refuses packs when less is free than what must come after them."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._unindexed_bytes = 0
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes | BinaryIO, *, size: int | None = None) -> None:
        """Packs and parity are refused where there is no room; an index makes the count of what it names begin anew."""
        about = size if size is not None else len(data) if isinstance(data, bytes) else MIB
        if name.startswith((PACKS_FOLDER, PARITY_FOLDER)):
            self._check(about)
        self.inner.put(name, data, size=size)
        self._count(name, about)

    def append(self, builder: ObjectBuilder, data: Block) -> None:
        """What is built is a pack, and takes its room from its first byte."""
        self._check(len(data))
        builder.write(data)

    def publish(self, builder: ObjectBuilder, name: str, compare: Callable[[], Comparison]) -> None:
        """Named when its bytes are there."""
        size = builder.size
        builder.publish(name, compare)
        self._count(name, size)

    def _count(self, name: str, size: int) -> None:
        with self._lock:
            if name.startswith(INDEX_FOLDER):
                self._unindexed_bytes = 0
            elif name.startswith(PACKS_FOLDER):
                self._unindexed_bytes += size

    def _check(self, size: int) -> None:
        free = self.inner.free_bytes()
        kept = FINISHING_BYTES + self._unindexed_bytes // _INDEX_SHARE
        if free is not None and free < size + kept:
            raise StoreFullError(
                f"{self.url} is full: {free // KIB:,} KiB are free, and what is left is kept so that the repository "
                "stays usable. Earlier snapshots are unharmed. Free some space, or use another medium; the next run "
                "goes on from what was stored."
            )


def watched(store: Store) -> Store:
    """The store, watched if it is a folder."""
    return WatchedStore(store) if isinstance(innermost(store), LocalStore) else store
