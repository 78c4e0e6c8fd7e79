"""Many blobs at a time: one address stored once whoever comes first, claims that end, nodes checked before sealing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from snapstore.crypto.sealing import NONCE_BYTES
from snapstore.errors import BrokenWriterError, DamagedObjectError, StoreFullError
from snapstore.format.pack import BlobKind
from snapstore.format.tree import ChunkLeaf, Hole, encode_node
from snapstore.limits import BATCH_ITEMS, PACK_TARGET_BYTES
from snapstore.stores.memory import MemoryStore
from snapstore.testing import FullAfter, StoreWrapper
from snapstore.types import BlobId


def node(number: int) -> bytes:
    return encode_node(ChunkLeaf((Hole(number + 1),)))


def test_equal_chunks_within_a_batch_are_sealed_once(bench: Any, make_noise: Any) -> None:
    chunks = [make_noise(2000, number % 3) for number in range(12)]
    with bench.saver() as saver:
        hashes = saver.submit(chunks, shared=[False] * 12).result()
        saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (3, 9)
    assert hashes == [bench.keys[0].own.hash(chunk) for chunk in chunks]


def test_both_domains_in_one_batch(bench: Any) -> None:
    with bench.saver() as saver:
        own, shared = saver.submit([b"content"] * 2, shared=[False, True]).result()
        saver.finish()
        assert saver.blobs_added == 2
    assert bench.reader().load(own) == bench.reader().load(shared, shared=True) == b"content"


def test_threads_that_meet_the_same_chunks_store_them_once(bench: Any, make_noise: Any) -> None:
    chunks = [make_noise(1500, number) for number in range(200)]
    with bench.saver() as saver, ThreadPoolExecutor(4) as callers:
        orders = [chunks, chunks[::-1], chunks[100:] + chunks[:100], chunks]
        futures = [callers.submit(saver.submit, order, shared=[False] * 200) for order in orders]
        results = [dict(zip(order, f.result().result(), strict=True)) for order, f in zip(orders, futures, strict=True)]
        saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (200, 600)
    assert all(result == results[0] for result in results)


def test_a_claim_ends_when_the_index_knows_the_blob(bench: Any, make_noise: Any) -> None:
    """Else a first snapshot would keep an id for every blob beside the index that has it too."""
    with bench.saver() as saver:
        saver.submit([make_noise(3000, 1)], shared=[False]).result()
        saver.save_tree(node(1), [])
        saver.finish()
        assert not any(saver._claimed.values())
        relied = dict(saver.relied)
        saver.submit([make_noise(3000, 1)], shared=[False]).result()
        saver.save_tree(node(1), [])
        saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (2, 2)
        assert saver.relied == relied
        assert not any(saver._claimed.values())


def test_what_this_run_stored_is_not_fetched_again_where_every_copy_is_opened(bench: Any, make_noise: Any) -> None:
    class Deaf(StoreWrapper):
        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            raise AssertionError("nothing is read")

    index = bench.loaded().index
    bench.store = Deaf(bench.store)
    with bench.saver(index) as saver:
        saver.open_every_copy = True
        for _ in range(2):
            saver.submit([make_noise(3000, 1)], shared=[False]).result()
            saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (1, 1)


@pytest.mark.parametrize("count", [1, BATCH_ITEMS, 3 * BATCH_ITEMS + 5])
def test_nodes_are_sealed_in_batches_and_can_be_relied_on_at_once(bench: Any, count: int) -> None:
    children = [BlobId(bytes([number]) * 32) for number in range(3)]
    with bench.saver() as saver:
        hashes = [saver.save_tree(node(number), children) for number in range(count)]
        assert saver.rely_on(BlobKind.TREE, hashes[-1], shared=False), "though no worker may have seen it yet"
        assert not saver.rely_on(BlobKind.TREE, bench.keys[0].own.hash(b"another"), shared=False)
        saver.finish()
        assert saver.blobs_added == count
    reader = bench.reader()
    assert [reader.load(plain_hash) for plain_hash in hashes] == [node(number) for number in range(count)]


def test_a_node_that_no_reader_takes_is_never_stored(bench: Any) -> None:
    with bench.saver() as saver:
        saver.save_tree(b"\x92\x00\x91\x81\x00\xc4\x00", [])
        with pytest.raises(DamagedObjectError):
            saver.finish()
        for later in (lambda: saver.save_tree(node(1), []), lambda: saver.submit([b"x"], shared=[False])):
            with pytest.raises(DamagedObjectError):
                later()
    assert bench.packs() == []


def test_a_failed_worker_fails_everything_after_it(bench: Any) -> None:
    """A chunk that it had claimed would count as stored."""
    with bench.saver() as saver:
        future = saver.submit([b"good", None], shared=[False, False])
        with pytest.raises(TypeError):
            future.result()
        with pytest.raises(TypeError):
            saver.submit([b"good"], shared=[False])
        with pytest.raises(TypeError):
            saver.finish()
    assert bench.packs() == []


def test_no_two_blobs_of_a_batch_have_a_nonce_in_common(bench: Any, make_noise: Any) -> None:
    sealer = bench.sealer()
    sealed = [sealer.seal_tree(node(number), bench.keys[0].own.hash(node(number)), []) for number in range(3)]
    with bench.saver() as saver:
        handed: list[Any] = []
        saver._hand_over = handed.extend
        saver.submit([make_noise(100, number) for number in range(50)], shared=[False] * 50).result()
        for number in range(50):
            saver.save_tree(node(number), [])
        saver._submit_nodes()
        saver._settle_nodes(0)
    nonces = []
    for blob in [*sealed, *handed]:
        nonces.append(blob.stored[blob.entry.child_size :][:NONCE_BYTES])
        if blob.entry.child_size:
            nonces.append(blob.stored[:NONCE_BYTES])
    assert len(set(nonces)) == len(nonces) == 2 * 53 + 50


def test_verification_is_of_the_stored_bytes(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(pieces: Any, *, level: int) -> list[tuple[int, bytes]]:
        return [(0, bytes(len(piece))) for piece in pieces]

    monkeypatch.setattr("snapstore.blobs.sealer.compress_many", wrong)
    with bench.saver() as saver, pytest.raises(DamagedObjectError) as caught:
        saver.submit([b"\x00" * 100, b"plaintext"], shared=[False, False]).result()
    assert caught.value.code == "verification_failed"
    assert bench.packs() == []
    unchecked = bench.sealer(verify=False)
    assert unchecked.seal_data(b"plaintext", bench.keys[0].own.hash(b"plaintext"), shared=False).stored


def test_a_batch_larger_than_a_pack_fills_several(bench: Any, make_noise: Any) -> None:
    sealer = bench.sealer(verify=False)
    chunk = make_noise(3 << 20, 1)
    blob = sealer.seal_data(chunk, bench.keys[0].own.hash(chunk), shared=False)
    told: list[Any] = []
    packer = bench.packer(told.append)
    packer.add_many([blob] * 30)
    packer.finish()
    assert sum(len(pack.entries()) for pack in told) == 30
    assert all(pack.pack_size <= 1.02 * PACK_TARGET_BYTES for pack in told)


def test_a_store_that_fails_under_many_callers_ends_them_all(bench: Any, make_noise: Any) -> None:
    bench.store = FullAfter(MemoryStore(), 1000)
    with bench.saver() as saver:
        for number in range(12):
            saver.submit([make_noise(100_000, number)], shared=[False]).result()
        with pytest.raises((StoreFullError, BrokenWriterError)):
            saver.finish()
        with pytest.raises((StoreFullError, BrokenWriterError)):
            saver.finish()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("snapstore-")]
