"""Entries and chunk items out of decoded msgpack, every field checked.

Here: `entry_from_map`, its short cut `plain_entry`, `decode_chunk_items`, `decode_xattrs`. Not here: nodes (`tree`),
and what is true of an entry only together with its neighbours or with what it refers to.

Rules (docs/format/07-trees.md): fields that do not belong to an entry's type are refused, and sizes add up. The type
of every value is looked at here, at every depth, since `tree` asks `packing.decode` not to. A restore decodes as many
entries as there are files: the commonest shapes are taken apart without a loop, the others field by field, where
integers go through a table of bounds and no call.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ..limits import CHUNK_MAX_BYTES, INLINE_CHUNKS_MAX, INLINE_MAX_BYTES, TREE_MAX_LEVELS
from ..types import EntryType, PlainHash
from .entry import BlobReference, BundleSlice, Chunk, ChunkItem, Hole, NodeReference, Totals, TreeEntry, items_size
from .packing import (
    FIRST_IGNORABLE_KEY,
    I64_MAX,
    I64_MIN,
    U32_MAX,
    U64_MAX,
    as_bytes,
    as_int,
    as_list,
    check_plain,
    damaged,
    decode,
    refuse,
    unsupported,
)

WHAT: Final = "tree"
_CHUNKS: Final = "chunks"
_HASH_BYTES: Final = 32


def decode_xattrs(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes in a blob of their own."""
    return _xattrs(decode(data, what="extended attributes"), "extended attributes")


def _word(value: object, field: str) -> int:
    return as_int(value, WHAT, field, 0, U32_MAX)


def _text(value: object, field: str) -> str:
    if type(value) is not str:
        refuse(WHAT, field)
    return value


def _true(value: object, field: str) -> bool:
    if value is not True:
        refuse(WHAT, field)
    return True


def _some_bytes(value: object, field: str) -> bytes:
    if type(value) is not bytes or not value:
        refuse(WHAT, field)
    return value


def _name(value: object, field: str) -> bytes:
    if type(value) is not bytes or b"/" in value or b"\0" in value or value in (b".", b".."):
        refuse(WHAT, field)
    return value


def _inline(value: object, field: str) -> bytes:
    if len(_some_bytes(value, field)) > INLINE_MAX_BYTES:
        refuse(WHAT, field)
    return value  # type: ignore[return-value]


def _slice(value: object, field: str) -> BundleSlice:
    h, offset, size = as_list(value, WHAT, field, 3)
    if type(offset) is not int or type(size) is not int or not 0 <= offset < size <= CHUNK_MAX_BYTES:
        refuse(WHAT, field)
    return BundleSlice(plain_hash(h), offset, size)


def _inline_chunks(value: object, field: str) -> tuple[ChunkItem, ...]:
    items = as_list(value, WHAT, field)
    if not 1 <= len(items) <= INLINE_CHUNKS_MAX:
        refuse(WHAT, field)
    return decode_chunk_items(items)


def _node(value: object, field: str) -> NodeReference:
    level, h = as_list(value, WHAT, field, 2)
    return NodeReference(as_int(level, WHAT, field, 0, TREE_MAX_LEVELS), plain_hash(h))


def _device(value: object, field: str) -> tuple[int, int]:
    major, minor = as_list(value, WHAT, field, 2)
    return _word(major, field), _word(minor, field)


def _first_name(value: object, field: str) -> bytes:
    path = _some_bytes(value, field)
    for element in path.split(b"/"):
        if not _name(element, field):
            refuse(WHAT, field)
    return path


def _xattrs(value: object, field: str) -> tuple[tuple[bytes, bytes], ...]:
    pairs = []
    previous = b""
    for item in as_list(value, WHAT, field):
        name, content = as_list(item, WHAT, field, 2)
        pairs.append((as_bytes(name, WHAT, field), as_bytes(content, WHAT, field)))
        if pairs[-1][0] <= previous:
            refuse(WHAT, field)
        previous = pairs[-1][0]
    if not pairs:
        refuse(WHAT, field)
    return tuple(pairs)


def _blob(value: object, field: str) -> BlobReference:
    h, size = as_list(value, WHAT, field, 2)
    return BlobReference(plain_hash(h), as_int(size, WHAT, field, 1, CHUNK_MAX_BYTES))


def _totals(value: object, field: str) -> Totals:
    entries, size = as_list(value, WHAT, field, 2)
    return Totals(as_int(entries, WHAT, field), as_int(size, WHAT, field))


