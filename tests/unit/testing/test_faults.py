"""Each damaging store does its damage, and only that."""

from __future__ import annotations

from typing import Any

import pytest

from snapstore.errors import StoreError, StoreFullError, StoreUnavailableError
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Block, BuildingStore, ObjectBuilder, Store, begin_object
from snapstore.testing import (
    BrokenListing,
    Call,
    CrashAt,
    EmptyListing,
    FailAppend,
    FailAt,
    FlippedBit,
    FullAfter,
    LostPut,
    Recorder,
    ShortPut,
    StoreWrapper,
    TruncatedGet,
    WithoutBuilders,
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


# --- objects that are built ------------------------------------------------------------------------------------------


class Anything:
    """A comparison that holds."""

    def update(self, block: Block, /) -> None:
        """Look at nothing."""

    def holds(self) -> bool:
        return True


def begun(store: Store) -> ObjectBuilder:
    builder = begin_object(store)
    assert builder is not None
    return builder


def build(store: Store, name: str, content: bytes = b"x") -> None:
    with begun(store) as builder:
        builder.write(content)
        builder.publish(name, Anything)


def test_an_object_that_is_built_is_recorded_as_a_put(inner: MemoryStore) -> None:
    store = Recorder(Recorder(inner))
    begun(store).discard()
    build(store, "packs/a/1", b"123")
    assert store.calls == [Call("put", "packs/a/1")]
    assert inner.get("packs/a/1") == b"123"


@pytest.mark.parametrize("after_effect", [False, True])
def test_crash_at_takes_a_built_object_for_a_put(inner: MemoryStore, after_effect: bool) -> None:
    store = CrashAt(inner, 2, after_effect=after_effect)
    build(store, "packs/a/1")
    under_way = begun(store)
    under_way.write(b"x")
    with pytest.raises(StoreUnavailableError):
        build(store, "packs/a/2")
    with pytest.raises(StoreUnavailableError):
        under_way.write(b"y")
    with pytest.raises(StoreUnavailableError):
        under_way.publish("packs/a/3", Anything)
    assert ("packs/a/2" in names(inner)) is after_effect
    assert "packs/a/3" not in names(inner)


def test_fail_at_fails_one_built_object(inner: MemoryStore) -> None:
    store = FailAt(inner, 1)
    with pytest.raises(StoreUnavailableError):
        build(store, "packs/a/1")
    build(store, "packs/a/2")
    assert names(inner, "packs") == {"packs/a/0", "packs/a/2"}


@pytest.mark.parametrize(("full", "error"), [(True, StoreFullError), (False, StoreUnavailableError)])
def test_an_append_that_fails_leaves_half(inner: MemoryStore, full: bool, error: type[StoreError]) -> None:
    store = FailAppend(inner, 2, full=full)
    builder = begun(store)
    builder.write(b"12")
    with pytest.raises(error):
        builder.write(b"3456")
    assert builder.size == 4
    builder.write(b"5")


def test_built_objects_that_are_short_or_lost(inner: MemoryStore) -> None:
    build(ShortPut(inner, affects="packs"), "packs/a/1", b"123456")
    build(ShortPut(inner, affects="packs"), "index/1", b"123456")
    assert inner.get("packs/a/1") == b"123"
    assert inner.get("index/1") == b"123456"
    losing = LostPut(inner, 2)
    build(losing, "packs/a/2")
    build(losing, "packs/a/3")
    assert "packs/a/2" in names(inner)
    assert "packs/a/3" not in names(inner)


def test_full_after_counts_what_is_built(inner: MemoryStore) -> None:
    store = FullAfter(inner, 5)
    one, other = begun(store), begun(store)
    for builder in (one, other):
        builder.write(b"123")
    with pytest.raises(StoreFullError):
        one.write(b"456")
    one.publish("packs/a/1", Anything)
    with pytest.raises(StoreFullError):
        other.publish("packs/a/2", Anything)
    assert store.free_bytes() == 2


def test_a_wrapper_that_changes_puts_alone_cannot_build(inner: MemoryStore) -> None:
    class Puts(Recorder):
        def put(self, name: str, data: Any, *, size: int | None = None) -> None:
            raise StoreUnavailableError("gone")

    class PutsAndNames(Puts):
        def publish(self, builder: ObjectBuilder, name: str, compare: Any) -> None:
            raise StoreUnavailableError("gone")

    assert begin_object(Puts(inner)) is None
    assert begin_object(StoreWrapper(Puts(inner))) is None
    assert begin_object(PutsAndNames(inner)) is not None
    assert begin_object(WithoutBuilders(inner)) is None
    assert isinstance(inner, BuildingStore)
