"""Nodes of trees: directories and chunk lists, each a msgpack array in a blob of its own.

Here: the four shapes of docs/format/07-trees.md, and joining items that are encoded already. Not here: the lines
themselves (`entry`, whose names are given on here), where nodes are cut (`snapstore.chunking`), and sealing.

Rules: a writer cuts nodes by the size of their encoded items, so items are encoded once and joined; `encode_node`
does both for callers that have whole nodes. Decoding checks order, sums and limits within the node; that a child is
what its parent says is for whoever has both.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

import msgpack

from ..errors import InputError
from ..limits import TREE_BLOB_MAX_BYTES, TREE_MAX_LEVELS
from ..types import EntryType, PlainHash
from .entry import (
    BlobReference,
    BundleSlice,
    Chunk,
    ChunkItem,
    Hole,
    NodeReference,
    Totals,
    TreeEntry,
    encode_chunk_item,
    encode_entry,
    encode_xattrs,
    entry_to_map,
    items_size,
)
from .entry_decoding import WHAT, decode_chunk_items, decode_xattrs, entry_from_map, plain_entry, plain_hash
from .packing import as_bytes, as_int, as_list, damaged, decode, encode, refuse, unpack, unsupported

__all__ = [
    "BlobReference",
    "BundleSlice",
    "Chunk",
    "ChunkChild",
    "ChunkItem",
    "ChunkLeaf",
    "ChunkNode",
    "DirectoryChild",
    "DirectoryLeaf",
    "DirectoryNode",
    "Hole",
    "Node",
    "NodeReference",
    "NodeShape",
    "Totals",
    "TreeEntry",
    "decode_node",
    "decode_xattrs",
    "encode_child",
    "encode_chunk_item",
    "encode_entry",
    "encode_node",
    "encode_xattrs",
    "entry_from_map",
    "entry_to_map",
    "items_size",
    "join_items",
]

_CHILDREN: Final = "children"


class NodeShape(IntEnum):
    """The number that a node begins with."""

    DIRECTORY_LEAF = 0
    DIRECTORY_NODE = 1
    CHUNK_LEAF = 2
    CHUNK_NODE = 3


class DirectoryChild(NamedTuple):
    """A part of a directory: up to which name it goes, its node, and what is below."""

    last_name: bytes
    h: PlainHash
    entries: int
    bytes: int


class ChunkChild(NamedTuple):
    """A part of a chunk list and the file bytes it stands for."""

    h: PlainHash
    bytes: int


@dataclass(frozen=True, slots=True)
class DirectoryLeaf:
    """Entries by rising name."""

    entries: tuple[TreeEntry, ...]


@dataclass(frozen=True, slots=True)
class DirectoryNode:
    """Parts of a directory, by rising name."""

    level: int
    children: tuple[DirectoryChild, ...]


@dataclass(frozen=True, slots=True)
class ChunkLeaf:
    """Chunk items in the order of the file."""

    items: tuple[ChunkItem, ...]


@dataclass(frozen=True, slots=True)
class ChunkNode:
    """Parts of a chunk list in the order of the file."""

    level: int
    children: tuple[ChunkChild, ...]


Node: TypeAlias = DirectoryLeaf | DirectoryNode | ChunkLeaf | ChunkNode


# --- encoding ----------------------------------------------------------------------------------------------------


def encode_child(child: DirectoryChild | ChunkChild) -> bytes:
    """The canonical bytes of a child, ready to be joined into a node."""
    return encode(child)


def join_items(shape: NodeShape, level: int, items: Sequence[bytes]) -> bytes:
    """The node of items that are encoded already; `level` is 0 for leaves, and only for them."""
    inner = shape in (NodeShape.DIRECTORY_NODE, NodeShape.CHUNK_NODE)
    if inner != (level > 0) or level > TREE_MAX_LEVELS:
        raise InputError(f"A node of shape {shape.name} cannot be of level {level}.")
    head = bytes((0x93, shape, level)) if inner else bytes((0x92, shape))
    return b"".join((head, _array_head(len(items)), *items))


def _array_head(count: int) -> bytes:
    if count < 16:
        return bytes((0x90 | count,))
    return struct.pack(">BH", 0xDC, count) if count < 65536 else struct.pack(">BI", 0xDD, count)


def encode_node(node: Node) -> bytes:
    """The plaintext of a tree blob."""
    match node:
        case DirectoryLeaf():
            return join_items(NodeShape.DIRECTORY_LEAF, 0, [encode_entry(entry) for entry in node.entries])
        case DirectoryNode():
            return join_items(NodeShape.DIRECTORY_NODE, node.level, [encode_child(child) for child in node.children])
        case ChunkLeaf():
            return join_items(NodeShape.CHUNK_LEAF, 0, [encode_chunk_item(item) for item in node.items])
        case ChunkNode():
            return join_items(NodeShape.CHUNK_NODE, node.level, [encode_child(child) for child in node.children])


# --- decoding ----------------------------------------------------------------------------------------------------


def decode_node(data: bytes | memoryview) -> Node:
    """The node in the plaintext of a tree blob."""
    if len(data) > TREE_BLOB_MAX_BYTES:
        raise damaged(WHAT, "has a node that is too large")
    plain_leaf = _decode_plain_leaf(data)
    if plain_leaf is not None:
        return plain_leaf
    value = as_list(decode(data, what=WHAT, schema_checks_all=True), WHAT, "node")
    shape = as_int(value[0] if value else None, WHAT, "shape")
    decoder = _DECODERS.get(shape)
    if decoder is None:
        raise unsupported(WHAT, f"has a node of shape {shape}, which this version does not know")
    return decoder(value)


def _decode_plain_leaf(data: bytes | memoryview) -> DirectoryLeaf | None:
    """A part of a directory with nothing unusual in it, by the shortest way; None if it needs a closer look.

    Without a call for every map, duplicate keys show in the encoding again, and wrong types and orders of keys here:
    each entry's keys must be a sequence that is known to rise. Twice as fast as the way that says what is wrong."""
    try:
        value = unpack(data)
        shape, items = value
        if (
            type(items) is not list
            or type(shape) is not int
            or shape != NodeShape.DIRECTORY_LEAF
            or msgpack.packb(value) != data
        ):
            return None
        if any(kind is not int for kind in set(map(type, chain.from_iterable(items)))):
            return None
        entries = tuple(map(plain_entry, items))
    except Exception:  # as in `packing.decode`; what is wrong is said by the other way
        return None
    return _checked_leaf(entries)


