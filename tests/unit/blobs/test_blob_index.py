"""The index of blobs against a dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from snapstore.blobs.index import BlobIndex
from snapstore.format.index import IndexedPack
from snapstore.format.pack import BlobKind, PackEntry, encode_entries
from snapstore.types import BlobId


def entry(blob_id: bytes, offset: int = 0) -> PackEntry:
    return PackEntry(BlobId(blob_id), BlobKind.DATA, 0, 1, offset, 38, 10, 0, bytes(16), bytes(16))


def pack(name: str, blob_ids: list[bytes]) -> IndexedPack:
    entries = [entry(blob_id, 38 * number) for number, blob_id in enumerate(blob_ids)]
    return IndexedPack(name=name, pack_size=4096, entries_bytes=encode_entries(entries))


# Few ids, some with an equal first half: what is sorted and searched is the first 16 bytes.
ids = st.tuples(st.integers(0, 5), st.integers(0, 2)).map(lambda pair: bytes([pair[0]]) * 16 + bytes([pair[1]]) * 16)
contents = st.lists(st.lists(ids, min_size=1, max_size=8), max_size=8)


@given(loaded=contents, loaded_later=contents, added=contents, unusable=st.sets(st.integers(0, 23)))
def test_every_copy_is_found_usable_ones_first(
    loaded: list[list[bytes]], loaded_later: list[list[bytes]], added: list[list[bytes]], unusable: set[int]
) -> None:
    index, packs = BlobIndex(), {}

    def named(lists: list[list[bytes]]) -> list[IndexedPack]:
        new = []
        for blob_ids in lists:
            name = f"{len(packs):032}"
            packs[name] = blob_ids
            new.append(pack(name, blob_ids))
        return new

    first = named(loaded)
    index.load(first)
    index.load([*first, *named(loaded_later)])
    for item in named(added):
        index.add(item)
        index.add(item)
    for number in unusable:
        index.set_usable(f"{number:032}", usable=False)

    assert [name for name, _, _ in index.packs()] == list(packs)
    wanted = sorted({blob_id for blob_ids in packs.values() for blob_id in blob_ids} | {bytes(32), b"x" * 32})
    for blob_id, copies in zip(wanted, index.find_many([BlobId(blob_id) for blob_id in wanted]), strict=True):
        assert list(copies) == list(index.copies(BlobId(blob_id)))
        expected = {
            (name, 38 * number)
            for name, blob_ids in packs.items()
            for number, held in enumerate(blob_ids)
            if held == blob_id
        }
        assert {(copy.pack, copy.entry.offset) for copy in copies} == expected
        assert len(copies) == len(expected)
        assert [copy.usable for copy in copies] == sorted((copy.usable for copy in copies), reverse=True)
        assert all(copy.usable == (int(copy.pack) not in unusable) for copy in copies)


def test_a_pack_that_is_not_known_can_be_called_unusable() -> None:
    index = BlobIndex()
    index.set_usable("absent", usable=False)
    assert "absent" not in index
    assert list(index.packs()) == []
