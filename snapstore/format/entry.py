"""Entries of directories, and the chunk items of files: the lines of a tree.

Here: `TreeEntry`, `Chunk`, `Hole`, and their encoding as docs/format/07-trees.md has it. Not here: decoding
(`entry_decoding`), nodes (`tree`), reading a file system, or what a path means on the system it came from.

Rules: True is written and False left out, so that every entry has one encoding. Encoders trust their caller to give
fields that fit the type; a writer's own check is that what it sealed decodes again. A snapshot of 80,000 files
encodes 80,000 of these, so one is a single pass and a single call into msgpack: 3 microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from ..types import EntryType, PlainHash
from .packing import encode


class Chunk(NamedTuple):
    """A data blob's h and raw size, `repeat` times in a row."""

    h: PlainHash
    size: int
    repeat: int = 1


class Hole(NamedTuple):
    """Zero bytes that are not allocated."""

    size: int


ChunkItem: TypeAlias = Chunk | Hole


class BundleSlice(NamedTuple):
    """Where in a bundle a file's content begins; how long it is, its `size` says."""

    h: PlainHash
    offset: int
    bundle_size: int


class NodeReference(NamedTuple):
    """The root node of a directory or of a chunk list."""

    level: int
    h: PlainHash


class BlobReference(NamedTuple):
    """A data blob and its raw size."""

    h: PlainHash
    size: int


class Totals(NamedTuple):
    """Sums over everything below a directory."""

    entries: int
    bytes: int


class TreeEntry(NamedTuple):
    """One line of a directory. None, False and () stand for what is left out; plain tuples do for the named ones.

    A NamedTuple, since one is made for every file on each run: a frozen dataclass of 24 fields takes four times as
    long.
    """

    name: bytes
    type: EntryType
    mode: int | None = None
    mtime_ns: int | None = None
    uid: int | None = None
    gid: int | None = None
    user: str | None = None
    group: str | None = None
    size: int | None = None
    inline: bytes | None = None
    slice: tuple[PlainHash, int, int] | None = None
    chunks: tuple[ChunkItem, ...] | None = None
    chunk_tree: tuple[int, PlainHash] | None = None
    shared: bool = False
    link_target: bytes | None = None
    device: tuple[int, int] | None = None
    hard_link: bytes | None = None
    xattrs: tuple[tuple[bytes, bytes], ...] = ()
    xattrs_blob: tuple[PlainHash, int] | None = None
    windows_attributes: int | None = None
    birth_ns: int | None = None
    subtree: tuple[int, PlainHash] | None = None
    totals: tuple[int, int] | None = None
    changed: bool = False


def entry_to_map(entry: TreeEntry) -> dict[int, object]:  # noqa: C901, PLR0912 - a call a field takes twice as long
    """The map of an entry, keys rising."""
    result: dict[int, object] = {0: entry.name, 1: entry.type.value}
    if (value := entry.mode) is not None:
        result[2] = value
    if (value := entry.mtime_ns) is not None:
        result[3] = value
    if (value := entry.uid) is not None:
        result[4] = value
    if (value := entry.gid) is not None:
        result[5] = value
    if entry.user is not None:
        result[6] = entry.user
    if entry.group is not None:
        result[7] = entry.group
    if (value := entry.size) is not None:
        result[8] = value
        _put_content(entry, result)
    if entry.type is not EntryType.FILE:
        _put_link(entry, result)
    if entry.xattrs:
        result[17] = entry.xattrs
    elif entry.xattrs_blob is not None:
        result[18] = entry.xattrs_blob
    if (value := entry.windows_attributes) is not None:
        result[19] = value
    if (value := entry.birth_ns) is not None:
        result[20] = value
    if entry.subtree is not None:
        result[21] = entry.subtree
        result[22] = entry.totals
    if entry.changed:
        result[23] = True
    return result


def _put_content(entry: TreeEntry, result: dict[int, object]) -> None:
    if entry.inline is not None:
        result[9] = entry.inline
    elif entry.slice is not None:
        result[10] = entry.slice
    elif entry.chunks is not None:
        result[11] = [chunk_item_value(item) for item in entry.chunks]
    elif entry.chunk_tree is not None:
        result[12] = entry.chunk_tree
    if entry.shared:
        result[13] = True


def _put_link(entry: TreeEntry, result: dict[int, object]) -> None:
    if entry.link_target is not None:
        result[14] = entry.link_target
    if entry.device is not None:
        result[15] = entry.device
    if entry.hard_link is not None:
        result[16] = entry.hard_link


def encode_entry(entry: TreeEntry) -> bytes:
    """The canonical bytes of an entry, ready to be joined into a node."""
    return encode(entry_to_map(entry))


def encode_owner(uid: int, gid: int, user: str | None, group: str | None) -> tuple[bytes, int]:
    """The part of an entry's bytes that says whose it is, and how many of the map's keys that are."""
    fields: dict[int, object] = {4: uid, 5: gid}
    if user is not None:
        fields[6] = user
    if group is not None:
        fields[7] = group
    return b"".join([encode(key) + encode(value) for key, value in fields.items()]), len(fields)


def chunk_item_value(item: ChunkItem) -> object:
    """What stands for a chunk item in msgpack."""
    if isinstance(item, Hole):
        return item.size
    return item if item.repeat > 1 else item[:2]


def encode_chunk_item(item: ChunkItem) -> bytes:
    """The canonical bytes of a chunk item, ready to be joined into a node."""
    return encode(chunk_item_value(item))


def encode_xattrs(xattrs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Extended attributes as a blob of their own holds them."""
    return encode(sorted(xattrs))


def items_size(items: Sequence[ChunkItem]) -> int:
    """File bytes that chunk items stand for, repeats and holes counted."""
    return sum(item.size * item.repeat if isinstance(item, Chunk) else item.size for item in items)
