"""The cache gives what the store has, costs nothing when it is damaged or full, and proves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapstore.errors import DamagedObjectError, ObjectNotFoundError
from snapstore.stores.cached import CachedStore, forget_ranges, trees_of, uncached, warm
from snapstore.stores.memory import MemoryStore
from snapstore.stores.protocol import Store
from snapstore.testing import Recorder, StoreWrapper


def fits(name: str, data: bytes) -> bool:
    return not data.startswith(b"bad")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder(MemoryStore())


@pytest.fixture
def cached(recorder: Recorder, tmp_path: Path) -> CachedStore:
    return CachedStore(recorder, tmp_path / "cache", fits=fits)


def gets(recorder: Recorder) -> list[str]:
    return [call.name for call in recorder.calls if call.operation == "get"]


def test_an_object_is_read_once_and_one_that_was_put_never(cached: CachedStore, recorder: Recorder) -> None:
    cached.put("config/put", b"by us")
    recorder.inner.put("index/theirs", b"by them")
    for _ in range(3):
        assert cached.get("config/put") == b"by us"
        assert cached.get("index/theirs") == b"by them"
    assert gets(recorder) == ["index/theirs"]


def test_another_process_uses_the_same_folder(cached: CachedStore, recorder: Recorder, tmp_path: Path) -> None:
    cached.put("config/put", b"by us")
    assert CachedStore(recorder, tmp_path / "cache", fits=fits).get("config/put") == b"by us"
    assert gets(recorder) == []


def test_packs_and_parts_of_objects_are_not_kept(cached: CachedStore, recorder: Recorder) -> None:
    cached.put("packs/a/one", b"0123456789")
    cached.put("index/one", b"0123456789")
    for _ in range(2):
        assert cached.get("packs/a/one", offset=2, size=3) == b"234"
        assert cached.get("packs/a/one") == b"0123456789"
        assert cached.get("index/one", offset=2, size=3) == b"234"
    assert len(gets(recorder)) == 6


MIB = 1 << 20


def test_trees_are_kept_by_block_until_they_prove_damaged(cached: CachedStore, recorder: Recorder) -> None:
    pack = bytes(range(256)) * (MIB // 64) + b"the end"
    cached.put("packs/a/one", pack)
    trees = trees_of(StoreWrapper(cached))
    assert trees.get("packs/a/one", offset=MIB, size=MIB) == pack[MIB : 2 * MIB]
    for _ in range(2):
        assert trees.get("packs/a/one", offset=0, size=len(pack)) == pack
        assert trees.get("packs/a/one", offset=2 * MIB, size=MIB) == pack[2 * MIB : 3 * MIB]
    assert len(gets(recorder)) == 2
    forget_ranges(StoreWrapper(cached), "packs/a/one")
    assert trees.get("packs/a/one", offset=4 * MIB, size=7) == b"the end"
    assert len(gets(recorder)) == 3


def test_a_whole_file_under_another_name_is_as_good_as_none(
    cached: CachedStore, recorder: Recorder, tmp_path: Path
) -> None:
    cached.put("config/one", b"the one")
    cached.put("config/two", b"the other")
    one, two = sorted((tmp_path / "cache").iterdir())
    one.write_bytes(two.read_bytes())
    assert cached.get("config/one") == b"the one"
    assert gets(recorder) == ["config/one"]


def test_a_folder_that_cannot_be_looked_into_costs_only_time(
    cached: CachedStore, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ok/one", "ok/two"):
        recorder.inner.put(name, name.encode())

    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)  # what a folder without the right to search it does
        warm(cached, ["ok/one", "ok/two"])
    assert cached.get("ok/one") == b"ok/one"
    count = len(gets(recorder))
    monkeypatch.setattr(os, "utime", refuse)  # a read-only file system
    for _ in range(2):
        assert cached.get("ok/one") == b"ok/one"
    assert len(gets(recorder)) == count


def test_damage_found_ahead_is_for_who_reads_the_object(tmp_path: Path) -> None:
    class Damaged(Recorder):
        lanes = 4

        def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
            raise DamagedObjectError(f"{name} is too short")

    store = CachedStore(Damaged(MemoryStore()), tmp_path / "cache", fits=fits)
    warm(store, ["ok/one", "ok/two"])
    with pytest.raises(DamagedObjectError):
        store.get("ok/one")


@pytest.mark.parametrize("damage", [b"", b"x", b"x" * 100, None])
def test_a_damaged_file_is_as_good_as_none(
    cached: CachedStore, recorder: Recorder, tmp_path: Path, damage: bytes | None
) -> None:
    cached.put("config/put", b"by us")
    (file,) = (tmp_path / "cache").iterdir()
    stored = file.read_bytes()
    file.write_bytes(stored[:-1] + bytes([stored[-1] ^ 1]) if damage is None else damage)
    assert cached.get("config/put") == b"by us"
    assert gets(recorder) == ["config/put"]
    assert cached.get("config/put") == b"by us"
    assert gets(recorder) == ["config/put"]


def test_bytes_that_do_not_fit_their_name_are_given_and_not_kept(cached: CachedStore, recorder: Recorder) -> None:
    recorder.inner.put("index/one", b"bad bytes")
    assert cached.get("index/one") == cached.get("index/one") == b"bad bytes"
    assert len(gets(recorder)) == 2


def test_what_was_deleted_is_gone(cached: CachedStore) -> None:
    cached.put("config/put", b"by us")
    cached.delete("config/put")
    with pytest.raises(ObjectNotFoundError):
        cached.get("config/put")


def test_listings_and_the_uncached_store_ask_the_storage(cached: CachedStore, recorder: Recorder) -> None:
    cached.put("config/put", b"by us")
    recorder.inner.delete("config/put")
    assert list(cached.list("config")) == []
    with pytest.raises(ObjectNotFoundError):
        uncached(cached).get("config/put")


def test_the_folder_is_bounded_and_what_was_used_last_stays(recorder: Recorder, tmp_path: Path) -> None:
    cached = CachedStore(recorder, tmp_path / "cache", fits=fits, max_bytes=100_000)
    cached.put("config/used", b"u" * 1000)
    for number in range(60):
        cached.put(f"index/{number}", bytes([number]) * 4000)
        for path in (tmp_path / "cache").glob("index-*"):
            os.utime(path, (number, number))
        cached.get("config/used")
    files = list((tmp_path / "cache").iterdir())
    assert sum(file.stat().st_size for file in files) <= 100_000
    assert "config-used" in {file.name for file in files}
    assert len(files) > 5
    assert cached.get("index/0") == bytes([0]) * 4000


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"a file is in the way")
    cached = CachedStore(recorder, tmp_path / "cache", fits=fits)
    cached.put("config/put", b"by us")
    assert cached.get("config/put") == b"by us"
    cached.delete("config/put")


def test_objects_are_fetched_ahead_side_by_side(tmp_path: Path) -> None:
    class Far(Recorder):
        lanes = 3  # type: ignore[assignment]

    far = Far(MemoryStore())
    names = [f"snapshots/d/{number}" for number in range(10)]
    for name in names:
        far.inner.put(name, name.encode())
    store: Store = StoreWrapper(CachedStore(far, tmp_path / "cache", fits=fits))
    warm(store, [*names, "snapshots/d/gone", "packs/a/never"])
    assert sorted(gets(far)) == sorted([*names, "snapshots/d/gone"])
    far.calls.clear()
    assert [store.get(name) for name in names] == [name.encode() for name in names]
    assert gets(far) == []


def test_nothing_readable_by_others_is_left(cached: CachedStore, tmp_path: Path) -> None:
    cached.put("config/put", b"by us")
    if os.name == "posix":
        assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
        assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "cache").iterdir())