_INTEGERS: Final[dict[int, tuple[str, int, int]]] = {
    2: ("mode", 0, 0o7777),
    3: ("mtime_ns", I64_MIN, I64_MAX),
    4: ("uid", 0, U64_MAX),
    5: ("gid", 0, U64_MAX),
    8: ("size", 0, U64_MAX),
    19: ("windows_attributes", 0, U32_MAX),
    20: ("birth_ns", I64_MIN, I64_MAX),
}
_OTHERS: Final[dict[int, tuple[str, Callable[[object, str], object]]]] = {
    6: ("user", _text),
    7: ("group", _text),
    9: ("inline", _inline),
    10: ("slice", _slice),
    11: ("chunks", _inline_chunks),
    12: ("chunk_tree", _node),
    13: ("shared", _true),
    14: ("link_target", _some_bytes),
    15: ("device", _device),
    16: ("hard_link", _first_name),
    17: ("xattrs", _xattrs),
    18: ("xattrs_blob", _blob),
    21: ("subtree", _node),
    22: ("totals", _totals),
    23: ("changed", _true),
}
_COMMON: Final = frozenset((0, 1, 2, 3, 4, 5, 6, 7, 17, 18, 19, 20))
# For each type: what must stand, and what may.
_KEYS: Final[dict[EntryType, tuple[frozenset[int], frozenset[int]]]] = {
    EntryType.FILE: (frozenset((8,)), _COMMON | {8, 9, 10, 11, 12, 13, 23}),
    EntryType.DIRECTORY: (frozenset((21, 22)), _COMMON | {21, 22}),
    EntryType.SYMLINK: (frozenset((14,)), _COMMON | {14}),
    EntryType.FIFO: (frozenset(), _COMMON),
    EntryType.CHARACTER_DEVICE: (frozenset((15,)), _COMMON | {15}),
    EntryType.BLOCK_DEVICE: (frozenset((15,)), _COMMON | {15}),
    EntryType.HARD_LINK: (frozenset((16,)), _COMMON | {16}),
}
_TYPES: Final = {entry_type.value: (entry_type, *_KEYS[entry_type]) for entry_type in EntryType}
_CONTENT: Final = frozenset((9, 10, 11, 12))


def entry_from_map(value: object) -> TreeEntry:
    """The entry of a decoded map, every field checked."""
    if type(value) is not dict:
        raise damaged(WHAT, "has an entry that is not a map")
    number = value.get(1)
    found = _TYPES.get(number) if type(number) is int else None
    if found is None:
        if type(number) is int:
            raise unsupported(WHAT, f"has an entry of type {number}, which this version does not know")
        refuse(WHAT, "type")
    entry_type, needed, allowed = found
    keys = value.keys()
    if not keys <= allowed:
        value = _without_ignorable(value, allowed)
        keys = value.keys()
    if not needed <= keys:
        raise damaged(WHAT, "has an entry that lacks a field")
    arguments: dict[str, object] = {}
    for key, item in value.items():
        if key in _INTEGERS:
            field, least, most = _INTEGERS[key]
            if type(item) is not int or not least <= item <= most:
                refuse(WHAT, field)
            arguments[field] = item
        elif key > 1:
            field, check = _OTHERS[key]
            arguments[field] = check(item, field)
    entry = TreeEntry(name=_name(value.get(0), "name"), type=entry_type, **arguments)  # type: ignore[arg-type]
    if entry_type is EntryType.FILE:
        _check_content(entry, keys & _CONTENT)
    if 17 in keys and 18 in keys:
        refuse(WHAT, "extended attributes")
    return entry


def plain_entry(value: dict[int, object]) -> TreeEntry:
    """As `entry_from_map` for a map whose keys are integers, in a third of the time for most files, folders and links.

    Any exception means that `packing.decode` and `entry_from_map` are to look at it: its keys may not rise, or one may
    be ignorable, which lets anything stand below it."""
    keys = tuple(value)
    tail = _TAILS.get(keys)
    if tail is None:
        if any(first >= second for first, second in pairwise(keys)) or keys[-1] >= FIRST_IGNORABLE_KEY:
            raise ValueError("not plain")
        return entry_from_map(value)
    name, number, mode, mtime_ns, uid, gid, user, group, *rest = value.values()
    if (
        type(name) is bytes
        and type(number) is int
        and type(mode) is int
        and type(mtime_ns) is int
        and type(uid) is int
        and type(gid) is int
        and type(user) is str
        and type(group) is str
        and 0 <= mode <= _PERMISSIONS
        and mtime_ns <= I64_MAX
        and uid >= 0 <= gid
        and b"/" not in name
        and b"\0" not in name
        and name not in _NO_NAMES
    ):
        entry_type, fields = tail(number, *rest)
        head = (name, entry_type, mode, mtime_ns, uid, gid, user, group)
        return tuple.__new__(TreeEntry, head + fields)
    raise ValueError("not plain")


def _rest_of_fields(
    size: int | None = None,
    content: tuple[object, object, object] = (None, None, None),
    link_target: bytes | None = None,
    subtree: object = None,
    totals: object = None,
) -> tuple[object, ...]:
    """The fields of a TreeEntry after its head, for an entry with nothing unusual."""
    return (size, *content, None, False, link_target, None, None, (), None, None, None, subtree, totals, False)


