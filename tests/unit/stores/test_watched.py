"""Free space that is watched: packs stop while what must follow them still fits."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from snapstore.errors import StoreFullError
from snapstore.limits import KIB, MIB
from snapstore.stores.local import LocalStore
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import begin_object
from snapstore.stores.watched import FINISHING_BYTES, WatchedStore, watched
from snapstore.testing.wrapper import StoreWrapper


class Small(StoreWrapper):
    """Says that so much is free."""

    free: int | None = 10 * MIB

    def free_bytes(self) -> int | None:
        return self.free


class Everything:
    def update(self, block: object, /) -> None:
        """Taken."""

    def holds(self) -> bool:
        return True


def test_packs_are_refused_and_what_ends_a_snapshot_is_not(tmp_path: Path) -> None:
    inner = Small(LocalStore(tmp_path))
    store = WatchedStore(inner)
    store.put("packs/a/first", bytes(KIB))
    inner.free = FINISHING_BYTES + KIB + KIB // 64  # the last for the first one's line in the index
    store.put("packs/a/fits", bytes(KIB))
    with pytest.raises(StoreFullError, match="Earlier snapshots are unharmed"):
        store.put("packs/a/large", bytes(KIB + 1))
    with pytest.raises(StoreFullError):
        store.put("packs/a/stream", io.BytesIO(bytes(2 * KIB)), size=2 * KIB)
    inner.free = 1
    for name in ("index/0", "snapshots/a/0", "ok/a/0"):
        store.put(name, bytes(KIB))
    inner.free = None
    store.put("packs/a/unknown", bytes(KIB))
    assert sorted(item.name for item in store.list("packs")) == ["packs/a/first", "packs/a/fits", "packs/a/unknown"]


def test_a_pack_in_the_making_is_watched_from_its_first_byte(tmp_path: Path) -> None:
    inner = Small(LocalStore(tmp_path))
    builder = begin_object(WatchedStore(inner))
    assert builder is not None
    with builder:
        builder.write(bytes(KIB))
        inner.free = FINISHING_BYTES
        with pytest.raises(StoreFullError):
            builder.write(b"1")
        inner.free = 10 * MIB
        builder.publish("packs/a/0", Everything)
    assert os.listdir(tmp_path / "tmp") == []


def test_more_is_kept_for_an_index_of_more_packs(tmp_path: Path) -> None:
    inner = Small(LocalStore(tmp_path))
    inner.free = 1000 * MIB
    store = WatchedStore(inner)
    for number in range(2):
        builder = begin_object(store)
        assert builder is not None
        with builder:
            builder.write(bytes(32 * MIB))
            builder.publish(f"packs/a/{number}", Everything)
    inner.free = FINISHING_BYTES + MIB // 2
    with pytest.raises(StoreFullError):
        store.put("packs/a/x", b"1")
    store.put("index/0", b"1")
    store.put("packs/a/x", b"1")


def test_packs_that_are_put_as_bytes_count_too(tmp_path: Path) -> None:
    inner = Small(LocalStore(tmp_path))
    inner.free = 1000 * MIB
    store = WatchedStore(inner)
    for number in range(2):
        store.put(f"packs/a/{number}", bytes(32 * MIB))
    inner.free = FINISHING_BYTES + MIB // 2
    with pytest.raises(StoreFullError):
        store.put("packs/a/x", b"1")


def test_only_folders_are_watched(tmp_path: Path) -> None:
    memory = MemoryStore()
    assert watched(memory) is memory
    assert isinstance(watched(Small(LocalStore(tmp_path))), WatchedStore)
