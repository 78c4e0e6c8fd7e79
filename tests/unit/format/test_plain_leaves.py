"""The compiled check of leaves: what it passes decodes, and most leaves pass."""

from __future__ import annotations

import random
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapstore.errors import DamageError, UnsupportedFormatError
from snapstore.format import native
from snapstore.format.native import check_nodes
from snapstore.format.tree import Chunk, ChunkLeaf, DirectoryLeaf, TreeEntry, decode_node, encode_node
from snapstore.limits import CHUNK_MAX_BYTES, INLINE_MAX_BYTES
from snapstore.types import EntryType, PlainHash

pytest.importorskip("snapstore._entries")
plain_leaves: Any = import_module("snapstore._entries").plain_leaves

H, OTHER = PlainHash(b"h" * 32), PlainHash(b"o" * 32)
numbers = st.one_of(st.integers(0, 300), st.sampled_from([2**16 - 1, 2**16, 2**32 - 1, 2**32, 2**63, 2**64 - 1]))
times = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([at + step for at in (-(2**31), -(2**15), -(2**7), -32, 0, 128, 2**16) for step in (-1, 0, 1)]),
)
names = st.binary(min_size=1, max_size=300).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
texts = st.none() | st.text("abcdefgh", max_size=40)
commons = st.fixed_dictionaries(
    {},
    optional={
        "mode": st.integers(0, 0o7777),
        "mtime_ns": times,
        "uid": numbers,
        "gid": numbers,
        "user": texts,
        "group": texts,
    },
)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["empty", "inline", "slice", "chunks", "chunk_tree", "directory", "link"]))
    if kind == "empty":
        return {"type": EntryType.FILE, "size": 0}
    if kind == "inline":
        data = draw(st.binary(min_size=1, max_size=INLINE_MAX_BYTES))
        return {"type": EntryType.FILE, "size": len(data), "inline": data}
    if kind == "slice":
        size, offset, rest = draw(st.tuples(st.integers(1, 70_000), st.integers(0, 70_000), st.integers(0, 9)))
        return {"type": EntryType.FILE, "size": size, "slice": (H, offset, offset + size + rest)}
    if kind == "chunks":
        sizes = draw(st.lists(st.integers(1, CHUNK_MAX_BYTES), min_size=1, max_size=8))
        chunks = tuple(Chunk((H, OTHER)[at % 2], size) for at, size in enumerate(sizes))
        return {"type": EntryType.FILE, "size": sum(sizes), "chunks": chunks, "shared": draw(st.booleans())}
    if kind == "chunk_tree":
        size, level = draw(numbers.filter(bool)), draw(st.integers(0, 40))
        return {"type": EntryType.FILE, "size": size, "chunk_tree": (level, H), "shared": draw(st.booleans())}
    if kind == "directory":
        totals = (draw(numbers), draw(numbers))
        return {"type": EntryType.DIRECTORY, "subtree": (draw(st.integers(0, 40)), H), "totals": totals}
    return {"type": EntryType.SYMLINK, "link_target": draw(st.binary(min_size=1, max_size=300))}


leaves = st.lists(st.tuples(names, commons, contents()), max_size=20, unique_by=lambda row: row[0]).map(
    lambda rows: DirectoryLeaf(
        tuple(TreeEntry(name=name, **common, **rest) for name, common, rest in sorted(rows, key=lambda row: row[0]))
    )
)


def decodes(data: bytes) -> bool:
    try:
        decode_node(data)
    except (DamageError, UnsupportedFormatError):
        return False
    return True


@given(leaves)
def test_leaves_with_nothing_unusual_pass(leaf: DirectoryLeaf) -> None:
    data = encode_node(leaf)
    assert decode_node(data) == leaf
    assert plain_leaves([data, data]) == b"\1\1"
    check_nodes([data])


@settings(max_examples=300)
@given(leaves, st.randoms(use_true_random=False))
def test_what_passes_decodes_whatever_was_done_to_it(leaf: DirectoryLeaf, chance: random.Random) -> None:
    data = encode_node(leaf)
    tried = []
    for _ in range(60):
        harmed = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(harmed))
            way = chance.randrange(5)
            if way == 0:
                harmed[at] ^= 1 << chance.randrange(8)
            elif way == 1:
                harmed[at] = chance.choice(
                    b"\x00\x01\x02\x09\x0a\x0b\x0c\x0d\x15\x16\x80\x8a\x90\x92\x93\xa0\xc4\xc5\xcc\xcd\xce\xcf\xd0\xd3\xd9\xff"
                )
            elif way == 2:
                del harmed[at : at + chance.randint(1, 4)]
            elif way == 3:
                harmed[at:at] = chance.randbytes(chance.randint(1, 9))
            else:
                start = chance.randrange(len(harmed))
                harmed[at:at] = harmed[start : start + chance.randint(1, 40)]
            if not harmed:
                break
        tried.append(bytes(harmed))
    for harmed_data, passed in zip(tried, plain_leaves(tried), strict=True):
        assert not passed or decodes(harmed_data), harmed_data.hex()


UNUSUAL = [
    DirectoryLeaf((TreeEntry(name=b"", type=EntryType.DIRECTORY, subtree=(0, H), totals=(0, 0)),)),
    DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FIFO),)),
    DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FILE, size=0, user="Jürgen"),)),
    DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FILE, size=0, birth_ns=1),)),
    DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FILE, size=0, changed=True),)),
    DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FILE, size=4, chunks=(Chunk(H, 2, 2),)),)),
    ChunkLeaf((Chunk(H, 1),)),
]


@pytest.mark.parametrize("node", UNUSUAL)
def test_what_is_unusual_gets_the_closer_look(node: Any) -> None:
    data = encode_node(node)
    assert plain_leaves([data]) == b"\0"
    check_nodes([data])


def test_what_does_not_decode_is_refused_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    good = encode_node(DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.FILE, size=0),)))
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(native, "_native", None)
        check_nodes([good, good])
        check_nodes([])
        for bad in (b"", good[:-1], good + b"\0", good.replace(b"a", b"/")):
            with pytest.raises(DamageError):
                check_nodes([good, bad, good])


def test_wrong_arguments_are_refused() -> None:
    for wrong in (None, [None], ["text"], [bytearray(b"\x92\x00\x90")], 3):
        with pytest.raises(TypeError):
            plain_leaves(wrong)
