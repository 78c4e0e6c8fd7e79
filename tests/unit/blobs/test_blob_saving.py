"""Saving and reading blobs: deduplication, trust, errors of threads, copies tried in turn, aligned reads."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from snapstore.blobs.catalogue import load_index, read_condemned
from snapstore.blobs.sealer import PlainBlob
from snapstore.blobs.unsealing import StoredBlob
from snapstore.blobs.windows import PackWindows
from snapstore.crypto.derivation import digest
from snapstore.errors import (
    DamagedObjectError,
    MissingObjectError,
    NotEnrolledError,
    StoreFullError,
    StoreUnavailableError,
)
from snapstore.format.names import new_name, object_path
from snapstore.format.pack import BlobKind
from snapstore.format.tree import ChunkLeaf, DirectoryLeaf, Hole, TreeEntry, encode_node
from snapstore.limits import READ_WINDOW_BYTES
from snapstore.stores.memory import MemoryStore
from snapstore.testing import FullAfter, Recorder, StoreWrapper
from snapstore.types import BlobId, EntryType, PlainHash

Noise = Callable[..., bytes]


def replace_object(store: Any, name: str, data: bytes) -> None:
    store.delete(name)
    store.put(name, data)


# --- saving ----------------------------------------------------------------------------------------------------------


def test_equal_chunks_are_stored_once_in_a_run_and_between_runs(bench: Any, make_noise: Noise) -> None:
    chunks = [make_noise(3000, seed % 4) for seed in range(20)]
    with bench.saver() as saver:
        hashes = saver.submit(chunks[:10], shared=[False] * 10).result()
        hashes += saver.submit(chunks[10:], shared=[False] * 10).result()
        saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (4, 16)
        assert saver.relied.keys() == {name.rpartition("/")[2] for name in bench.packs()}
    assert len(set(hashes)) == 4
    packs = bench.packs()
    with bench.saver() as saver:
        assert saver.submit(chunks, shared=[False] * 20).result() == hashes
        saver.finish()
        assert (saver.blobs_added, saver.blobs_reused) == (0, 20)
        assert len(saver.relied) == 1
    assert bench.packs() == packs
    reader = bench.reader()
    assert [reader.load(plain_hash) for plain_hash in hashes] == chunks


def test_own_and_shared_domains_are_apart(bench: Any) -> None:
    [own] = bench.save(b"content")
    [shared] = bench.save(b"content", shared=True)
    assert own != shared
    assert bench.reader().load(shared, shared=True) == b"content"
    for wrong in (lambda: bench.reader().load(shared), lambda: bench.reader().load(own, shared=True)):
        with pytest.raises(MissingObjectError):
            wrong()


def test_a_copy_of_another_dossier_is_opened_once_before_it_is_relied_on(bench: Any) -> None:
    bench.other(b"o").save(b"shared content", shared=True)
    store = Recorder(bench.store)
    bench.store = store

    def gets() -> int:
        index = bench.loaded().index
        before = store.count("get")
        with bench.saver(index) as saver:
            saver.submit([b"shared content"], shared=[True]).result()
            saver.finish()
            assert saver.blobs_added == 0
        return store.count("get") - before

    assert gets() == 1
    assert gets() == 0
    assert len(bench.checked) == 1
    bench.checked.clear()
    assert gets() == 1


def test_a_damaged_copy_of_another_dossier_is_stored_again(bench: Any) -> None:
    bench.other(b"o").save(b"shared content" * 100, shared=True)
    [name] = bench.packs()
    data = bench.store.get(name)
    replace_object(bench.store, name, bytes([data[0] ^ 1]) + data[1:])
    [plain_hash] = bench.save(b"shared content" * 100, shared=True)
    assert len(bench.packs()) == 2
    assert bench.reader().load(plain_hash, shared=True) == b"shared content" * 100
    assert bench.checked == set()


def test_unusable_packs_are_not_reused_and_still_read(bench: Any) -> None:
    [plain_hash] = bench.save(b"content")
    index = bench.loaded().index
    index.set_usable(bench.packs()[0].rpartition("/")[2], usable=False)
    assert bench.reader(index).load(plain_hash) == b"content"
    with bench.saver(index) as saver:
        assert not saver.rely_on(BlobKind.DATA, plain_hash, shared=False)
        saver.submit([b"content"], shared=[False]).result()
        saver.finish()
        assert saver.blobs_added == 1


def test_a_tree_does_not_rely_on_a_data_blob_of_the_same_bytes(bench: Any) -> None:
    node = encode_node(ChunkLeaf((Hole(7),)))
    [plain_hash] = bench.save(node)
    with bench.saver() as saver:
        assert not saver.rely_on(BlobKind.TREE, plain_hash, shared=False)
        assert saver.save_tree(node, [BlobId(b"i" * 32)]) == plain_hash
        saver.finish()
        assert saver.blobs_added == 1
        assert saver.rely_on(BlobKind.TREE, plain_hash, shared=False)
    assert len(bench.packs()) == 2


def test_the_first_error_comes_out_of_every_later_call(bench: Any, make_noise: Noise) -> None:
    bench.store = FullAfter(MemoryStore(), 10_000)
    with bench.saver() as saver:
        saver.submit([make_noise(20_000)], shared=[False]).result()
        with pytest.raises(StoreFullError):
            saver.finish()
    assert bench.packs() == []

    class Slow(StoreWrapper):
        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            raise StoreUnavailableError("gone")

    bench.store = Slow(MemoryStore())
    with bench.saver() as saver:
        for seed in range(40):  # more than a pack is put before the end
            try:
                saver.submit([make_noise(2_000_000, seed)], shared=[False]).result()
            except StoreUnavailableError:
                break
        with pytest.raises(StoreUnavailableError):
            saver.finish()


def test_leaving_early_stores_nothing_and_ends_the_threads(bench: Any, make_noise: Noise) -> None:
    with bench.saver() as saver:
        saver.submit([make_noise(2000)], shared=[False])
    assert bench.packs() == []
    assert not saver._writer.is_alive()
    assert list(bench.spool.iterdir()) == []


def test_older_epochs_are_read_and_not_written(bench: Any, keys_of: Any) -> None:
    [old] = bench.save(b"of the first epoch")
    bench.keys = [keys_of(b"e", epoch=2), keys_of(b"d", epoch=1)]
    reader = bench.reader()
    assert reader.load(old) == b"of the first epoch"
    with bench.saver() as saver:
        assert saver.rely_on(BlobKind.DATA, old, shared=False)
        assert saver.blob_id(old, shared=False) == keys_of(b"d").own.address(old)[0]
    [new] = bench.save(b"of the second epoch")
    assert new == bench.keys[0].own.hash(b"of the second epoch")
    assert bench.reader().load(new) == b"of the second epoch"


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_next_copy_is_tried(bench: Any) -> None:
    content = random.Random(1).randbytes(5000)
    [plain_hash] = bench.save(content)
    hidden = MemoryStore()
    first = bench.packs()[0]
    other = type(bench)(spool=bench.spool, store=hidden, keys=bench.keys)
    other.save(content)
    [second] = other.packs()
    bench.store.put(second, hidden.get(second))
    for damaged in (first, second):
        data = bench.store.get(damaged)
        replace_object(bench.store, damaged, bytes(len(data) - 4096) + data[-4096:])
        if damaged == first:
            assert bench.reader().load(plain_hash) == content
    with pytest.raises(DamagedObjectError) as caught:
        bench.reader().load(plain_hash)
    assert caught.value.code == "damaged_blob"
    assert caught.value.object_name in {first, second}


def test_a_blob_that_is_not_known_makes_the_index_look_again(bench: Any) -> None:
    loaded = bench.loaded()
    looks = []

    def refresh() -> None:
        looks.append(1)
        load_index(bench.catalogue, loaded)

    reader = bench.reader(loaded.index, refresh=refresh)
    [plain_hash] = bench.save(b"stored meanwhile")
    assert reader.load(plain_hash) == b"stored meanwhile"
    assert reader.load(plain_hash) == b"stored meanwhile"
    assert len(looks) == 1
    with pytest.raises(MissingObjectError):
        reader.load(PlainHash(bytes(32)))


def test_a_damaged_piece_is_asked_for_again(bench: Any) -> None:
    """What was kept of the pack is forgotten, so that a medium that was mended, or read badly once, is read anew."""
    [plain_hash] = bench.save(b"content")
    index = bench.loaded().index
    [name] = bench.packs()
    data = bench.store.get(name)
    reader = bench.reader(index)
    replace_object(bench.store, name, bytes(len(data) - 4096) + data[-4096:])
    with pytest.raises(DamagedObjectError):
        reader.load(plain_hash)
    replace_object(bench.store, name, data)
    assert reader.load(plain_hash) == b"content"


class BadOnce(StoreWrapper):
    """Gives a wrong byte in each range of a pack, the first time."""

    lanes: int = 1

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.given: set[tuple[str, int]] = set()

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        data = super().get(name, offset=offset, size=size)
        if not name.startswith("packs/") or (name, offset) in self.given:
            return data
        self.given.add((name, offset))
        return bytes(byte ^ 1 for byte in data)


@pytest.mark.parametrize("lanes", [1, 4])
def test_what_went_bad_on_the_way_is_no_damage(bench: Any, lanes: int) -> None:
    [plain_hash] = bench.save(b"content")
    index = bench.loaded().index
    bench.store = BadOnce(bench.store)
    bench.store.lanes = lanes
    assert bench.reader(index).load(plain_hash) == b"content"
    bench.store.given.clear()
    assert bench.reader(index).load_many([plain_hash]) == [b"content"]


class Ranges(StoreWrapper):
    """Notes the ranges that are read."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.ranges: list[tuple[int, int | None]] = []

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        self.ranges.append((offset, size))
        return super().get(name, offset=offset, size=size)


