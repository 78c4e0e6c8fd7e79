"""Pack entries, headers and indexes: every invariant of the chapter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snapstore.crypto.keys import MaintenanceKeys
from snapstore.errors import DamagedObjectError, InputError, UnsupportedFormatError
from snapstore.format.envelope import Kind
from snapstore.format.index import IndexedPack, decode_index, encode_index
from snapstore.format.names import padme
from snapstore.format.pack import (
    ENTRY,
    ENTRY_BYTES,
    BlobKind,
    PackEntry,
    decode_entries,
    decode_header,
    decode_rows,
    encode_entries,
    encode_header,
    header_object_size,
    header_size,
    padding_needed,
)
from snapstore.format.sealed import seal_object
from snapstore.types import BlobId, RepositoryId

DATA = PackEntry(BlobId(b"i" * 32), BlobKind.DATA, 1, 1, 0, 128, 1000, 0, b"s" * 16, b"v" * 16)
TREE = DATA._replace(kind=BlobKind.TREE, child_size=28 + 32, stored_size=28 + 32 + 28 + 100)


def chained(count: int) -> list[PackEntry]:
    return [DATA._replace(offset=128 * number) for number in range(count)]


def test_entries_have_84_bytes_in_stored_order() -> None:
    assert ENTRY.size == ENTRY_BYTES == 84
    data = ENTRY.pack(*DATA)
    assert data[32:36] == b"\x01\x01\x01\x00"
    assert decode_rows(data) == [DATA]
    assert decode_rows(data + ENTRY.pack(*TREE._replace(offset=77)))[1].offset == 77
    with pytest.raises(DamagedObjectError):
        decode_rows(data[:-1])


@pytest.mark.parametrize(
    "entry",
    [
        DATA._replace(raw_size=0),
        DATA._replace(raw_size=(4 << 20) + 1),
        DATA._replace(stored_size=28),
        DATA._replace(stored_size=10),
        DATA._replace(stored_size=1028),  # compressed, and not smaller
        DATA._replace(codec=0),  # as it is, and of another size
        DATA._replace(child_size=28),
        DATA._replace(epoch=0),
        TREE._replace(child_size=0),
        TREE._replace(child_size=29),
        TREE._replace(child_size=28 + 16 * 100),
        TREE._replace(raw_size=(1 << 20) + 1),
    ],
)
def test_impossible_entries_are_damage(entry: PackEntry) -> None:
    with pytest.raises(DamagedObjectError):
        decode_entries(encode_entries([entry]), blob_area=1 << 25)


@pytest.mark.parametrize("entry", [DATA._replace(kind=3), DATA._replace(codec=2)])
def test_unknown_kinds_and_codecs_are_newer(entry: PackEntry) -> None:
    with pytest.raises(UnsupportedFormatError):
        decode_entries(encode_entries([entry]), blob_area=1 << 25)


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [DATA._replace(offset=1)],
        [DATA, DATA],
        [DATA, DATA._replace(offset=129)],
        [DATA, TREE._replace(offset=128)],
        chained(9),
    ],
)
def test_entries_that_do_not_fit_together_are_damage(entries: list[PackEntry]) -> None:
    with pytest.raises(DamagedObjectError):
        decode_entries(encode_entries(entries), blob_area=8 * 128)


def test_a_part_of_a_header_may_begin_anywhere() -> None:
    assert decode_entries(encode_entries(chained(3)[1:]), blob_area=None) == chained(3)[1:]


@pytest.mark.parametrize("count", [1, 47, 48, 49, 2000])
def test_headers_are_aligned_and_come_back(
    maintenance: MaintenanceKeys, repository_id: RepositoryId, count: int
) -> None:
    entries = chained(count)
    end = encode_header(maintenance, repository_id, entries)
    assert len(end) == header_size(count)
    assert len(end) % 4096 == 0
    assert header_object_size(end[-4:]) == len(end) - 4
    assert decode_header(maintenance, repository_id, end[:-4], blob_area=128 * count) == entries
    size = 128 * count + padding_needed(128 * count, count) + len(end)
    assert size == padme(size)
    with pytest.raises(DamagedObjectError):
        decode_header(maintenance, RepositoryId(bytes(16)), end[:-4])


def test_a_header_with_something_after_its_entries_is_damage(
    maintenance: MaintenanceKeys, repository_id: RepositoryId
) -> None:
    plaintext = bytearray(encode_entries(chained(1)).ljust(4096 - 4 - 52, b"\0"))
    for at in (100, len(plaintext) - 1):
        altered = bytearray(plaintext)
        altered[at] = 1
        data = seal_object(Kind.PACK_HEADER, maintenance.pack_header, repository_id, 2, bytes(altered))
        with pytest.raises(DamagedObjectError):
            decode_header(maintenance, repository_id, data)
    too_long = seal_object(
        Kind.PACK_HEADER, maintenance.pack_header, repository_id, 2, bytes(plaintext).ljust(8192 - 4 - 52, b"\0")
    )
    with pytest.raises(DamagedObjectError):
        decode_header(maintenance, repository_id, too_long)


@pytest.mark.parametrize("trailer", [b"", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x00\x10\x00\x00"])
def test_a_pack_without_a_readable_trailer_is_damage(trailer: bytes) -> None:
    with pytest.raises(DamagedObjectError):
        header_object_size(trailer)


def indexed(count: int, name: str = "0" * 32) -> IndexedPack:
    size = padme(128 * count + header_size(count))
    return IndexedPack(name=name, pack_size=size, entries_bytes=encode_entries(chained(count)))


def test_an_index_holds_headers_word_for_word(maintenance: MaintenanceKeys, repository_id: RepositoryId) -> None:
    packs = [indexed(1), indexed(100, "v" * 32)]
    data = encode_index(maintenance, repository_id, packs)
    assert len(data) == padme(len(data))
    assert decode_index(maintenance, repository_id, data) == packs
    assert packs[1].entries() == chained(100)


@pytest.mark.parametrize(
    "pack",
    [
        indexed(1, "w" * 32),
        indexed(1, "A" * 32),
        replace(indexed(1), pack_size=4096),
        replace(indexed(1), entries_bytes=b"\0\0\0\0"),
        replace(indexed(1), entries_bytes=b"\xff\xff\xff\xff"),
        replace(indexed(1), entries_bytes=encode_entries(chained(1)) + b"\x01"),
    ],
)
def test_an_index_that_names_impossible_packs_is_damage(
    maintenance: MaintenanceKeys, repository_id: RepositoryId, pack: IndexedPack
) -> None:
    data = encode_index(maintenance, repository_id, [pack])
    with pytest.raises(DamagedObjectError):
        decode_index(maintenance, repository_id, data)


def test_nothing_empty_is_written(maintenance: MaintenanceKeys, repository_id: RepositoryId) -> None:
    with pytest.raises(InputError):
        encode_header(maintenance, repository_id, [])
    with pytest.raises(InputError):
        encode_index(maintenance, repository_id, [])
