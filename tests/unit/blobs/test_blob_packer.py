"""Packs being built: kinds apart, order hidden, headers first decoded, broken once is broken for good."""

from __future__ import annotations

import random
from typing import Any

import pytest

from snapstore.crypto.derivation import digest
from snapstore.errors import BrokenWriterError, StationStateError, StoreFullError
from snapstore.format.index import IndexedPack, decode_index
from snapstore.format.names import name_matches, padme
from snapstore.format.pack import BlobKind, decode_header
from snapstore.limits import INDEX_EVERY_PACKS, MAX_OBJECT_BYTES, PACK_TARGET_BYTES
from snapstore.stores.memory import MemoryStore
from snapstore.testing import FullAfter, Recorder, WithoutBuilders


def sealed_chunks(bench: Any, count: int, size: int) -> list[Any]:
    sealer = bench.sealer(verify=False)
    domain = sealer.domain(shared=False)
    chunks = [random.Random(number).randbytes(size) for number in range(count)]
    return [sealer.seal_data(chunk, domain.hash(chunk), shared=False) for chunk in chunks]


def test_data_and_trees_go_into_packs_of_their_own_and_an_index_follows(bench: Any) -> None:
    store = Recorder(bench.store)
    bench.store = store
    told: list[IndexedPack] = []
    packer = bench.packer(told.append)
    sealer = bench.sealer()
    for blob in sealed_chunks(bench, 20, 3000):
        packer.add(blob)
    tree = b"the plaintext of a node"
    packer.add(
        sealer.seal_tree(tree, sealer.keys.own.hash(tree), [blob.entry.blob_id for blob in sealed_chunks(bench, 3, 9)])
    )
    packer.finish()
    packer.close()

    operations = [(call.operation, call.name.split("/")[0]) for call in store.calls]
    assert operations == [("put", "packs"), ("put", "packs"), ("put", "index")]
    kinds = []
    for name in bench.packs():
        data = bench.store.get(name)
        assert len(data) == padme(len(data))
        assert name_matches(name.rpartition("/")[2], digest(data))
        size = int.from_bytes(data[-4:], "little")
        entries = decode_header(bench.maintenance, b"r" * 16, data[-4 - size : -4], blob_area=len(data) - 4 - size)
        assert len({entry.kind for entry in entries}) == 1
        kinds.append((entries[0].kind, len(entries)))
    assert sorted(kinds) == [(BlobKind.DATA, 20), (BlobKind.TREE, 1)]
    [index] = [item.name for item in bench.store.list("index")]
    indexed = decode_index(bench.maintenance, b"r" * 16, bench.store.get(index))
    assert sorted(indexed, key=lambda pack: pack.name) == sorted(told, key=lambda pack: pack.name)
    assert packer.stored_bytes == sum(item.size for item in bench.store.list(""))


def test_the_order_of_chunks_does_not_show(bench: Any) -> None:
    blobs = sealed_chunks(bench, 60, 1000)
    given = [blob.entry.blob_id for blob in blobs]
    seen = set()
    for _ in range(3):
        told: list[IndexedPack] = []
        packer = bench.packer(told.append)
        for blob in blobs:
            packer.add(blob)
        packer.finish()
        order = tuple(entry.blob_id for pack in told for entry in pack.entries())
        assert sorted(order) == sorted(given)
        assert list(order) != given
        seen.add(order)
    assert len(seen) == 3


def test_full_packs_are_stored_as_they_fill_and_none_is_too_large(bench: Any) -> None:
    told: list[IndexedPack] = []
    packer = bench.packer(told.append)
    [blob] = sealed_chunks(bench, 1, 4_000_000)
    for _ in range(25):
        packer.add(blob)
    assert told, "100 MB do not wait for the end"
    packer.finish()
    assert sum(len(pack.entries()) for pack in told) == 25
    assert all(pack.pack_size <= MAX_OBJECT_BYTES for pack in told)
    assert max(pack.pack_size for pack in told) > PACK_TARGET_BYTES // 2
    assert list(bench.spool.iterdir()) == []


def test_an_index_at_least_every_sixteen_packs(bench: Any) -> None:
    store = Recorder(bench.store)
    bench.store = store
    packer = bench.packer()
    blobs = sealed_chunks(bench, 1, 100)
    for _ in range(INDEX_EVERY_PACKS + 2):
        packer._waiting[BlobKind.DATA].extend(blobs)
        packer._place(BlobKind.DATA)
        for pack in [pack for pack in packer._open[BlobKind.DATA] if pack.entries]:
            packer._open[BlobKind.DATA].remove(pack)
            packer._store_pack(pack)
    packer.finish()
    folders = [call.name.split("/")[0] for call in store.calls]
    assert folders == ["packs"] * INDEX_EVERY_PACKS + ["index"] + ["packs"] * 2 + ["index"]
    packer.close()


def test_nothing_to_finish_stores_nothing(bench: Any) -> None:
    packer = bench.packer()
    packer.finish()
    packer.finish()
    packer.close()
    assert list(bench.store.list("")) == []


def test_more_may_be_added_after_finishing(bench: Any) -> None:
    packer = bench.packer()
    for blob in sealed_chunks(bench, 3, 100):
        packer.add(blob)
        packer.finish()
    packer.close()
    assert len(bench.packs()) == len(list(bench.store.list("index"))) == 3


def test_a_writer_that_failed_refuses_to_go_on(bench: Any) -> None:
    bench.store = FullAfter(MemoryStore(), 1000)
    packer = bench.packer()
    [blob] = sealed_chunks(bench, 1, 5000)
    packer.add(blob)
    with pytest.raises(StoreFullError):
        packer.finish()
    for attempt in (packer.finish, lambda: packer.add(blob)):
        with pytest.raises(BrokenWriterError):
            attempt()
    packer.close()
    packer.close()


def test_a_spool_that_is_gone_is_an_error_by_name(bench: Any) -> None:
    bench.store = WithoutBuilders(bench.store)
    packer = bench.packer()
    packer.add(sealed_chunks(bench, 1, 5000)[0])
    bench.spool.rmdir()
    with pytest.raises(StationStateError):
        packer.finish()
    packer.close()
