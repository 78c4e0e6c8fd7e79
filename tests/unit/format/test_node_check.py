"""A writer's quick look at nodes: it takes all that a reader takes, and nothing that a reader refuses."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstore.errors import DamageError, UnsupportedFormatError
from snapstore.format.node_check import NodeChecker
from snapstore.format.tree import Chunk, DirectoryLeaf, Hole, TreeEntry, decode_node, encode_node
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


def warm() -> NodeChecker:
    """One that has seen every form, so that it looks quickly."""
    checker = NodeChecker()
    checker.check(encode_node(DirectoryLeaf(ENTRIES)))
    return checker


def test_the_quick_look_is_sure_of_what_is_frequent() -> None:
    checker = warm()
    assert checker._is_sure_of(encode_node(DirectoryLeaf(ENTRIES[:4])))
    assert checker._is_sure_of(encode_node(DirectoryLeaf(ENTRIES[5:])))
    assert checker._is_sure_of(encode_node(DirectoryLeaf(())))


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
    "no node": b"",
    "another shape": b"\x92\x07\x90",
    "too large": bytes(2 << 20),
}


@pytest.mark.parametrize("reason", WRONG)
def test_what_a_reader_refuses_is_refused(reason: str) -> None:
    for checker in (NodeChecker(), warm()):
        with pytest.raises((DamageError, UnsupportedFormatError)):
            checker.check(WRONG[reason])


@pytest.mark.parametrize("size", [7, 8])
def test_the_end_of_a_bundle_is_exact(size: int) -> None:
    checker = warm()
    data = packed(ENTRIES[2], size=size, slice=(H, 13, 20))
    if size == 7:
        checker.check(data)
    else:
        with pytest.raises(DamageError):
            checker.check(data)


@given(st.binary(max_size=60), st.integers(0, 10_000), st.integers(0, 7))
def test_whatever_it_is_sure_of_a_reader_takes(tail: bytes, position: int, bit: int) -> None:
    """But for ranges of single integers, types that only differ in value, and the text of names of owners."""
    data = bytearray(encode_node(DirectoryLeaf(ENTRIES)))
    data[position % len(data)] ^= 1 << bit
    for candidate in (bytes(data), b"\x92\x00" + tail):
        if NodeChecker()._is_sure_of(candidate):  # without memory of forms, each entry is decoded
            decode_node(candidate)
        with suppress(DamageError, UnsupportedFormatError):
            NodeChecker().check(candidate)
