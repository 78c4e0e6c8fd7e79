"""The index as a station keeps it: the same as from the store, whatever happened to the files."""

from __future__ import annotations

import dataclasses
import os
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from snapstore.blobs import index as index_module
from snapstore.blobs.catalogue import LoadedIndex, load_index
from snapstore.blobs.index import BlobIndex
from snapstore.blobs.kept import open_kept
from snapstore.errors import StationStateError
from snapstore.format.index import IndexedPack
from snapstore.format.pack import BlobKind, PackEntry, encode_entries
from snapstore.format.packing import encode
from snapstore.station.index_cache import IndexCache
from snapstore.stores.memory import MemoryStore
from snapstore.types import BlobId

SAVES = 10  # as many index objects: more than are left unkept


class CountingStore(MemoryStore):
    """Tells which index objects were read."""

    def __init__(self) -> None:
        super().__init__()
        self.read: list[str] = []

    def get(self, name: str, *, offset: int = 0, size: int | None = None) -> bytes:
        self.read.append(name)
        return super().get(name, offset=offset, size=size)


def all_of(loaded: LoadedIndex, ids: list[BlobId]) -> Any:
    found = loaded.index.find_many(ids)
    return sorted(loaded.index.packs()), [sorted(copies) for copies in found], loaded.listed


class Station:
    """A store with some snapshots, and a station that looks at it."""

    def __init__(self, bench: Any, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.store = bench.store = CountingStore()
        self.hashes = [bench.save(b"content %d" % number)[0] for number in range(SAVES)]
        self.ids = [bench.keys[0].own.address(item)[0] for item in self.hashes] + [BlobId(b"absent" * 5 + b"!!")]

    def look(self, *, owner: bytes = b"owner") -> tuple[Any, int]:
        """All that the index says, and how many objects were read for it."""
        self.store.read.clear()
        catalogue = dataclasses.replace(self.bench.catalogue, files=IndexCache(self.folder, owner))
        loaded = load_index(catalogue)
        return all_of(loaded, self.ids), len(self.store.read)

    def truth(self) -> Any:
        return all_of(load_index(self.bench.catalogue), self.ids)


@pytest.fixture
def station(bench: Any, tmp_path: Path) -> Station:
    return Station(bench, tmp_path / "station")


def test_the_second_opening_reads_no_index(station: Station) -> None:
    assert station.look() == (station.truth(), SAVES)
    assert station.look() == (station.truth(), 0)
    station.bench.save(b"one more")
    assert station.look() == (station.truth(), 1)
    assert station.look() == (station.truth(), 1), "one is not worth keeping"


def test_what_was_kept_grows(station: Station) -> None:
    station.look()
    for number in range(2 * SAVES):
        station.hashes += station.bench.save(b"more %d" % number)
        station.ids.append(station.bench.keys[0].own.address(station.hashes[-1])[0])
        assert station.look()[0] == station.truth()
    assert station.look()[1] < SAVES
    assert len(list(station.folder.glob("*.segment"))) <= 3


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "gone", "other bytes"])
@pytest.mark.parametrize("victim", ["index", "index-*.segment"])
def test_damage_costs_only_time(station: Station, harm: str, victim: str) -> None:
    station.look()
    [path] = station.folder.glob(victim)
    data = path.read_bytes()
    path.unlink()
    middle = len(data) // 2
    if harm != "gone":
        path.write_bytes(
            {
                "flip": data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :],
                "cut": data[:-108],
                "empty": b"",
                "other bytes": random.Random(1).randbytes(len(data)),
            }[harm]
        )
    assert station.look() == (station.truth(), SAVES)
    assert station.look() == (station.truth(), 0)


@pytest.mark.parametrize("table", [["é".encode(), b"", []], [1, b"", []], ["text", b"", []], {0: 1}, [b"", b"", 5], 7])
def test_a_record_of_another_shape_is_no_index(tmp_path: Path, table: Any) -> None:
    cache, key = IndexCache(tmp_path, b"owner"), bytes(32)
    cache.keep(key, encode([b"", b"", []]), [])
    opened = open_kept(cache, key, ())
    assert opened is not None
    assert opened[1] == set()
    cache.keep(key, encode(table), [])
    assert open_kept(cache, key, ()) is None


def test_a_kept_file_that_cannot_be_read_is_the_stations_and_no_source_files(station: Station) -> None:
    station.look()
    catalogue = dataclasses.replace(station.bench.catalogue, files=IndexCache(station.folder, b"owner"))
    index = load_index(catalogue).index
    [path] = station.folder.glob("index-*.segment")
    os.truncate(path, len(station.ids[:-1]) * 24)  # the records stay, and the entries are gone
    for ask in (lambda: index.find_many(station.ids), lambda: index.copies(station.ids[0])):
        with pytest.raises(StationStateError):
            ask()
    with pytest.raises(StationStateError):
        index.entries(station.bench.packs()[0].rpartition("/")[2])


def test_it_is_of_one_medium_and_one_set_of_keys(station: Station, keys_of: Any) -> None:
    station.look()
    assert station.look(owner=b"another medium") == (station.truth(), SAVES)
    station.look()
    station.bench.keys.insert(0, keys_of(b"d", epoch=2))
    assert station.look() == (station.truth(), SAVES)
    assert station.look() == (station.truth(), 0)


