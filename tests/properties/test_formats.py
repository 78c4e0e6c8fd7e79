"""Every decoder is total, and every encoding is the only one.

Random bytes, and golden objects that were cut, lengthened or had bits flipped, give a value or a declared error and
never another exception. What decodes encodes to the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from snapstore.crypto.hybrid import HybridPrivateKey
from snapstore.crypto.keys import DossierKeys, EpochKeys
from snapstore.errors import DamagedObjectError, DamageError, NotEnrolledError, UnsupportedFormatError
from snapstore.format.config import decode_config
from snapstore.format.envelope import Envelope
from snapstore.format.index import decode_index
from snapstore.format.keyset import decode_keyset
from snapstore.format.manifest import decode_manifest
from snapstore.format.notes import decode_condemn, decode_session
from snapstore.format.pack import ENTRY, PackEntry, decode_entries, decode_header, encode_entries
from snapstore.format.packing import decode, encode
from snapstore.format.record import decode_record
from snapstore.format.tree import (
    Chunk,
    ChunkChild,
    ChunkItem,
    ChunkLeaf,
    ChunkNode,
    DirectoryChild,
    DirectoryLeaf,
    DirectoryNode,
    Hole,
    Node,
    TreeEntry,
    decode_node,
    encode_node,
)
from snapstore.types import BlobId, EntryType, PlainHash, RepositoryId

VECTOR_FILE = Path(__file__).parents[1] / "vectors" / "format.json"
VECTORS = {name: bytes.fromhex(text) for name, text in json.loads(VECTOR_FILE.read_text("utf-8")).items()}
REPOSITORY = RepositoryId(VECTORS["key/repository id"])
KEYS = DossierKeys.of(
    EpochKeys(epoch=2, **{part: VECTORS[f"key/{part} 2"] for part in ("maintenance", "content", "chunker", "dossier")})
)
MAINTENANCE = KEYS.maintenance_keys
PRIVATE = HybridPrivateKey.from_bytes(VECTORS["key/private halves"][32:])


def whole_manifest(data: bytes) -> object:
    sealed = decode_manifest(data)
    return sealed.open_maintenance(MAINTENANCE), sealed.open_text(KEYS), sealed.open_root(PRIVATE)


def whole_header(data: bytes) -> object:
    return decode_header(MAINTENANCE, REPOSITORY, data[:-4])


DECODERS: dict[str, Callable[[bytes], object]] = {
    "object/config": decode_config,
    "object/pack header": whole_header,
    "object/index": lambda data: decode_index(MAINTENANCE, REPOSITORY, data),
    "object/condemn": lambda data: decode_condemn(MAINTENANCE, REPOSITORY, data),
    "object/session": lambda data: decode_session(MAINTENANCE, REPOSITORY, data),
    "object/keyset": decode_keyset,
    "object/manifest": whole_manifest,
    "object/record": lambda data: decode_record(data).open(MAINTENANCE),
    "node/directory leaf": decode_node,
    "node/directory node": decode_node,
    "node/chunk leaf": decode_node,
    "node/chunk node": decode_node,
    "node/root": decode_node,
}
NAMES = sorted(DECODERS)
AUTHENTICATED = [name for name in NAMES if name not in ("object/config", "object/manifest", "object/record")]


def answer(decoder: Callable[[bytes], object], data: bytes) -> object:
    """What a decoder says; anything but a value or a declared error fails the test."""
    try:
        return decoder(data)
    except (DamageError, UnsupportedFormatError, NotEnrolledError) as error:  # the last: keys of another epoch
        return type(error)


@pytest.mark.parametrize("name", NAMES)
def test_golden_objects_decode(name: str) -> None:
    assert not isinstance(answer(DECODERS[name], VECTORS[name]), type)


@given(st.sampled_from(NAMES), st.binary(max_size=400), st.integers(0, 60))
def test_random_bytes_give_a_declared_error(name: str, data: bytes, kept: int) -> None:
    for candidate in (data, VECTORS[name][:kept] + data):
        if candidate != VECTORS[name]:
            found = answer(DECODERS[name], candidate)
            assert isinstance(found, type) or name.startswith("node/")


@given(st.sampled_from(NAMES), st.data())
def test_cut_and_lengthened_objects_are_refused(name: str, data: st.DataObject) -> None:
    whole = VECTORS[name]
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert isinstance(answer(DECODERS[name], whole[:cut]), type)
    assert isinstance(answer(DECODERS[name], whole + bytes(data.draw(st.integers(1, 5000)))), type)


@given(st.sampled_from(NAMES), st.data())
def test_flipped_bits_are_found_or_harmless(name: str, data: st.DataObject) -> None:
    altered = bytearray(VECTORS[name])
    last = len(altered) - (5 if name == "object/pack header" else 1)  # the trailer is not the header's own
    altered[data.draw(st.integers(0, last))] ^= 1 << data.draw(st.integers(0, 7))
    found = answer(DECODERS[name], bytes(altered))
    if name.startswith("node/"):
        assert isinstance(found, type) or encode_node(found) == altered  # type: ignore[arg-type]
    elif name in AUTHENTICATED:
        assert isinstance(found, type)


@given(st.sampled_from(("object/manifest", "object/record", "object/keyset")), st.data())
def test_no_altered_signed_object_verifies(name: str, data: st.DataObject) -> None:
    altered = bytearray(VECTORS[name])
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    decoders = {"object/manifest": decode_manifest, "object/record": decode_record, "object/keyset": decode_keyset}
    found = answer(decoders[name], bytes(altered))
    if not isinstance(found, type):
        assert name != "object/keyset"
        assert not found.verify(VECTORS["key/station seed"])  # type: ignore[attr-defined]


# --- msgpack -----------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.integers(0, 300), inner, max_size=5).map(lambda found: dict(sorted(found.items())))
    ),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back(value: object) -> None:
    assert decode(encode(value), what="value") == value


@given(st.binary(max_size=200))
@example(b"\xcc\x01")
@example(b"\x81\xc3\x00")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 2000)
def test_what_decodes_is_canonical(data: bytes) -> None:
    try:
        value = decode(data, what="value")
    except DamagedObjectError:
        return
    assert encode(value) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01\x01",  # a byte after the value
        b"\xcc\x7f",  # 127 in two bytes
        b"\xcd\x00\xff",
        b"\xd0\x01",  # signed where unsigned is shorter
        b"\xd9\x01a",  # a long form of a short text
        b"\xc5\x00\x01a",
        b"\xdc\x00\x01\x00",
        b"\xde\x00\x01\x00\x00",
        b"\x82\x01\x00\x00\x00",  # keys that fall
        b"\x82\x01\x00\x01\x00",  # a key twice
        b"\x81\xa1a\x00",  # a text as key
        b"\x81\xc3\x00",  # true as key, which Python takes for 1
        b"\x81\xff\x00",  # a negative key
        b"\xa1\xff",  # a text that is not UTF-8
        b"\xcb" + bytes(8),  # floats
        b"\xca" + bytes(4),
        b"\x91\xcb" + bytes(8),
        b"\xd6\xff" + bytes(4),  # a timestamp
        b"\xc7\x00\x01",  # an extension
        b"\xc1",
        b"\x91" * 17 + b"\x00",  # nested too deeply
        b"\x91" * 100_000,
        b"\xdd\x7f\xff\xff\xff",  # two thousand million items, it says
        b"\xc6\xff\xff\xff\xff",
    ],
)
def test_non_canonical_msgpack_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        decode(data, what="value")


@given(st.binary(max_size=20))
def test_envelopes_decode_to_themselves(data: bytes) -> None:
    for candidate in (data, b"\x8a\x53" + data):
        found = answer(Envelope.decode, candidate)
        if isinstance(found, Envelope):
            assert found.encode() == candidate[:8]


# --- trees -------------------------------------------------------------------------------------------------------

HASHES = st.binary(min_size=32, max_size=32).map(PlainHash)
SIZES = st.integers(1, 1 << 22)
ENTRY_NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)
ITEMS = st.builds(Chunk, HASHES, SIZES, st.integers(1, 1000)) | st.builds(Hole, st.integers(1, 1 << 40))


def no_runs(items: list[ChunkItem]) -> tuple[ChunkItem, ...]:
    kept: list[ChunkItem] = []
    for item in items:
        same_kind = bool(kept) and type(kept[-1]) is type(item)
        if not (same_kind and (isinstance(item, Hole) or kept[-1][0] == item.h)):
            kept.append(item)
    return tuple(kept)


ITEM_LISTS = st.lists(ITEMS, min_size=1, max_size=8).map(no_runs)
COMMON = {
    "name": ENTRY_NAMES,
    "mode": st.none() | st.integers(0, 0o7777),
    "mtime_ns": st.none() | st.integers(-(2**63), 2**63 - 1),
    "uid": st.none() | st.integers(0, 2**32),
    "user": st.none() | st.text(max_size=8),
    "xattrs": st.dictionaries(st.binary(min_size=1, max_size=5), st.binary(max_size=5), max_size=3).map(
        lambda found: tuple(sorted(found.items()))
    ),
    "windows_attributes": st.none() | st.integers(0, 2**32 - 1),
    "birth_ns": st.none() | st.integers(0, 2**63 - 1),
}


def _entry(**fields: Any) -> TreeEntry:
    """Make an entry: of a NamedTuple, `builds` would draw the fields that have defaults too."""
    return TreeEntry(**fields)


FILES = st.one_of(
    st.builds(_entry, type=st.just(EntryType.FILE), size=st.just(0), **COMMON),
    st.builds(
        lambda inline, **rest: TreeEntry(type=EntryType.FILE, size=len(inline), inline=inline, **rest),
        st.binary(min_size=1, max_size=512),
        changed=st.booleans(),
        **COMMON,
    ),
    st.builds(
        lambda items, **rest: TreeEntry(
            type=EntryType.FILE,
            size=sum(item.size * (item.repeat if isinstance(item, Chunk) else 1) for item in items),
            chunks=items,
            **rest,
        ),
        ITEM_LISTS,
        shared=st.booleans(),
        **COMMON,
    ),
    st.builds(
        _entry,
        type=st.just(EntryType.FILE),
        size=st.integers(1, 100),
        slice=st.tuples(HASHES, st.integers(0, 50), st.integers(150, 65536)),
        **COMMON,
    ),
)
OTHERS = st.one_of(
    st.builds(_entry, type=st.just(EntryType.SYMLINK), link_target=st.binary(min_size=1, max_size=9), **COMMON),
    st.builds(_entry, type=st.just(EntryType.HARD_LINK), hard_link=ENTRY_NAMES, **COMMON),
    st.builds(
        _entry,
        type=st.just(EntryType.DIRECTORY),
        subtree=st.tuples(st.integers(0, 40), HASHES),
        totals=st.tuples(st.integers(0, 99), st.integers(0, 99)),
        **COMMON,
    ),
)
LEAVES = st.lists(FILES | OTHERS, max_size=6, unique_by=lambda entry: entry.name).map(
    lambda entries: DirectoryLeaf(tuple(sorted(entries, key=lambda entry: entry.name)))
)
NODES: st.SearchStrategy[Node] = st.one_of(
    LEAVES,
    st.builds(ChunkLeaf, ITEM_LISTS),
    st.builds(ChunkNode, st.integers(1, 40), st.lists(st.builds(ChunkChild, HASHES, SIZES), min_size=1).map(tuple)),
    st.builds(
        DirectoryNode,
        st.integers(1, 40),
        st.lists(
            st.builds(DirectoryChild, ENTRY_NAMES, HASHES, SIZES, st.integers(0, 1 << 50)),
            min_size=1,
            unique_by=lambda child: child.last_name,
        ).map(lambda children: tuple(sorted(children))),
    ),
)


@given(NODES)
def test_nodes_come_back(node: Node) -> None:
    data = encode_node(node)
    assert decode_node(data) == node
    assert encode_node(decode_node(data)) == data


@given(PLAIN)
def test_any_msgpack_value_gives_a_node_or_a_declared_error(value: object) -> None:
    for candidate in (value, [0, [value]], [1, 1, [value]], [2, [value]], [3, 1, [value]]):
        found = answer(decode_node, msgpack.packb(candidate))
        if not isinstance(found, type):
            assert encode_node(found) == msgpack.packb(candidate)  # type: ignore[arg-type]


# --- pack entries ------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20), st.binary(min_size=32, max_size=32))
def test_pack_entries_come_back(sizes: list[int], blob_id: bytes) -> None:
    entries, offset = [], 0
    for size in sizes:
        entries.append(PackEntry(BlobId(blob_id), 1, 0, 1, offset, size + 28, size, 0, b"s" * 16, b"v" * 16))
        offset += size + 28
    data = encode_entries(entries)
    assert decode_entries(data, blob_area=offset) == entries
    with pytest.raises(DamagedObjectError):
        decode_entries(data, blob_area=offset - 1)


@given(st.binary(min_size=ENTRY.size, max_size=ENTRY.size), st.none() | st.integers(0, 2**32))
def test_random_pack_entries_decode_to_themselves_or_not_at_all(data: bytes, blob_area: int | None) -> None:
    whole = b"\x01\0\0\0" + data
    found = answer(lambda given_bytes: decode_entries(given_bytes, blob_area=blob_area), whole)
    if isinstance(found, list):
        assert encode_entries(found) == whole
