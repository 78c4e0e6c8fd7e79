"""Tree nodes, loaded many at a time.

Here: `TreeLoader`: the entries of several folders at once, and the chunk items of a file. Not here: the walk.

Rules: every node is loaded once, when it is needed and not before; what is loaded at once is bounded in nodes, so a
folder of any size passes through little memory. A node that cannot be read ends the list it is in, after what comes
before it was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, cast

from ...blobs.reader import BlobReader
from ...errors import DamagedObjectError, DamageError
from ...format.tree import ChunkItem, ChunkLeaf, ChunkNode, DirectoryLeaf, DirectoryNode, Node, TreeEntry
from ...types import PlainHash

_NODES_AT_ONCE: Final = 64  # of 2 KiB on average
_NODES_KEPT: Final = 256

_Row: TypeAlias = list[Node | DamageError | PlainHash]
"""A list from its beginning to its end, parts of which are only known by their hash yet."""


class TreeLoader:
    """Reads the nodes of one snapshot. For one thread."""

    def __init__(self, reader: BlobReader) -> None:
        self._reader = reader

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
        """Yield the chunk items of a file that has chunks. Raises DamageError."""
        yield from entry.chunks or ()
        for node in self._in_order([] if entry.chunk_tree is None else [entry.chunk_tree[1]]):
            if not isinstance(node, ChunkLeaf):
                raise _misplaced()
            yield from node.items

    def _leaves(self, row: _Row) -> Iterator[tuple[TreeEntry, ...]]:
        for node in self._in_order(row):
            if not isinstance(node, DirectoryLeaf):
                raise _misplaced()
            yield node.entries

    def _fill(self, rows: list[_Row]) -> None:
        """Put nodes in the place of hashes, level by level, as long as few are loaded."""
        kept = 0
        while True:
            missing = [item for row in rows for item in row if isinstance(item, bytes)]
            kept += len(missing)
            if not missing or kept > _NODES_KEPT:
                return
            found = iter(self._reader.load_nodes(missing))
            for row in rows:
                loaded = [next(found) if isinstance(item, bytes) else item for item in row]
                row[:] = _expanded(loaded)

    def _in_order(self, row: _Row) -> Iterator[Node]:
        """Yield the leaves of a list, loading what is still a hash."""
        waiting = row[::-1]
        while waiting:
            item = waiting.pop()
            if isinstance(item, bytes):
                following = [item]
                while waiting and isinstance(waiting[-1], bytes) and len(following) < _NODES_AT_ONCE:
                    following.append(cast(PlainHash, waiting.pop()))
                waiting.extend(reversed(_expanded(self._reader.load_nodes(following))))
            elif isinstance(item, DamageError):
                raise item
            else:
                yield item


def _expanded(items: Iterable[Node | DamageError | PlainHash]) -> _Row:
    """The items, with what inner nodes lead to in the place of those."""
    row: _Row = []
    for item in items:
        if isinstance(item, DirectoryNode | ChunkNode):
            row.extend(child.h for child in item.children)
        else:
            row.append(item)
    return row


def _misplaced() -> DamagedObjectError:
    return DamagedObjectError("A part of the snapshot's tree is not what stands there.", code="damaged_tree")
