"""Directories and chunk lists built node by node come back item by item."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from snapstore.blobs.trees import ChunkListBuilder, DirectoryBuilder, Item
from snapstore.crypto.derivation import digest
from snapstore.format.tree import (
    Chunk,
    ChunkItem,
    ChunkLeaf,
    ChunkNode,
    DirectoryLeaf,
    DirectoryNode,
    Hole,
    Node,
    TreeEntry,
    decode_node,
    encode_entry,
    items_size,
)
from snapstore.limits import NODE_MAX_ITEMS
from snapstore.types import BlobId, EntryType, PlainHash

KEY = b"cut" + bytes(29)


class Saved:
    """Nodes by hash, with the children that were named for each."""

    def __init__(self) -> None:
        self.nodes: dict[PlainHash, bytes] = {}
        self.children: dict[PlainHash, set[BlobId]] = {}

    def save(self, plaintext: bytes, children: Iterable[BlobId]) -> PlainHash:
        plain_hash = PlainHash(digest(plaintext))
        self.nodes[plain_hash] = plaintext
        self.children[plain_hash] = set(children)
        return plain_hash

    def node(self, plain_hash: PlainHash) -> Node:
        return decode_node(self.nodes[plain_hash])


def id_of(plain_hash: PlainHash) -> BlobId:
    return BlobId(plain_hash[::-1])


names = st.lists(st.binary(min_size=1, max_size=3).filter(lambda name: not set(name) & {0, 46, 47}), unique=True)
many = st.integers(0, 700).map(lambda count: [b"%05d" % number for number in range(count)])


@given(names | many)
def test_directories(found: list[bytes]) -> None:
    saved = Saved()
    builder = DirectoryBuilder(saved.save, id_of, KEY)
    for number, name in enumerate(sorted(found)):
        size = number % 5
        entry = TreeEntry(name=name, type=EntryType.FILE, size=size, inline=bytes(size) or None)
        (key,) = builder.keys_of([name])
        builder.add(Item(encode_entry(entry), key, [BlobId(name.ljust(32))], name, 2, size))
    level, root = builder.finish()

    def walk(plain_hash: PlainHash, level: int) -> tuple[list[bytes], int, int]:
        node = saved.node(plain_hash)
        if isinstance(node, DirectoryLeaf):
            assert level == 0
            assert len(node.entries) <= NODE_MAX_ITEMS
            assert saved.children[plain_hash] == {entry.name.ljust(32) for entry in node.entries}
            sizes = sum(entry.size or 0 for entry in node.entries)
            return [entry.name for entry in node.entries], 2 * len(node.entries), sizes
        assert isinstance(node, DirectoryNode)
        assert node.level == level
        assert saved.children[plain_hash] == {id_of(child.h) for child in node.children}
        total: tuple[list[bytes], int, int] = ([], 0, 0)
        for child in node.children:
            below = walk(child.h, level - 1)
            assert (child.last_name, child.entries, child.bytes) == (below[0][-1], below[1], below[2])
            total = (total[0] + below[0], total[1] + below[1], total[2] + below[2])
        return total

    assert walk(root, level) == (sorted(found), 2 * len(found), sum(number % 5 for number in range(len(found))))
    root_node = saved.node(root)
    assert not isinstance(root_node, DirectoryNode) or len(root_node.children) > 1 or level <= 1


chunks = st.tuples(st.integers(0, 30), st.integers(1, 3)).map(
    lambda pair: Chunk(PlainHash(bytes([pair[0]]) * 32), 1000 + pair[0], pair[1])
)
items = st.lists(chunks | st.integers(1, 10**9).map(Hole), min_size=1, max_size=300)


def without_runs(found: list[ChunkItem]) -> list[ChunkItem]:
    kept: list[ChunkItem] = []
    for item in found:
        if kept and (
            (isinstance(item, Hole) and isinstance(kept[-1], Hole))
            or (isinstance(item, Chunk) and isinstance(kept[-1], Chunk) and item.h == kept[-1].h)
        ):
            continue
        kept.append(item)
    return kept


@given(items.map(without_runs))
def test_chunk_lists(found: list[ChunkItem]) -> None:
    saved = Saved()
    builder = ChunkListBuilder(saved.save, id_of)
    for item in found:
        builder.add_chunk_item(item, id_of(item.h) if isinstance(item, Chunk) else None)
    level, root = builder.finish()

    def walk(plain_hash: PlainHash, level: int) -> list[ChunkItem]:
        node = saved.node(plain_hash)
        if isinstance(node, ChunkLeaf):
            assert level == 0
            assert saved.children[plain_hash] == {id_of(item.h) for item in node.items if isinstance(item, Chunk)}
            return list(node.items)
        assert isinstance(node, ChunkNode)
        below: list[ChunkItem] = []
        for child in node.children:
            items = walk(child.h, level - 1)
            assert child.bytes == items_size(items)
            below += items
        return below

    assert walk(root, level) == found


@given(many, st.integers(0, 699))
def test_one_name_more_changes_few_nodes(found: list[bytes], position: int) -> None:
    def build(names: list[bytes]) -> set[PlainHash]:
        saved = Saved()
        builder = DirectoryBuilder(saved.save, id_of, KEY)
        for name in names:
            (key,) = builder.keys_of([name])
            builder.add(Item(encode_entry(TreeEntry(name=name, type=EntryType.FIFO)), key, [], name, 1, 0))
        builder.finish()
        return set(saved.nodes)

    changed = sorted([*found, b"%05dx" % position])
    assert len(build(changed) - build(found)) <= 8
    assert build(found) == build(found)
