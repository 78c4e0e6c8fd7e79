"""Each damaging store does its damage, and only that."""

from __future__ import annotations

import pytest

from snapstore.errors import StoreFullError, StoreUnavailableError
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import (
    BrokenListing,
    Call,
    CrashAt,
    EmptyListing,
    FailAt,
    FlippedBit,
    FullAfter,
    LostPut,
    Recorder,
    ShortPut,
    TruncatedGet,
)


@pytest.fixture
def inner() -> MemoryStore:
    store = MemoryStore()
    store.put("packs/a/0", b"abcdef")
    store.put("index/0", b"abcdef")
    return store


def names(store: Store, prefix: str = "") -> set[str]:
    return {found.name for found in store.list(prefix)}


def test_recorder(inner: MemoryStore) -> None:
    store = Recorder(inner)
    store.put("packs/a/1", b"x")
    assert store.get("packs/a/1") == b"x"
    names(store, "packs")
    store.delete("packs/a/1")
    assert store.calls == [
        Call("put", "packs/a/1"),
        Call("get", "packs/a/1"),
        Call("list", "packs"),
        Call("delete", "packs/a/1"),
    ]
    assert (store.count(), store.count("put")) == (4, 1)


def test_fail_at_fails_once(inner: MemoryStore) -> None:
    store = FailAt(inner, 2)
    store.put("packs/a/1", b"x")
    with pytest.raises(StoreUnavailableError):
        store.put("packs/a/2", b"x")
    store.put("packs/a/3", b"x")
    assert names(inner, "packs") == {"packs/a/0", "packs/a/1", "packs/a/3"}


def test_fail_at_counts_the_operations_it_is_told(inner: MemoryStore) -> None:
    store = FailAt(inner, 1, operations=frozenset({"list"}))
    store.put("packs/a/1", b"x")
    with pytest.raises(StoreUnavailableError):
        store.list("packs")
    assert names(store, "index") == {"index/0"}
    never = FailAt(inner, 0)
    assert never.get("index/0") == b"abcdef"


@pytest.mark.parametrize("after_effect", [False, True])
def test_crash_at_never_works_again(inner: MemoryStore, after_effect: bool) -> None:
    store = CrashAt(inner, 2, after_effect=after_effect)
    store.put("packs/a/1", b"x")
    with pytest.raises(StoreUnavailableError):
        store.put("packs/a/2", b"x")
    for use in (lambda: store.get("index/0"), lambda: store.list(""), lambda: store.delete("index/0")):
        with pytest.raises(StoreUnavailableError):
            use()
    assert ("packs/a/2" in names(inner)) is after_effect
    assert "index/0" in names(inner)


def test_crash_at_a_delete_after_its_effect(inner: MemoryStore) -> None:
    with pytest.raises(StoreUnavailableError):
        CrashAt(inner, 1, after_effect=True).delete("index/0")
    assert names(inner) == {"packs/a/0"}


def test_short_put_and_lost_put(inner: MemoryStore) -> None:
    ShortPut(inner, affects="packs").put("packs/a/1", b"123456")
    ShortPut(inner, affects="packs").put("index/1", b"123456")
    assert inner.get("packs/a/1") == b"123"
    assert inner.get("index/1") == b"123456"
    losing = LostPut(inner, 2, affects="packs")
    for name in ("packs/a/2", "index/3", "packs/a/4", "packs/a/5"):
        losing.put(name, b"x")
    assert names(inner) >= {"packs/a/2", "index/3", "packs/a/5"}
    assert "packs/a/4" not in names(inner)


def test_damaged_gets(inner: MemoryStore) -> None:
    assert TruncatedGet(inner, affects="packs").get("packs/a/0") == b"abcde"
    assert TruncatedGet(inner, affects="packs").get("index/0") == b"abcdef"
    flipping = FlippedBit(inner, affects="packs", position=1)
    assert flipping.get("packs/a/0") == b"accdef"
    assert flipping.get("packs/a/0", offset=1, size=2) == b"cc"
    assert flipping.get("packs/a/0", offset=2) == b"cdef"
    assert flipping.get("index/0") == b"abcdef"
    assert FlippedBit(inner).get("index/0") == b"abcdeg"


def test_damaged_listings(inner: MemoryStore) -> None:
    assert names(EmptyListing(inner, affects="packs")) == {"index/0"}
    assert names(EmptyListing(inner)) == set()
    listing = BrokenListing(inner, after=1).list("")
    assert next(listing).name in names(inner)
    with pytest.raises(StoreUnavailableError):
        next(listing)
    assert names(BrokenListing(inner, affects="packs"), "index") == {"index/0"}
    with pytest.raises(StoreUnavailableError):
        names(BrokenListing(inner, after=100))


def test_full_after(inner: MemoryStore) -> None:
    store = FullAfter(inner, 5)
    store.put("packs/a/1", b"123")
    with pytest.raises(StoreFullError):
        store.put("packs/a/2", b"123")
    assert store.free_bytes() == 2
    store.put("packs/a/3", b"12")
    store.delete("packs/a/1")
    assert store.free_bytes() == 0