def _decode_directory_leaf(value: list[object]) -> DirectoryLeaf:
    _, items = as_list(value, WHAT, "node", 2)
    return _checked_leaf(tuple([entry_from_map(item) for item in as_list(items, WHAT, "entries")]))


def _checked_leaf(entries: tuple[TreeEntry, ...]) -> DirectoryLeaf:
    previous: bytes | None = None
    for entry in entries:
        if previous is not None and entry.name <= previous:
            raise damaged(WHAT, "has entries that are not in rising order")
        previous = entry.name
    if entries and not entries[0].name and (len(entries) > 1 or entries[0].type is not EntryType.DIRECTORY):
        raise damaged(WHAT, "has an entry without a name that is not the root")
    return DirectoryLeaf(entries)


def _children(value: list[object]) -> tuple[int, list[object]]:
    _, level, items = as_list(value, WHAT, "node", 3)
    children = as_list(items, WHAT, _CHILDREN)
    if not children:
        refuse(WHAT, _CHILDREN)
    return as_int(level, WHAT, "level", 1, TREE_MAX_LEVELS), children


def _decode_directory_node(value: list[object]) -> DirectoryNode:
    level, items = _children(value)
    children: list[DirectoryChild] = []
    previous = b""
    for item in items:
        last_name, h, entries, size = as_list(item, WHAT, _CHILDREN, 4)
        name = as_bytes(last_name, WHAT, _CHILDREN)
        if name <= previous:
            raise damaged(WHAT, "has parts of a directory that are not in rising order")
        previous = name
        children.append(
            DirectoryChild(name, plain_hash(h), as_int(entries, WHAT, _CHILDREN, 1), as_int(size, WHAT, _CHILDREN))
        )
    return DirectoryNode(level, tuple(children))


def _decode_chunk_leaf(value: list[object]) -> ChunkLeaf:
    _, items = as_list(value, WHAT, "node", 2)
    found = decode_chunk_items(as_list(items, WHAT, "chunks"))
    if not found:
        refuse(WHAT, "chunks")
    return ChunkLeaf(found)


def _decode_chunk_node(value: list[object]) -> ChunkNode:
    level, items = _children(value)
    children = []
    for item in items:
        h, size = as_list(item, WHAT, _CHILDREN, 2)
        children.append(ChunkChild(plain_hash(h), as_int(size, WHAT, _CHILDREN, 1)))
    return ChunkNode(level, tuple(children))


_DECODERS: Final[dict[int, Callable[[list[object]], Node]]] = {
    NodeShape.DIRECTORY_LEAF: _decode_directory_leaf,
    NodeShape.DIRECTORY_NODE: _decode_directory_node,
    NodeShape.CHUNK_LEAF: _decode_chunk_leaf,
    NodeShape.CHUNK_NODE: _decode_chunk_node,
}