def test_lost_packs_are_not_in_it(station: Station) -> None:
    station.look()
    station.store.delete(station.bench.packs()[0])
    assert station.look() == (station.truth(), 0)
    for name in station.bench.packs()[:4]:
        station.store.delete(name)
    assert station.look() == (station.truth(), SAVES), "made anew when much of it is of no use"


def test_a_pack_that_comes_back_is_known_again(station: Station) -> None:
    station.look()
    name = station.bench.packs()[3]
    data = station.store.get(name)
    station.store.delete(name)
    station.look()
    station.store.put(name, data)
    assert station.look()[0] == station.truth()


def test_a_damaged_index_object_is_reported_every_time(station: Station) -> None:
    name = next(iter(station.store.list("index"))).name
    data = station.store.get(name)
    station.store.delete(name)
    station.store.put(name, data[:-1] + bytes([data[-1] ^ 1]))
    for _ in range(2):
        loaded = load_index(dataclasses.replace(station.bench.catalogue, files=IndexCache(station.folder, b"owner")))
        assert [problem.path for problem in loaded.problems] == [name]
        assert all_of(loaded, station.ids) == station.truth()


def test_a_station_that_cannot_keep_anything_works(station: Station) -> None:
    station.folder.write_bytes(b"a file, where a folder should be made")
    assert station.look() == (station.truth(), SAVES)
    assert station.look() == (station.truth(), SAVES)


# --- an index that does not fit into memory --------------------------------------------------------------------------


def random_packs(count: int, blobs: int, seed: int) -> Iterator[IndexedPack]:
    generator = random.Random(seed)
    for number in range(count):
        entries = [
            PackEntry(BlobId(generator.randbytes(32)), BlobKind.DATA, 0, 1, 38 * place, 38, 10, 0, bytes(16), bytes(16))
            for place in range(blobs)
        ]
        name = f"{seed:016}{number:016}"
        yield IndexedPack(name=name, pack_size=4096, entries_bytes=encode_entries(entries))


def check(index: BlobIndex, packs: list[IndexedPack]) -> None:
    ids = [BlobId(bytes(32))]
    expected: list[list[tuple[str, int]]] = [[]]
    for pack in packs:
        for place in range(0, (len(pack.entries_bytes) - 4) // 84, 7):
            ids.append(BlobId(pack.entries_bytes[4 + 84 * place :][:32]))
            expected.append([(pack.name, 38 * place)])
    found = index.find_many(ids)
    assert [[(copy.pack, copy.entry.offset) for copy in copies] for copies in found] == expected
    assert [name for name, _, _ in index.packs()] == [pack.name for pack in packs]
    assert [encode_entries(index.entries(pack.name)) for pack in packs[-3:]] == [p.entries_bytes for p in packs[-3:]]
    assert index.entries("absent") == []


def test_much_goes_to_files_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MEMORY_BYTES", 20_000)
    monkeypatch.setattr(index_module, "_TEMPORARY_FILES", 3)
    cache = IndexCache(tmp_path, b"owner")
    index, packs = BlobIndex(cache), list(random_packs(120, 30, seed=1))
    for at in range(0, len(packs), 4):
        index.load(packs[at : at + 4])
        check(index, packs[: at + 4])
    assert index.unkept_blobs() == 3600
    assert list(tmp_path.iterdir()) == [] or cache.folder.drive
    for more in (random_packs(1, 5, seed=2), random_packs(40, 30, seed=3), random_packs(3, 30, seed=4)):
        table, files = index.keep(cache)
        assert index.unkept_blobs() == 0
        check(index, packs)
        again = BlobIndex(cache)
        assert again.adopt(table, files, {pack.name for pack in packs}) == 0
        check(again, packs)
        index, added = again, list(more)
        index.load(added)
        packs += added
    check(index, packs)


def test_a_table_that_does_not_fit_its_files_is_refused(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path, b"owner")
    index = BlobIndex(cache)
    index.load(random_packs(3, 10, seed=1))
    table, files = index.keep(cache)
    for wrong, kept in ((table[:-40], files), (table + table[:40], files), (table, [])):
        with pytest.raises(ValueError, match=r"file|pack"):
            BlobIndex(cache).adopt(wrong, kept, ())


def test_a_full_disk_leaves_all_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MEMORY_BYTES", 20_000)
    (tmp_path / "file").write_bytes(b"")
    index, packs = BlobIndex(IndexCache(tmp_path / "file", b"owner")), list(random_packs(40, 30, seed=1))
    for pack in packs:
        index.add(pack)
    check(index, packs)


def test_packs_of_a_run_take_little_memory() -> None:
    packs = list(random_packs(100, 300, seed=1))
    tracemalloc.start()
    try:
        index = BlobIndex()
        for pack in packs:
            index.add(pack)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 120 * 30_000


def test_finding_goes_on_while_packs_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_MEMORY_BYTES", 20_000)
    index, packs = BlobIndex(IndexCache(tmp_path, b"owner")), list(random_packs(150, 20, seed=1))
    index.load(packs[:1])
    ids = [BlobId(packs[0].entries_bytes[4 + 84 * place :][:32]) for place in range(20)]
    wrong: list[object] = []

    def look() -> None:
        while len(index.find_many([BlobId(packs[-1].entries_bytes[4:36])])[0]) == 0:
            found = index.find_many(ids)
            if [copies[0].entry.blob_id for copies in found] != ids:
                wrong.append(found)
                return

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for pack in packs[1:]:
        index.add(pack)
    for thread in threads:
        thread.join(60)
    assert wrong == []
    check(index, packs)