def _empty_tail(number: int, size: int) -> tuple[EntryType, tuple[object, ...]]:
    if number != 0 or type(size) is not int or size != 0:
        raise ValueError("not plain")
    return EntryType.FILE, _rest_of_fields(0)


def _inline_tail(number: int, size: int, inline: bytes) -> tuple[EntryType, tuple[object, ...]]:
    if (
        number != 0
        or type(size) is not int
        or type(inline) is not bytes
        or len(inline) != size
        or not 0 < size <= INLINE_MAX_BYTES
    ):
        raise ValueError("not plain")
    return EntryType.FILE, _rest_of_fields(size, (inline, None, None))


def _slice_tail(number: int, size: int, where: list[object]) -> tuple[EntryType, tuple[object, ...]]:
    found = _slice(where, "slice")
    if number != 0 or type(size) is not int or not 0 < size <= found.bundle_size - found.offset:
        raise ValueError("not plain")
    return EntryType.FILE, _rest_of_fields(size, (None, found, None))


def _chunks_tail(number: int, size: int, items: list[object]) -> tuple[EntryType, tuple[object, ...]]:
    chunks = _inline_chunks(items, _CHUNKS)
    if number != 0 or type(size) is not int or size <= 0 or items_size(chunks) != size:
        raise ValueError("not plain")
    return EntryType.FILE, _rest_of_fields(size, (None, None, chunks))


def _link_tail(number: int, link_target: bytes) -> tuple[EntryType, tuple[object, ...]]:
    if number != EntryType.SYMLINK.value or type(link_target) is not bytes or not link_target:
        raise ValueError("not plain")
    return EntryType.SYMLINK, _rest_of_fields(link_target=link_target)


def _directory_tail(number: int, subtree: object, totals: object) -> tuple[EntryType, tuple[object, ...]]:
    if number != EntryType.DIRECTORY.value:
        raise ValueError("not plain")
    return EntryType.DIRECTORY, _rest_of_fields(subtree=_node(subtree, "subtree"), totals=_totals(totals, "totals"))


_PERMISSIONS: Final = 0o7777
_NO_NAMES: Final = (b".", b"..")
_HEAD: Final = (0, 1, 2, 3, 4, 5, 6, 7)
_TAILS: Final[dict[tuple[int, ...], Callable[..., tuple[EntryType, tuple[object, ...]]]]] = {
    (*_HEAD, 8): _empty_tail,
    (*_HEAD, 8, 9): _inline_tail,
    (*_HEAD, 8, 10): _slice_tail,
    (*_HEAD, 8, 11): _chunks_tail,
    (*_HEAD, 14): _link_tail,
    (*_HEAD, 21, 22): _directory_tail,
}


def _without_ignorable(value: dict[int, object], allowed: frozenset[int]) -> dict[int, object]:
    for key, item in value.items():
        if key >= FIRST_IGNORABLE_KEY:
            check_plain(item, WHAT)
        elif key not in allowed:
            if key in _OTHERS or key in _INTEGERS:
                raise damaged(WHAT, f"has an entry with a field ({key}) that its type has not")
            raise unsupported(WHAT, f"has an entry with a field ({key}) that this version does not know")
    return {key: item for key, item in value.items() if key < FIRST_IGNORABLE_KEY}


def _check_content(entry: TreeEntry, present: frozenset[int] | set[int]) -> None:
    size = entry.size
    if len(present) != (1 if size else 0) or (entry.shared and entry.chunks is None and entry.chunk_tree is None):
        refuse(WHAT, "content")
    if (
        (entry.inline is not None and len(entry.inline) != size)
        or (entry.slice is not None and entry.slice[1] + (size or 0) > entry.slice[2])
        or (entry.chunks is not None and items_size(entry.chunks) != size)
    ):
        refuse(WHAT, "size")


def plain_hash(value: object) -> PlainHash:
    """A blob's h."""
    if type(value) is not bytes or len(value) != _HASH_BYTES:
        refuse(WHAT, "hash")
    return PlainHash(value)


def decode_chunk_items(values: list[object]) -> tuple[ChunkItem, ...]:
    """Chunk items, with runs and holes written the one way they may be."""
    items: list[ChunkItem] = []
    previous: PlainHash | None = None
    for value in values:
        if type(value) is int:
            if items and previous is None:
                refuse(WHAT, "holes")
            items.append(Hole(as_int(value, WHAT, "holes", 1)))
            previous = None
            continue
        parts = as_list(value, WHAT, _CHUNKS)
        if len(parts) not in (2, 3):
            refuse(WHAT, _CHUNKS)
        h = plain_hash(parts[0])
        repeat = as_int(parts[2], WHAT, _CHUNKS, 2) if len(parts) == 3 else 1
        items.append(Chunk(h, as_int(parts[1], WHAT, _CHUNKS, 1, CHUNK_MAX_BYTES), repeat))
        if h == previous:
            refuse(WHAT, _CHUNKS)
        previous = h
    if items_size(items) > U64_MAX:
        refuse(WHAT, _CHUNKS)
    return tuple(items)
