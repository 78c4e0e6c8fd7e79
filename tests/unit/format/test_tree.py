"""Nodes and entries: what each type may have, order, sums and limits."""

from __future__ import annotations

import pytest

from snapstore.errors import DamagedObjectError, InputError, UnsupportedFormatError
from snapstore.format.packing import encode
from snapstore.format.tree import (
    Chunk,
    ChunkLeaf,
    DirectoryLeaf,
    Hole,
    NodeShape,
    TreeEntry,
    decode_node,
    decode_xattrs,
    encode_chunk_item,
    encode_entry,
    encode_node,
    encode_xattrs,
    items_size,
    join_items,
)
from snapstore.types import EntryType, PlainHash

H = b"h" * 32
OTHER = b"o" * 32


def leaf(*entries: object) -> bytes:
    return encode([0, list(entries)])


@pytest.mark.parametrize(
    "entry",
    [
        {0: b"f", 1: 0, 8: 0},
        {0: b"f", 1: 0, 8: 512, 9: bytes(512)},
        {0: b"f", 1: 0, 8: 10, 10: [H, 90, 100]},
        {0: b"f", 1: 0, 8: 30, 11: [[H, 10, 2], 10]},
        {0: b"f", 1: 0, 8: 1 << 50, 12: [40, H], 13: True},
        {0: b"d", 1: 1, 21: [0, H], 22: [0, 0]},
        {0: b"", 1: 1, 21: [0, H], 22: [0, 0]},
        {0: b"l", 1: 2, 14: b"/"},
        {0: b"p", 1: 3},
        {0: b"c", 1: 4, 15: [0, 1]},
        {0: b"h", 1: 6, 16: b"a/b"},
        {0: b"\xff\xfe", 1: 3, 2: 0o7777, 3: -(2**63), 4: 0, 5: 2**32, 6: "", 7: "ü", 17: [[b"a", b""]]},
        {0: b"p", 1: 3, 64: [1], 200: {0: b""}},
    ],
)
def test_entries_that_may_stand(entry: dict[int, object]) -> None:
    node = decode_node(leaf(entry))
    assert isinstance(node, DirectoryLeaf)
    assert decode_node(encode_node(node)) == node


@pytest.mark.parametrize(
    "entry",
    [
        5,
        {},
        {0: b"f"},
        {1: 3},
        {0: "f", 1: 3},
        {0: b"a/b", 1: 3},
        {0: b"a\0", 1: 3},
        {0: b".", 1: 3},
        {0: b"..", 1: 3},
        {0: b"", 1: 3},
        {0: b"f", 1: "0"},
        {0: b"f", 1: True},
        {0: b"f", 1: 0},  # a file without a size
        {0: b"f", 1: 0, 8: -1},
        {0: b"f", 1: 0, 8: 1},  # and without content
        {0: b"f", 1: 0, 8: 0, 9: b""},
        {0: b"f", 1: 0, 8: 2, 9: b"x"},
        {0: b"f", 1: 0, 8: 513, 9: bytes(513)},
        {0: b"f", 1: 0, 8: 1, 9: b"x", 12: [1, H]},
        {0: b"f", 1: 0, 8: 11, 10: [H, 90, 100]},
        {0: b"f", 1: 0, 8: 1, 10: [H, -1, 100]},
        {0: b"f", 1: 0, 8: 1, 10: [H, 0, (4 << 20) + 1]},
        {0: b"f", 1: 0, 8: 1, 10: [b"short", 0, 100]},
        {0: b"f", 1: 0, 8: 1, 10: [H, 0]},
        {0: b"f", 1: 0, 8: 31, 11: [[H, 10, 2], 10]},
        {0: b"f", 1: 0, 8: 9, 11: [1, [H, 1], 1, [H, 1], 1, [H, 1], 1, [H, 1], 1]},
        {0: b"f", 1: 0, 8: 1, 12: [41, H]},
        {0: b"f", 1: 0, 8: 1, 9: b"x", 13: True},
        {0: b"f", 1: 0, 8: 1, 12: [1, H], 13: False},
        {0: b"f", 1: 0, 8: 0, 23: False},
        {0: b"f", 1: 0, 8: 0, 14: b"x"},
        {0: b"d", 1: 1},
        {0: b"d", 1: 1, 21: [0, H]},
        {0: b"d", 1: 1, 21: [0, H], 22: [0, 0], 8: 0},
        {0: b"l", 1: 2},
        {0: b"l", 1: 2, 14: b""},
        {0: b"c", 1: 5, 15: [1]},
        {0: b"h", 1: 6, 16: b"/a"},
        {0: b"h", 1: 6, 16: b"a/../b"},
        {0: b"p", 1: 3, 2: 0o10000},
        {0: b"p", 1: 3, 3: 2**63},
        {0: b"p", 1: 3, 3: 1.5},
        {0: b"p", 1: 3, 4: None},
        {0: b"p", 1: 3, 6: b"x"},
        {0: b"p", 1: 3, 17: []},
        {0: b"p", 1: 3, 17: [[b"b", b""], [b"a", b""]]},
        {0: b"p", 1: 3, 17: [[b"b", b""]], 18: [H, 3000]},
        {0: b"p", 1: 3, 18: [H, 0]},
        {0: b"p", 1: 3, 19: 2**32},
        {0: b"p", 1: 3, 64: 1.5},
    ],
)
def test_entries_that_may_not_stand(entry: object) -> None:
    with pytest.raises(DamagedObjectError):
        decode_node(leaf(entry))