def test_reads_are_aligned_windows_and_are_kept(make_noise: Noise) -> None:
    size = 3 * READ_WINDOW_BYTES + 1234
    content = make_noise(size)
    store = Ranges(MemoryStore())
    store.put("packs/a/pack", content)
    windows = PackWindows(store, windows_kept=2)
    generator = random.Random(2)
    for _ in range(200):
        offset = generator.randrange(size)
        count = generator.randrange(1, min(size - offset, 2 * READ_WINDOW_BYTES) + 1)
        assert windows.read("packs/a/pack", size, offset, count) == content[offset : offset + count]
    for offset, count in store.ranges:
        assert offset % READ_WINDOW_BYTES == 0
        assert count == min(READ_WINDOW_BYTES, size - offset)
    assert len(windows._windows) == 2
    store.ranges.clear()
    windows.forget("packs/a/pack")
    for _ in range(3):
        windows.read("packs/a/pack", size, 5, 10)
    assert len(store.ranges) == 1


# --- the catalogue ---------------------------------------------------------------------------------------------------


def test_packs_without_an_index_are_known_by_their_headers(bench: Any) -> None:
    [plain_hash] = bench.save(b"content")
    for item in list(bench.store.list("index")):
        bench.store.delete(item.name)
    loaded = bench.loaded()
    assert loaded.problems == []
    assert bench.reader(loaded.index).load(plain_hash) == b"content"


