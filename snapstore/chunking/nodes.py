"""Where the nodes of directories and chunk lists are cut.

Each item has a 64-bit key, from its name or its content's hash; an item whose key ends in enough zero nibbles ends
its node. With a mean of 16 items a node, one changed item rewrites one node a level, and equal lists give equal nodes
without any state.

Not here: encoding the items. docs/format/10-chunking.md is the specification.

Rules: a node has at least 2 items but for the last of a level, so every level has at most half the items of the one
below, rounded up, and any content gives a tree of finite height.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from ..limits import NODE_MAX_ITEMS, NODE_MIN_ITEMS, NODE_SOFT_BYTES

HOLE_KEY = 2**64 - 1
"""The key of a hole: never ends a node by itself."""

_KEY_BYTES = 8


def name_key(key: bytes, name: bytes) -> int:
    """Return the key of `name` under `key`, the 32-byte subkey for the use at hand."""
    return int.from_bytes(blake3(name, key=key).digest(length=_KEY_BYTES), "little")


def hash_key(h: bytes) -> int:
    """Return the key of a chunk, or of a chunk list's child, from the 32-byte hash of its (last) chunk."""
    return int.from_bytes(h[-_KEY_BYTES:], "little")


def group_ends(keys: Sequence[int], encoded_sizes: Sequence[int], level: int) -> list[int]:
    """Return the ends of the nodes as positions in `keys`; the last is the count of all items.

    `encoded_sizes` are the bytes of the items' msgpack. `level` is that of the nodes; leaves have 0. The key of a
    node, one level up, is that of its last item.
    """
    ends = []
    start = 0
    size = 0
    for end, (key, encoded_size) in enumerate(zip(keys, encoded_sizes, strict=True), 1):
        size += encoded_size
        if ends_node(key, end - start, size, level):
            ends.append(end)
            start, size = end, 0
    if start < len(keys):
        ends.append(len(keys))
    return ends


def ends_node(key: int, items: int, size: int, level: int) -> bool:
    """Tell whether a node of `items` items and `size` encoded bytes ends after an item with that key."""
    if items < NODE_MIN_ITEMS:
        return False
    return items >= NODE_MAX_ITEMS or size >= NODE_SOFT_BYTES or _zero_nibbles(key) > level


def _zero_nibbles(key: int) -> int:
    """Return how many of the 16 hexadecimal digits at the low end of `key` are zero."""
    return ((key & -key).bit_length() - 1) // 4 if key else 16
