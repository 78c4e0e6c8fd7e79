"""Tree nodes, loaded many at a time.

Here: `TreeLoader`: the entries of several folders at once, and the chunk items of a file. Not here: the walk.

Rules: every node is loaded once, when it is needed and not before; what is loaded at once is bounded in nodes, so a
folder of any size passes through little memory. A node that cannot be read ends the list it is in, after what comes
before it was given. In a partial restore it does not: what it held of a file's chunk list is a `LostPart`, and
what it held of a directory is told when the rest was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias, cast

from ...blobs.reader import BlobReader
from ...errors import DamagedObjectError, DamageError
from ...format.tree import (
    ChunkChild,
    ChunkItem,
    ChunkLeaf,
    ChunkNode,
    DirectoryChild,
    DirectoryLeaf,
    DirectoryNode,
    Node,
    TreeEntry,
)
from ...types import PlainHash
from .losses import LostPart, lost_entries

_NODES_AT_ONCE: Final = 64  # of 2 KiB on average
_NODES_KEPT: Final = 256

_Child: TypeAlias = ChunkChild | DirectoryChild


class _LostNode(NamedTuple):
    """A node that cannot be read, and what its parent says of it; nothing does of the first."""

    error: DamageError
    child: _Child | None


_Row: TypeAlias = list[Node | _LostNode | PlainHash]
"""A list from its beginning to its end, parts of which are only known by their hash yet."""


class TreeLoader:
    """Reads the nodes of one snapshot. For one thread."""

    def __init__(self, reader: BlobReader, *, partial: bool = False) -> None:
        self._reader = reader
        self._partial = partial
        self._children: dict[PlainHash, _Child] = {}  # in a partial restore, of nodes that are not loaded yet

    def folders(self, directories: Sequence[TreeEntry]) -> Iterator[Iterator[tuple[TreeEntry, ...]]]:
        """Yield for each directory its entries by rising name, part by part; each is to be used up before the next.

        Going through the parts raises DamageError."""
        rows: list[_Row] = [[] if item.subtree is None else [item.subtree[1]] for item in directories]
        self._fill(rows)
        for row in rows:
            yield self._leaves(row)
            row.clear()

    def fetch(self, directories: Sequence[TreeEntry]) -> None:
        """Begin to fetch the first nodes of directories, where reading ahead gains anything."""
        if self._reader.reads_ahead:
            self._reader.prefetch([item.subtree[1] for item in directories if item.subtree is not None])

    def entries(self, directory: TreeEntry) -> Iterator[TreeEntry]:
        """Yield the entries of one directory."""
        for parts in self.folders([directory]):
            for part in parts:
                yield from part

    def items(self, entry: TreeEntry) -> Iterator[ChunkItem]:
        """Yield the chunk items of a file that has chunks, outside of partial restores. Raises DamageError."""
        return cast(Iterator[ChunkItem], self.items_left(entry))

    def items_left(self, entry: TreeEntry) -> Iterator[ChunkItem | LostPart]:
        """As `items`; in a partial restore it raises only if nothing of a chunk list can be read."""
        yield from entry.chunks or ()
        for node in self._in_order([] if entry.chunk_tree is None else [entry.chunk_tree[1]]):
            if isinstance(node, _LostNode):
                if not isinstance(node.child, ChunkChild):
                    raise node.error
                yield LostPart(node.child.bytes)
            elif isinstance(node, ChunkLeaf):
                yield from node.items
            else:
                raise _misplaced()

    def _leaves(self, row: _Row) -> Iterator[tuple[TreeEntry, ...]]:
        lost: list[DirectoryChild] = []
        for node in self._in_order(row):
            if isinstance(node, _LostNode):
                if not isinstance(node.child, DirectoryChild):
                    raise node.error
                lost.append(node.child)
            elif isinstance(node, DirectoryLeaf):
                yield node.entries
            else:
                raise _misplaced()
        if lost:
            raise lost_entries(lost)

    def _fill(self, rows: list[_Row]) -> None:
        """Put nodes in the place of hashes, level by level, as long as few are loaded."""
        kept = 0
        while True:
            missing = [item for row in rows for item in row if isinstance(item, bytes)]
            kept += len(missing)
            if not missing or kept > _NODES_KEPT:
                return
            found = iter(self._load(missing))
            for row in rows:
                loaded = [next(found) if isinstance(item, bytes) else item for item in row]
                row[:] = self._expanded(loaded)

    def _load(self, hashes: Sequence[PlainHash]) -> list[Node | _LostNode]:
        return [
            _LostNode(node, self._children.get(h)) if isinstance(node, DamageError) else node
            for h, node in zip(hashes, self._reader.load_nodes(hashes), strict=True)
        ]

    def _in_order(self, row: _Row) -> Iterator[Node | _LostNode]:
        """Yield the leaves of a list, loading what is still a hash; nodes that are lost only in a partial restore."""
        waiting = row[::-1]
        while waiting:
            item = waiting.pop()
            if isinstance(item, bytes):
                following = [item]
                while waiting and isinstance(waiting[-1], bytes) and len(following) < _NODES_AT_ONCE:
                    following.append(cast(PlainHash, waiting.pop()))
                waiting.extend(reversed(self._expanded(self._load(following))))
            elif isinstance(item, _LostNode) and not self._partial:
                raise item.error
            else:
                yield item

    def _expanded(self, items: Iterable[Node | _LostNode | PlainHash]) -> _Row:
        """The items, with what inner nodes lead to in the place of those."""
        row: _Row = []
        for item in items:
            if isinstance(item, DirectoryNode | ChunkNode):
                row.extend(child.h for child in item.children)
                if self._partial:
                    self._children.update((child.h, child) for child in item.children)
            else:
                row.append(item)
        return row


def _misplaced() -> DamagedObjectError:
    return DamagedObjectError("A part of the snapshot's tree is not what stands there.", code="damaged_tree")
