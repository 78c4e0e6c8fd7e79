"""What the snapshots need and whether it is there, by the child lists of their trees, with the maintenance key alone.

Here: `TreeLists`, which holds the child lists of all trees that were read, and `References`, which follows them from
the roots and tells what is lost and who is hurt by it. Not here: reading packs (`packs`), names of files (`hurt`).

Rules: a blob is there if one copy of it lies in a listed pack and was not found damaged; a copy that nobody read counts
as good. The union of the lists of all copies is followed, as everywhere (docs/format/05-blobs.md). Nothing ends at
damage: what is below a lost tree is unknown, and everything else is followed. In memory are sixteen bytes for each
reference and a few for each blob, never an object for each.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from ...blobs.index import BlobCopy, BlobIndex, find_prefixes
from ...crypto.blob import CHILD_PREFIX_BYTES
from ...format.pack import BlobKind
from ...types import BlobId
from ..marks import BlobMarks
from ..meter import Meter
from .packs import PackState

_AT_ONCE: Final = 4096

Prefix = bytes
"""The first 16 bytes of a blob's id, which is all that a child list says."""


class TreeLists:
    """Child lists by place: pack, and position in it."""

    def __init__(self) -> None:
        self._joined = bytearray()
        self._starts: dict[str, array[int]] = {}

    def __contains__(self, pack: str) -> bool:
        return pack in self._starts

    def take(self, state: PackState) -> None:
        """Keep the lists of a pack of trees."""
        starts = array("Q", [len(self._joined)])
        for children in state.children:
            for child in children:
                self._joined += child
            starts.append(len(self._joined))
        self._starts[state.name] = starts

    def children(self, pack: str, position: int) -> bytes:
        """Return the prefixes of what the tree at a place refers to, joined; nothing if it was not read."""
        starts = self._starts.get(pack)
        if starts is None or position + 1 >= len(starts):
            return b""
        return bytes(self._joined[starts[position] : starts[position + 1]])


class References:
    """Follows trees from roots."""

    def __init__(self, index: BlobIndex, packs: Mapping[str, int], lists: TreeLists, meter: Meter) -> None:
        """`packs` are those that are listed."""
        self._index = index
        self._packs = packs
        self._lists = lists
        self._meter = meter
        self.bad = BlobMarks()
        """Places of copies that are not what was stored."""
        self.condemned: set[bytes] = set()
        """Prefixes of blobs whose copies hold something else than they should, whatever their hashes say."""

    def mark_bad(self, state: PackState) -> None:
        """Take note of what is damaged in a pack, or of a pack that is gone."""
        for position in range(len(state.entries)) if state.gone else state.bad:
            self.bad.add(state.name, position)

    def follow(self, roots: Iterable[BlobId]) -> tuple[list[Prefix], set[Prefix]]:
        """Return the trees that are reached from `roots`, in the order in which they were, and all that is lost."""
        seen = BlobMarks()
        trees: list[Prefix] = []
        lost: set[Prefix] = set()
        waiting = list(dict.fromkeys(root[:CHILD_PREFIX_BYTES] for root in roots))
        while waiting:
            self._meter.step()
            some = waiting[-_AT_ONCE:]  # the deepest first: so what waits is never a whole level
            del waiting[-_AT_ONCE:]
            wanted: dict[Prefix, None] = {}
            for prefix, copies in zip(some, find_prefixes(self._index, some), strict=True):
                good = self._good(prefix, copies)
                if not good:
                    lost.add(prefix)
                elif self._is_new(good, seen) and any(copy.entry.kind == BlobKind.TREE for _, copy in good):
                    trees.append(prefix)
                    wanted.update(dict.fromkeys(self._children(good)))
            waiting.extend(wanted)
        return trees, lost

    def hurt_by(self, trees: Collection[Prefix], lost: Collection[Prefix]) -> set[Prefix]:
        """Return what is lost and, of `trees`, those below which something is."""
        hurt = set(lost)
        order = list(trees)[::-1]  # children come after one of their parents, so few rounds are needed
        before = -1
        while len(hurt) != before:
            before = len(hurt)
            for at in range(0, len(order), _AT_ONCE):
                self._meter.step()
                some = [prefix for prefix in order[at : at + _AT_ONCE] if prefix not in hurt]
                for prefix, copies in zip(some, find_prefixes(self._index, some), strict=True):
                    if not hurt.isdisjoint(self._children(self._good(prefix, copies))):
                        hurt.add(prefix)
        return hurt

    def packs_of(self, prefixes: Collection[Prefix]) -> dict[str, int]:
        """Return how many of these blobs lie in each listed pack."""
        counts: dict[str, int] = {}
        order = list(prefixes)
        for at in range(0, len(order), _AT_ONCE):
            for copies in find_prefixes(self._index, order[at : at + _AT_ONCE]):
                for pack in {copy.pack for _, copy in copies if copy.pack in self._packs}:
                    counts[pack] = counts.get(pack, 0) + 1
        return counts

    def child_lists(self, copies: Iterable[tuple[int, BlobCopy]]) -> list[frozenset[Prefix]]:
        """Return what each good copy of a tree says it refers to."""
        good = [place for place in copies if place[1].pack in self._lists and self._is_good(*place)]
        return [frozenset(self._children([place])) for place in good]

    def _good(self, prefix: Prefix, copies: Iterable[tuple[int, BlobCopy]]) -> list[tuple[int, BlobCopy]]:
        if prefix in self.condemned:
            return []
        return [place for place in copies if self._is_good(*place)]

    def _is_good(self, position: int, copy: BlobCopy) -> bool:
        return copy.pack in self._packs and (copy.pack, position) not in self.bad

    @staticmethod
    def _is_new(copies: Iterable[tuple[int, BlobCopy]], seen: BlobMarks) -> bool:
        fresh = [seen.add(copy.pack, position) for position, copy in copies]
        return any(fresh)

    def _children(self, copies: Iterable[tuple[int, BlobCopy]]) -> Iterator[Prefix]:
        for position, copy in copies:
            if copy.entry.kind == BlobKind.TREE:
                joined = self._lists.children(copy.pack, position)
                for at in range(0, len(joined), CHILD_PREFIX_BYTES):
                    yield joined[at : at + CHILD_PREFIX_BYTES]
