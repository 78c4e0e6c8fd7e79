"""Listings made ahead are as good as those made when they are asked for, and never outlive their block."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from snapstore.blobs.lanes import side_by_side
from snapstore.errors import StoreUnavailableError
from snapstore.stores.ahead import AheadStore, meanwhile
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store, StoredObject
from snapstore.testing import StoreWrapper


class Far(StoreWrapper):
    """Takes its time for a listing, and counts what is under way at the same time."""

    lanes = 4  # type: ignore[assignment]

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.listed: list[str] = []
        self.under_way = self.most = 0
        self.broken = ""
        self._counting = threading.Lock()

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._counting:
            self.listed.append(prefix)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        time.sleep(0.02)
        with self._counting:
            self.under_way -= 1
        if prefix == self.broken:
            raise StoreUnavailableError("the listing broke off")
        return self.inner.list(prefix)


@pytest.fixture
def far() -> Far:
    store = Far(MemoryStore())
    store.put("packs/a/one", b"1")
    store.put("ok/d/two", b"22")
    return store


def names(store: Store, prefix: str) -> list[str]:
    return sorted(item.name for item in store.list(prefix))


def test_folders_are_listed_side_by_side_and_once(far: Far) -> None:
    store = AheadStore(far)
    with store.one_look(("packs", "snapshots"), ("ok",), ("index",)):
        assert names(store, "packs") == names(store, "packs/") == ["packs/a/one"]
        assert names(store, "ok") == ["ok/d/two"]
        assert names(store, "index") == names(store, "snapshots") == []
    assert far.most == 3
    assert sorted(far.listed) == ["index", "ok", "packs", "snapshots"]
    assert far.listed.index("snapshots") > far.listed.index("packs")


def test_after_the_block_everything_is_listed_anew(far: Far) -> None:
    store = AheadStore(far)
    with store.one_look(("packs",)):
        names(store, "packs")
    far.inner.put("packs/a/later", b"3")
    assert names(store, "packs") == ["packs/a/later", "packs/a/one"]


def test_another_thread_gets_no_listing_of_the_block(far: Far) -> None:
    store = AheadStore(far)
    found: list[list[str]] = []

    def look(*, in_block: bool) -> None:
        with store.one_look(("condemn",)) if in_block else nullcontext():
            found.append(names(store, "condemn"))

    with store.one_look(("condemn",)):
        assert names(store, "condemn") == []
        far.inner.put("condemn/one", b"by another station")
        for in_block in (False, True):
            thread = threading.Thread(target=look, kwargs={"in_block": in_block})
            thread.start()
            thread.join()
        assert names(store, "condemn") == []
        side_by_side(store, [lambda: found.append(names(store, "condemn"))] * 2)
    assert found == [["condemn/one"], ["condemn/one"], [], []], "its own threads are the block's"


def test_a_block_of_another_store_inside_takes_nothing_away(far: Far) -> None:
    store, other = AheadStore(far), AheadStore(Far(MemoryStore()))
    with store.one_look(("packs",)), other.one_look(("packs",)):
        assert names(other, "packs") == []
        for _ in range(2):
            assert names(store, "packs") == ["packs/a/one"]
    assert far.listed == ["packs"]


def test_what_another_thread_puts_is_seen_inside_the_block(far: Far) -> None:
    store = AheadStore(far)
    with store.one_look(("packs",)):
        assert names(store, "packs") == ["packs/a/one"]
        thread = threading.Thread(target=store.put, args=("packs/b/new", b"3"))
        thread.start()
        thread.join()
        assert names(store, "packs") == ["packs/a/one", "packs/b/new"]


def test_own_changes_are_seen_inside_the_block(far: Far) -> None:
    store = AheadStore(far)
    with store.one_look(("packs",), ("ok",)):
        store.put("packs/b/new", b"3")
        assert names(store, "packs") == ["packs/a/one", "packs/b/new"]
        store.delete("packs/a/one")
        assert names(store, "packs") == ["packs/b/new"]
        assert names(store, "ok") == ["ok/d/two"]


def test_an_error_comes_out_of_its_own_listing_alone(far: Far) -> None:
    far.broken = "packs"
    store = AheadStore(far)
    with store.one_look(("packs", "snapshots"), ("ok",)):
        assert names(store, "ok") == ["ok/d/two"]
        assert names(store, "snapshots") == []
        with pytest.raises(StoreUnavailableError):
            store.list("packs")


def test_a_store_that_is_near_is_listed_when_it_is_asked() -> None:
    near = MemoryStore()
    store = AheadStore(near)
    with store.one_look(("packs",)):
        near.put("packs/a/later", b"1")
        assert names(store, "packs") == ["packs/a/later"]


def test_an_error_in_the_block_leaves_no_thread(far: Far) -> None:
    store = AheadStore(far)
    with pytest.raises(KeyError), store.one_look(("packs", "snapshots"), ("ok", "records"), ("index",)):
        raise KeyError
    for thread in threading.enumerate():
        if thread.name.startswith("snapstore-list"):
            thread.join(5)  # nobody waits for it, since a server may be silent; it ends with its listing
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("snapstore-list")]


def test_what_is_done_meanwhile_is_over_before_a_put(far: Far) -> None:
    store = AheadStore(far)
    done = threading.Event()

    def tidy() -> None:
        time.sleep(0.1)
        done.set()
        raise StoreUnavailableError("nobody minds")

    meanwhile(store, tidy)
    assert not done.is_set()
    store.put("packs/b/new", b"3")
    assert done.is_set()
    done.clear()
    meanwhile(far, tidy)
    assert done.is_set()
    done.clear()
    meanwhile(store, tidy)
    store.close()
    assert done.is_set()


def test_all_puts_wait_for_what_is_done_meanwhile(far: Far) -> None:
    store = AheadStore(far)
    done = threading.Event()

    def tidy() -> None:
        time.sleep(0.1)
        done.set()

    seen: list[bool] = []

    def put(number: int) -> None:
        store.put(f"packs/c/{number}", b"3")
        seen.append(done.is_set())

    meanwhile(store, tidy)
    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 4
