"""What only the memory store has: sharing by name, and a capacity."""

from __future__ import annotations

import pytest

from snapstore.errors import StoreFullError
from snapstore.stores.memory import MemoryStore


def test_stores_of_one_name_share_and_others_do_not() -> None:
    one, same, other = (MemoryStore(f"test_memory_{name}") for name in ("one", "one", "other"))
    one.put("packs/a/0", b"x")
    one.close()
    assert same.get("packs/a/0") == b"x"
    assert list(other.list("")) == []
    nameless = MemoryStore()
    nameless.put("packs/a/0", b"x")
    assert list(MemoryStore().list("")) == []
    assert (one.url, nameless.url) == ("memory:test_memory_one", "memory:")


def test_a_capacity_is_kept() -> None:
    store = MemoryStore(capacity_bytes=10)
    store.put("packs/a/0", b"1234567")
    assert store.free_bytes() == 3
    with pytest.raises(StoreFullError, match="packs/a/1"):
        store.put("packs/a/1", b"1234")
    store.put("packs/a/2", b"123")
    store.delete("packs/a/0")
    assert store.free_bytes() == 7
    assert MemoryStore().free_bytes() is None
