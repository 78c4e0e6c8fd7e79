"""Nodes that no writer makes are refused, by readers and therefore by writers, who decode what they seal."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import DamageError, UnsupportedFormatError
from snapstore.format.tree import Chunk, DirectoryLeaf, Hole, TreeEntry, decode_node, encode_node
from snapstore.limits import MIB
from snapstore.types import EntryType, PlainHash

H = PlainHash(b"h" * 32)
OTHER = PlainHash(b"o" * 32)


def file(name: bytes, **fields: Any) -> TreeEntry:
    return TreeEntry(name=name, type=EntryType.FILE, mode=0o644, mtime_ns=1, **fields)


ENTRIES = (
    file(b"a", size=0),
    file(b"b", size=3, inline=b"abc"),
    file(b"c", size=7, slice=(H, 10, 20)),
    file(b"d", size=30, chunks=(Chunk(H, 10), Chunk(OTHER, 20))),
    file(b"e", size=50, chunks=(Chunk(H, 10, 2), Hole(30))),
    file(b"f", size=9, chunk_tree=(1, H), xattrs_blob=(H, 5000)),
    file(b"g", size=1, chunks=(Chunk(H, 1),), shared=True, changed=True),
    TreeEntry(name=b"h", type=EntryType.DIRECTORY, subtree=(0, H), totals=(3, 4)),
    TreeEntry(name=b"i", type=EntryType.SYMLINK, link_target=b"a"),
    TreeEntry(name=b"j", type=EntryType.HARD_LINK, hard_link=b"a"),
)


def packed(entry: TreeEntry, **changes: Any) -> bytes:
    return encode_node(DirectoryLeaf((entry._replace(**changes),)))


WRONG = {
    "names that fall": encode_node(DirectoryLeaf((ENTRIES[1], ENTRIES[0]))),
    "a name twice": encode_node(DirectoryLeaf((ENTRIES[1], ENTRIES[1]))),
    "a name with a slash": packed(ENTRIES[1], name=b"b/c"),
    "a name with a zero": packed(ENTRIES[1], name=b"b\0"),
    "the name of the folder": packed(ENTRIES[1], name=b".."),
    "no name": packed(ENTRIES[1], name=b""),
    "inline of another size": packed(ENTRIES[1], size=4),
    "content where there is none": packed(ENTRIES[1], size=0, inline=b""),
    "no content": packed(ENTRIES[0], size=1),
    "a slice beyond its bundle": packed(ENTRIES[2], slice=(H, 14, 20)),
    "an empty slice": packed(ENTRIES[2], size=0),
    "a slice before its bundle": packed(ENTRIES[2], slice=(H, -1, 20)),
    "a short h of a slice": packed(ENTRIES[2], slice=(H[:31], 10, 20)),
    "chunks of another size": packed(ENTRIES[3], size=31),
    "a short h of a chunk": packed(ENTRIES[3], chunks=(Chunk(H, 10), Chunk(PlainHash(b"x"), 20))),
    "equal neighbours": packed(ENTRIES[3], chunks=(Chunk(H, 10), Chunk(H, 20))),
    "an empty chunk": packed(ENTRIES[3], chunks=(Chunk(H, 30), Chunk(OTHER, 0))),
    "a short h of a chunk tree": packed(ENTRIES[5], chunk_tree=(1, PlainHash(b"x"))),
    "a short h of attributes": packed(ENTRIES[5], xattrs_blob=(PlainHash(b"x"), 5000)),
    "a short h of a folder": packed(ENTRIES[7], subtree=(0, PlainHash(b"x"))),
    "a form that is new and wrong": packed(ENTRIES[0], mode=0o10000, user="u"),
    "fields out of order": b"\x92\x00\x91" + msgpack.packb({1: 4, 0: b"z", 2: 0o644, 3: 1}),
    "bytes at the end": encode_node(DirectoryLeaf(ENTRIES)) + b"\x00",
    "long forms": b"\x92\x00\xdc\x00\x01" + msgpack.packb({0: b"p", 1: 3}),
    "more chunks than stand in a line": packed(
        ENTRIES[3], size=9, chunks=tuple(Chunk(PlainHash(bytes([number]) * 32), 1) for number in range(9))
    ),
    "too much inline": packed(ENTRIES[1], size=600, inline=bytes(600)),
    "a bundle that is too large": packed(ENTRIES[2], slice=(H, 10, 5 * MIB)),
    "a chunk that is too large": packed(ENTRIES[3], size=5 * MIB, chunks=(Chunk(H, 5 * MIB),)),
    "attributes that fall": packed(ENTRIES[1], xattrs=((b"b", b""), (b"a", b""))),
    "a link to no path": packed(ENTRIES[9], hard_link=b"a//../b"),
    "a chunk tree that is too high": packed(ENTRIES[5], chunk_tree=(99, H)),
    "a folder's tree that is too high": packed(ENTRIES[7], subtree=(99, H)),
    "more than a mode": packed(ENTRIES[1], mode=0o777777),
    "no node": b"",
    "another shape": b"\x92\x07\x90",
    "too large": bytes(2 << 20),
}


@pytest.mark.parametrize("reason", WRONG)
def test_a_node_that_no_writer_makes_is_refused(reason: str) -> None:
    with pytest.raises((DamageError, UnsupportedFormatError)):
        decode_node(WRONG[reason])


def test_what_these_were_made_of_is_taken() -> None:
    assert decode_node(encode_node(DirectoryLeaf(ENTRIES))) == DirectoryLeaf(ENTRIES)
    assert decode_node(encode_node(DirectoryLeaf(()))) == DirectoryLeaf(())


@pytest.mark.parametrize("size", [7, 8])
def test_the_end_of_a_bundle_is_exact(size: int) -> None:
    data = packed(ENTRIES[2], size=size, slice=(H, 13, 20))
    if size == 7:
        assert decode_node(data) == DirectoryLeaf((ENTRIES[2]._replace(slice=(H, 13, 20)),))
    else:
        with pytest.raises(DamageError):
            decode_node(data)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_gives_a_node_or_the_declared_error(position: int, bit: int) -> None:
    whole = encode_node(DirectoryLeaf(ENTRIES))
    data = bytearray(whole)
    data[position % len(data)] ^= 1 << bit
    try:
        node = decode_node(bytes(data))
    except (DamageError, UnsupportedFormatError):
        return
    assert encode_node(node) == bytes(data)