@pytest.mark.parametrize("harm", ["flip", "empty", "garbage"])
def test_a_damaged_index_is_reported_and_made_up_for(bench: Any, harm: str) -> None:
    [plain_hash] = bench.save(b"content")
    [name] = [item.name for item in bench.store.list("index")]
    data = bench.store.get(name)
    replace_object(
        bench.store, name, {"flip": data[:-1] + bytes([data[-1] ^ 1]), "empty": b"", "garbage": b"g" * 100}[harm]
    )
    loaded = bench.loaded()
    assert [problem.path for problem in loaded.problems] == [name]
    assert bench.reader(loaded.index).load(plain_hash) == b"content"


def test_entries_of_packs_that_are_gone_are_ignored(bench: Any) -> None:
    [plain_hash] = bench.save(b"content")
    bench.store.delete(bench.packs()[0])
    loaded = bench.loaded()
    assert (list(loaded.index.packs()), loaded.problems) == ([], [])
    with pytest.raises(MissingObjectError):
        bench.reader(loaded.index).load(plain_hash)


@pytest.mark.parametrize("change", [-1, -4096, 1])
def test_a_pack_of_another_size_is_not_usable_and_may_still_be_read(bench: Any, change: int) -> None:
    [plain_hash] = bench.save(b"content")
    [name] = bench.packs()
    data = bench.store.get(name)
    replace_object(bench.store, name, data[:change] if change < 0 else data + b"x")
    loaded = bench.loaded()
    assert [usable for _, _, usable in loaded.index.packs()] == [False]
    if change > 0:
        assert bench.reader(loaded.index).load(plain_hash) == b"content"


