"""group_ends and the keys of items: every reason for a node to end."""

from __future__ import annotations

import pytest
from blake3 import blake3

from snapstore.chunking import HOLE_KEY, group_ends, hash_key, name_key

ODD = 0x1111_1111_1111_1111


def test_keys_are_little_endian() -> None:
    key = bytes(range(32))
    assert name_key(key, b"name") == int.from_bytes(blake3(b"name", key=key).digest()[:8], "little")
    assert hash_key(bytes(24) + b"\1" + bytes(7)) == 1
    assert hash_key(b"\xff" * 24 + bytes(8)) == 0


def test_no_item_no_node() -> None:
    assert group_ends([], [], 0) == []


def test_one_item_is_a_node_only_because_nothing_follows() -> None:
    assert group_ends([0], [1], 0) == [1]
    assert group_ends([0, 0, 0, 0, 0], [1] * 5, 0) == [2, 4, 5]


@pytest.mark.parametrize(
    ("key", "levels"),
    [(ODD, 0), (0x10, 1), (0x1230, 1), (0x18, 0), (0x100, 2), (0x1000, 3), (1 << 60, 15), (1 << 63, 15), (0, 16)],
)
def test_zero_nibbles_end_nodes_of_lower_levels(key: int, levels: int) -> None:
    """An item whose key ends in z zero nibbles ends a node at the z lowest levels, and at no other."""
    for level in range(20):
        expected = [2, 4] if level < levels else [4]
        assert group_ends([ODD, key, ODD, ODD], [1] * 4, level) == expected


def test_holes_do_not_end_nodes() -> None:
    assert group_ends([HOLE_KEY] * 100, [1] * 100, 0) == [100]


def test_a_node_holds_at_most_128_items() -> None:
    assert group_ends([ODD] * 300, [1] * 300, 0) == [128, 256, 300]


def test_a_node_ends_at_64_kib() -> None:
    assert group_ends([ODD] * 6, [32768, 32767, 1, 1, 65535, 1], 0) == [3, 5, 6]


def test_large_items_still_come_in_pairs() -> None:
    assert group_ends([ODD] * 5, [70_000] * 5, 0) == [2, 4, 5]