@pytest.mark.parametrize("data", [leaf({0: b"f", 1: 7}), leaf({0: b"p", 1: 3, 24: 0}), encode([4, []])])
def test_unknown_types_fields_and_shapes_are_newer(data: bytes) -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_node(data)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        [0],
        [0, [], 1],
        [0, {}],
        [0, [{0: b"b", 1: 3}, {0: b"a", 1: 3}]],
        [0, [{0: b"a", 1: 3}, {0: b"a", 1: 3}]],
        [0, [{0: b"", 1: 1, 21: [0, H], 22: [0, 0]}, {0: b"a", 1: 3}]],
        [1, 0, [[b"a", H, 1, 1]]],
        [1, 41, [[b"a", H, 1, 1]]],
        [1, 1, []],
        [1, 1, [[b"", H, 1, 1]]],
        [1, 1, [[b"b", H, 1, 1], [b"a", H, 1, 1]]],
        [1, 1, [[b"a", H, 0, 1]]],
        [2, []],
        [2, [1, 2]],
        [2, [0]],
        [2, [[H, 0]]],
        [2, [[H, 1, 1]]],
        [2, [[H, 1], [H, 1]]],
        [2, [[H, 1, 2, 3]]],
        [2, [[H, (4 << 20) + 1]]],
        [2, [[H, 2, 2**63], [OTHER, 1]]],
        [3, 1, []],
        [3, 1, [[H, 0]]],
        [3, 0, [[H, 1]]],
        [3, True, [[H, 1]]],
        [True, [[H, 1]]],
    ],
)
def test_nodes_that_may_not_stand(value: object) -> None:
    with pytest.raises(DamagedObjectError):
        decode_node(encode(value))


def test_a_node_beyond_the_limit_is_damage() -> None:
    with pytest.raises(DamagedObjectError):
        decode_node(encode([2, [[bytes((number >> 8, number & 255)) * 16, 1] for number in range(30_000)]]))


@pytest.mark.parametrize("count", [1, 15, 16, 70_000])
def test_joined_items_are_what_the_packer_would_write(count: int) -> None:
    items = [encode(number % 100) for number in range(count)]
    numbers = [number % 100 for number in range(count)]
    assert join_items(NodeShape.CHUNK_LEAF, 0, items) == encode([2, numbers])
    assert join_items(NodeShape.DIRECTORY_NODE, 40, items) == encode([1, 40, numbers])


def test_joining_at_an_impossible_level_is_refused() -> None:
    for shape, level in ((NodeShape.CHUNK_LEAF, 1), (NodeShape.CHUNK_NODE, 0), (NodeShape.DIRECTORY_NODE, 41)):
        with pytest.raises(InputError):
            join_items(shape, level, [])


def test_nodes_are_their_items_joined() -> None:
    entry = TreeEntry(name=b"a", type=EntryType.FIFO, mode=0o600)
    assert encode_node(DirectoryLeaf((entry,))) == join_items(NodeShape.DIRECTORY_LEAF, 0, [encode_entry(entry)])
    items = (Chunk(PlainHash(H), 5, 3), Hole(7), Chunk(PlainHash(H), 5))
    joined = join_items(NodeShape.CHUNK_LEAF, 0, [encode_chunk_item(item) for item in items])
    assert encode_node(ChunkLeaf(items)) == joined
    assert items_size(items) == 27
    assert decode_node(joined) == ChunkLeaf(items)


def test_large_attributes_have_a_blob_of_their_own() -> None:
    pairs = ((b"user.b", b"2" * 3000), (b"user.a", b"1"))
    assert decode_xattrs(encode_xattrs(pairs)) == tuple(sorted(pairs))
    for data in (b"", encode([]), encode([[b"b", b""], [b"a", b""]]), encode([[b"a"]]), encode({})):
        with pytest.raises(DamagedObjectError):
            decode_xattrs(data)
