"""Building directories and chunk lists, node by node, while their items arrive.

Here: one builder for both, holding a node a level. Not here: where items come from, or how they are sealed.

Rules: items come in their final order (names rising; chunks as in the file). Cuts follow docs/format/10-chunking.md, so
equal items give equal nodes. Memory is one unfinished node a level, whatever the count of items.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..chunking.nodes import HOLE_KEY, ends_node, hash_key, name_key
from ..format.tree import (
    Chunk,
    ChunkChild,
    ChunkItem,
    DirectoryChild,
    NodeShape,
    encode_child,
    encode_chunk_item,
    join_items,
)
from ..types import BlobId, PlainHash
from . import native

SaveNode = Callable[[bytes, Iterable[BlobId]], PlainHash]


class Item(NamedTuple):
    """One encoded line of a node, with what its node's parent needs to know of it."""

    encoded: bytes
    key: int
    children: Sequence[BlobId]
    name: bytes
    entries: int
    size: int


@dataclass(slots=True)
class _OpenNode:
    items: list[Item] = field(default_factory=list)
    encoded_size: int = 0
    closed: int = 0
    """How many nodes of this level are done."""


class NodeBuilder:
    """Cuts items into nodes and nodes into parents. Subclasses say what a node and a parent's line look like."""

    def __init__(self, save: SaveNode, id_of: Callable[[PlainHash], BlobId]) -> None:
        self._save = save
        self._id_of = id_of
        self._levels = [_OpenNode()]
        self._last: tuple[int, PlainHash] | None = None

    def add(self, item: Item, level: int = 0) -> None:
        """Add the next item."""
        if level == len(self._levels):
            self._levels.append(_OpenNode())
        node = self._levels[level]
        node.items.append(item)
        node.encoded_size += len(item.encoded)
        if ends_node(item.key, len(node.items), node.encoded_size, level):
            self._close(level)

    def finish(self) -> tuple[int, PlainHash]:
        """Close what is open and return level and h of the root. No items give an empty leaf."""
        level = 0
        while True:
            node = self._levels[level]
            if node.closed == 0 and not (level and len(node.items) == 1):
                return level, self._seal(level)
            if node.closed == 0:
                assert self._last is not None
                return self._last
            if node.items:
                self._close(level)
            elif node.closed == 1 and level + 1 < len(self._levels) and len(self._levels[level + 1].items) == 1:
                assert self._last is not None
                return self._last
            level += 1

    def _close(self, level: int) -> None:
        items = self._levels[level].items
        plain_hash = self._seal(level)
        self._last = (level, plain_hash)
        self._levels[level].closed += 1
        self.add(self._parent_item(plain_hash, items), level + 1)

    def _seal(self, level: int) -> PlainHash:
        node = self._levels[level]
        children = {child for item in node.items for child in item.children}
        plain_hash = self._save(self._join(level, [item.encoded for item in node.items]), children)
        node.items, node.encoded_size = [], 0
        return plain_hash

    def _join(self, level: int, encoded: Sequence[bytes]) -> bytes:
        raise NotImplementedError

    def _parent_item(self, plain_hash: PlainHash, items: Sequence[Item]) -> Item:
        raise NotImplementedError


class DirectoryBuilder(NodeBuilder):
    """The nodes of one directory. `cut_key` is the subkey for node cuts."""

    def __init__(self, save: SaveNode, id_of: Callable[[PlainHash], BlobId], cut_key: bytes) -> None:
        super().__init__(save, id_of)
        self._cut_key = cut_key

    def keys_of(self, names: Sequence[bytes]) -> Sequence[int]:
        """Return the keys of entries with these names, in one call."""
        if native.SEALING is None:
            return [name_key(self._cut_key, name) for name in names]
        return struct.unpack(f"<{len(names)}Q", native.SEALING.name_keys(self._cut_key, names))

    def _join(self, level: int, encoded: Sequence[bytes]) -> bytes:
        return join_items(NodeShape.DIRECTORY_NODE if level else NodeShape.DIRECTORY_LEAF, level, encoded)

    def _parent_item(self, plain_hash: PlainHash, items: Sequence[Item]) -> Item:
        entries, size = sum(item.entries for item in items), sum(item.size for item in items)
        last = items[-1]
        child = DirectoryChild(last.name, plain_hash, entries, size)
        return Item(encode_child(child), last.key, [self._id_of(plain_hash)], last.name, entries, size)


class ChunkListBuilder(NodeBuilder):
    """The chunk list of one file. Runs of equal chunks are joined before items are cut into nodes."""

    def add_chunk_item(self, item: ChunkItem, blob_id: BlobId | None) -> None:
        """Add a chunk (with its id) or a hole (None)."""
        if isinstance(item, Chunk):
            assert blob_id is not None
            key, children, size = hash_key(item.h), [blob_id], item.size * item.repeat
        else:
            key, children, size = HOLE_KEY, [], item.size
        self.add(Item(encode_chunk_item(item), key, children, b"", 0, size))

    def _join(self, level: int, encoded: Sequence[bytes]) -> bytes:
        return join_items(NodeShape.CHUNK_NODE if level else NodeShape.CHUNK_LEAF, level, encoded)

    def _parent_item(self, plain_hash: PlainHash, items: Sequence[Item]) -> Item:
        size = sum(item.size for item in items)
        encoded = encode_child(ChunkChild(plain_hash, size))
        return Item(encoded, items[-1].key, [self._id_of(plain_hash)], b"", 0, size)
