"""Packs that grow in the store: nothing passes through the station's folder, and nothing half-made is left."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapstore.crypto.derivation import digest
from snapstore.errors import (
    BrokenWriterError,
    DamagedObjectError,
    InputError,
    StoreError,
    StoreFullError,
    StoreUnavailableError,
)
from snapstore.format.index import IndexedPack
from snapstore.format.names import name_matches
from snapstore.format.pack import BlobKind
from snapstore.stores.local import LocalStore
from snapstore.testing import FailAppend, FailAt, Recorder, StoreWrapper, WithoutBuilders

MB = 1_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def local(bench: Any, root: Path) -> Any:
    """A bench on a folder, whose spool is gone: whoever uses it fails."""
    bench.store = LocalStore(root, create=True, station="me")
    bench.spool.rmdir()
    return bench


def sealed_noise(bench: Any, count: int, size: int) -> list[Any]:
    sealer = bench.sealer(verify=False)
    domain = sealer.domain(shared=False)
    chunks = [random.Random(number).randbytes(size) for number in range(count)]
    return [sealer.seal_data(chunk, domain.hash(chunk), shared=False) for chunk in chunks]


def temporaries(root: Path) -> list[Path]:
    return list((root / "tmp").iterdir())


def test_packs_are_whole_and_the_spool_is_not_used(local: Any, root: Path) -> None:
    told: list[IndexedPack] = []
    packer = local.packer(told.append)
    blobs = sealed_noise(local, 20, 4 * MB)
    for blob in blobs:
        packer.add(blob)
    assert temporaries(root), "they grow in the store"
    packer.finish()
    packer.close()
    assert temporaries(root) == []
    assert len(told) == len(local.packs()) == 3
    for name in local.packs():
        assert name_matches(name.rpartition("/")[2], digest(local.store.get(name)))
    found = sorted(entry.blob_id for pack in told for entry in pack.entries())
    assert found == sorted(blob.entry.blob_id for blob in blobs)


def test_little_is_one_pack_in_one_temporary(local: Any) -> None:
    begun = []

    class Counts(StoreWrapper):
        def begin(self) -> Any:
            begun.append(1)
            return super().begin()

    local.store = Counts(local.store)
    packer = local.packer()
    for blob in sealed_noise(local, 10, 1000):
        packer.add(blob)
    packer.finish()
    assert len(local.packs()) == len(begun) == 1


@pytest.mark.parametrize("spooled", [True, False])
def test_open_packs_that_fit_one_are_merged(bench: Any, root: Path, spooled: bool) -> None:
    bench.store = LocalStore(root, create=True, station="me")
    if spooled:
        bench.store = WithoutBuilders(bench.store)
    told: list[IndexedPack] = []
    packer = bench.packer(told.append)
    blobs = sealed_noise(bench, 6, 2 * MB)
    for blob in blobs:
        packer.add(blob)
    assert len(packer._open[BlobKind.DATA]) == 2
    packer.finish()
    [pack] = told
    assert sorted(entry.blob_id for entry in pack.entries()) == sorted(blob.entry.blob_id for blob in blobs)
    data = bench.store.get(bench.packs()[0])
    for entry in pack.entries():
        [blob] = [blob for blob in blobs if blob.entry.blob_id == entry.blob_id]
        assert data[entry.offset : entry.offset + entry.stored_size] == blob.stored


def test_without_room_for_a_copy_nothing_is_merged(local: Any) -> None:
    class Tight(StoreWrapper):
        def free_bytes(self) -> int:
            return MB

    local.store = Tight(local.store)
    packer = local.packer()
    for blob in sealed_noise(local, 16, 2 * MB - 100):
        packer.add(blob)
    opened = len([pack for pack in packer._open[BlobKind.DATA] if pack.entries])
    stored = len(local.packs())
    packer.finish()
    assert len(local.packs()) == stored + opened


@pytest.mark.parametrize(("full", "error"), [(True, StoreFullError), (False, StoreUnavailableError)])
def test_an_append_that_fails_at_any_place(local: Any, root: Path, full: bool, error: type[StoreError]) -> None:
    inner = local.store
    blobs = sealed_noise(local, 5, 2 * MB)
    for k in range(1, 100):
        local.store = FailAppend(inner, k, full=full)
        packer = local.packer()
        try:
            for blob in blobs:
                packer.add(blob)
            packer.finish()
        except error:
            with pytest.raises(BrokenWriterError):
                packer.finish()
            packer.close()
            assert local.packs() == temporaries(root) == []
        else:
            assert k > 5
            assert len(local.packs()) == 1
            return
    raise AssertionError("there is no end to it")


def add_all_and_finish(packer: Any, blobs: list[Any]) -> None:
    for blob in blobs:
        packer.add(blob)
    packer.finish()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_name_that_cannot_be_given(local: Any, root: Path, k: int) -> None:
    local.store = FailAt(local.store, k, operations=frozenset({"put"}))
    packer = local.packer()
    with pytest.raises(StoreUnavailableError):
        add_all_and_finish(packer, sealed_noise(local, 30, 4 * MB))
    packer.close()
    assert temporaries(root) == []
    assert len(local.packs()) == k - 1


def change_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def after_append(local: Any, root: Path, do: Callable[[], None], count: int, size: int) -> Any:
    packer = local.packer()
    for blob in sealed_noise(local, count, size):
        packer.add(blob)
    assert temporaries(root)
    do()
    return packer


def test_what_the_medium_changed_before_the_name_was_given_is_noticed(local: Any, root: Path) -> None:
    packer = after_append(local, root, lambda: change_byte(max(temporaries(root), key=size_of)), 1, 4 * MB)
    with pytest.raises(StoreError) as caught:
        packer.finish()
    packer.close()
    assert caught.value.code == "store_read_back_differs"
    assert local.packs() == temporaries(root) == []


def size_of(path: Path) -> int:
    return path.stat().st_size


def test_what_the_medium_changed_before_a_merge_is_noticed(local: Any, root: Path) -> None:
    def change_all() -> None:
        for path in temporaries(root):
            change_byte(path)

    packer = after_append(local, root, change_all, 8, 2 * MB)
    assert len(packer._open[BlobKind.DATA]) == 2
    with pytest.raises(DamagedObjectError) as caught:
        packer.finish()
    packer.close()
    assert caught.value.code == "verification_failed"
    assert local.packs() == temporaries(root) == []


def test_a_temporary_that_was_cleaned_away_is_an_error(local: Any, root: Path) -> None:
    packer = after_append(local, root, lambda: local.store.clean_temporaries("me"), 3, 2 * MB)
    with pytest.raises(StoreUnavailableError):
        packer.finish()
    packer.close()
    assert local.packs() == temporaries(root) == []


def test_leaving_early_gives_the_space_back(local: Any, root: Path) -> None:
    packer = after_append(local, root, lambda: None, 8, 2 * MB)
    packer.close()
    packer.close()
    assert temporaries(root) == []


def test_a_wrapper_that_knows_puts_only_gets_puts(bench: Any) -> None:
    names = []

    class Puts(StoreWrapper):
        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            names.append(name)
            super().put(name, data, size=size)

    bench.store = Recorder(Puts(bench.store))
    packer = bench.packer()
    packer.add(sealed_noise(bench, 1, 5000)[0])
    packer.finish()
    assert [name.split("/")[0] for name in names] == ["packs", "index"]
    with pytest.raises(InputError):
        bench.store.put(names[0], b"again")