@pytest.mark.parametrize("kept", [0, 3, 100])
def test_a_pack_that_is_no_pack_is_reported(bench: Any, kept: int) -> None:
    data = random.Random(kept).randbytes(kept)
    name = new_name(digest(data))
    bench.store.put(f"packs/{int(name[0], 32) // 2:x}/{name}", data)
    loaded = bench.loaded()
    assert len(loaded.problems) == 1
    assert list(loaded.index.packs()) == []


def test_looking_again_reads_only_what_is_new(bench: Any) -> None:
    bench.save(b"one")
    store = Recorder(bench.store)
    bench.store = store
    loaded = bench.loaded()
    store.calls.clear()
    load_index(bench.catalogue, loaded)
    assert store.count("get") == 0
    type(bench)(spool=bench.spool, store=store.inner, keys=bench.keys).save(b"two")
    load_index(bench.catalogue, loaded)
    assert store.count("get") == 1
    gone = bench.packs()[0]
    store.inner.delete(gone)
    load_index(bench.catalogue, loaded)
    usable = {name: usable for name, _, usable in loaded.index.packs()}
    assert usable[gone.rpartition("/")[2]] is False
    assert sum(usable.values()) == 1


def test_objects_under_newer_keys_ask_for_the_secret(bench: Any, keys_of: Any) -> None:
    type(bench)(spool=bench.spool, store=bench.store, keys=[keys_of(b"d", epoch=2)]).save(b"content")
    with pytest.raises(NotEnrolledError) as caught:
        bench.loaded()
    assert caught.value.code == "newer_keys"


def test_an_object_in_condemn_that_cannot_be_read_is_an_error(bench: Any) -> None:
    bench.store.put(object_path("condemn", new_name(digest(b"garbage"))), b"garbage")
    with pytest.raises(DamagedObjectError):
        read_condemned(bench.catalogue)


def test_a_node_that_readers_refuse_is_never_stored(bench: Any) -> None:
    wrong = encode_node(DirectoryLeaf((TreeEntry(name=b"a", type=EntryType.HARD_LINK, hard_link=b"a//../b"),)))
    with bench.saver() as saver:
        saver.save_tree(wrong, ())
        with pytest.raises(DamagedObjectError):
            saver.finish()
    assert bench.packs() == []


def test_keys_are_hidden_where_blobs_are_shown() -> None:
    key, text = b"secret key".ljust(32), b"secret text"
    for shown in (
        PlainBlob(text, BlobId(bytes(32)), key),
        StoredBlob(key, BlobId(bytes(32)), 1, 11, memoryview(b"sealed")),
    ):
        for words in (repr(shown), str(shown), f"{shown}", repr([shown])):
            assert "secret" not in words
            assert "hidden" in words
